"""Training runs and what they write."""

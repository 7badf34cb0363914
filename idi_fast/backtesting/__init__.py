"""Policies on price histories, and what they would have earned."""

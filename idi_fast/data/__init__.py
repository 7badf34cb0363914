"""Price histories."""

"""Markets as an agent sees them."""

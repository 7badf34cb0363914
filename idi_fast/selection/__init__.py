"""Choosing settings on data that training has not seen."""

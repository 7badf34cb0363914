"""Tau specifications: their text, their terms as data, and what the interpreter makes of them."""

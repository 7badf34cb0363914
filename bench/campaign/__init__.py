"""Faults injected into commands, and what must then still be true of the files that they write."""

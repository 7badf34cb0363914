"""Threads that work side by side."""

"""Threads that work in parallel."""

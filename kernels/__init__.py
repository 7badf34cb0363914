"""Compiled kernels: numbers in, numbers out; no I/O, no objects, no allocation in a loop over ticks."""

"""Backtests: policies on price histories."""

"""Agents in layers: plans of several trainings whose streams feed one specification."""

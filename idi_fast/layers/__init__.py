"""Agents in layers: plans of several trainings whose streams make one specification."""

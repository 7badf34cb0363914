"""The whole way from bars to a tested agent and its specification: `idi-fast run`."""

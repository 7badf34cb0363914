"""The settings of a run, and how they are merged and checked."""

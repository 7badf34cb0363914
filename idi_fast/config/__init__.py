"""Settings of a run, how they are merged and checked."""

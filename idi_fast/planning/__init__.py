"""The table that the training bars support, computed instead of learnt."""

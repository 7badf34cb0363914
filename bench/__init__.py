"""The benchmark behind `idi-fast bench`: nothing is timed without first being checked against a plain-Python oracle.

A suite is a list of cases (`case`); `suites` checks them, times them and their yardsticks in turns and collects the
results in one dict, which `report` prints, `comparison` compares and `plot` draws. This module imports nothing heavy.
"""

SUITES = ("kernels", "train", "backtest", "export", "startup", "memory", "scaling")
DEFAULT_SUITES = ("train", "startup")
SCHEMA_VERSION = 2
"""Of the JSON; 1 was that of the first benchmark, which had three cases and no suites."""

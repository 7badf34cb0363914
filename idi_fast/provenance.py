"""Where numbers come from: the versions that made them, which bars a policy saw, and whether others are among them."""

import platform
from importlib.metadata import version

import numpy as np

import idi_fast
from idi_fast.history import History

SAMPLES = 64
DESCRIPTION_KEYS = {"bars", "first_time", "last_time", "files", "sample"}


def versions() -> dict[str, str]:
    """Versions of everything that has a part in the numbers or in the bytes that they are kept in."""
    packages = {name: version(name) for name in ("numba", "numpy", "polars", "pyarrow")}
    return {"idi_fast": idi_fast.__version__, "python": platform.python_version(), **packages}


def iso_time(time_ns: int) -> str:
    """A time in ns UTC as ISO 8601, without a fraction of a second where there is none."""
    text = str(np.datetime64(int(time_ns), "ns"))
    return text.removesuffix(".000000000") + "Z"


def describe_history(history: History) -> dict:
    """Which bars a history holds, as JSON values.

    bars: how many; first_time, last_time: ISO 8601 UTC, or None; files: digests; sample: time in ns (or None) and close
    of up to 64 bars spread evenly over it, by which they are known again in other files.
    """
    time = history.time
    chosen = np.unique(np.linspace(0, len(history) - 1, SAMPLES).astype(np.int64))
    times = [None] * chosen.size if time is None else time[chosen].tolist()
    return {
        "bars": len(history),
        "first_time": None if time is None else iso_time(time[0]),
        "last_time": None if time is None else iso_time(time[-1]),
        "files": history.digests,
        "sample": [list(pair) for pair in zip(times, history.close[chosen].tolist(), strict=True)],
    }


def saw(description: dict, history: History) -> bool | None:
    """Whether a description names bars of this history; None where that cannot be told.

    With times on both sides: the two ranges overlap and sampled bars that fall into both have the same close, or none
    falls there. Without: equal files, or nearly all sampled closes found again; else it cannot be told.
    """
    sample = description["sample"]
    if history.time is None or sample[0][0] is None:
        hashes = {file["sha256"] for file in description["files"].values()}
        found = np.isin([close for _, close in sample], history.close).mean()
        same = found >= 0.9 or any(file["sha256"] in hashes for file in history.digests.values())
        return True if same else None
    times, closes = np.array([time for time, _ in sample]), np.array([close for _, close in sample])
    if times[-1] < history.time[0] or history.time[-1] < times[0]:
        return False
    at = np.minimum(np.searchsorted(history.time, times), len(history) - 1)
    common = history.time[at] == times
    if not common.any():
        return not ((history.time[0] <= times) & (times <= history.time[-1])).any()
    return bool((history.close[at[common]] == closes[common]).any())

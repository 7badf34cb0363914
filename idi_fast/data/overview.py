"""What a price history holds, and what is odd about it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from idi_fast.data.bar_frequency import DAY_NS, BarTimes
from idi_fast.data.history import History, HistoryLike, required_history
from idi_fast.data.spikes import spike_note
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import InputError

LARGE_GAP = 4
"""Usual spacings that make a gap between bars of one day …"""
CLOSED_DAYS = 5
"""… and days without bars that make one between days: markets close over weekends and holidays."""


def overview(history: HistoryLike) -> dict[str, Any]:
    """What a history holds, as JSON values.

    Parameters
    ----------
    history
        The bars, as `load_history` gives them; with `nan="drop", duplicates="drop"` the rows left out are counted.

    Returns
    -------
    dict
        `bars`, `columns` (by role), `dropped_rows`, of which `copies`; `first` and `last` (ISO 8601), `spacing_seconds`
        (the median), `regular` (the share of spacings within a fifth of it), `bars_per_year`, `days_per_year`: days
        with bars; `gaps` and the `longest_gap`; `low` and `high` of the closes, `zero_volumes`, `out_of_range` (bars
        whose open or close lies outside their high and low); `notes`, and `problems`: what is odd, as sentences.
        What needs times is None where there are none.

    Raises
    ------
    InputError
        If it is no history.

    Examples
    --------
    >>> import idi_fast as idi
    >>> report = idi.overview(idi.History.from_arrays([2.0, 3.0, 2.5], time=["2024-01-01", "2024-01-02", "2024-01-03"]))
    >>> report["spacing_seconds"], report["gaps"], report["problems"]
    (86400.0, 0, [])
    """
    history = required_history(history)
    if not len(history):
        raise InputError("the history holds no bar")
    report: dict[str, Any] = {
        "bars": len(history),
        "columns": dict(history.columns),
        "dropped_rows": history.dropped,
        "copies": history.copies,
        **_times(history),
        "low": float(history.close.min()),
        "high": float(history.close.max()),
        "zero_volumes": None if history.volume is None else int((history.volume == 0).sum()),
        "out_of_range": _out_of_range(history),
        "notes": list(history.notes),
    }
    report["problems"] = list(_problems(history, report))
    return report


def _times(history: History) -> dict[str, Any]:
    names = ("first", "last", "spacing_seconds", "regular", "bars_per_year", "days_per_year", "gaps", "longest_gap")
    if history.time is None or len(history) < 2:
        return dict.fromkeys(names)
    time = history.time
    steps = np.diff(time)
    usual = float(np.median(steps))
    frequency = _frequency(time)
    days = np.unique(time // DAY_NS)
    years = (time[-1] - time[0]) / (365.2425 * DAY_NS)
    places = gaps(time, usual)
    longest = None
    if places.size:
        place = places[np.argmax(steps[places])]
        longest = {"after": iso_time(int(time[place])), "until": iso_time(int(time[place + 1]))}
    return {
        "first": iso_time(time[0]),
        "last": iso_time(time[-1]),
        "spacing_seconds": usual / 1e9,
        "regular": float((np.abs(steps - usual) <= usual / 5).mean()),
        "bars_per_year": frequency.periods_per_year if np.isfinite(frequency.periods_per_year) else None,
        "days_per_year": len(days) / years if years >= 1 else None,
        "gaps": len(places),
        "longest_gap": longest,
    }


def _frequency(time: np.ndarray) -> Any:
    times = BarTimes()
    times.push(time)
    return times.frequency()


def gaps(time: np.ndarray, usual: float) -> np.ndarray:
    """The bars after which one or more are missing, as int64 places: by their spacing within a day, else by days."""
    steps = np.diff(time)
    same_day = time[1:] // DAY_NS == time[:-1] // DAY_NS
    within = same_day & (steps > LARGE_GAP * usual)
    between = ~same_day & (steps > max(CLOSED_DAYS * DAY_NS, LARGE_GAP * usual))
    return np.flatnonzero(within | between)


def _out_of_range(history: History) -> int | None:
    if history.high is None and history.low is None:
        return None
    wrong = np.zeros(len(history), bool)
    for values in (history.open, history.close):
        if values is not None:
            wrong |= False if history.high is None else values > history.high
            wrong |= False if history.low is None else values < history.low
    if history.high is not None and history.low is not None:
        wrong |= history.low > history.high
    return int(wrong.sum())


def _problems(history: History, report: dict[str, Any]) -> Iterator[str]:
    missing = history.dropped - history.copies
    if missing:
        yield f"{missing:,} row{'s' * (missing > 1)} with missing values"
    if history.copies:
        yield f"{history.copies:,} cop{'ies' if history.copies > 1 else 'y'} of the row before"
    if report["gaps"]:
        found = report["longest_gap"]
        count = report["gaps"]
        yield f"{count:,} gap{'s' * (count > 1)}; the longest from {found['after']} to {found['until']}"
    if report["out_of_range"]:
        count = report["out_of_range"]
        yield f"{count:,} bar{'s' * (count > 1)} whose open or close lies outside high and low"
    if report["zero_volumes"] and report["zero_volumes"] == len(history):
        yield "the volume is 0 throughout"
    spikes = spike_note(history)
    if spikes is not None:
        yield spikes
    if history.time is None:
        yield "the bars have no times"

"""The parts of a time by Python's calendar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction


def _moment(time: int) -> tuple[datetime, int]:
    """Date and time in microseconds, and the ns left."""
    return datetime(1970, 1, 1) + timedelta(microseconds=time // 1000), time % 1000


def time_of_day(time: Sequence[int], window: int) -> list[float]:
    """Hours since midnight."""
    hours = []
    for moment, rest in map(_moment, time):
        seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
        hours.append(float((seconds + Fraction(moment.microsecond * 1000 + rest, 10**9)) / 3600))
    return hours


def day_of_week(time: Sequence[int], window: int) -> list[float]:
    """Days since Monday."""
    return [float(_moment(each)[0].weekday()) for each in time]

"""How many bars there are in a year, from their timestamps."""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.config.arguments import check_number
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import InputError
from idi_fast.kernels import kpis as kernels

DAY_NS = kernels.DAY_NS
YEAR_NS = 365 * DAY_NS
LEAST_DAYS = 30
SPACINGS = 65_536
MOST_OFF = 0.1
"""Share by which bars per year may differ from the trading days' before a caution: holidays make some 4 %."""
LONG_GAP = 14, 20
"""Days without bars, and spacings of the bars, that make a note: markets close for up to ten days."""
OPEN_ALL_WEEK, CLOSED_AT_WEEKENDS = 365, 252
"""Trading days per year of markets that never close, and of those with five days a week less holidays."""


class BarFrequency(NamedTuple):
    """How frequent the bars of a series are.

    periods_per_year: bars per year, or NaN, and `why_not` says why nothing can be annualised; years: from the first bar
    to the last, of 365 days, or NaN, and `why_no_growth` says why there is no growth per year; caution: why
    `periods_per_year` or the bars are doubtful, or None.
    """

    periods_per_year: float
    why_not: str | None
    years: float
    why_no_growth: str | None
    caution: str | None = None


class ElapsedYears:
    """The time from each bar to the next, in years of 365 days (the day count ACT/365), in chunks of any size."""

    def __init__(self) -> None:
        self._last = np.empty(0, np.int64)

    def push(self, time: np.ndarray) -> np.ndarray:
        """Years since the bar before each of the next bars, float64 (n,), 0 for the first; time int64 (n,), ns."""
        if not time.size:
            return np.empty(0)
        before = np.concatenate([self._last if self._last.size else time[:1], time[:-1]])
        self._last = time[-1:].copy()
        return (time - before) / YEAR_NS


class BarTimes:
    """Takes the times of a series, in chunks of any size, and says how frequent its bars are.

    There are (bars − 1) / (last − first) bars in a year of 365 days. With `year_days`, a number from 1 to 366, a year
    has that many trading days, each with the median number of bars of the days in UTC that have any: the sessions of
    a market that closes at night and on holidays. Neither memory nor the result depends on the chunks.

    Without `year_days` the span from the first bar to the last is treated as typical of the year: but a week of
    sessions contains no weekend, and a gap of months no bars. So there is a `caution` if the result is more than a
    tenth above or below the one from the market's trading days: 365 if a median week of seven full days in UTC, among
    those that have bars, has seven times the bars of a day, 252 if it has five. Without such a week, bars on a Saturday
    mean 365 and a market that closes at night 252; otherwise the caution names both. Bars that are more than a day and
    a half apart need none. A gap of two weeks and more makes a caution of its own.

    Bars are regular if at least half of the first 65,536 spacings lie within a fifth of their median: nights, weekends
    and gaps may lie between them. Others, such as bars of equal volume, are not annualised. Raises InputError.
    """

    def __init__(self, year_days: float | None = None):
        check_number("year_days", year_days, optional=True)
        if year_days is not None and not 1 <= year_days <= 366:
            raise InputError(f"year_days is {year_days}; expected a number from 1 to 366")
        self._year_days = year_days
        self._bars_a_day = np.zeros(-2 * kernels.FIRST_DAY + 1, np.int64)  # the range of int64 nanoseconds
        self._begin: list[np.ndarray] = []
        self._bars = 0
        self._first = self._last = 0

    def push(self, time: np.ndarray) -> None:
        """Add the times of the next bars: int64 (n,), nanoseconds since 1970 in UTC, increasing. InputError if they do
        not continue those before."""
        time = np.require(time, np.int64, ["C", "W"])
        if not time.size:
            return
        if self._bars and time[0] <= self._last:
            raise InputError(
                f"bar {self._bars} has the time {time[0]} ns, the one before it {self._last} ns; expected a later one"
            )
        if not self._bars:
            self._first = int(time[0])
        if self._bars <= SPACINGS:
            self._begin.append(time[: SPACINGS + 1 - self._bars].copy())
        kernels.count_days(time, self._bars_a_day)
        self._bars += time.size
        self._last = int(time[-1])

    def frequency(self) -> BarFrequency:
        """The frequency of all bars so far."""
        if self._bars < 2:
            why = "fewer than 2 bars have a time"
            return BarFrequency(math.nan, why, math.nan, why)
        years, why_no_growth = (self._last - self._first) / YEAR_NS, None
        if years * 365 < LEAST_DAYS:
            days = f"{years * 365:.3g}"
            why_no_growth = f"the bars span {days} day{'s' * (days != '1')}; a growth per year takes {LEAST_DAYS}"
            years = math.nan
        why_not = self._why_not()
        if why_not is not None:
            return BarFrequency(math.nan, why_not, years, why_no_growth, self.gap_note())
        per_year = self._periods_per_year()
        return BarFrequency(per_year, None, years, why_no_growth, self._caution(per_year) or self.gap_note())

    def gap_note(self) -> str | None:
        """A note on the longest run of days without bars, if it is longer than markets close for; None otherwise."""
        if self._bars < 2:
            return None
        days, first = self._longest_hole()
        most, spacings = LONG_GAP
        if days < most or days * DAY_NS < spacings * self._spacings()[1]:
            return None
        begin = iso_time(first * DAY_NS)[:10]
        return f"there is no bar on {days:,} days in a row, from {begin} on: positions are held across them"

    def _spacings(self) -> tuple[np.ndarray, float]:
        """The first spacings in ns, and their median."""
        spacings = np.diff(np.concatenate(self._begin))
        return spacings, float(np.median(spacings))

    def _days(self) -> np.ndarray:
        """Bars per day in UTC, from the first day to the last."""
        first, last = (time // DAY_NS - kernels.FIRST_DAY for time in (self._first, self._last))
        return self._bars_a_day[first : last + 1]

    def _why_not(self) -> str | None:
        spacings, median = self._spacings()
        share = float((np.abs(spacings - median) <= median / 5).mean())
        if share < 0.5:
            return f"the bars are irregular: only {share:.0%} of the spacings lie within a fifth of their median"
        if self._year_days is not None and median > 1.5 * DAY_NS:
            return f"year_days counts the bars of a day, and these are {median / DAY_NS:.3g} days apart"
        return None

    def _periods_per_year(self) -> float:
        if self._year_days is None:
            return (self._bars - 1) * YEAR_NS / (self._last - self._first)
        return self._year_days * self._bars_of_a_day()

    def _bars_of_a_day(self) -> float:
        days = self._days()
        return float(np.median(days[days > 0]))

    def _caution(self, per_year: float) -> str | None:
        _, spacing = self._spacings()
        if self._year_days is not None or spacing > 1.5 * DAY_NS:
            return None
        a_day, choices = self._bars_of_a_day(), self._trading_days(spacing)
        if len(choices) == 1 and abs(per_year / (choices[0] * a_day) - 1.0) <= MOST_OFF:
            return None
        why = "they span too little, or some are missing"
        if (empty := self._longest_hole()[0]) >= 7:
            why = f"there is no bar on {empty} days in a row"
        elif self._weeks().size == 0:
            if spacing >= 0.9 * DAY_NS:  # a bar per day: too few to tell
                return None
            why = f"they span {(self._last - self._first) / DAY_NS:.3g} days, which may leave out days without trading"
        open_all_week = f"`year_days={OPEN_ALL_WEEK}`"
        if len(choices) == 1:
            advice = f"`year_days={choices[0]}` would make it {choices[0] * a_day:,.0f}, as of a market "
            advice += "that never closes" if choices[0] == OPEN_ALL_WEEK else "that closes at weekends"
        else:
            advice = f"`year_days={CLOSED_AT_WEEKENDS}` would make it {CLOSED_AT_WEEKENDS * a_day:,.0f} (of a market "
            advice += f"that closes at weekends), {open_all_week} {OPEN_ALL_WEEK * a_day:,.0f} (of one that never does)"
        taken = f"a year of {per_year:,.0f} bars, by the first and the last time"
        return f"annualised figures assume {taken}, but {why}; {advice}"

    def _weeks(self) -> np.ndarray:
        """Bars of successive weeks of full days, without empty weeks."""
        days = self._days()[1:-1]  # the first and the last one may be cut short
        weeks = days[: days.size // 7 * 7].reshape(-1, 7).sum(axis=1)
        return weeks[weeks > 0]

    def _longest_hole(self) -> tuple[int, int]:
        """The longest run of days without bars, and the first of these, counted from 1970."""
        days = np.flatnonzero(self._days())
        spacings = np.diff(days)
        longest = int(spacings.argmax()) if spacings.size else 0
        return int(spacings.max(initial=1)) - 1, self._first // DAY_NS + int(days[longest]) + 1

    def _trading_days(self, spacing: float) -> tuple[int, ...]:
        """Trading days per year of the market that the bars seem to come from, or all possible ones."""
        days, a_day = self._days(), self._bars_of_a_day()
        weeks, full = self._weeks(), days[1:-1]
        if weeks.size:
            a_week = round(float(np.median(weeks)) / a_day)
            return (OPEN_ALL_WEEK if a_week >= 7 else round(CLOSED_AT_WEEKENDS * max(1, a_week) / 5),)
        # Days are counted from 1970-01-01, a Thursday.
        saturdays = full[(self._first // DAY_NS + 1 + np.arange(full.size)) % 7 == 2]
        if saturdays.size:
            return (OPEN_ALL_WEEK if saturdays.max() > a_day / 2 else CLOSED_AT_WEEKENDS,)
        if full.max(initial=0) and full.max() * spacing < 0.9 * DAY_NS:  # it closes at night
            return (CLOSED_AT_WEEKENDS,)
        return CLOSED_AT_WEEKENDS, OPEN_ALL_WEEK

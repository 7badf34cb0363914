"""A range of time that bars are taken from."""

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from idi_fast.data.timestamps import iso_time, parse_time
from idi_fast.errors import DataError, InputError

if TYPE_CHECKING:
    from idi_fast.data.history import History

Time = str | date | np.datetime64
"""A time as users give it: text in ISO 8601, or of a type of times; UTC unless it says otherwise."""


class Bounds(NamedTuple):
    """Times in ns UTC between which bars are taken, the first one included; None: no bound."""

    start: int | None = None
    end: int | None = None

    @classmethod
    def of(cls, start: Time | None, end: Time | None) -> "Bounds":
        """The bounds that are given as text or as times. Raises InputError."""
        bounds = cls(*(None if at is None else parse_time(at, name) for at, name in ((start, "start"), (end, "end"))))
        if bounds.start is not None and bounds.end is not None and bounds.start >= bounds.end:
            raise InputError(f"start is {start!r}, end {end!r}; expected a start before the end")
        return bounds

    def __bool__(self) -> bool:
        return self != (None, None)

    def places(self, history: "History", *, last: bool) -> tuple[int, int]:
        """The first bar between the bounds, and the first after them. last: whether there must be some."""
        if not self:
            return 0, len(history)
        if history.time is None:
            raise InputError("a start or an end was given, but the history has no times; name their column")
        first = 0 if self.start is None else int(np.searchsorted(history.time, self.start))
        stop = len(history) if self.end is None else int(np.searchsorted(history.time, self.end))
        if last and first >= stop:
            raise DataError(self.refusal(*history.time[[0, -1]].tolist()) if len(history) else "there are no bars")
        return first, stop

    def refusal(self, first: int, last: int, *, what: str = "bar", whole: str = "history") -> str:
        """What is said if no bar lies between; first, last: times of those that there are; what, whole: other words."""
        start = "" if self.start is None else f" from {iso_time(self.start)}"
        end = "" if self.end is None else f" before {iso_time(self.end)}"
        return f"no {what} lies{start}{end}; the {whole} has {what}s from {iso_time(first)} to {iso_time(last)}"

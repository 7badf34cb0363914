"""The order of bars in time: files that begin with the newest bar, rows out of order, and repeated rows."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import NoReturn

import numpy as np

from idi_fast.errors import DataError

ADVICE = "; or if "
"""What begins the advice on an error of the order."""


@dataclass
class Rows:
    """Rows of files: their names in errors; arrays by role; the rows' numbers in their file, from 1; whether rows were
    dropped before each; and, where they are of several files, the place of each one's among the names."""

    files: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    numbers: np.ndarray
    gaps: np.ndarray
    origins: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, places: np.ndarray | slice) -> "Rows":
        """Some of the rows."""
        arrays = {role: values[places] for role, values in self.arrays.items()}
        origins = None if self.origins is None else self.origins[places]
        return Rows(self.files, arrays, self.numbers[places], self.gaps[places], origins)

    def place(self) -> str:
        """Where the first row is: "bars.csv, row 3"."""
        file = self.files[0 if self.origins is None else self.origins[0]]
        return f"{file}, row {self.numbers[0]}"


def falls(times: np.ndarray) -> bool:
    """Whether times go backwards, and never forwards."""
    steps = np.diff(times)
    return bool((steps <= 0).all() and (steps < 0).any())


def turned_round(batches: Iterable[Rows]) -> Generator[Rows, None, bool]:
    """A file's rows from the last to the first; they wait in a temporary file, so that memory stays bounded. Returns
    whether rows were dropped behind them."""
    places: list[tuple[int, list[tuple[str, np.dtype, int]], tuple[str, ...]]] = []
    with closing(TemporaryFile(prefix="idi-fast-")) as spool:
        for rows in batches:
            columns = {**rows.arrays, "": rows.numbers, " ": rows.gaps}
            about = [(role, values.dtype, len(values)) for role, values in columns.items()]
            places.append((spool.tell(), about, rows.files))
            for values in columns.values():
                spool.write(np.ascontiguousarray(values).data)
        dropped_after = False  # a gap before a row is one after the row before it
        for place, about, files in reversed(places):
            spool.seek(place)
            columns = {role: np.frombuffer(spool.read(dtype.itemsize * n), dtype)[::-1] for role, dtype, n in about}
            numbers, before = columns.pop(""), columns.pop(" ")
            gaps = np.concatenate(([dropped_after], before[:-1]))[: len(numbers)]
            dropped_after = bool(before[-1]) if len(before) else dropped_after
            yield Rows(files, columns, numbers, gaps)
        return dropped_after


def in_order(batches: Iterable[Rows], rows: int) -> Iterator[Rows]:
    """Rows of files sorted by time, about `rows` at a time; all of them are held in memory."""
    parts = list(batches)
    if not parts:
        return
    arrays = {role: np.concatenate([part.arrays[role] for part in parts]) for role in parts[0].arrays}
    numbers = np.concatenate([part.numbers for part in parts])
    gaps = np.concatenate([part.gaps for part in parts])
    files = tuple(dict.fromkeys(part.files[0] for part in parts))
    origins = np.concatenate([np.full(len(part), files.index(part.files[0]), np.int32) for part in parts])
    order = np.argsort(arrays["time"], kind="stable")
    # A gap lies between two rows: where they have changed sides it is the other one's.
    turned = np.flatnonzero(np.diff(order) == -1)
    between = gaps[order]
    between[turned + 1] = gaps[order[turned]]
    between[turned[~np.isin(turned - 1, turned)]] = False
    gaps[order] = between
    whole = Rows(files, arrays, numbers, gaps, origins)
    for start in range(0, len(order), rows):
        yield whole.at(order[start : start + rows])


class OrderCheck:
    """Takes rows in order, over all files, and refuses those whose times do not increase.

    name: the time's column; drop: whether a row that repeats the one before it is left out.
    """

    def __init__(self, name: str, *, drop: bool):
        self._name, self._drop = name, drop
        self._last: Rows | None = None

    def push(self, rows: Rows) -> Rows:
        """The rows that are kept. Raises DataError."""
        if not len(rows):
            return rows
        time = rows.arrays["time"]
        before = time[:-1] if self._last is None else np.concatenate((self._last.arrays["time"], time[:-1]))
        skip = 1 if self._last is None else 0
        late = np.flatnonzero(time[skip:] <= before) + skip
        if not late.size:
            self._last = rows.at(slice(-1, None))
            return rows
        kept = np.ones(len(rows), bool)
        for place in late:
            earlier = rows.at(slice(place - 1, place)) if place else self._last
            assert earlier is not None  # the first row of all is never late
            is_copy = all(values[place] == earlier.arrays[role][0] for role, values in rows.arrays.items())
            if not (self._drop and is_copy):
                self._refuse(earlier, rows.at(slice(place, place + 1)), is_copy)
            kept[place] = False
        self._last = rows.at(slice(-1, None))  # a copy of the last one that is kept, if it is not
        places = np.flatnonzero(kept)
        left = rows.at(places)
        # A gap before a copy is one before the next row.
        after = np.searchsorted(places, late[rows.gaps[late]])
        left.gaps = left.gaps.copy()
        left.gaps[after[after < len(places)]] = True
        return left

    def _refuse(self, earlier: Rows, later: Rows, is_copy: bool) -> NoReturn:
        pair = np.array([earlier.arrays["time"][0], later.arrays["time"][0]]).view("datetime64[ns]")
        before, now = np.datetime_as_string(pair, unit="auto")
        verb = "repeats" if now == before else "is earlier than"
        places = [rows.place() for rows in (earlier, later)]
        advice = "; times must increase"
        if is_copy:
            advice += ": the rows are equal, leave out such copies with `duplicates='drop'`"
        elif now != before:
            advice += f"{ADVICE}the rows are only out of order, sort them: `sort=True`"
        raise DataError(f"{places[1]}, column {self._name!r}: {now} {verb} {before} in {places[0]}{advice}")

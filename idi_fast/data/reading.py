"""Operations of the reader process on the files of a price history: find columns, count rows, read bars."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import polars as pl

from idi_fast.config.read_options import ReadOptions
from idi_fast.data.bar_files import count_rows, name_there, read_batches, read_head, read_schema
from idi_fast.data.bar_rows import CLOCK, MISSING_MARKS, Converter, joined
from idi_fast.data.columns import candidates_for, check_types, choose_columns
from idi_fast.data.number_forms import find_decimal_mark, plan_numbers
from idi_fast.data.ordering import ADVICE, OrderCheck, Rows, falls, in_order, turned_round
from idi_fast.data.sources import Source, open_sources
from idi_fast.data.time_columns import NO_TIME, SAMPLE, find_clock, refuse_named_zone, refuse_unread_times
from idi_fast.data.time_forms import is_clock, is_named_so
from idi_fast.data.time_plan import TimePlan, plan_times
from idi_fast.errors import DataError


def find_columns(
    files: list[str],
    given: dict[str, str | None],
    sought: list[str],
    extra: list[str],
    label: str | None,
    options: dict,
) -> Iterator[tuple[dict, list]]:
    """The files' column for close, time … and each of `extra`. label: what errors call the files."""
    is_numbered = any((name or "").startswith("column_") for name in given.values())
    chosen = ReadOptions(**options)
    with open_sources(files, chosen, recognise=not is_numbered) as sources:
        schemas = {source: read_schema(source) for source in sources}
        first = sources[0]
        names, time = schemas[first].names(), given["time"]
        if time is not None and time.lower() == NO_TIME and time not in names:
            given, sought = {**given, "time": None}, [role for role in sought if role != "time"]
        columns = choose_columns(first, names, given, sought, extra)
        notes = []
        alike = "volume" in columns and all(name_there(schema, columns["volume"]) for schema in schemas.values())
        if columns.get("volume") is not None and given["volume"] is None and "volume" not in extra and alike:
            volume = _volume_in_use(sources, names, columns["volume"])
            if volume is None:
                notes.append(f"{label or first}: the column {columns['volume']!r} is empty; there is no volume")
                del columns["volume"]
            else:
                columns["volume"] = volume
        digits = 0
        if time is None and "time" in columns:
            found = find_clock(first, schemas[first], columns)
            if found is not None:
                columns["time"], columns[CLOCK], digits = found
        check_types(schemas, columns)
        if "time" in columns:
            refuse_named_zone(first, columns["time"], chosen)
        elif "time" in sought:
            refuse_unread_times(schemas, columns, label)
            notes.append(f"{label or first}: there is no column of times")
        yield {"columns": columns, "numbered": is_numbered, "clock_digits": digits, "notes": notes}, []


def _volume_in_use(sources: list[Source], names: list[str], chosen: str) -> str | None:
    """Of several columns of volume the first that is not all zero; None if the only one holds nothing."""
    candidates = candidates_for(sources[0], names, "volume")
    if len(candidates) < 2:
        head = read_head(sources[0], [chosen], SAMPLE)[chosen]
        holds = (not _is_empty(batch[chosen]) for source in sources for batch in _column(source, chosen))
        return chosen if not len(head) or not _is_empty(head) or any(holds) else None
    for name in candidates:
        for source in sources:
            if name_there(read_schema(source), name) is None:
                break
            if any((batch[name].cast(pl.Float64, strict=False) != 0).any() for batch in _column(source, name)):
                return name
    return chosen


def _is_empty(values: pl.Series) -> bool:
    if values.dtype != pl.String:
        return values.null_count() == len(values)
    return bool((values.is_null() | values.str.to_lowercase().is_in(MISSING_MARKS)).all())


def _column(source: Source, name: str) -> Iterator[pl.DataFrame]:
    """A column's values in batches, the first few of them alone before."""
    yield read_head(source, [name], SAMPLE)
    yield from read_batches(source, [name], 2**18)


def count_all(files: list[str], options: dict) -> Iterator:
    """Rows in the files."""
    with open_sources(files, ReadOptions(**options)) as sources:
        yield sum(map(count_rows, sources)), []


def read_bars(
    files: list[str],
    columns: dict[str, str],
    rows: int,
    drop: bool,
    name: str | None,
    small_bytes: int,
    options: dict,
    numbered: bool,
    clock_digits: int,
) -> Iterator[tuple[dict, list[np.ndarray]]]:
    """How many rows were dropped, how many as copies of the one before, what is said of the files, and of the other
    rows the columns and whether rows with missing values were dropped before each; about `rows` at a time. numbered:
    whether columns without a header are called by their numbers; clock_digits: those that a time of day in digits is
    filled up to, 0 if it is not in digits."""
    chosen = ReadOptions(**options)
    roles = [role for role in columns if role != CLOCK]
    check = OrderCheck(columns["time"], drop=chosen.duplicates == "drop") if "time" in columns else None
    reading = _Reading(columns, chosen, clock_digits, rows, drop, name, small_bytes)
    with open_sources(files, chosen, recognise=not numbered) as sources:
        batches = chain.from_iterable(reading.rows_of(sources[k:]) for k in range(len(sources)))
        if chosen.sort and check is not None:
            batches = in_order(batches, rows)
        for batch in batches:
            kept = batch
            if check is not None:
                try:
                    kept = check.push(batch)
                except DataError as error:
                    if name is not None:
                        raise
                    text, hint = str(error), _symbols_hint(sources[reading.files_read - 1], columns)
                    if hint:
                        text = text.partition(ADVICE)[0] + hint
                    elif reading.files_read > 1:
                        text += "; if each file is a symbol: `symbol_files=True`"
                    raise DataError(text) from None
            about = {"dropped": reading.dropped, "copies": len(batch) - len(kept), "notes": reading.notes}
            reading.dropped, reading.notes = 0, []
            yield about, [*(kept.arrays[role] for role in roles), kept.gaps]
        if reading.notes:  # on the end of the last file
            nothing = [np.empty(0, np.int64 if role == "time" else np.float64) for role in roles]
            yield {"dropped": 0, "copies": 0, "notes": reading.notes}, [*nothing, np.empty(0, bool)]


class _Reading:
    """Reads the files of a history one after the other, each as its first rows tell.

    dropped, notes: rows left out and what there is to say, since they were last taken; files_read: how many were begun.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        options: ReadOptions,
        clock_digits: int,
        rows: int,
        drop: bool,
        name: str | None,
        small_bytes: int,
    ):
        self._clock_digits = clock_digits
        self._columns, self._options, self._drop = columns, options, drop
        self._batch_rows, self._name, self._small_bytes = rows, name, small_bytes
        self._times: TimePlan | None = None
        self._decimal: str | None = None
        self._row, self._after_gap, self._last_about = 0, False, ""
        self.dropped, self.files_read = 0, 0
        self.notes: list[str] = []

    def rows_of(self, sources: Sequence[Source]) -> Iterator[Rows]:
        """The rows of the next file, the first of those that are left, in the order of their times."""
        source = sources[0]
        called = self._name or str(source)
        self.files_read += 1
        self._row = 0 if self._name is None else self._row
        ends: list[str] = []
        head, batches = _peeked(self._batches(source, ends.append), SAMPLE)
        if not head.width:
            head = pl.DataFrame(schema=dict.fromkeys(self._columns.values(), pl.String))
        times, decimal = self._plan(sources, head)
        converter = Converter(
            called,
            self._columns,
            self._options,
            times,
            decimal,
            clock_digits=self._clock_digits,
            first_row=self._row,
            drop=self._drop,
        )
        self._say(called, source, times, decimal)
        converted = self._converted(called, converter, batches, ends)
        if "time" not in self._columns or self._options.sort:
            return converted
        seen = times.reader().read(self._time_of(head)).drop_nulls().to_numpy()
        if falls(seen):
            self.notes.append(f"{called}: the newest bar comes first; read from the end")
            return self._turned(converted)
        return converted

    def _turned(self, rows: Iterator[Rows]) -> Iterator[Rows]:
        """A file's rows from the last to the first, with the gaps to the files before and after it."""
        before, self._after_gap = self._after_gap, False  # it is not the first row that follows on the file before
        is_first = True
        turned = turned_round(rows)
        while True:
            try:
                part = next(turned)
            except StopIteration as stop:
                self._after_gap = bool(stop.value) or (is_first and before)
                return
            if is_first and len(part):
                part.gaps = part.gaps.copy()
                part.gaps[0] |= before or self._after_gap  # the last rows in the file come first
                is_first = False
            yield part

    def _batches(self, source: Source, say: Callable[[str], None] = lambda text: None) -> Iterator[pl.DataFrame]:
        return read_batches(source, self._columns.values(), self._batch_rows, self._small_bytes, say)

    def _time_of(self, frame: pl.DataFrame) -> pl.Series:
        times = frame[self._columns["time"]]
        return joined(times, frame[self._columns[CLOCK]], self._clock_digits) if CLOCK in self._columns else times

    def _plan(self, sources: Sequence[Source], head: pl.DataFrame) -> tuple[TimePlan, str | None]:
        """How the first file's times are read, and its decimal mark; what its rows leave open the others may tell."""
        rows = chain.from_iterable(map(self._batches, sources))
        options, times = self._options, TimePlan()
        if "time" in self._columns:

            def rest() -> Iterator[pl.Series]:
                return map(self._time_of, rows)

            head_times = self._time_of(head)
            times = plan_times(
                head_times, rest, form=options.time_format, zone=options.tz, known=self._times, order=options.order
            )
            self._times = times if len(times.forms) < 2 else self._times
        decimal = options.decimal
        dialect = sources[0].dialect
        if decimal is None and dialect is not None:
            numbers = list({name for role, name in self._columns.items() if role not in ("time", CLOCK, "risk")})
            decimal = find_decimal_mark(head.select(numbers)) or self._decimal
            if decimal is None:
                rest_of = (batch.select(numbers) for batch in chain.from_iterable(map(self._batches, sources)))
                decimal = plan_numbers(head.select(numbers), lambda: rest_of, dialect.separator)
            self._decimal = decimal  # of the files that do not tell by themselves, too
        return times, decimal

    def _say(self, called: str, source: Source, times: TimePlan, decimal: str | None) -> None:
        """Note what was found out, once for files alike."""
        said = [] if source.dialect is None else source.dialect.about()
        said += [*(["decimal comma"] if decimal == "," else []), *times.about()]
        if CLOCK in self._columns:
            said.append(f"time of day in {self._columns[CLOCK]!r}")
        about = ", ".join(said)
        if about and about != self._last_about:
            self.notes.append(f"{called} is read as: {about}")
        self._last_about = about

    def _converted(
        self, called: str, converter: Converter, batches: Iterable[pl.DataFrame], ends: list[str]
    ) -> Iterator[Rows]:
        for frame in batches:
            arrays, missing = converter.convert(frame)
            kept = slice(None) if missing is None else np.flatnonzero(~missing)
            gaps = np.zeros(len(frame), bool)  # whether the row before each is missing
            gaps[:1] = self._after_gap
            if missing is not None:
                gaps[1:] = missing[:-1]
            if len(frame):
                self._after_gap = missing is not None and bool(missing[-1])
            numbers = np.arange(self._row + 1, self._row + 1 + len(frame))[kept]
            self._row += len(frame)
            self.dropped += len(frame) - len(numbers)
            yield Rows((called,), arrays, numbers, gaps[kept])
        converter.finish()
        self.notes += [f"{called}: the line below the table is no row, {text[:80]!r}; left out" for text in ends]


def _peeked(batches: Iterator[pl.DataFrame], rows: int) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """The first rows, and all batches: what is told by the former does not depend on the size of the latter."""
    taken: list[pl.DataFrame] = []
    while sum(map(len, taken)) < rows and (batch := next(batches, None)) is not None:
        taken.append(batch)
    head = pl.concat(taken).head(rows) if taken else pl.DataFrame()
    return head, chain(taken, batches)


def _symbols_hint(file: Source, columns: Mapping[str, str]) -> str:
    """How to read a file whose times do not increase, if they may be those of several symbols; else empty."""
    head = read_head(file, read_schema(file).names(), 100)
    others = [name for name in head.columns if name not in columns.values() and not is_named_so(name)]
    texts = [name for name in others if _is_text(head[name])]
    pairs = (part.partition("=") for part in file.file.parent.parts)
    keys = [key for key, sign, value in pairs if sign and not value.isdecimal()]  # year=2024 is none
    named = [*texts, *keys]
    name = named[0] if len(named) == 1 else "NAME"
    return f"; if these are several symbols: `symbol_col={name!r}`" if named else ""


def _is_text(values: pl.Series) -> bool:
    """Whether a column, which of a CSV file is always text, holds none of its values as a number or time of day."""
    if values.dtype != pl.String or values.count() == 0 or is_clock(values.drop_nulls()[0]):
        return False
    return values.cast(pl.Float64, strict=False).count() == 0

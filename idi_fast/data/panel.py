"""Histories of many symbols, which one policy is trained on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

from idi_fast.config.arguments import check_text
from idi_fast.data.history import History, HistoryLike, check_history, looks_like_frame, required_history
from idi_fast.errors import DataError, InputError


@dataclass(frozen=True)
class Panel:
    """Histories by symbol, in the order of their names, all with the same columns.

    Attributes
    ----------
    histories : dict of str to History
    """

    histories: dict[str, History]

    def __post_init__(self) -> None:
        if not self.histories:
            raise DataError("there are no symbols; expected one history or more")
        check_alike({symbol: history.columns for symbol, history in self.histories.items()})

    @classmethod
    def of(cls, histories: Mapping[str, HistoryLike], extra: Sequence[str] = ()) -> "Panel":
        """The panel of histories, or frames, by symbol; extra: further columns to read of frames. Raises DataError,
        InputError."""
        found = {}
        for symbol in histories:
            check_text("the name of a symbol", symbol)
        for symbol in sorted(histories):
            history = check_history(histories[symbol], extra)
            if history is None:
                raise InputError(f"the history of {symbol!r} is None; expected a History or a frame")
            found[symbol] = history
        return cls(found)

    def __len__(self) -> int:
        return sum(map(len, self.histories.values()))

    def __iter__(self) -> Iterator[History]:
        return iter(self.histories.values())

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the first symbol, behind the names that all share."""
        return next(iter(self)).columns

    @cached_property
    def digests(self) -> dict[str, dict]:
        """Those of all files, in the order read."""
        return {file: digest for history in self for file, digest in history.digests.items()}

    @property
    def dropped(self) -> int:
        """Rows dropped from all symbols."""
        return sum(history.dropped for history in self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found out about the files."""
        return tuple(note for history in self for note in history.notes)

    def of_each(self, change: Callable[[History], History | None]) -> "Panel":
        """The panel of changed histories; those that become None are left out. Raises DataError if none is left."""
        changed = {symbol: change(history) for symbol, history in self.histories.items()}
        return Panel({symbol: history for symbol, history in changed.items() if history is not None})


def check_alike(columns: Mapping[str | None, Iterable[str]]) -> None:
    """DataError where symbols, of which the names of the columns are given, have other columns than the first."""
    first, *others = columns
    ours = sorted(columns[first])
    for symbol in others:
        theirs = sorted(columns[symbol])
        if theirs != ours:
            raise DataError(
                f"symbol {symbol!r} has the columns {', '.join(theirs)}, {first!r} has {', '.join(ours)}; "
                "expected the same of all"
            )


TrainingBars = History | Panel
"""What a policy is trained and evaluated on."""
TrainingBarsLike = HistoryLike | Panel | Mapping[str, HistoryLike]
"""What is taken for it: a history or a frame, or several by symbol."""


def check_bars(bars: object, extra: Sequence[str] = ()) -> TrainingBars | None:
    """A history or a panel that was given as an argument, also as frames, or None; InputError for anything else.

    extra: further columns to read of frames.
    """
    if isinstance(bars, Panel):
        return bars
    if is_mapping_of_histories(bars):
        return Panel.of(bars, extra)
    return check_history(bars, extra)


def required_bars(bars: object, extra: Sequence[str] = ()) -> TrainingBars:
    """The same where there must be some."""
    checked = check_bars(bars, extra)
    return required_history(None) if checked is None else checked


def is_mapping_of_histories(bars: object) -> TypeGuard[Mapping[str, HistoryLike]]:
    """Whether a thing holds histories or frames by symbol, not columns by name."""
    if not isinstance(bars, Mapping) or not bars:
        return False
    return all(isinstance(value, History) or looks_like_frame(value) for value in bars.values())


def members(bars: TrainingBars) -> list[tuple[str | None, History]]:
    """The histories of a panel with their symbols; a single one without."""
    return list(bars.histories.items()) if isinstance(bars, Panel) else [(None, bars)]

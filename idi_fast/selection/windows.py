"""The windows of a walk-forward analysis, and the one account over their tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from idi_fast.backtesting.account import Account, AccountSimulator, TradingAssumptions
from idi_fast.config.arguments import check_integer
from idi_fast.data.history import History
from idi_fast.errors import InputError


@dataclass(frozen=True)
class Window:
    """Bars [train_start, train_stop) are for training, [test_start, test_stop) for the test; between is the embargo."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int

    @property
    def tested(self) -> tuple[int, int]:
        """The first bar of the test, and the first behind it."""
        return self.test_start, self.test_stop


def window_sizes(
    bars: int, train_bars: int | None, test_bars: int | None, step: int | None, *, episode_length: int
) -> tuple[int, int, int]:
    """The bars per training and test and from window to window: by default half, a tenth and those of a test.

    Raises InputError if a training is too short for an episode.
    """
    whence = f", half of the {bars} there are" if train_bars is None else ""
    train_bars = bars // 2 if train_bars is None else check_integer("train_bars", train_bars, least=1)
    if train_bars <= episode_length:
        raise InputError(f"train_bars is {train_bars}{whence}; expected more than episode_length ({episode_length})")
    test_bars = max(2, bars // 10) if test_bars is None else test_bars
    return train_bars, test_bars, test_bars if step is None else step


def make_windows(
    bars: int, train_bars: int, test_bars: int, step: int, *, embargo: int, anchored: bool = False
) -> list[Window]:
    """The windows of a history, each `step` bars after the previous one; the last may have a shorter test.

    anchored: every training begins with the first bar, and is longer by `step` each time. Raises InputError.
    """
    train_bars, test_bars = check_integer("train_bars", train_bars, least=1), check_integer("test_bars", test_bars)
    step = check_integer("step", step)
    if step < test_bars:
        raise InputError(f"step is {step}, but a test has {test_bars} bars; expected at least these, or tests overlap")
    # A decision is filled on the next bar, and the last fill before a gap closes the position.
    least = 2 if step == test_bars else 3
    if test_bars < least:
        raise InputError(f"test_bars is {test_bars}; expected {least} or more, or nothing could be traded")
    if bars < train_bars + embargo + 2:
        raise InputError(
            f"the history has {bars} bars; {train_bars} for training, an embargo of {embargo} and a test of two need "
            f"{train_bars + embargo + 2}"
        )
    starts = range(0, bars - train_bars - embargo - 1, step)
    return [
        Window(
            0 if anchored else start,
            start + train_bars,
            start + train_bars + embargo,
            min(bars, start + train_bars + embargo + test_bars),
        )
        for start in starts
    ]


AMOUNTS = ("fees", "slippage", "traded", "interest", "borrow", "funding")


class Tested(NamedTuple):
    """One account over the tests of all windows.

    equity float64 (tested bars,): from 1; parts: one per window, relative to the equity at its start, with the trades
    that ended in it, the open one last. After a liquidation the equity of a part is 1: nothing is earned or lost.
    """

    equity: np.ndarray
    parts: list[Account]


def account_of_tests(
    targets: Sequence[np.ndarray],
    history: History,
    tests: Sequence[tuple[int, int]],
    assumed: TradingAssumptions,
) -> Tested:
    """The account of target positions int8 (n,), decided at the closes of the bars [start, stop) of each test.

    Orders come only from changes of the target: a position is carried over into a test that follows at once.
    Before a gap the account closes it on the last tested bar, and pays for it.
    """
    keeper, equities, parts = AccountSimulator(assumed), [], []
    began, spent = 1.0, keeper.totals
    for number, (target, (start, stop)) in enumerate(zip(targets, tests, strict=True)):
        if number + 1 < len(tests) and tests[number + 1][0] > stop:
            # A decision at the last close would be filled in the gap.
            target = np.concatenate([target[:-2], np.zeros(min(2, target.size), np.int8)])
        equity, position, trades = keeper.push(target, history.slice(start, stop))
        trades, totals = np.concatenate([trades, keeper.open_trade]), keeper.totals
        costs = {name: (totals[name] - spent[name]) / (began or 1.0) for name in AMOUNTS}
        own = equity / began if began > 0.0 else np.ones(equity.size)
        parts.append(Account(own, position, trades, **costs, liquidated_at=totals["liquidated_at"]))
        equities.append(equity)
        began, spent = float(equity[-1]), totals
    return Tested(np.concatenate(equities), parts)

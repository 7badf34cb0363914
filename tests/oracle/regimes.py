"""The market of any number of regimes, a quantity after the other for all bars."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from . import Column
from .elementary import exponential_less_one, log_of_one_more, natural_log, sine_and_cosine
from .tape_words import halves, high_uniform, low_uniform


def variate(words: Sequence[int], tail: float) -> float:
    """Normal, or of Student's t with so many degrees of freedom and scaled to variance 1."""
    minus_log = -natural_log(1.0 - (int(words[1]) >> 12) / 2**52)
    cosine = sine_and_cosine(halves(words[2])[0])[1]
    if tail == 0:
        return cosine * math.sqrt(2.0 * minus_log)
    return cosine * math.sqrt((tail - 2.0) * exponential_less_one(2.0 * minus_log / tail))


def regime_bars(
    words: Column, regimes: Sequence[dict[str, Any]], share: float, start: tuple[float, int, float, float]
) -> tuple[list[tuple[float, float, int, bool]], tuple[float, int, float, float]]:
    """Log close, log volume, what the regime counts as and risk flag of each bar, and the state after them.

    regimes: `chain` (the chances added up), `drift`, `volatility`, `tail`, `arch`, `garch`, `counts_as` of each.
    """
    draws = [high_uniform(row[0]) for row in words]
    path = list(accumulate(draws, lambda last, u: bisect_right(regimes[last]["chain"], u), initial=start[1]))
    bars = [regimes[number] for number in path[1:]]
    variates = [variate(row, of["tail"]) for row, of in zip(words, bars, strict=True)]
    factors = [start[3]]
    for z, of in zip(variates, bars, strict=True):
        left = 1.0 - of["arch"] - of["garch"]
        factors.append(left + (of["arch"] * (factors[-1] * (z * z)) + of["garch"] * factors[-1]))
    returns, risks = [], []
    for z, factor, of in zip(variates, factors[:-1], bars, strict=True):
        returns.append(of["drift"] + z * (of["volatility"] * math.sqrt(factor)))
        limit = 2.5 * of["volatility"]
        is_large = returns[-1] > log_of_one_more(limit)
        is_large |= limit < 1.0 and returns[-1] < log_of_one_more(-limit)
        risks.append(is_large or of["counts_as"] == 3)
    closes = list(accumulate(returns, initial=start[0]))
    drives = [abs(move) * share + (low_uniform(row[3]) - 0.5) for move, row in zip(returns, words, strict=True)]
    volumes = list(accumulate(drives, lambda last, new: 0.8 * last + new, initial=start[2]))
    shown = [of["counts_as"] for of in bars]
    made = list(zip(closes[1:], volumes[1:], shown, risks, strict=True))
    return made, (closes[-1], path[-1], volumes[-1], factors[-1])

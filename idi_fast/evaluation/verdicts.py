"""Results in plain words: first the figures, then how much may be due to chance."""

import math
from collections.abc import Callable

MINUS = "−"
MOST_DIGITS = 17
"""Significant digits that tell any two floats apart."""


def beside(own: float, other: float, name: str, figure: Callable[[float, int], str], more: str = "") -> str:
    """Whether a figure is better or worse than another one: worse than buy and hold (−68.6% against +142%).

    name: of the other; figure: formats a value with this many significant digits, three or as many as tell the two
    apart; more: added to the parentheses.
    """
    if own == other:
        return f"the same as {name} ({figure(own, 3)}{more})"
    pairs = [(figure(own, digits), figure(other, digits)) for digits in range(3, MOST_DIGITS + 1)]
    mine, others = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return f"{'better' if own > other else 'worse'} than {name} ({mine} against {others}{more})"


def plain_number(value: float, digits: int) -> str:
    """A number with this many significant digits, but all of those before the decimal point."""
    if value == 0.0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if math.isfinite(value) else 0
    return f"{value:,.{places}f}".replace("-", MINUS)


def signed_percent(share: float, digits: int) -> str:
    """A return as a percentage with its sign, with this many significant digits."""
    return f"{'+' if share > 0.0 else ''}{plain_number(100.0 * share, digits)}%"


def beyond_chance(seeds: int, of: int) -> str:
    """For how many of the seeds something is beyond chance, by its 95% interval."""
    if of == 1:
        return "beyond chance" if seeds else "not beyond chance"
    which = "no seed" if seeds == 0 else f"all {of} seeds" if seeds == of else f"{seeds} of {of} seeds"
    return f"beyond chance for {which}"


def account_verdict(
    earned: float, of_holding: float, above: dict[str, list], below: dict[str, list], seeds: int
) -> str:
    """What accounts earned beside buying and holding. earned: the total return, for several seeds the median; above,
    below: the seeds for which that is significant, by what it is compared with: "zero", "buy_and_hold"."""
    more = f", the median of {seeds} seeds" if seeds > 1 else ""
    found = beside(earned, of_holding, "buy and hold", signed_percent, more)
    if earned != of_holding:
        found += f", {beyond_chance(len((above if earned > of_holding else below)['buy_and_hold']), seeds)}"
    if earned == 0.0:
        return f"{found}; neither a profit nor a loss"
    result, shown = ("profit", above) if earned > 0.0 else ("loss", below)
    return f"{found}; a {result} {beyond_chance(len(shown['zero']), seeds)}"


def short_tests(lengths: dict[str, int], longest: int) -> list[str]:
    """A note for each number of bars, by its name, that is below the longest feature's window."""
    return [
        f"{name} has {bars:,} bars, fewer than the {longest:,} that the longest feature looks back over: it says little"
        for name, bars in lengths.items()
        if bars < longest
    ]

"""Files without a header: which column is which, told by what they hold."""

import re
from collections.abc import Sequence

from idi_fast.data.time_forms import is_clock, is_date
from idi_fast.data.timestamps import dates_in_digits

EPOCHS = ((5e8, 4.2e9), (5e11, 4.2e12), (5e14, 4.2e15), (5e17, 4.2e18))
"""Epochs of 1985 to 2100 in s, ms, us and ns."""
OHLC = ("open", "high", "low", "close")
"""The order in which most vendors write the prices of a bar; in others open and close cannot be told apart."""
LEAST_SPREAD = 1.05
"""Of the ratio of a column to the close: below, it is an adjusted price."""


def numbered_names(width: int) -> tuple[str, ...]:
    """The names of columns that nothing is known of."""
    return tuple(f"column_{number}" for number in range(1, width + 1))


def layout(rows: Sequence[Sequence[str]], width: int) -> tuple[str, ...]:
    """The names of the columns of a table without a header, `column_1` … for those that cannot be told.

    A time, perhaps with its time of day in the next column, comes first, but for columns of text such as a symbol.
    Open, high, low and close follow, if the second is the highest and the third the lowest of them in every row, then
    perhaps a volume; or a single price.
    """
    names = list(numbered_names(width))
    columns = [[row[k] for row in rows] for k in range(width)]
    at = next((k for k, cells in enumerate(columns) if _are_dates(cells) or _numbers(cells)), width)
    if at < width and _are_dates(columns[at]):
        has_clock = at + 1 < width and _are_clocks(columns[at + 1])
        names[at] = "date" if has_clock else "time"
        if has_clock:
            names[at + 1] = "time_of_day"
        at += 1 + has_clock
    prices: list[list[float]] = []
    for cells in columns[at:]:
        if (numbers := _numbers(cells)) is None:
            break
        prices.append(numbers)
    if len(prices) == 1:
        names[at] = "close"
    if len(prices) >= 4:
        bars: list[dict[str, float]] = [dict(zip(OHLC, bar, strict=True)) for bar in zip(*prices[:4], strict=True)]
        if all(bar["low"] <= min(bar.values()) and bar["high"] >= max(bar.values()) for bar in bars):
            names[at : at + 4] = OHLC
            if len(prices) > 4 and not _are_prices(prices[4], bars):
                names[at + 4] = "volume"
    return tuple(names)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    """Numbers with a point or a comma, None for other columns."""
    if not all(re.fullmatch(r"[+-]?\d*[.,]?\d+([eE][+-]?\d+)?", cell) for cell in cells):
        return None
    return [float(cell.replace(",", ".")) for cell in cells]


def _are_dates(cells: Sequence[str]) -> bool:
    if all(is_date(cell) or re.match(r"\d{4}-\d\d-\d\d", cell) for cell in cells):
        return True
    if not all(cell.isdecimal() for cell in cells):
        return False
    if all(len(cell) in (8, 10, 12, 14) and dates_in_digits(cell) for cell in cells):
        return True
    numbers = [int(cell) for cell in cells]
    return len(set(numbers)) == len(numbers) and any(
        low <= min(numbers) and max(numbers) < high for low, high in EPOCHS
    )


def _are_clocks(cells: Sequence[str]) -> bool:
    return all(is_clock(cell) or re.fullmatch(r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?", cell) for cell in cells)


def _are_prices(values: Sequence[float], bars: Sequence[dict[str, float]]) -> bool:
    """Whether a fifth column may be another price, such as an adjusted close."""
    if all(bar["low"] / 2 <= value <= bar["high"] * 2 for value, bar in zip(values, bars, strict=True)):
        return True
    ratios = [value / bar["close"] for value, bar in zip(values, bars, strict=True) if bar["close"] > 0]
    return len(set(values)) > 1 and min(ratios) > 0 and max(ratios) < LEAST_SPREAD * min(ratios)

"""Monthly and yearly returns."""

import math
from collections.abc import Sequence

import numpy as np

from idi_fast.reporting import theme
from idi_fast.reporting.formats import MINUS, MONTHS, percent, plural
from idi_fast.reporting.parts import Figure

FULL_COLOUR = 0.9
"""Share of the returns within the colour scale; the largest would leave all others pale."""
MOST_LONG_LABELS = 6


def monthly_returns(months: dict[int, float]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Years, the return of each of their months float64 (years, 12), NaN if there are no bars, and of each year.

    months: the equity at the end of each month that has bars, by months since 1970, in order. It is 1 before the first;
    after an equity of 0 there is no return.
    """
    first, last = min(months) // 12, max(months) // 12
    years = list(range(1970 + first, 1971 + last))
    returns, totals = np.full((len(years), 12), np.nan), np.full(len(years), np.nan)
    before, opening = 1.0, {}
    for month, equity in months.items():
        row = month // 12 - first
        opening.setdefault(row, before)
        if before > 0.0:
            returns[row, month % 12] = equity / before - 1.0
        if opening[row] > 0.0:
            totals[row] = equity / opening[row] - 1.0
        before = equity
    return years, returns, totals


def month_figure(months: dict[int, float]) -> Figure:
    """A heat map of the returns; months: see `monthly_returns`."""
    years, returns, totals = monthly_returns(months)
    told = ", ".join(f"{year} {percent(total)}" for year, total in zip(years, totals, strict=True))
    wide, narrow = _rows_of_years(years, returns, totals), _columns_of_years(years, returns, totals)
    return Figure(
        name="months",
        title="Monthly returns",
        caption="The return of the policy in each month and year (UTC), in per cent: from the equity at the end of the "
        "one before, or from the initial 1. The first and the last need not be whole.",
        alt=f"A grid of {plural(len(years), 'year')} by twelve months: the best month {percent(np.nanmax(returns))}, "
        f"the worst {percent(np.nanmin(returns))}; years: {told}.",
        data=wide[0],
        layout=wide[1],
        narrow=narrow,
    )


PLAIN = {"type": "category", "showgrid": False, "ticks": "", "fixedrange": True}


def _rows_of_years(years: list[int], returns: np.ndarray, totals: np.ndarray) -> tuple[list[dict], dict]:
    labels = [str(year) for year in years]
    data = [_cells(MONTHS, labels, returns, "x", "y"), _cells(["Year"], labels, totals[:, np.newaxis], "x2", "y")]
    axes = {
        "xaxis": theme.axis(side="top", domain=[0.0, 0.9], **PLAIN),
        "xaxis2": theme.axis(side="top", domain=[0.925, 1.0], **PLAIN),
        "yaxis": theme.axis(autorange="reversed", **PLAIN),
    }
    return data, theme.layout(44 + 28 * max(2, len(years)), hovermode="closest", **axes)


def _columns_of_years(years: list[int], returns: np.ndarray, totals: np.ndarray) -> tuple[list[dict], dict]:
    labels = [str(year) for year in years]
    short = labels if len(years) <= MOST_LONG_LABELS else [f"’{label[-2:]}" for label in labels]
    data = [_cells(labels, MONTHS, returns.T, "x", "y"), _cells(labels, ["Year"], totals[np.newaxis], "x", "y2")]
    axes = {
        "xaxis": theme.axis(side="top", anchor="y", tickvals=labels, ticktext=short, tickangle=0, **PLAIN),
        "yaxis": theme.axis(autorange="reversed", domain=[0.1, 1.0], **PLAIN),
        "yaxis2": theme.axis(domain=[0.0, 0.07], **PLAIN),
    }
    return data, theme.layout(430, hovermode="closest", **axes)


def _cells(columns: Sequence[str], rows: Sequence[str], values: np.ndarray, x: str, y: str) -> dict:
    limit = float(np.nanquantile(np.abs(values), FULL_COLOUR)) or 1.0
    return {
        "type": "heatmap",
        "x": list(columns),
        "y": list(rows),
        "z": theme.grid(values),
        "xaxis": x,
        "yaxis": y,
        "zmin": -limit,
        "zmax": limit,
        "colorscale": theme.LOSS_TO_PROFIT,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "text": [[_cell(value) for value in row] for row in values],
        "texttemplate": "%{text}",
        "hoverongaps": False,
        "hovertemplate": "%{y} %{x}: %{z:.2%}<extra></extra>",
    }


def _cell(value: float) -> str:
    """A percentage in as few characters as possible."""
    return "" if math.isnan(value) else f"{100.0 * value:,.{int(abs(value) < 0.995)}f}".replace("-", MINUS)

"""The look of the figures: colours by role, light and dark, and the common layout.

Blue and orange are distinguishable with every kind of colour vision (Okabe & Ito 2008), and differ in lightness.
"""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import polars as pl

PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "page": "#ffffff",
        "panel": "#f5f7f9",
        "rule": "#dfe4e9",
        "text": "#1a2027",
        "muted": "#5a6672",
        "blue": "#0b63a8",
        "blue-soft": "#cfe2f2",
        "orange": "#c2500d",
        "orange-veil": "rgba(194,80,13,0.18)",
        "grey": "#8792a0",
        "grey-soft": "#d5dae0",
        "teal": "#0f7a6c",
        "purple": "#8453a3",
        "gold": "#8c6700",
        "profit": "#0b63a8",
        "loss": "#c2500d",
        "low": "#eef3f8",
        "middle": "#5f9bcb",
        "high": "#08335c",
    },
    "dark": {
        "page": "#12161b",
        "panel": "#1a2027",
        "rule": "#2d353e",
        "text": "#e8ecf0",
        "muted": "#9ba7b3",
        "blue": "#62b0f0",
        "blue-soft": "#1d4366",
        "orange": "#f2935a",
        "orange-veil": "rgba(242,147,90,0.22)",
        "grey": "#7d8997",
        "grey-soft": "#3a434e",
        "teal": "#4bc4b2",
        "purple": "#c396dd",
        "gold": "#e2b84b",
        "profit": "#1f72b5",
        "loss": "#b4551f",
        "low": "#1c2731",
        "middle": "#3277b0",
        "high": "#d6ebff",
    },
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
CLEAR = "rgba(0,0,0,0)"
NO_LEGEND = {"l": 4, "r": 16, "t": 8, "b": 4}
"""Margins of a figure without a legend above it."""


def role(name: str) -> str:
    """A colour by its role: it becomes one of a palette when the figure is drawn."""
    return f"var(--{name})"


BLUE, ORANGE, GREY, TEXT, MUTED, RULE, PAGE = map(role, ("blue", "orange", "grey", "text", "muted", "rule", "page"))
QUIET = role("grey-soft")
PROFIT, LOSS = role("profit"), role("loss")
"""Of areas with white text in them, light and dark."""
SIDES = {"hold": QUIET, "buy": PROFIT, "sell": LOSS}
SPEECH = (QUIET, role("teal"), ORANGE, role("purple"), BLUE, role("gold"))
"""Colours of communication actions, in their order: silent, positive, alert, persist and others."""
CUES = dict(zip(("silent", "positive", "alert", "persist"), SPEECH, strict=False))
"""A communication action has its colour in every figure, whichever others there are."""
LINES = (BLUE, ORANGE, role("teal"), role("purple"), role("gold"))
DASHES = ("solid", "dash", "dot")
MOST_TOLD_APART = len(LINES) * len(DASHES)
"""Lines of one figure that can be told apart by colour and dash."""
LOSS_TO_PROFIT = [[0.0, LOSS], [0.5, role("panel")], [1.0, PROFIT]]
LOW_TO_HIGH = [[0.0, role("low")], [0.5, role("middle")], [1.0, role("high")]]


def painted(json_text: str, palette: Mapping[str, str]) -> str:
    """The JSON of a figure with its roles as colours of a palette; page.js does the same."""
    return re.sub(r'"var\(--([a-z-]+)\)"', lambda found: f'"{palette[found[1]]}"', json_text)


def cue_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each of these communication actions: others than the usual ones in their alphabetical order."""
    others = sorted(set(names) - CUES.keys())
    return CUES | {name: SPEECH[4 + k % (len(SPEECH) - 4)] for k, name in enumerate(others)}


def told_apart(number: int) -> dict[str, Any]:
    """Colour and dash of a line among several, by its number from 0."""
    return {"color": LINES[number % len(LINES)], "dash": DASHES[number // len(LINES) % len(DASHES)]}


def axis(**own: Any) -> dict[str, Any]:
    """The common axis."""
    return {
        "automargin": True,
        "separatethousands": True,
        "gridcolor": RULE,
        "linecolor": RULE,
        "zeroline": False,
        "tickfont": {"color": MUTED},
        "title": {"font": {"color": MUTED}, "standoff": 8},
        **own,
    }


def shares(**own: Any) -> dict[str, Any]:
    """An axis of shares from 0 to 1."""
    ticks = {"tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%", "ticklabeloverflow": "allow"}
    return axis(fixedrange=True, range=[0, 1], showgrid=False, **ticks, **own)


def titled(text: str, **own: Any) -> dict[str, Any]:
    """An axis with a title."""
    made = axis(**own)
    return {**made, "title": {**made["title"], "text": text}}


def layout(height: int, **own: Any) -> dict[str, Any]:
    """A layout of this height in pixels, as wide as possible."""
    return {
        "autosize": True,
        "height": height,
        "margin": {"l": 4, "r": 16, "t": 28, "b": 4},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": PAGE, "bordercolor": RULE, "font": {"color": TEXT}},
        "modebar": {"bgcolor": CLEAR, "color": GREY, "activecolor": BLUE},
        "legend": {"orientation": "h", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"},
        **own,
    }


def fixed(**own: Any) -> dict[str, Any]:
    """An axis without zoom, for bars and heat maps."""
    return axis(fixedrange=True, **own)


def ink(colour: str) -> str:
    """The colour of a text on an area."""
    return {QUIET: TEXT, PROFIT: "#ffffff", LOSS: "#ffffff"}.get(colour, PAGE)


def line(name: str, x: Sequence | np.ndarray, y: Sequence | np.ndarray, colour: str, **own: Any) -> dict[str, Any]:
    """A line; `own` sets its style except the colour."""
    shape = {"color": colour, "width": 1.6, **own.pop("line", {})}
    return {"type": "scatter", "mode": "lines", "name": name, "x": numbers(x), "y": numbers(y), "line": shape, **own}


def numbers(values: Sequence | np.ndarray | pl.Series) -> list:
    """Numbers for JSON in six significant digits, enough for a screen; NaN and infinity are null."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return array.tolist()
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in array.tolist()]


def grid(values: np.ndarray) -> list[list]:
    """A table of numbers for JSON, row by row."""
    return [numbers(row) for row in values]


def plain(text: str) -> str:
    """A user's text for a figure, where plotly.js would interpret some HTML."""
    return escape(text, quote=False)

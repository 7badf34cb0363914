"""How results are displayed: a few lines in a terminal; a small table and a chart (inline SVG) in a notebook."""

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at run time where a chart is drawn: a command that prints its help does not need it
    import numpy as np
    from plotly.graph_objects import Figure

Rows = Sequence[Sequence[object]]

WIDTH, HEIGHT = 480, 120
"""Of a chart, in pixels."""
MOST_POINTS = 240
"""Of a line: no more would be seen at that width."""
COLOURS = ("#4269d0", "#9498a0", "#ff725c")
ACTION_COLOURS = ("#a0a5ad", "#1f72b5", "#c2500d")
"""Of hold, buy and sell, readable on light and on dark pages."""
MOST_CELLS = 24
"""Rows and columns of a map: no more would be seen at that width."""
BARS = "▁▂▃▄▅▆▇█"
SAVED = "_saved_at"


class Plotted:
    """A result with figures: those of its report, drawn by plotly."""

    def plot(self, figure: str | None = None, *, dark: bool = False) -> "Figure":
        """A figure of the report as one of plotly, which it needs: by its name, or else the first; an unknown name
        raises an InputError with all there are. Long lines are thinned so that no peak is lost; `dark`: in the colours
        of a dark page."""
        from idi_fast.reporting.plots import plotted

        return plotted(self, figure, dark)


def format_value(value: object) -> str:
    """A figure for people: six significant digits, a dash if it is undefined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def format_share(value: float | None) -> str:
    """A share as a percentage: 12.3%; whole from 1,000% on, below 1% with two significant digits."""
    if value is None or math.isnan(value):
        return "–"
    digits = 1
    if abs(value) >= 10.0:
        digits = 0
    elif 0.0 < abs(value) < 0.01:
        digits = min(17, 1 - math.floor(math.log10(100.0 * abs(value))))
    text = f"{100.0 * value:,.{digits}f}%"
    return text if text.strip("-0.%") else text.removeprefix("-")


def as_text(title: str, rows: Rows = (), heads: Sequence[str] = ()) -> str:
    """A title and below it a table: names to the left, figures to the right."""
    cells = [[format_value(cell) for cell in row] for row in [*([heads] if heads else []), *rows]]
    if not cells:
        return title
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for first, *rest in cells:
        # A single column of values is read, several are compared.
        side = ">" if heads else "<"
        values = "  ".join(f"{cell:{side}{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        lines.append(f"  {first:<{widths[0]}}  {values}".rstrip())
    return "\n".join([title, *lines])


def as_html(
    title: str,
    rows: Rows = (),
    heads: Sequence[str] = (),
    lines: "Mapping[str, Sequence[float] | np.ndarray] | None" = None,
    *,
    chart: str = "",
    links: str = "",
) -> str:
    """The same as HTML; lines: of a chart, by name; chart: another one, as of `map_chart`; links: see `file_links`."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(format_value(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table>{f'<thead><tr>{head}</tr></thead>' if heads else ''}<tbody>{body}</tbody></table>" if rows else ""
    return f"<div><p><b>{escape(title)}</b></p>{line_chart(lines or {})}{chart}{table}{links}</div>"


def remember_place(result: object, path: str | Path) -> None:
    """Note where a result was saved, so that a notebook links to it."""
    vars(result)[SAVED] = Path(path)  # frozen classes keep their fields; this is none


def saved_at(result: object) -> Path | None:
    """Where a result was saved last, if it is still there."""
    path = vars(result).get(SAVED)
    return path if path is not None and os.path.lexists(path) else None


def file_links(*paths: Path | None) -> str:
    """Links to those of the files and folders that exist, and to reports beside them: relative to the notebook where
    they lie below it."""
    beside = [path.with_name(f"{path.name}.html") for path in paths if path is not None and path.suffix != ".html"]
    found = [path for path in (*paths, *beside) if path is not None and os.path.exists(path)]
    shown = [f'<a href="{escape(_address(path))}">{escape(os.fspath(path))}</a>' for path in dict.fromkeys(found)]
    return f"<p><small>Saved: {', '.join(shown)}</small></p>" if shown else ""


def _address(path: Path) -> str:
    from urllib.parse import quote

    whole, here = path.resolve(), Path.cwd()
    return quote(whole.relative_to(here).as_posix()) if whole.is_relative_to(here) else whole.as_uri()


def map_chart(panels: "Mapping[str, np.ndarray]", names: Sequence[str]) -> str:
    """Maps of actions side by side as inline SVG, rows from below; panels: by title float64 (rows, columns), an
    action's number or NaN; names: of the actions. Empty without a value."""
    import numpy as np

    if not any(np.isfinite(values).any() for values in panels.values()):
        return ""
    gap, drawn = 12.0, []
    width = (WIDTH - gap * (len(panels) - 1)) / len(panels)
    for place, (title, values) in enumerate(panels.items()):
        left = place * (width + gap)
        drawn.append(f'<text x="{left:.0f}" y="10" font-size="10" fill="{COLOURS[1]}">{escape(title)}</text>')
        drawn += _cells(values, left, width)
    legend = ", ".join(
        f'<span style="color:{colour}">{escape(name)}</span>'
        for name, colour in zip(names, ACTION_COLOURS, strict=True)
    )
    return _svg(HEIGHT, drawn) + f"<p><small>{legend}</small></p>"


def _cells(values: "np.ndarray", left: float, width: float) -> list[str]:
    """The rectangles of a map."""
    import numpy as np

    rows, columns = (np.linspace(0, n - 1, min(n, MOST_CELLS)).round().astype(int) for n in values.shape)
    cells, drawn = values[np.ix_(rows, columns)], []
    high, wide = (HEIGHT - 14.0) / cells.shape[0], width / cells.shape[1]
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            corner = f'x="{left + column * wide:.1f}" y="{HEIGHT - (row + 1) * high:.1f}"'
            size = f'width="{max(0.5, wide - 0.7):.1f}" height="{max(0.5, high - 0.7):.1f}"'
            drawn.append(f'<rect {corner} {size} fill="{ACTION_COLOURS[int(value)]}"/>')
    return drawn


def _svg(height: int, drawn: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{height}" style="max-width:100%"'
    return f'<svg role="img" {size} viewBox="0 0 {WIDTH} {height}">{"".join(drawn)}</svg>'


def interval_chart(rows: Sequence[tuple[str, float, float | None]]) -> str:
    """Values with two standard errors to either side as inline SVG, the first stands out; rows: name, value, standard
    error."""
    known = [(name, value, 2.0 * (error or 0.0)) for name, value, error in rows if math.isfinite(value)]
    if not known:
        return ""
    low, high = min(value - reach for _, value, reach in known), max(value + reach for _, value, reach in known)
    left, step = 110.0, 18
    scale, drawn = (WIDTH - left - 10.0) / (high - low or 1.0), []
    for place, (name, value, reach) in enumerate(known):
        y, colour = (place + 0.5) * step, COLOURS[min(place, 1)]
        x, start, stop = (left + (at - low) * scale for at in (value, value - reach, value + reach))
        drawn.append(
            f'<text x="0" y="{y + 4:.0f}" font-size="11" fill="{colour}">{escape(name)}</text>'
            f'<line x1="{start:.1f}" x2="{stop:.1f}" y1="{y:.0f}" y2="{y:.0f}" stroke="{colour}"/>'
            f'<circle cx="{x:.1f}" cy="{y:.0f}" r="4" fill="{colour}"/>'
        )
    return _svg(len(known) * step, drawn)


def sparkline(values: "Sequence[float] | np.ndarray", width: int = 60) -> str:
    """The finite values as `levels` shows them; empty without two of these."""
    import numpy as np

    line = np.asarray(values, np.float64)
    line = line[np.isfinite(line)]
    return levels(line, width) if line.size > 1 else ""


def levels(values: "np.ndarray", width: int) -> str:
    """Finite values, at least one, as characters ▁ to █, one for each of at most `width` stretches: their means."""
    import numpy as np

    means = np.array([part.mean() for part in np.array_split(values, min(width, values.size))])
    low, high = means.min(), means.max()
    heights = np.zeros(means.size, int) if high == low else ((means - low) / (high - low) * 7.999).astype(int)
    return "".join(BARS[height] for height in heights)


def line_chart(lines: "Mapping[str, Sequence[float] | np.ndarray]") -> str:
    """Lines over a common axis as inline SVG, with the lowest and the highest value; empty without values."""
    import numpy as np

    values = {name: np.asarray(line, np.float64) for name, line in lines.items()}
    values = {name: line[np.isfinite(line)] for name, line in values.items() if np.isfinite(line).sum() > 1}
    if not values:
        return ""
    low, high = min(line.min() for line in values.values()), max(line.max() for line in values.values())
    span = high - low or 1.0
    drawn, legend = [], []
    for (name, whole), colour in zip(values.items(), COLOURS * len(values), strict=False):
        line = _thinned(whole)
        x = np.linspace(0.0, WIDTH, line.size)
        y = (HEIGHT - 4.0) - (line - low) / span * (HEIGHT - 8.0)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        legend.append(f'<span style="color:{colour}">{escape(name)}</span>')
    caption = f"{', '.join(legend)}: {escape(format_value(float(low)))} to {escape(format_value(float(high)))}"
    return _svg(HEIGHT, drawn) + f"<p><small>{caption}</small></p>"


def _thinned(line: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if line.size <= MOST_POINTS:
        return line
    return line[np.linspace(0, line.size - 1, MOST_POINTS).round().astype(np.int64)]

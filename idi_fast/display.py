"""How results are displayed: a few lines in a terminal; a small table and a chart (inline SVG) in a notebook."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at run time where a chart is drawn: a command that prints its help does not need it
    import numpy as np

Rows = Sequence[Sequence[object]]

WIDTH, HEIGHT = 480, 120
"""Of a chart, in pixels."""
MOST_POINTS = 240
"""Of a line: no more would be seen at that width."""
COLOURS = ("#4269d0", "#9498a0", "#ff725c")


def format_value(value: object) -> str:
    """A figure for people: six significant digits, a dash if it is undefined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


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
) -> str:
    """The same as HTML; lines: of a chart, by name."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(format_value(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table>{f'<thead><tr>{head}</tr></thead>' if heads else ''}<tbody>{body}</tbody></table>" if rows else ""
    return f"<div><p><b>{escape(title)}</b></p>{line_chart(lines or {})}{table}</div>"


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
    return (
        f'<svg role="img" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(drawn)}</svg>'
        f"<p><small>{caption}</small></p>"
    )


def _thinned(line: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if line.size <= MOST_POINTS:
        return line
    return line[np.linspace(0, line.size - 1, MOST_POINTS).round().astype(np.int64)]

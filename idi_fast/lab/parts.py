"""The parts of the lab's pages: fields with labels, and what a report is made of, as components of Dash."""

import json
from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from idi_fast.reporting.page import figure_json
from idi_fast.reporting.parts import Figure, KeyFigures, Table

CONFIG: Any = {
    "displaylogo": False,
    "displayModeBar": False,
    "doubleClick": "reset",
    "showSendToCloud": False,
    "plotlyServerURL": "",
}


def aria(**told: str) -> dict[str, Any]:
    """Attributes for those who cannot see a component, by their names without `aria-`."""
    return {f"aria-{name}": value for name, value in told.items()}


def slider(name: str, label: str, low: float, high: float, step: float, value: float) -> html.Div:
    """A slider and a field for the same number; its value is that of `name`."""
    limits: dict[str, Any] = {"min": low, "max": high, "step": step}
    return html.Div(
        [
            html.Label(label, htmlFor=name, id=f"{name}-label"),
            dcc.Input(id=name, type="range", value=value, className="range", **limits),
            html.Label(f"{label}, as a number", htmlFor=f"{name}-number", className="unseen"),
            dcc.Input(id=f"{name}-number", type="number", value=value, className="number", debounce=True, **limits),
        ],
        className="slider",
    )


def field(label: str, inner: Any, *, hint: str = "") -> html.Div:
    """A labelled component."""
    told = [html.Small(hint)] if hint else []
    return html.Div([html.Label(label, htmlFor=inner.id), inner, *told], className="field")


def choice(name: str, options: Sequence[dict[str, str]] | Sequence[str], value: str | None, **own: Any) -> dcc.Dropdown:
    """A list to choose one from."""
    labels: Any = {"select_all": "Select all", "clear_selection": "Clear"}
    return dcc.Dropdown(
        id=name, options=list(options), value=value, searchable=False, labels=labels, **{"clearable": False, **own}
    )


def figure_place(name: str, title: str, height: int, *, has_log: bool = False) -> html.Figure:
    """Where a figure is drawn: `figures.js` paints there what the store of the page holds under its name."""
    head: list[Any] = [html.H3(title, id=f"{name}-title")]
    if has_log:
        options = [{"label": "Linear", "value": "linear"}, {"label": "Logarithmic", "value": "log"}]
        head.append(
            dcc.RadioItems(id=f"{name}-scale", options=options, value="linear", inline=True, className="switch")
        )
    return html.Figure(
        [
            html.Div(head, className="head"),
            dcc.Graph(
                id=name,
                figure={"layout": {"height": height}},
                config=CONFIG,
                responsive=True,
                style={"height": f"{height}px"},
            ),
            html.Figcaption("", id=f"{name}-caption"),
        ],
        id=f"{name}-figure",
        hidden=True,  # until there is something in it
    )


def stored(figure: Figure) -> dict[str, Any]:
    """A figure as the store holds it."""
    found = json.loads(figure_json(figure.data, figure.layout))
    return {**found, "title": figure.title, "caption": figure.caption, "alt": figure.alt}


def table(content: Table) -> html.Div:
    """A table as in a report."""
    heads = html.Tr([html.Th(head, scope="col") for head in content.heads])
    rows = [
        html.Tr([html.Th(first, scope="row"), *(html.Td(cell) for cell in cells)]) for first, *cells in content.rows
    ]
    caption = html.Caption([html.Strong(content.title), *([html.Small(content.caption)] if content.caption else [])])
    return html.Div(html.Table([caption, html.Thead(heads), html.Tbody(rows)]), className="table")


def key_figures(content: KeyFigures) -> html.Dl:
    """Names and values side by side."""
    return html.Dl(
        [html.Div([html.Dt(name), html.Dd(value)]) for name, value in content.facts],
        className="facts large" if content.is_large else "facts",
    )


def note(text: str, *, is_warning: bool = False) -> html.P:
    """A line that stands out."""
    return html.P(text, className="note warning" if is_warning else "note", role="status")

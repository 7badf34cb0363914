"""The page *Runs*: the folder's runs as a table, and two of them side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from idi_fast.differences import key_differences
from idi_fast.errors import IdiFastError
from idi_fast.lab import parts
from idi_fast.lab.train_page import report_link
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting import PAGES, theme
from idi_fast.reporting.comparison import OTHER_BARS, have_other_bars
from idi_fast.reporting.course import read_course
from idi_fast.reporting.learning import bin_size, read_bins
from idi_fast.reporting.parts import Figure, Table
from idi_fast.reporting.run import ReportedRun
from idi_fast.reporting.run_table import ABOUT, FIGURES, RunRow, RunTable, shown_figure
from idi_fast.storage.json_files import json_text

HEADS = {"name": "Run", "kind": "Kind", "seed": "Seed", **FIGURES}
MOST_LENGTH = 60
"""Of a setting's value in a table."""


def layout() -> html.Section:
    """The page."""
    return html.Section(
        [
            html.H2("Runs"),
            html.Div(
                [
                    html.Span(id="runs-count", className="lead"),
                    html.Button("Look again", id="look", type="button", className="quiet"),
                ],
                className="head",
            ),
            html.Div(id="runs-table", role="region", tabIndex=0, **parts.aria(label="Runs"), className="table"),
            html.Div(id="runs-problems"),
            html.H3("Side by side"),
            html.Div(
                [
                    parts.field("One run", parts.choice("compare-one", [], None, clearable=True, placeholder="None")),
                    parts.field("Another", parts.choice("compare-other", [], None, clearable=True, placeholder="None")),
                ],
                className="pair",
            ),
            html.Div([parts.figure_place("courses", "Courses", 320)], className="shown"),
            html.Div(id="comparison"),
            dcc.Store(id="runs-figures"),
            dcc.Store(id="runs-sort", data={"key": "name", "is_reversed": False}),
        ],
        id="page-runs",
    )


def register(app: Dash, workspace: Workspace) -> None:
    """The page's callbacks."""

    @app.callback(
        Output("folder", "data"),
        Output("files", "data"),
        Output("runs-table", "children"),
        Output("runs-count", "children"),
        Output("runs-problems", "children"),
        Output("compare-one", "options"),
        Output("compare-other", "options"),
        Input("look", "n_clicks"),
        Input("changed", "data"),
        Input("runs-sort", "data"),
    )
    def look(_look, _changed, order):
        found = workspace.runs()
        shown = found.sorted(order["key"], is_reversed=order["is_reversed"])
        names = [run.name for run in found.runs]
        folder = {"runs": [{"name": run.name, "kind": run.kind} for run in found.runs]}
        problems = [parts.note(f"{name}: {problem}", is_warning=True) for name, problem in found.unreadable.items()]
        told = f"{len(names)} {'run' if len(names) == 1 else 'runs'} in {workspace.root}"
        return folder, workspace.histories(), table_of(shown, order), told, problems, names, names

    @app.callback(
        Output("runs-sort", "data"),
        Input({"sort": ALL}, "n_clicks"),
        State("runs-sort", "data"),
        prevent_initial_call=True,
    )
    def sort(clicks, order):
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update
        key = ctx.triggered_id["sort"]
        return {"key": key, "is_reversed": key == order["key"] and not order["is_reversed"]}

    @app.callback(
        Output("comparison", "children"),
        Output("runs-figures", "data"),
        Input("compare-one", "value"),
        Input("compare-other", "value"),
    )
    def compare(one, other):
        if not one or not other:
            return None, {}
        runs = {run.name: run for run in workspace.runs().runs}
        try:
            for name in (one, other):
                workspace.run(name)
            tables: list[Any] = [parts.table(table) for table in side_by_side(runs[one], runs[other])]
            opened = [ReportedRun.open(workspace.run(name)) for name in (one, other)]
            drawn = courses(opened, (one, other))
        except (IdiFastError, KeyError) as error:
            return parts.note(str(error), is_warning=True), {}
        if have_other_bars(*opened):
            tables.insert(0, parts.note(OTHER_BARS, is_warning=True))
        return tables, {} if drawn is None else {drawn.name: parts.stored(drawn)}


def table_of(found: RunTable, order: dict) -> html.Table:
    """The table, with a button to sort by each column."""
    keys = [*ABOUT, *found.used_figures]
    heads = [_head(key, order) for key in keys] + [html.Th("Settings", scope="col", className="text")]
    return html.Table([html.Thead(html.Tr(heads)), html.Tbody([_row(found, run, keys) for run in found.runs])])


def _head(key: str, order: dict) -> html.Th:
    is_chosen = key == order["key"]
    is_falling = (key in FIGURES) != order["is_reversed"]
    mark = (" ▼" if is_falling else " ▲") if is_chosen else ""
    state = ("descending" if is_falling else "ascending") if is_chosen else "none"
    button = html.Button(f"{HEADS[key]}{mark}", id={"sort": key}, type="button", className="sort")
    return html.Th(button, scope="col", className="text" if key in ABOUT else "", **parts.aria(sort=state))


def _row(found: RunTable, run: RunRow, keys: list[str]) -> html.Tr:
    name = run.name
    if run.kind in PAGES:
        name = html.A(run.name, href=report_link(run.name), target="_blank", rel="noopener")
    cells = [html.Td(_cell(run, key), className=_class(key)) for key in keys[1:]]
    return html.Tr([html.Th(name, scope="row"), *cells, html.Td(found.told(run), className="text")])


def _cell(run: RunRow, key: str) -> str:
    if key in FIGURES:
        return shown_figure(key, run.figures[key])
    return run.shown_kind if key == "kind" else run.value(key)


def _class(key: str) -> str:
    return "text" if key in ABOUT else ""


def side_by_side(one: RunRow, other: RunRow) -> list[Table]:
    """The figures of two runs, and the settings in which they differ."""
    used = [key for key in FIGURES if one.figures[key] is not None or other.figures[key] is not None]
    figures = [(FIGURES[key], *(shown_figure(key, run.figures[key]) for run in (one, other))) for key in used]
    differing = [
        (found["key"], *(_shown(found[side]) if side in found else "–" for side in ("a", "b")))
        for found in key_differences(one.settings, other.settings)
    ]
    heads = ("", one.name, other.name)
    return [
        Table("Figures", heads, [("Kind", one.shown_kind, other.shown_kind), ("Seed", one.seed, other.seed), *figures]),
        Table("Settings that differ", heads, differing or [("None", "", "")]),
    ]


def courses(runs: Sequence[ReportedRun], names: Sequence[str]) -> Figure | None:
    """Learning curves or accounts of two runs, one over the other; None where they are not both of either."""
    if all(run.kind == "train" and run.about["summary"]["episodes"] for run in runs):
        lines = [_learning(run) for run in runs]
        title, along, told = "Learning curves", "Episode", "Mean reward of the episodes of each bin, with exploration."
    elif all(run.kind == "backtest" and run.has("equity.parquet") for run in runs):
        found = [read_course(run.table("equity.parquet", ("equity", "drawdown", "buy_and_hold"))) for run in runs]
        lines = [(course.lines["equity"].x, course.lines["equity"].y) for course in found]
        dates = all(course.is_dated for course in found)
        title, along, told = "Equity", "Time" if dates else "Bar", "Each account begins at 1, at the first of its bars."
        lines = [(x.astype("datetime64[ms]").astype(str) if dates else x, y) for x, y in lines]
    else:
        return None
    data = [
        theme.line(theme.plain(name), x, y, colour)
        for name, (x, y), colour in zip(names, lines, (theme.BLUE, theme.ORANGE), strict=True)
    ]
    layout = theme.layout(320, xaxis=theme.titled(along), yaxis=theme.axis())
    return Figure("courses", title, told, f"{title} of {names[0]} and {names[1]}.", data, layout)


def _learning(run: ReportedRun) -> tuple[np.ndarray, np.ndarray]:
    table = run.table("episodes.parquet", ("reward", "exploration"))
    moments, _, ends = read_bins(table, table.rows, bin_size(table.rows))
    return ends, moments[1]


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json_text(value).strip()
    text = " ".join(text.split())
    return text if len(text) <= MOST_LENGTH else f"{text[: MOST_LENGTH - 1]}…"

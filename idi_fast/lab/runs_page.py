"""The page *Runs*: the folder's runs as a table, and two of them side by side."""

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from idi_fast.differences import key_differences
from idi_fast.errors import IdiFastError
from idi_fast.lab import parts
from idi_fast.lab.train_page import report_link
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting import PAGES
from idi_fast.reporting.parts import Table
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
            html.Div(id="comparison"),
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

    @app.callback(Output("comparison", "children"), Input("compare-one", "value"), Input("compare-other", "value"))
    def compare(one, other):
        if not one or not other:
            return None
        runs = {run.name: run for run in workspace.runs().runs}
        try:
            for name in (one, other):
                workspace.run(name)
            return [parts.table(table) for table in side_by_side(runs[one], runs[other])]
        except (IdiFastError, KeyError) as error:
            return parts.note(str(error), is_warning=True)


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
    cells = [
        html.Td(shown_figure(key, run.figures[key]) if key in FIGURES else run.value(key), className=_class(key))
        for key in keys[1:]
    ]
    return html.Tr([html.Th(name, scope="row"), *cells, html.Td(found.told(run), className="text")])


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
        Table("Figures", heads, [("Kind", one.kind, other.kind), ("Seed", one.seed, other.seed), *figures]),
        Table("Settings that differ", heads, differing or [("None", "", "")]),
    ]


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json_text(value).strip()
    text = " ".join(text.split())
    return text if len(text) <= MOST_LENGTH else f"{text[: MOST_LENGTH - 1]}…"

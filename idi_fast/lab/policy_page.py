"""The page *Policy*: the table as a map, state by state, beside another policy."""

from functools import lru_cache
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from idi_fast.agents.maps import choose_axes
from idi_fast.agents.policy import Policy
from idi_fast.errors import ArtifactError, IdiFastError, InputError
from idi_fast.lab import parts
from idi_fast.lab.policy_map import PolicyMap, agreement, have_same_edges, moved, read_last_seen, state_table
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting.formats import count, percent, words
from idi_fast.reporting.run import ReportedRun
from idi_fast.storage.tables import Table as Rows

MOST_STATES = 2**22
"""Of a policy that is shown."""
MAPS = (("map-one", "Greedy action"), ("map-other", "Greedy action of the other policy"))
OTHER_EDGES = "Their features or bucket edges differ: a state with the same number is not the same market."
WITH_POLICY = ("train", "combined")


def layout() -> html.Section:
    """The page."""
    controls = [
        parts.field("Policy of the run", parts.choice("policy-one", [], None, placeholder="None")),
        parts.field("Compared with", parts.choice("policy-other", [], None, clearable=True, placeholder="None")),
        parts.field("Across", parts.choice("map-x", [], None)),
        parts.field("Upwards", parts.choice("map-y", [], None)),
        html.Div(id="digits"),
    ]
    return html.Section(
        [
            html.H2("Policy"),
            html.Div(
                [
                    html.Div(controls, className="controls"),
                    html.Div(
                        [html.Div(id="policy-problem", role="status"), parts.figure_place(*MAPS[0], 360)],
                        className="first",
                    ),
                    html.Div(
                        [
                            parts.figure_place(*MAPS[1], 360),
                            html.Div(id="state-tables", **parts.aria(live="polite")),
                        ],
                        className="shown",
                    ),
                ],
                className="columns",
            ),
            dcc.Store(id="policy-figures"),
        ],
        id="page-policy",
    )


class Policies:
    """The policies of a folder's runs; the last ones are kept in memory."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._load = lru_cache(maxsize=4)(self._read)

    def of(self, name: str) -> PolicyMap:
        """The policy of a run. Raises InputError, ArtifactError."""
        folder = self._workspace.run(name)
        return self._load(name, (folder / "policy.parquet").stat().st_mtime_ns)

    def _read(self, name: str, changed: int) -> PolicyMap:
        folder = self._workspace.run(name)
        policy = Policy.load(folder)
        if policy.space.n_states > MOST_STATES:
            raise InputError(f"{name} has {count(policy.space.n_states)} states, too many to be shown one by one")
        run = ReportedRun.open(folder)
        return PolicyMap(
            policy, read_last_seen(Rows.open(folder / "trace.parquet")) if run.has("trace.parquet") else {}
        )


def register(app: Dash, workspace: Workspace) -> None:
    """The page's callbacks."""
    policies = Policies(workspace)

    @app.callback(
        Output("map-x", "options"),
        Output("map-x", "value"),
        Output("map-y", "options"),
        Output("map-y", "value"),
        Output("digits", "children"),
        Output("policy-problem", "children"),
        Input("policy-one", "value"),
        prevent_initial_call=True,
    )
    def choose(name):
        if not name:
            return [], None, [], None, None, None
        try:
            shown = policies.of(name)
        except (IdiFastError, OSError) as error:
            return [], None, [], None, None, parts.note(str(error), is_warning=True)
        options = [{"label": words(digit), "value": digit} for digit in shown.space.names]
        x, y = choose_axes(shown.space)
        start = shown.most_visited()
        fields = [_digit(shown, digit, start[digit]) for digit in shown.space.names]
        return options, x, options, y, [html.H3("State"), *fields], None

    @app.callback(
        Output("policy-figures", "data"),
        Output("state-tables", "children"),
        Input("map-x", "value"),
        Input("map-y", "value"),
        Input({"digit": ALL}, "value"),
        Input("policy-other", "value"),
        State({"digit": ALL}, "id"),
        State("policy-one", "value"),
        prevent_initial_call=True,
    )
    def draw(x, y, values, other, ids, name):
        if not (name and x and y and ids) or None in values:
            return {}, None
        digits = {own["digit"]: int(value) for own, value in zip(ids, values, strict=True)}
        try:
            if x == y:
                raise InputError("across and upwards are the same digit; choose another one for either")
            return draw_policies(policies, name, other, x, y, digits)
        except (IdiFastError, OSError) as error:
            return {}, parts.note(str(error), is_warning=True)

    @app.callback(
        Output({"digit": ALL}, "value"),
        Input("map-one", "clickData"),
        Input("map-other", "clickData"),
        State("map-x", "value"),
        State("map-y", "value"),
        State({"digit": ALL}, "id"),
        prevent_initial_call=True,
    )
    def click(one, other, x, y, ids):
        clicked = one if ctx.triggered_id == "map-one" else other
        if not clicked:
            return [no_update] * len(ids)
        point = clicked["points"][0]
        chosen = {x: str(int(point["x"])), y: str(int(point["y"]))}
        return [chosen.get(own["digit"], no_update) for own in ids]

    @app.callback(
        Output("policy-one", "options"),
        Output("policy-other", "options"),
        Output("policy-one", "value"),
        Input("folder", "data"),
        State("policy-one", "options"),
        State("policy-one", "value"),
        State("changed", "data"),
    )
    def offer(folder, before, chosen, changed):
        names = [run["name"] for run in folder["runs"] if run["kind"] in WITH_POLICY]
        is_new = changed["name"] in names and changed["name"] not in (before or ())
        wanted = changed["name"] if is_new else chosen if chosen in names else next(iter(names), None)
        return names, names, no_update if wanted == chosen else wanted


def draw_policies(policies: Policies, name: str, other: str | None, x: str, y: str, digits: dict[str, int]):
    """The maps as the store holds them, and the tables of the chosen state. Raises IdiFastError."""
    shown = policies.of(name)
    unknown = [digit for digit, value in digits.items() if not 0 <= value < shown.space.size(digit)]
    if unknown or set(digits) != set(shown.space.names) or not {x, y} <= set(digits):
        raise ArtifactError(f"{name} has other states; choose the policy anew")
    figures = {"map-one": parts.stored(shown.figure("map-one", f"Greedy action of {name}", x, y, digits))}
    tables: list[Any] = [parts.table(state_table(name, shown.state(digits), moved(shown.policy, digits)))]
    if other and other != name:
        beside = policies.of(other)
        found = agreement(shown, beside)
        if found is None:
            return figures, [*tables, parts.note(f"{other} has other states than {name}; they cannot be compared")]
        figures["map-other"] = parts.stored(beside.figure("map-other", f"Greedy action of {other}", x, y, digits))
        tables.append(parts.table(state_table(other, beside.state(digits), moved(beside.policy, digits))))
        states, same = found
        tables.append(parts.note(f"Of {count(states)} states that both visited they do the same in {percent(same)}."))
        if not have_same_edges(shown, beside):
            tables.append(parts.note(OTHER_EDGES, is_warning=True))
    return figures, tables


def _digit(shown: PolicyMap, name: str, value: int) -> html.Div:
    options = [{"label": label, "value": str(k)} for k, label in enumerate(shown.labels(name))]
    chosen = dcc.Dropdown(
        id={"digit": name}, options=options, value=str(value), clearable=False, searchable=len(options) > 12
    )
    return html.Div([html.Span(words(name), className="label"), chosen], className="field")

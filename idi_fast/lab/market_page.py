"""The page *Market*: a simulated market by its knobs, beside a real history."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from idi_fast.config.environment_settings import MarketConfig, StressScenario
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import IdiFastError
from idi_fast.lab import parts
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting.formats import plural
from idi_fast.reporting.markets import MarketPath, moments_table, price_figure, return_figures
from idi_fast.reporting.simulations import LEAST_BARS, simulated_paths
from idi_fast.storage.json_files import json_text

MANY = 20
"""Paths that are drawn at once, if not one."""


class Knob(NamedTuple):
    """A number of the page: its name, label, lowest and highest value, step and beginning."""

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float


def _market(name: str, label: str, low: float, high: float, step: float) -> Knob:
    return Knob(name, label, low, high, step, getattr(MarketConfig(), name))


KNOBS = (
    _market("drift_bull", "Drift, bull", -0.02, 0.02, 0.0005),
    _market("drift_bear", "Drift, bear", -0.02, 0.02, 0.0005),
    _market("drift_chop", "Drift, chop", -0.02, 0.02, 0.0005),
    _market("vol_base", "Volatility", 0.0, 0.1, 0.001),
    _market("vol_panic", "Volatility, panic", 0.0, 0.2, 0.001),
    _market("shock_prob", "Shock probability", 0.0, 1.0, 0.01),
    _market("shock_scale", "Shock scale", 0.0, 0.3, 0.005),
    _market("fee_bps", "Fee, basis points", 0.0, 100.0, 0.5),
)
SEED = Knob("seed", "Seed", 0, 1000, 1, 0)
BARS = Knob("bars", "Bars", 100, 50_000, 100, 5_000)
ALL = (*KNOBS, SEED, BARS)
PRICE = ("prices", "Price", 380)
FIGURES = (("returns", "Returns", 280), ("tails", "Tails", 280))
LATER = (("volatility", "Volatility", 260), ("autocorrelation", "Autocorrelation", 260))


def market_settings(values: Mapping[str, float], stress: str) -> dict[str, Any]:
    """The settings of `environment.market` that differ from the defaults. values: by the names of KNOBS."""
    plain, told = MarketConfig(), {knob.name: values[knob.name] for knob in KNOBS} | {"stress_scenario": stress}
    return {name: value for name, value in told.items() if value != getattr(plain, name)}


def market_config(market: Mapping[str, Any]) -> TrainingConfig:
    """The config of the simulated market with these settings."""
    return TrainingConfig.from_dict({"environment": {"kind": "crypto", "market": dict(market)}})


def open_history(workspace: Workspace) -> Callable[[str, int], MarketPath]:
    """A function of a file's name and a number of bars: its last bars. The last files are kept in memory."""

    @lru_cache(maxsize=2)
    def closes(name: str, changed: int, size: int):
        return workspace.history(name).close

    def opened(name: str, bars: int) -> MarketPath:
        about = workspace.inside(name).stat()
        close = closes(name, about.st_mtime_ns, about.st_size)[-bars:]
        return MarketPath(f"{name}, last {plural(close.size, 'bar')}", close)

    return opened


def layout(workspace: Workspace) -> html.Section:
    """The page."""
    stress = [{"label": name.replace("_", " ").capitalize(), "value": name} for name in get_args(StressScenario)]
    count = [{"label": "One path", "value": "1"}, {"label": f"{MANY} paths", "value": str(MANY)}]
    controls = [
        *(parts.slider(*knob) for knob in KNOBS),
        parts.field("Stress scenario", parts.choice("stress", stress, "normal")),
        parts.slider(*SEED),
        parts.slider(*BARS),
        html.Div(
            [html.Span("Paths", className="label"), dcc.RadioItems(id="paths", options=count, value="1", inline=True)],
            className="field",
        ),
        parts.field(
            "Beside a history",
            parts.choice("history", workspace.histories(), None, clearable=True, placeholder="None"),
            hint="Of the files in the folder.",
        ),
        html.Div(
            [html.A("Train here", href="#train", id="train-here", className="button"), _reset()], className="buttons"
        ),
    ]
    return html.Section(
        [
            html.H2("Market"),
            html.Div(
                [
                    html.Div(controls, className="controls"),
                    html.Div(
                        [html.Div(id="market-problem", role="status"), parts.figure_place(*PRICE, has_log=True)],
                        className="first",
                    ),
                    html.Div(
                        [
                            *(parts.figure_place(*place) for place in FIGURES),
                            html.Div(id="moments"),
                            *(parts.figure_place(*place) for place in LATER),
                            html.H3("As a config"),
                            html.Div(
                                [html.Pre(id="market-json", tabIndex=0), dcc.Clipboard(target_id="market-json")],
                                className="code",
                            ),
                        ],
                        className="shown beside-each-other",
                    ),
                ],
                className="columns",
            ),
            dcc.Store(id="price-figure"),
            dcc.Store(id="market-figures"),
            dcc.Store(id="market-settings"),
        ],
        id="page-market",
    )


def _reset() -> html.Button:
    return html.Button("Reset", id="reset", type="button", className="quiet")


def register(app: Dash, workspace: Workspace) -> None:
    """The page's callbacks."""
    opened = open_history(workspace)
    sources = [Input(knob.name, "value") for knob in ALL]

    knobs = (*sources, Input("stress", "value"), Input("paths", "value"), Input("history", "value"))

    def made(given):
        *numbers, stress, paths, history = given
        # A browser's slider tells text.
        told = zip(ALL, numbers, strict=True)
        values = {knob.name: knob.value if number in (None, "") else float(number) for knob, number in told}
        settings, bars = market_settings(values, stress), max(LEAST_BARS, int(values["bars"]))
        drawn = simulated_paths(market_config(settings), bars, int(values["seed"]), int(paths))
        return settings, drawn, None if history is None else opened(history, bars)

    # One after the other: the price is what is looked at while a slider moves, and is drawn before the rest is there.
    @app.callback(Output("price-figure", "data"), Output("market-problem", "children"), *knobs)
    def draw_price(*given):
        try:
            _, paths, history = made(given)
        except IdiFastError as error:
            return {}, parts.note(str(error), is_warning=True)
        return {"prices": parts.stored(price_figure(paths, history))}, None

    @app.callback(
        Output("market-figures", "data"),
        Output("moments", "children"),
        Output("market-settings", "data"),
        Output("market-json", "children"),
        Input("price-figure", "data"),
        *(State(knob.component_id, knob.component_property) for knob in knobs),
    )
    def draw(_price, *given):
        try:
            settings, paths, history = made(given)
        except IdiFastError:  # which draw_price tells
            return {}, None, no_update, no_update
        figures = {figure.name: parts.stored(figure) for figure in return_figures(paths, history)}
        tree = {"environment": {"kind": "crypto", "market": settings}}
        return figures, parts.table(moments_table(paths, history)), settings, json_text(tree)

    app.clientside_callback(
        ClientsideFunction("lab", "reset"),
        *(Output(knob.name, "value") for knob in ALL),
        *(Output(f"{knob.name}-number", "value") for knob in ALL),
        Input("reset", "n_clicks"),
        State("defaults", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(ClientsideFunction("lab", "files"), Output("history", "options"), Input("files", "data"))

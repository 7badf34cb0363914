"""The page *Train*: a run in the background, with its learning curve and its evaluation beside the baselines."""

from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import quote

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from idi_fast.complete.first_config import SPLIT, first_config
from idi_fast.config.settings import Algorithm, TrainingConfig
from idi_fast.errors import IdiFastError, InputError
from idi_fast.evaluation.baselines import plain_verdict, remedy
from idi_fast.lab import parts
from idi_fast.lab.trainings import Progress, Trainings
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting import theme
from idi_fast.reporting.formats import count, method, number, percent, plural
from idi_fast.reporting.learning import training_page
from idi_fast.reporting.parts import Figure
from idi_fast.reporting.run import ReportedRun

SIMULATED = "simulated"
PLANNED = "value_iteration"
POLL_MS = 400
MOST_BUCKETS = 64
STATES = {
    "running": "Training",
    "stopping": "Stopping",
    "done": "Done",
    "stopped": "Stopped",
    "failed": "Failed",
}


def layout(workspace: Workspace) -> html.Section:
    """The page."""
    named = {PLANNED: "Planned at once (value iteration)"}
    algorithms = [{"label": named.get(name, method(name)), "value": name} for name in get_args(Algorithm)]
    algorithms.sort(key=lambda option: option["value"] not in named)
    controls = [
        parts.field(
            "Name of the run", dcc.Input(id="train-name", type="text", value="", maxLength=64, autoComplete="off")
        ),
        parts.field(
            "Train on",
            parts.choice("train-source", sources(workspace.histories()), SIMULATED),
            hint=f"A history is trained on its first {SPLIT}, and evaluated on the rest.",
        ),
        parts.field("Method", parts.choice("train-algorithm", algorithms, PLANNED)),
        html.Div(_integer("train-episodes", "Episodes", 1, 10_000_000, 2_000), id="train-episodes-field"),
        _integer("train-price", "Buckets of the price's distance from its mean", 1, MOST_BUCKETS, 6),
        _integer("train-trend", "Buckets of the price's recent return", 1, MOST_BUCKETS, 6),
        _integer("train-seed", "Seed of the training", 0, 2**31 - 1, 0),
        html.Div(
            [
                html.Button("Train", id="train-start", type="button", className="button"),
                html.Button("Stop", id="train-stop", type="button", className="quiet", disabled=True),
                html.Button("Continue", id="train-resume", type="button", className="quiet", disabled=True),
            ],
            className="buttons",
        ),
    ]
    return html.Section(
        [
            html.H2("Train"),
            html.Div(
                [
                    html.Div(controls, className="controls"),
                    html.Div(
                        [
                            html.Div(id="train-problem", role="alert"),
                            html.Div(id="train-state", **parts.aria(live="polite")),
                            parts.figure_place("live", "Learning curve", 300),
                            html.Div(id="train-result"),
                            parts.figure_place("evaluation-figure", "Policy and baselines", 260),
                        ],
                        className="shown",
                    ),
                ],
                className="columns",
            ),
            dcc.Store(id="train-figures"),
            dcc.Interval(id="train-tick", interval=POLL_MS, disabled=True),
        ],
        id="page-train",
    )


def sources(histories: list[str]) -> list[dict[str, str]]:
    """What can be trained on."""
    return [
        {"label": "The simulated market", "value": SIMULATED},
        *({"label": name, "value": name} for name in histories),
    ]


def _integer(name: str, label: str, low: int, high: int, value: int) -> html.Div:
    return parts.field(label, dcc.Input(id=name, type="number", min=low, max=high, step=1, value=value))


def training_config(
    source: str, market: Mapping[str, Any], algorithm: str, episodes: int, price: int, trend: int
) -> TrainingConfig:
    """The config of a run of the page: the agent of `idi-fast run`, by another method and on other bars.

    market: of the first page; of a history only the fee counts. Raises ConfigError.
    """
    tree = first_config().to_dict()
    del tree["episodes"]
    tree["learning"] = {"algorithm": algorithm}
    if algorithm != PLANNED:  # a plan has none, and a config says so
        tree["episodes"] = episodes
    tree["quantizer"] |= {"price_buckets": price, "trend_buckets": trend}
    if source == SIMULATED:
        tree["environment"] = {"kind": "crypto", "market": dict(market)}
    else:
        fee = {name: value for name, value in market.items() if name == "fee_bps"}
        tree["environment"] = {"kind": "history", "market": fee, "data": {"path": source, "split": SPLIT}}
    return TrainingConfig.from_dict(tree)


def register(app: Dash, workspace: Workspace, trainings: Trainings) -> None:
    """The page's callbacks."""

    @app.callback(
        Output("train-problem", "children"),
        Output("train-tick", "disabled", allow_duplicate=True),
        Input("train-start", "n_clicks"),
        Input("train-stop", "n_clicks"),
        Input("train-resume", "n_clicks"),
        State("train-name", "value"),
        State("train-source", "value"),
        State("train-algorithm", "value"),
        State("train-episodes", "value"),
        State("train-price", "value"),
        State("train-trend", "value"),
        State("train-seed", "value"),
        State("market-settings", "data"),
        prevent_initial_call=True,
    )
    def act(_start, _stop, _resume, name, source, algorithm, episodes, price, trend, seed, market):
        try:
            if ctx.triggered_id == "train-stop":
                trainings.stop()
            elif ctx.triggered_id == "train-resume":
                trainings.resume()
            else:
                numbers = {"episodes": episodes, "price buckets": price, "trend buckets": trend, "seed": seed}
                missing = [told for told, value in numbers.items() if value is None]
                if missing:
                    raise InputError(f"{missing[0]}: expected a whole number in the field's range")
                if source != SIMULATED:
                    workspace.inside(source)
                config = training_config(source, market or {}, algorithm, episodes, price, trend)
                trainings.start(name or "", config, seed)
        except IdiFastError as error:
            return parts.note(str(error), is_warning=True), no_update
        return None, False

    @app.callback(
        Output("train-state", "children"),
        Output("train-figures", "data"),
        Output("train-result", "children"),
        Output("train-start", "disabled"),
        Output("train-stop", "disabled"),
        Output("train-resume", "disabled"),
        Output("train-tick", "disabled"),
        Output("train-name", "value"),
        Output("changed", "data"),
        Input("train-tick", "n_intervals"),
        State("train-name", "value"),
        State("changed", "data"),
    )
    def watch(_ticks, name, changed):
        progress = trainings.progress()
        if progress is None:
            return None, {}, None, False, True, True, True, name or workspace.free_name(), no_update
        is_on = progress.state in ("running", "stopping")
        figures, result, new_changed = live_figures(progress), None, no_update
        if progress.state == "done":
            result, more = result_of(workspace, progress.name)
            figures |= more
            name, new_changed = workspace.free_name(), {"times": changed["times"] + 1, "name": progress.name}
        stop = progress.state != "running"
        return state_of(progress), figures, result, is_on, stop, not progress.can_resume, not is_on, name, new_changed

    app.clientside_callback(
        ClientsideFunction("lab", "without_episodes"),
        Output("train-episodes-field", "hidden"),
        Input("train-algorithm", "value"),
    )
    own = ClientsideFunction("lab", "sources")
    app.clientside_callback(own, Output("train-source", "options"), Input("files", "data"))


def state_of(progress: Progress) -> html.Div:
    """How far a training is, in a line, and what it had to say."""
    done = progress.episodes[-1] if progress.episodes else 0
    told = [f"{STATES[progress.state]}: {progress.name}"]
    if progress.total_episodes and (done or progress.state in ("running", "stopping")):
        share = f", {percent(done / progress.total_episodes, 0)}" if done else ""
        told.append(f"{count(done)} of {plural(progress.total_episodes, 'episode')}{share}")
    if progress.speed and progress.state == "running":
        told.append(f"{progress.speed / 1e6:,.1f} million steps a second")
    lines: list[Any] = [parts.note(" · ".join(told), is_warning=progress.state == "failed")]
    if progress.can_resume:
        lines.append(parts.note("Continue goes on from its last checkpoint; so does idi-fast train --resume."))
    elif progress.said:
        lines.append(html.Pre(progress.said, className="said", tabIndex=0))
    if progress.total_episodes:
        bar = html.Progress(value=str(done), max=str(progress.total_episodes), **parts.aria(label="Episodes trained"))
        lines.insert(1, bar)
    return html.Div(lines)


def live_figures(progress: Progress) -> dict[str, dict]:
    """The learning curve so far, once there is something to draw."""
    if len(progress.episodes) < 2:
        return {}
    reward, episodes = progress.rewards, progress.episodes
    figure = Figure(
        name="live",
        title="Learning curve",
        caption="Mean reward of the episodes since the point before, with exploration, a point a second.",
        alt=f"A line over {plural(episodes[-1], 'episode')}: it ends at {number(reward[-1])}.",
        data=[theme.line("Mean reward", episodes, reward, theme.BLUE)],
        layout=theme.layout(300, xaxis=theme.titled("Episode"), yaxis=theme.axis(), margin=theme.NO_LEGEND),
    )
    return {figure.name: parts.stored(figure)}


def result_of(workspace: Workspace, name: str) -> tuple[html.Div, dict[str, dict]]:
    """What came of a run: its verdict and links, and the figures of its report."""
    try:
        run = ReportedRun.open(workspace.run(name))
        page = training_page(run)
    except IdiFastError as error:
        return html.Div(parts.note(str(error), is_warning=True)), {}
    evaluation = run.about["evaluation"]
    to_do = remedy(evaluation, TrainingConfig.from_dict(run.about["config"]))
    links = [html.A("Open the report", href=report_link(name), target="_blank", rel="noopener", className="button")]
    links.append(html.A("See the policy", href="#policy", className="button quiet"))
    shown = html.Div(
        [
            parts.note(f"{plain_verdict(evaluation, 'It is ')}."),
            *([] if to_do is None else [parts.note(f"What to do: {to_do}.")]),
            html.Div(links, className="buttons"),
        ]
    )
    figures = {figure.name: figure for figure in page.figures}
    found = {"evaluation-figure": parts.stored(figures["evaluation-figure"])}
    if "learning-curve" in figures:
        found["live"] = parts.stored(figures["learning-curve"])
    return shown, found


def report_link(name: str) -> str:
    """The address of a run's report."""
    return f"/report?run={quote(name, safe='')}"

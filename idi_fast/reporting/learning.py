"""The page of a training run: results, progress, and the content of the tables."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.agents.certainty import of_chance
from idi_fast.agents.policy import Policy
from idi_fast.evaluation.baselines import plain_verdict
from idi_fast.kernels.crypto import REGIMES
from idi_fast.reporting import theme
from idi_fast.reporting.certainty import sure_tables
from idi_fast.reporting.course import blocks, bucket_means, bucket_moments, last_rows
from idi_fast.reporting.decisions import decision_figures
from idi_fast.reporting.edges import edge_table
from idi_fast.reporting.formats import count, method, number, percent, plural, sentence, setting, with_error, words
from idi_fast.reporting.parts import Figure, KeyFigures, Note, Page, Section, Table
from idi_fast.reporting.run import ReportedRun, describe_training, made_by
from idi_fast.reporting.values import value_figures
from idi_fast.storage import tables

MOST_BINS = 200
LEAST_IN_BIN = 5
"""Fewest episodes of a bin, if there are that many: a standard error of fewer means little."""


def training_page(run: ReportedRun) -> Page:
    """The page of an artifact that `idi-fast train` wrote."""
    return Page(
        kind="Training run",
        title=run.name,
        lead=" · ".join([environment(run.about), *describe_training(run.about)]),
        opening=[*_notes(run.about), KeyFigures(_headline(run.about), is_large=True)],
        sections=training_sections(run),
        footer=f"Config {run.about['fingerprint'][:12]}, seed {run.about['seed']}. {made_by(run)}",
    )


def training_sections(run: ReportedRun) -> list[Section]:
    """The sections about an artifact."""
    policy = Policy.load(run.folder)
    edges = [] if (table := edge_table(policy)) is None else [table]
    is_market = policy.config.environment.kind != "synthetic" and policy.config.engine.compat is None
    evaluation = run.about["evaluation"]
    facts = [*_settings(run.about["config"]), *_summary(run.about["summary"])]
    return [
        Section("evaluation", "Evaluation", [evaluation_figure(evaluation), _baseline_table(evaluation)]),
        Section("learning", "Learning", [KeyFigures(facts), *learning_figures(run)]),
        Section("policy", "Policy", [visit_figure(policy), *value_figures(policy), *sure_tables(policy), *edges]),
        Section("decisions", "Decisions", list(decision_figures(run, REGIMES if is_market else ()))),
    ]


def environment(about: dict) -> str:
    """What a run was trained on, by its run.json."""
    kinds = {"synthetic": "Synthetic environment", "crypto": "Simulated crypto market", "history": "Price history"}
    kind = about["config"]["environment"]["kind"]
    return kinds.get(kind, f"Market {kind}")


def _notes(about: dict) -> Iterator[Note]:
    yield Note(sentence(plain_verdict(about["evaluation"], "the policy is ")))
    if about["evaluation"]["in_sample"]:
        chance = of_chance(about["evaluation"].get("optimism"))
        text = "Evaluated in sample, on windows of the bars it was trained on: this says nothing about new ones"
        text += f"{chance}."
        yield Note(text, is_warning=True)


def _headline(about: dict) -> list[tuple[str, str]]:
    evaluation, summary = about["evaluation"], about["summary"]
    best = evaluation["baselines"][evaluation["best_baseline"]]["difference"]
    return [
        ("Evaluation, mean episode reward", with_error(evaluation["mean"], evaluation["standard_error"])),
        (
            f"Above the best baseline, {evaluation['best_baseline']}",
            with_error(best["mean"], best["standard_error"]),
        ),
        *_episodes(summary),
        *_visited(summary),
    ]


def _episodes(summary: dict) -> list[tuple[str, str]]:
    """None of a plan."""
    if not summary["episodes"]:
        return []
    last = number(summary["last_tenth_mean_reward"])
    return [("Last tenth of training", last), ("Episodes", count(summary["episodes"]))]


def _visited(summary: dict) -> list[tuple[str, str]]:
    if summary["visited_states"] is None:
        return [("Table rows visited", f"{percent(summary['visited_rows'] / summary['table_rows'], 0)}")]
    return [("States visited", f"{percent(summary['visited_states'] / summary['states'], 0)}")]


def _settings(config: dict) -> list[tuple[str, str]]:
    learning, quantizer = config["learning"], config["quantizer"]
    rate = f"{setting(config['learning_rate'])}, {learning['rate_schedule']}"
    sizes = {name.removesuffix("_buckets"): n for name, n in quantizer.items()}
    if isinstance(config["features"], list):
        sizes = {**{feature["name"]: feature["buckets"] for feature in config["features"]}, "mood": sizes["mood"]}
    buckets = ", ".join(f"{name} {n}" for name, n in sizes.items())
    coder = config["tile_coder"]
    tiles = [] if coder is None else [("Tile coder", f"{coder['num_tilings']} tilings, {coder['tiling']}")]
    compat = config["engine"]["compat"]
    market, held = config["environment"]["market"], []
    if market.get("borrow_bps"):
        held.append(("Borrowing", f"{setting(market['borrow_bps'])} bps a year"))
    if market.get("cash_rate"):
        held.append(("Interest on cash", f"{percent(market['cash_rate'], 2)} a year"))
    if config["environment"]["data"].get("funding"):
        held.append(("Funding", f"Column {config['environment']['data']['funding']}"))
    return [
        ("Method", method(learning["algorithm"])),
        ("Learning rate", rate),
        ("Discount", setting(config["discount"])),
        ("Exploration", words(learning["exploration_schedule"])),
        ("Episode length", count(config["episode_length"])),
        ("Fee per side", f"{setting(config['environment']['market']['fee_bps'])} bps"),
        *held,
        ("Buckets", buckets),
        *tiles,
        *([] if compat is None else [("Reproduces", compat)]),
    ]


def _summary(summary: dict) -> list[tuple[str, str]]:
    known = {name: value for name, value in summary.items() if isinstance(value, int | float)}
    return [(words(name), count(value) if isinstance(value, int) else number(value)) for name, value in known.items()]


def evaluation_figure(evaluation: dict) -> Figure:
    """The policy's mean episode reward beside those of the baselines; evaluation: as in a run.json."""
    baselines = evaluation["baselines"]
    entries = [("Policy", evaluation), *((words(name), found) for name, found in baselines.items())]
    is_of_history = evaluation["seed"] is None
    on = "windows of the history" if is_of_history else "fresh episodes, the same for all"
    on = f"{count(evaluation['episodes'])} {on}"
    reach = [None if found["interval"] is None else found["interval"][1] - found["mean"] for _, found in entries]
    return Figure(
        name="evaluation-figure",
        title="Policy and baselines",
        caption=f"Mean episode reward without exploration over {on}, with its 95% interval.",
        alt="Dots with intervals. " + ", ".join(f"{name}: {number(found['mean'])}" for name, found in entries),
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "y": [name for name, _ in entries],
                "x": [found["mean"] for _, found in entries],
                "error_x": {"type": "data", "array": reach, "color": theme.MUTED, "thickness": 1.5, "width": 5},
                "marker": {"size": 11, "color": [theme.BLUE] + [theme.GREY] * len(baselines)},
                "hovertemplate": "%{y}: %{x:.5~r}<extra></extra>",
                "showlegend": False,
            }
        ],
        layout=theme.layout(
            60 + 34 * len(entries),
            hovermode="closest",
            xaxis=theme.fixed(),
            yaxis=theme.fixed(autorange="reversed", type="category"),
            margin=theme.NO_LEGEND,
        ),
    )


def _baseline_table(evaluation: dict) -> Table:
    rows = [
        (
            words(name),
            number(found["mean"]),
            number(found["difference"]["mean"]),
            number(found["difference"]["standard_error"], 2),
            "Yes" if found["is_beaten"] else "No",
        )
        for name, found in evaluation["baselines"].items()
    ]
    return Table(
        title="By how much the policy exceeds the baselines",
        caption="Episode for episode; beaten: by more than two standard errors.",
        heads=("", "Mean reward", "Exceeded by", "Std error", "Beaten"),
        rows=rows,
    )


def learning_figures(run: ReportedRun) -> Iterator[Figure]:
    """The rewards of a training's episodes and its exploration; none of a training without episodes."""
    table = run.table("episodes.parquet", ("episode", "reward", "exploration"), may_be_empty=True)
    episodes = table.rows
    if episodes == 0:
        return
    size = bin_size(episodes)
    moments, exploration, ends = read_bins(table, episodes, size)
    yield _curve(moments, ends, episodes, size)
    if np.isfinite(exploration).any():
        yield _exploration(exploration, ends, size)


def bin_size(episodes: int) -> int:
    """Episodes per bin: at most MOST_BINS bins, of at least LEAST_IN_BIN episodes if there are ten such bins."""
    least = LEAST_IN_BIN if episodes >= 10 * LEAST_IN_BIN else 1
    return max(least, -(-episodes // MOST_BINS))


def read_bins(source: Path | tables.Table, episodes: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each bin of `size` episodes the moments of the rewards, float64 (3, bins) from `bucket_moments`, the mean
    exploration rate, NaN if it differs from state to state, and the number of its last episode, counted from 1."""
    moments, exploration = [], []
    for frame in blocks(tables.Table.open(source), ("reward", "exploration"), size):
        moments.append(bucket_moments(frame["reward"].to_numpy(), size))
        exploration.append(bucket_means(frame["exploration"].cast(pl.Float64).fill_null(np.nan).to_numpy(), size))
    return np.concatenate(moments, axis=1), np.concatenate(exploration), last_rows(episodes, size) + 1


def _curve(moments: np.ndarray, ends: np.ndarray, episodes: int, size: int) -> Figure:
    n, mean, squares = moments
    error = np.sqrt(squares / np.maximum(n - 1.0, 1.0) / n)
    is_banded, low, high = size > 1, mean - 2.0 * error, mean + 2.0 * error
    band = [
        theme.line("", ends, high, theme.CLEAR, line={"width": 0}, hoverinfo="skip", showlegend=False),
        theme.line(
            "± 2 standard errors",
            ends,
            low,
            theme.CLEAR,
            line={"width": 0},
            hoverinfo="skip",
            fill="tonexty",
            fillcolor=theme.role("blue-soft"),
        ),
    ]
    told = f"Mean reward of every {plural(size, 'episode')}, with exploration, and a band of two standard errors of it."
    return Figure(
        name="learning-curve",
        title="Learning curve",
        caption=told if is_banded else "The reward of each episode, with exploration.",
        alt=f"A line over {plural(episodes, 'episode')}: the reward begins at {number(mean[0])} and ends at "
        f"{number(mean[-1])}.",
        data=[*(band if is_banded else []), theme.line("Mean reward", ends, mean, theme.BLUE)],
        layout=theme.layout(340, meta={"zoom": "episodes"}, xaxis=theme.titled("Episode"), yaxis=theme.axis()),
    )


def _exploration(exploration: np.ndarray, ends: np.ndarray, size: int) -> Figure:
    mean = "Mean exploration rate" if size > 1 else "Exploration rate"
    return Figure(
        name="exploration",
        title="Exploration",
        caption=f"{mean}: the probability of an action drawn at random in place of the greedy one.",
        alt=f"A line: the exploration rate begins at {percent(exploration[0])} and ends at {percent(exploration[-1])}.",
        data=[theme.line(mean, ends, exploration, theme.ORANGE)],
        layout=theme.layout(
            220,
            meta={"zoom": "episodes"},
            xaxis=theme.titled("Episode"),
            yaxis=theme.axis(tickformat=".0%", rangemode="tozero", hoverformat=".1%"),
            margin=theme.NO_LEGEND,
        ),
    )


def visit_figure(policy: Policy) -> Figure:
    """How often training came to the states of a policy."""
    thing = "state" if policy.layout.tiling is None else "row of the table"
    things = "states" if policy.layout.tiling is None else "rows of the table"
    visits, most = policy.visits, int(policy.visits.max(initial=0))
    labels = ["0", "1", *(f"{count(2**k)}+" for k in range(1, most.bit_length()))]
    # The binary exponent is 0 for 0, and k for 2^(k−1) to 2^k − 1.
    found = np.bincount(np.frexp(visits)[1], minlength=len(labels))
    never = found[0] / visits.size
    return Figure(
        name="visits",
        title="Visits",
        caption=f"How many of the {count(visits.size)} {things} training came to so often; {percent(never)} of them "
        "never. A bar reaches up to where the next one begins.",
        alt=f"Bars by number of visits: {percent(never)} of the {things} were never visited, the most visited {thing} "
        f"{plural(most, 'time')}.",
        data=[
            {
                "type": "bar",
                "x": labels,
                "y": found.tolist(),
                "marker": {"color": [theme.role("grey-soft")] + [theme.BLUE] * (len(labels) - 1)},
                "hovertemplate": "%{x} visits: %{y:,}<extra></extra>",
            }
        ],
        layout=theme.layout(
            280,
            hovermode="closest",
            bargap=0.25,
            margin=theme.NO_LEGEND,
            xaxis={**theme.titled(f"Visits of a {thing}"), "type": "category", "fixedrange": True, "showgrid": False},
            yaxis=theme.fixed(tickformat=",~r"),
        ),
    )

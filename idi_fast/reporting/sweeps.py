"""The page of a sweep: its grid, what was chosen and how far that is luck, and what it came to on test data."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from idi_fast.reporting import theme
from idi_fast.reporting.formats import count, is_undefined, number, percent, plural, sentence, words
from idi_fast.reporting.merits import FILLS, label, shown_value
from idi_fast.reporting.months import PLAIN
from idi_fast.reporting.parts import Figure, KeyFigures, Note, Page, Section, Table
from idi_fast.reporting.run import ReportedRun, describe_data, made_by

COLUMNS = ("point", "score", "min_seed", "max_seed")
MOST_ROWS = 50
MOST_CELLS = 12
"""Most columns of a heat map with the scores written into it."""
MOST_TEXT = 24


def sweep_page(run: ReportedRun) -> Page:
    """The page of a folder that `idi-fast sweep` wrote."""
    summary, points = run.json("sweep.json"), run.table("points.parquet", COLUMNS).frame()
    assumptions, validation = summary["assumptions"], summary["validation"]
    data = run.about.get("data")
    lead = ["Simulated crypto market"] if data is None else describe_data(data)
    chosen = ", ".join(f"{key} {value}" for key, value in summary["chosen"]["values"].items())
    return Page(
        kind="Sweep",
        title=run.name,
        lead=" · ".join(lead),
        opening=[
            Note(" ".join(sentence(text) for text in summary["verdict"].split("; "))),
            *(Note(sentence(text), is_warning=True) for text in summary.get("notes", ())),
            KeyFigures(_headline(summary), is_large=True),
        ],
        sections=[
            Section(
                "choice",
                "Choice on validation data",
                [
                    Note(f"Chosen: {chosen}. Score: {validation['score_of']}."),
                    *_choice_figures(summary, points),
                    _ranked(points, assumptions["grid"]),
                ],
            ),
            Section(
                "test", "Validation against test", [_against_test(summary), *_test_tables(summary), _facts(summary)]
            ),
        ],
        footer=f"Config of the choice {summary['chosen']['fingerprint'][:12]}. {made_by(run)}",
    )


def sweep_figures(summary: dict, points: pl.DataFrame) -> Iterator[Figure]:
    """The figures of a sweep; summary: its sweep.json, points: a row per config of the grid."""
    yield from _choice_figures(summary, points)
    yield _against_test(summary)


def _headline(summary: dict) -> list[tuple[str, str]]:
    validation, test = summary["validation"], summary["test"]
    facts = [("Score on validation data", number(validation["score"], 3))]
    if "book" in test:
        facts.append(("Return on test data", percent(test["book"]["total_return"])))
        facts.append(("Buy and hold", percent(test["buy_and_hold"]["total_return"])))
    else:
        above = [report["baselines"][report["best_baseline"]]["difference"] for report in test["by_seed"].values()]
        facts.append(("Test, above the best baseline", number(float(np.mean([each["mean"] for each in above])), 3)))
    deflated, overfitting = (validation.get(name) for name in ("deflated_sharpe_ratio", "probability_of_overfitting"))
    return [
        *facts,
        ("Deflated Sharpe ratio", number(deflated, 3)),
        *([] if overfitting is None else [("Probability of overfitting", percent(overfitting, 0))]),
        ("Configs", count(summary["assumptions"]["points"])),
        ("Seeds", count(len(summary["assumptions"]["seeds"]))),
    ]


def _choice_figures(summary: dict, points: pl.DataFrame) -> Iterator[Figure]:
    varied = [key for key, values in summary["assumptions"]["grid"].items() if len(values) > 1]
    chosen = points.row(summary["chosen"]["point"], named=True)
    if len(varied) > 1:
        yield _heat_map(points, varied, chosen)
    elif varied:
        yield _by_value(points, varied[0], chosen)
    if len(varied) != 1:  # of a single key the order is that of its values
        yield _by_rank(points, summary)


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return theme.plain(text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…")


def _places(points: pl.DataFrame, key: str) -> tuple[list[str], list[int]]:
    """The values of a key as texts, each once, and for each point its place among them."""
    values = points[key].to_list()
    order = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return [_short(value) for value in order], [order[value] for value in values]


def _heat_map(points: pl.DataFrame, varied: list[str], chosen: dict) -> Figure:
    """The best score for each pair of values of the two keys with the most of them."""
    by_size = sorted(varied, key=lambda key: points[key].n_unique(), reverse=True)
    x, y = by_size[:2]
    (of_x, columns), (of_y, rows) = _places(points, x), _places(points, y)
    best = np.full((len(of_y), len(of_x)), np.nan)
    for row, column, score in zip(rows, columns, points["score"].to_list(), strict=True):
        best[row, column] = np.fmax(best[row, column], score)
    others = "".join(f" and {words(key).lower()}" for key in by_size[2:])
    of_others = f", the best over all values of{others.removeprefix(' and')}" if others else ""
    text = {"texttemplate": "%{z:.3~g}"} if len(of_x) <= MOST_CELLS else {}
    left, low = columns[chosen["point"]] - 0.5, rows[chosen["point"]] - 0.5
    frame = {"type": "rect", "x0": left, "x1": left + 1, "y0": low, "y1": low + 1}
    return Figure(
        name="scores",
        title="Score over the grid",
        caption=f"The score on validation data by {x} and {y}{of_others}. Framed: the chosen config. Where neighbours "
        "score alike, the choice matters little; a lone peak is rather luck.",
        alt=f"A heat map of {plural(len(of_x), 'value')} of {x} by {plural(len(of_y), 'value')} of {y}, from "
        f"{number(float(np.nanmin(best)), 3)} to {number(float(np.nanmax(best)), 3)}.",
        data=[
            {
                "type": "heatmap",
                "x": list(range(len(of_x))),
                "y": list(range(len(of_y))),
                "z": theme.grid(best),
                "colorscale": theme.LOW_TO_HIGH,
                "showscale": not text,
                "xgap": 2,
                "ygap": 2,
                "hoverongaps": False,
                "hovertemplate": "%{z:.4~g}<extra></extra>",
                **text,
            }
        ],
        layout=theme.layout(
            110 + 44 * len(of_y),
            shapes=[{**frame, "line": {"color": theme.ORANGE, "width": 3}}],
            hovermode="closest",
            margin=theme.NO_LEGEND,
            xaxis={**theme.titled(x), **PLAIN, "type": "linear", **_named_ticks(of_x)},
            yaxis={**theme.titled(y), **PLAIN, "type": "linear", **_named_ticks(of_y)},
        ),
    )


def _named_ticks(names: list[str]) -> dict:
    every = -(-len(names) // MOST_CELLS)
    return {"tickvals": list(range(0, len(names), every)), "ticktext": names[::every]}


def _by_value(points: pl.DataFrame, key: str, chosen: dict) -> Figure:
    names, places = _places(points, key)
    return Figure(
        name="scores",
        title=f"Score by {key}",
        caption="The score of each value on validation data, with the least and the greatest of its seeds; orange: the "
        "chosen one.",
        alt=f"Dots of {plural(len(names), 'value')}, the best {number(chosen['score'], 3)}.",
        data=[_dots(points, places, chosen["point"], theme.numbers(points["score"]))],
        layout=theme.layout(
            320,
            hovermode="closest",
            margin=theme.NO_LEGEND,
            xaxis={**theme.titled(key), "fixedrange": True, "showgrid": False, **_named_ticks(names)},
            yaxis=theme.titled("Score"),
        ),
    )


def _dots(points: pl.DataFrame, x: list[int], chosen: int, scores: list) -> dict:
    """Scores with the range of their seeds, the chosen one in orange."""
    up = (points["max_seed"] - points["score"]).clip(0.0)
    down = (points["score"] - points["min_seed"]).clip(0.0)
    reach = {"array": theme.numbers(up), "arrayminus": theme.numbers(down), "symmetric": False, "type": "data"}
    colours = [theme.ORANGE if number == chosen else theme.BLUE for number in points["point"].to_list()]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Score",
        "x": x,
        "y": scores,
        "error_y": {**reach, "color": theme.GREY, "thickness": 1.2, "width": 0},
        "marker": {"size": 8, "color": colours},
        "showlegend": False,
        "hovertemplate": "%{y:.4~g}<extra></extra>",
    }


def _by_rank(points: pl.DataFrame, summary: dict) -> Figure:
    ranked = points.sort("score", descending=True, maintain_order=True)
    n, sharpe = ranked.height, summary["validation"].get("expected_best_sharpe")
    luck, told = [], ""
    if "book" in summary["test"] and n > 1 and not is_undefined(sharpe):
        across = np.array([-0.5, n - 0.5])
        luck = [theme.line("The best of as many by luck", across, np.full(2, sharpe), theme.TEXT, line={"dash": "dot"})]
        told = " Dotted: what the best of as many worthless configs is expected to score."
    return Figure(
        name="ranking",
        title="Scores, best to worst",
        caption=f"Every config's score on validation data, with the least and the greatest of its seeds.{told}",
        alt=f"Dots of {plural(n, 'config')}, from {number(ranked['score'][0], 3)} down to "
        f"{number(ranked['score'][-1], 3)}.",
        data=[_dots(ranked, list(range(n)), summary["chosen"]["point"], theme.numbers(ranked["score"])), *luck],
        layout=theme.layout(
            320,
            hovermode="closest",
            **({} if luck else {"margin": theme.NO_LEGEND}),
            xaxis={**theme.titled("Configs, the best first"), "showticklabels": False, "showgrid": False},
            yaxis=theme.titled("Score"),
        ),
    )


def _against_test(summary: dict) -> Figure:
    """The chosen config on validation and on test data, beside what earns the same without skill."""
    rows = _of_accounts(summary) if "book" in summary["test"] else _of_episodes(summary)
    unit = "Sharpe ratio per bar" if "book" in summary["test"] else "Mean reward above the best baseline"
    known = [(name, value, error, colour) for name, value, error, colour in rows if not is_undefined(value)]
    told = ", ".join(f"{name}: {number(value, 3)}" for name, value, *_ in known)
    return Figure(
        name="validation-test",
        title="Validation against test",
        caption=f"{unit} of the chosen config on the data that it was chosen by and on those that nothing saw before, "
        "with 95% intervals where they are known.",
        alt=f"Dots. {told}.",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "x": [value for _, value, _, _ in known],
                "y": [name for name, *_ in known],
                "error_x": {
                    "type": "data",
                    "array": [error for _, _, error, _ in known],
                    "color": theme.MUTED,
                    "thickness": 1.5,
                    "width": 5,
                },
                "marker": {"size": 11, "color": [colour for *_, colour in known]},
                "hovertemplate": "%{y}: %{x:.4~g}<extra></extra>",
                "showlegend": False,
            }
        ],
        layout=theme.layout(
            70 + 34 * len(known),
            hovermode="closest",
            margin=theme.NO_LEGEND,
            xaxis={**theme.fixed(zeroline=True, zerolinecolor=theme.MUTED), "title": theme.titled(unit)["title"]},
            yaxis=theme.fixed(autorange="reversed", type="category"),
        ),
    )


Row = tuple[str, float | None, float | None, str]
"""A name, a value, half its interval, a colour."""


def _of_accounts(summary: dict) -> list[Row]:
    validation, test = summary["validation"], summary["test"]
    low, high = test["book"].get("sharpe_interval") or (None, None)
    reach = None if low is None or high is None else (high - low) / 2.0
    by_seed = [(f"Test, seed {seed}", found["sharpe_per_bar"]) for seed, found in test["by_seed"].items()]
    return [
        ("Validation", validation["sharpe"], None, theme.ORANGE),
        ("Validation, by luck alone", validation.get("expected_best_sharpe"), None, theme.GREY),
        ("Test", test["book"]["sharpe_per_bar"], reach, theme.BLUE),
        *((name, value, None, theme.BLUE) for name, value in by_seed if len(by_seed) > 1),
        ("Test, buy and hold", test["buy_and_hold"]["sharpe_per_bar"], None, theme.GREY),
    ]


def _of_episodes(summary: dict) -> list[Row]:
    rows: list[Row] = [("Validation", summary["validation"]["score"], None, theme.ORANGE)]
    for seed, report in summary["test"]["by_seed"].items():
        above = report["baselines"][report["best_baseline"]]["difference"]
        error = above["standard_error"]
        rows.append((f"Test, seed {seed}", above["mean"], None if error is None else 1.96 * error, theme.BLUE))
    return rows


def _ranked(points: pl.DataFrame, grid: dict) -> Table:
    ranked = points.sort("score", descending=True, maintain_order=True).head(MOST_ROWS)
    rest = f" The {count(MOST_ROWS)} best of {count(points.height)}." if points.height > MOST_ROWS else ""
    return Table(
        title="Configs by score",
        caption=f"On validation data, with the least and the greatest of the seeds.{rest}",
        heads=(", ".join(grid), "Score", "Least", "Greatest"),
        rows=[
            (
                ", ".join(_as_text(row[key]) for key in grid),
                *(number(row[name], 3) for name in ("score", "min_seed", "max_seed")),
            )
            for row in ranked.iter_rows(named=True)
        ],
    )


def _as_text(value: object) -> str:
    return "none" if value is None else str(value)


def _test_tables(summary: dict) -> Iterator[Table]:
    test = summary["test"]
    if "book" not in test:
        yield Table(
            title="Test by seed",
            caption="Mean episode reward, and by how much it exceeds that of the best baseline.",
            heads=("Seed", "Mean reward", "Exceeded by", "Std error", "Best baseline"),
            rows=[_episode_row(seed, report) for seed, report in test["by_seed"].items()],
        )
        return
    names = [name for name, value in test["buy_and_hold"].items() if not isinstance(value, list)]
    yield Table(
        title="Test",
        caption="Equal capital in each seed's account, on bars after those of training and choice.",
        heads=("", "Chosen config", "Buy and hold"),
        rows=[
            (label(name), *(shown_value(name, test[of].get(name)) for of in ("book", "buy_and_hold"))) for name in names
        ],
    )
    for kind, title in (("by_seed", "Test by seed"), ("by_symbol", "Test by symbol")):
        if kind in test:
            columns = ("total_return", "sharpe_annualised", "max_drawdown")
            yield Table(
                title=title,
                heads=(title.removeprefix("Test by ").title(), "Return", "Sharpe", "Drawdown"),
                rows=[
                    (name, *(shown_value(column, found[column]) for column in columns))
                    for name, found in [*test[kind].items()][:MOST_ROWS]
                ],
            )


def _episode_row(seed: str, report: dict) -> tuple[str, ...]:
    above = report["baselines"][report["best_baseline"]]["difference"]
    figures = number(report["mean"]), number(above["mean"]), number(above["standard_error"], 2)
    return (seed, *figures, report["best_baseline"])


OF_VALIDATION = {
    "effective_trials": "Independent trials",
    "expected_best_sharpe": "Sharpe ratio of the best by luck",
    "sharpe": "Sharpe ratio of the choice",
    "deflated_sharpe_ratio": "Deflated Sharpe ratio",
    "probability_of_overfitting": "Probability of overfitting",
    "probability_of_loss": "Probability of a loss",
    "median_rank": "Median rank out of sample",
}


def _facts(summary: dict) -> KeyFigures:
    validation, assumptions = summary["validation"], summary["assumptions"]
    shares = ("probability_of_overfitting", "probability_of_loss", "median_rank")
    facts = [
        (name, percent(validation[key], 0) if key in shares else number(validation[key], 3))
        for key, name in OF_VALIDATION.items()
        if not is_undefined(validation.get(key))
    ]
    for key in ("training", "validation", "test"):
        if key in assumptions:
            first, stop = assumptions[key]
            facts.append((f"Bars of the {key}", f"{count(first)} to {count(stop - 1)}"))
    if "fill" in assumptions:
        facts.append(("Fill", FILLS.get(str(assumptions["fill"]), str(assumptions["fill"]))))
    return KeyFigures(facts)

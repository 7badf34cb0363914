"""The page of a population: how far the seeds lie apart, and the best of them."""

import polars as pl

from idi_fast.files import BEST
from idi_fast.report import theme
from idi_fast.report.formats import count, number, plural
from idi_fast.report.learning import environment, training_sections
from idi_fast.report.parts import Facts, Figure, Note, Page, Section, Table
from idi_fast.report.run import Run, describe_training, made_by

MOST_ROWS = 100
MOST_LABELS = 24


def population_page(run: Run) -> Page:
    """The page of a folder that `idi-fast train --seeds` wrote."""
    about = run.about
    columns = ("seed", "mean_reward", "last_tenth_mean_reward", "evaluation", "evaluation_standard_error", "visited_states")
    summary = pl.read_parquet(run.table("summary.parquet", columns)).with_row_index("listed")
    ranked = summary.sort("evaluation", "listed", descending=[True, False])
    evaluation, spread, best = about["evaluation"], about["summary"]["over_seeds"], str(about["best_seed"])
    notes = [Note("The best of many is somewhat worse than its evaluation says: it was chosen for that.")]
    if evaluation["in_sample"]:
        text = "Evaluated in sample, on windows of the training bars: this says nothing about new ones."
        notes.insert(0, Note(text, is_warning=True))
    headline = [
        ("Best evaluation", number(spread["max"])), ("Median", number(spread["median"])), ("Worst", number(spread["min"])),
        ("Best seed", best), ("Seeds", count(ranked.height)), ("Episodes each", count(about["config"]["episodes"])),
    ]  # fmt: skip
    lane = Run.open(run.folder / BEST)
    return Page(
        kind="Population",
        title=run.name,
        lead=" · ".join([environment(about), plural(ranked.height, "seed"), *describe_training(about)]),
        opening=[*notes, Facts(headline, is_large=True)],
        sections=[
            Section("seeds", "Seeds", [_spread(ranked, evaluation), _against_training(ranked, best), _table(ranked)]),
            *(
                Section(section.name, f"Best seed, {best}: {section.title.lower()}", section.parts)
                for section in training_sections(lane)
            ),
        ],
        footer=f"Config {about['fingerprint'][:12]}. {made_by(run)}",
    )


def _spread(ranked: pl.DataFrame, evaluation: dict) -> Figure:
    n = ranked.height
    error = [None if value is None else 2.0 * value for value in ranked["evaluation_standard_error"]]
    seeds = ranked["seed"].to_list()
    every = -(-n // MOST_LABELS)
    return Figure(
        name="spread",
        title="Evaluation by seed",
        caption=f"Each seed's {evaluation['of']} over {count(evaluation['episodes'])} episodes ({evaluation['on']}), with two "
        "standard errors to either side, the best first.",
        alt=f"Dots of {plural(n, 'seed')}, from {number(ranked['evaluation'][0])} down to {number(ranked['evaluation'][-1])}.",
        data=[
            {
                "type": "scatter", "mode": "markers", "x": list(range(n)), "y": theme.numbers(ranked["evaluation"]),
                "error_y": {"type": "data", "array": error, "color": theme.GREY, "thickness": 1.2, "width": 0},
                "marker": {"size": 8, "color": [theme.ORANGE] + [theme.BLUE] * (n - 1)}, "text": seeds,
                "hovertemplate": "seed %{text}: %{y:.5~r}<extra></extra>",
            }
        ],
        layout=theme.layout(
            320, hovermode="closest", margin=theme.NO_LEGEND,
            xaxis={
                **theme.titled("Seed"), "fixedrange": True, "showgrid": False,
                "tickvals": list(range(0, n, every)), "ticktext": seeds[::every],
            },
            yaxis=theme.axis(),
        ),
    )  # fmt: skip


def _against_training(ranked: pl.DataFrame, best: str) -> Figure:
    return Figure(
        name="against-training",
        title="Evaluation against training",
        caption="Each seed's evaluation by the mean reward of the last tenth of its training, exploration included; orange: "
        "the best seed.",
        alt=f"A scatter of {plural(ranked.height, 'seed')}.",
        data=[
            {
                "type": "scatter", "mode": "markers", "x": theme.numbers(ranked["last_tenth_mean_reward"]),
                "y": theme.numbers(ranked["evaluation"]), "text": ranked["seed"].to_list(),
                "marker": {
                    "size": 8, "color": [theme.ORANGE if seed == best else theme.BLUE for seed in ranked["seed"]],
                    "line": {"width": 1, "color": theme.PAGE},
                },
                "hovertemplate": "seed %{text}<br>last tenth %{x:.5~r}<br>evaluation %{y:.5~r}<extra></extra>",
            }
        ],
        layout=theme.layout(
            320, hovermode="closest", margin=theme.NO_LEGEND,
            xaxis=theme.titled("Mean reward of the last tenth"), yaxis=theme.titled("Evaluation"),
        ),
    )  # fmt: skip


def _table(ranked: pl.DataFrame) -> Table:
    shown = ranked.head(MOST_ROWS)
    rest = f" The {count(MOST_ROWS)} best of {count(ranked.height)}." if ranked.height > MOST_ROWS else ""
    return Table(
        title="Seeds by evaluation",
        caption=f"Mean episode rewards: evaluated, its standard error, and in the last tenth of training.{rest}",
        heads=("Seed", "Evaluation", "Std error", "Last tenth", "States"),
        rows=[
            (row["seed"], number(row["evaluation"]), number(row["evaluation_standard_error"], 2),
             number(row["last_tenth_mean_reward"]), count(row["visited_states"]))
            for row in shown.iter_rows(named=True)
        ],
    )  # fmt: skip

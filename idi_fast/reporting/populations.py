"""The page of a population: the spread of the seeds, and the best of them."""

from itertools import cycle

import numpy as np
import polars as pl

from idi_fast.environments.actions import ACTIONS
from idi_fast.reporting import theme
from idi_fast.reporting.formats import count, number, plural, sentence, words
from idi_fast.reporting.learning import environment, training_sections
from idi_fast.reporting.parts import Figure, KeyFigures, Note, Page, Section, Table
from idi_fast.reporting.run import ReportedRun, describe_training, made_by
from idi_fast.storage.files import BEST

COLUMNS = ("seed", "last_tenth_mean_reward", "evaluation", "evaluation_standard_error", "visited_states")
MOST_ROWS = 100
MOST_LABELS = 24


def population_page(run: ReportedRun) -> Page:
    """The page of a folder that `idi-fast train --seeds` wrote."""
    about = run.about
    ranked = ranked_seeds(run.table("summary.parquet", COLUMNS).frame())
    evaluation, spread, best = about["evaluation"], about["summary"]["over_seeds"], str(about["best_seed"])
    headline = [
        ("Best evaluation", number(spread["max"])),
        *((name, number(mean)) for name, mean in _best_baseline(evaluation)),
        ("Median", number(spread["median"])),
        ("Worst", number(spread["min"])),
        ("Best seed", best),
        ("Seeds", count(ranked.height)),
        ("Episodes each", count(about["config"]["episodes"])),
    ]
    of_best = [
        Section(section.name, f"Best seed, {best}: {section.title.lower()}", section.parts)
        for section in training_sections(ReportedRun.open(run.folder / BEST))
    ]
    return Page(
        kind="Population",
        title=run.name,
        lead=" · ".join([environment(about), plural(ranked.height, "seed"), *describe_training(about)]),
        opening=[*_notes(evaluation), KeyFigures(headline, is_large=True)],
        sections=[
            Section("seeds", "Seeds", [*seed_figures(ranked, evaluation), _table(ranked)]),
            *of_best,
        ],
        footer=f"Config {about['fingerprint'][:12]}. {made_by(run)}",
    )


def ranked_seeds(summary: pl.DataFrame) -> pl.DataFrame:
    """The rows of a population's summary, the best evaluation first."""
    return summary.with_row_index("listed").sort("evaluation", "listed", descending=[True, False])


def seed_figures(ranked: pl.DataFrame, evaluation: dict) -> list[Figure]:
    """The evaluations of the seeds, and these by what training earned; evaluation: as in a population's run.json."""
    return [_spread(ranked, evaluation), _against_training(ranked)]


def _notes(evaluation: dict) -> list[Note]:
    verdict = evaluation.get("verdict")  # earlier versions had none, and no baselines
    if evaluation["in_sample"]:
        text = "Evaluated in sample, on windows of the training bars: this says nothing about new ones."
        notes = [Note(text, is_warning=True)]
    else:
        notes = [] if verdict is None else [Note(sentence(verdict))]
    return [*notes, Note("The best of many is somewhat worse than its evaluation says: it was chosen for that.")]


def _best_baseline(evaluation: dict) -> list[tuple[str, float]]:
    """Its name and mean reward; none for a population of an earlier version."""
    name = evaluation.get("best_baseline")
    return [] if name is None else [(f"Best baseline, {name}", evaluation["baselines"][name]["mean"])]


def _colours(n: int) -> list[str]:
    """Colours for the seeds in the order of their evaluations: the best stands out."""
    return [theme.ORANGE] + [theme.BLUE] * (n - 1)


def _spread(ranked: pl.DataFrame, evaluation: dict) -> Figure:
    n, seeds = ranked.height, ranked["seed"].to_list()
    reach = (2.0 * ranked["evaluation_standard_error"]).to_list()
    every = -(-n // MOST_LABELS)
    first, last = (number(ranked["evaluation"][row]) for row in (0, -1))
    baselines, best = evaluation.get("baselines", {}), evaluation.get("best_baseline")
    across = np.array([-0.5, n - 0.5])
    levels = [
        theme.line(
            f"Always {name}" if name in ACTIONS else words(name),
            across,
            np.full(2, found["mean"]),
            theme.TEXT if name == best else theme.GREY,
            line={"dash": dash, "width": 2.2 if name == best else 1.4},
        )
        for (name, found), dash in zip(baselines.items(), cycle(("dot", "dash", "dashdot", "longdash")), strict=False)
    ]
    below = "" if best is None else f" Lines: the baselines, on the same episodes; the best of them is {best!r}."
    level = "".join(f" {line['name']}: {number(line['y'][0])}." for line in levels)
    return Figure(
        name="spread",
        title="Evaluation by seed",
        caption=f"Each seed's {evaluation['of']} over {count(evaluation['episodes'])} episodes ({evaluation['on']}), "
        f"with two standard errors to either side, the best first.{below}",
        alt=f"Dots of {plural(n, 'seed')}, from {first} down to {last}.{level}",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": "Seeds",
                "x": list(range(n)),
                "y": theme.numbers(ranked["evaluation"]),
                "error_y": {"type": "data", "array": reach, "color": theme.GREY, "thickness": 1.2, "width": 0},
                "marker": {"size": 8, "color": _colours(n)},
                "text": seeds,
                "hovertemplate": "seed %{text}: %{y:.5~r}<extra></extra>",
            },
            *levels,
        ],
        layout=theme.layout(
            320,
            hovermode="closest",
            xaxis={
                **theme.titled("Seed"),
                "fixedrange": True,
                "showgrid": False,
                "tickvals": list(range(0, n, every)),
                "ticktext": seeds[::every],
            },
            yaxis=theme.axis(),
        ),
    )


def _against_training(ranked: pl.DataFrame) -> Figure:
    return Figure(
        name="against-training",
        title="Evaluation against training",
        caption="Each seed's evaluation by the mean reward of the last tenth of its training, exploration included; "
        "orange: the best seed.",
        alt=f"A scatter of {plural(ranked.height, 'seed')}.",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "x": theme.numbers(ranked["last_tenth_mean_reward"]),
                "y": theme.numbers(ranked["evaluation"]),
                "text": ranked["seed"].to_list(),
                "marker": {
                    "size": 8,
                    "color": _colours(ranked.height),
                    "line": {"width": 1, "color": theme.PAGE},
                },
                "hovertemplate": "seed %{text}<br>last tenth %{x:.5~r}<br>evaluation %{y:.5~r}<extra></extra>",
            }
        ],
        layout=theme.layout(
            320,
            hovermode="closest",
            margin=theme.NO_LEGEND,
            xaxis=theme.titled("Mean reward of the last tenth"),
            yaxis=theme.titled("Evaluation"),
        ),
    )


def _table(ranked: pl.DataFrame) -> Table:
    rest = f" The {count(MOST_ROWS)} best of {count(ranked.height)}." if ranked.height > MOST_ROWS else ""
    return Table(
        title="Seeds by evaluation",
        caption=f"Mean episode rewards: evaluated, with its standard error, and in the last tenth of training.{rest}",
        heads=("Seed", "Evaluation", "Std error", "Last tenth", "States"),
        rows=[
            (seed, number(evaluation), number(error, 2), number(last_tenth), count(states))
            for seed, last_tenth, evaluation, error, states in ranked.head(MOST_ROWS).select(COLUMNS).iter_rows()
        ],
    )

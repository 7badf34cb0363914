"""What a sweep found: its tables, its verdict, and the folder that it writes."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.backtesting.kpi_units import shown_row
from idi_fast.config.plugin_hashes import plugins_entry
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import describe_data, versions
from idi_fast.data.panel import TrainingBars
from idi_fast.selection.grid import Point, cells
from idi_fast.selection.overfitting import Overfitting
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.storage.tables import write_table

SHOWN_POINTS = 5
"""Configs of the grid that are shown in a notebook, the best first."""
SHOWN_FIGURES = ("score", "deflated_sharpe_ratio", "probability_of_overfitting")
SIGNIFICANT = 0.95
"""Deflated Sharpe ratio from which a sweep's best config is called more than luck."""
OVERFITTED = 0.5
"""Probability of overfitting from which on a choice is no better than one by lot."""


@dataclass(frozen=True)
class Sweep(display.Plotted):
    """A finished sweep; made by `sweep`.

    Attributes
    ----------
    points : polars.DataFrame
        A row per config of the grid, in its order: point, a column per key, score on validation data, its least and
        greatest value over the seeds.
    trials : polars.DataFrame
        A row per point and seed.
    chosen : int
        The number of the point with the highest score.
    config : TrainingConfig
        That of the chosen point.
    policies : dict of int to Policy
        Those of the chosen point, by seed.
    summary : dict
        The results on validation and on test data, and the verdict, as JSON values.
    history : History, Panel or None
        The bars; None on a simulated market.
    """

    config: TrainingConfig
    history: TrainingBars | None
    points: pl.DataFrame
    trials: pl.DataFrame
    chosen: int
    policies: dict[int, Policy]
    summary: dict

    def __repr__(self) -> str:
        return "\n  ".join([display.as_text(self._title(), self._rows()), *self.summary["verdict"].split("; ")])

    def _repr_html_(self) -> str:
        best = self.points.sort("score", descending=True).head(SHOWN_POINTS).drop("point")
        chart = {"score, best to worst": self.points["score"].sort(descending=True).to_numpy()}
        title, links = f"{self._title()}: {self.summary['verdict']}", display.file_links(display.saved_at(self))
        return display.as_html(title, best.rows(), best.columns, chart, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """A row per config, the best score first: `of` has its number, the other columns are those of `points`."""
        ranked = self.points.sort("score", descending=True, maintain_order=True)
        return ranked.select(pl.format("config {}", "point").alias("of"), pl.exclude("point"))

    def _title(self) -> str:
        return f"Sweep, configs: {self.points.height:,}, seeds: {len(self.policies)}"

    def _rows(self) -> list[tuple[str, object]]:
        values = ", ".join(f"{key} {value}" for key, value in self.summary["chosen"]["values"].items())
        return [
            ("chosen", textwrap.shorten(values, 90, placeholder=" …")),
            *(shown_row(name, self.summary["validation"][name]) for name in SHOWN_FIGURES),
        ]

    def write(self, folder: Path) -> None:
        """Fill an empty folder: sweep.json, points.parquet, trials.parquet, the chosen config.json and its policies,
        run.json and manifest.json."""
        write_json(folder / "sweep.json", self.summary)
        write_json(folder / "config.json", self.config.canonical())
        write_table(folder / "points.parquet", self.points)
        write_table(folder / "trials.parquet", self.trials)
        (folder / "policies").mkdir()
        for seed, policy in self.policies.items():
            policy.save(folder / "policies" / f"{seed}.parquet")
        fingerprint = self.config.fingerprint()
        run = {
            "schema_version": SCHEMA_VERSION,
            "kind": "sweep",
            "fingerprint": fingerprint,
            "assumptions": self.summary["assumptions"],
            "versions": versions(),
            "data": None if self.history is None else describe_data(self.history),
            "config": self.config.canonical(),
            **plugins_entry(self.config),
        }
        write_json(folder / "run.json", run)
        write_manifest(folder, config_sha256=fingerprint, training={"seeds": list(self.policies)})

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast sweep` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            self.write(folder)
        display.remember_place(self, out)


def luck(deflated: float, points: int, lucky: float) -> str:
    """How far the best score may be luck, in words; lucky: the Sharpe ratio that the best of the configs is expected to
    have if all are worthless."""
    if lucky == 0.0:
        # Nothing was chosen, so that this is the probability for a single config: a market that rises is enough for it.
        whose = "the only config's Sharpe ratio is"
        if points > 1:
            whose = f"all {points} configs earn alike, so that there is nothing to choose; their Sharpe ratio is"
        apart = "above 0 beyond chance" if deflated >= SIGNIFICANT else "not above 0 beyond chance"
        return f"on validation data {whose} {apart} (probability {deflated:.3f})"
    what = "more than the luck" if deflated >= SIGNIFICANT else "no more than the luck"
    return f"on validation data {what} of the best of {points} (deflated Sharpe ratio {deflated:.3f})"


def of_overfitting(found: Overfitting | None) -> dict[str, float | int | None]:
    """The figures of overfitting; null where there are too few configs or bars."""
    if found is None:
        return dict.fromkeys(("probability_of_overfitting", "probability_of_loss", "median_rank", "splits"))
    return {
        "probability_of_overfitting": found.probability,
        "probability_of_loss": found.probability_of_loss,
        "median_rank": found.median_rank,
        "splits": found.splits,
    }


def overfitted(found: Overfitting) -> str:
    """Whether what is best on some of the data is so on the rest, in words."""
    what = "says nothing of" if found.probability >= OVERFITTED else "carries over to"
    return f"what is best on one half of it {what} the other (probability of overfitting {found.probability:.2f})"


def points_frame(
    points: list[Point], seeds: Sequence[int], scores: list[float], by_trial: dict[tuple[int, int], float]
) -> pl.DataFrame:
    """A row per point, see `Sweep.points`."""
    rows = []
    for number, (point, score) in enumerate(zip(points, scores, strict=True)):
        mine = [by_trial[number, seed] for seed in seeds]
        figures = {"score": score, "min_seed": min(mine), "max_seed": max(mine)}
        rows.append({"point": number, **cells(point.values), **figures})
    return pl.DataFrame(rows, infer_schema_length=None)


def trials_frame(points: list[Point], by_trial: dict[tuple[int, int], float]) -> pl.DataFrame:
    """A row per point and seed, see `Sweep.trials`."""
    rows = [
        {"point": number, "seed": str(seed), **cells(points[number].values), "score": by_trial[number, seed]}
        for number, seed in by_trial
    ]
    return pl.DataFrame(rows, infer_schema_length=None)

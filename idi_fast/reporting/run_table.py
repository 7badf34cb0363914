"""The runs in a folder as a table: what they are, what differs between their settings, and their figures."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any

from idi_fast import display
from idi_fast.config.arguments import check_path
from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.reporting.formats import number, percent
from idi_fast.reporting.run import ReportedRun

FIGURES = {
    "reward": "Mean episode reward",
    "above_baseline": "Above the best baseline",
    "total_return": "Total return",
    "buy_and_hold": "Buy and hold",
    "sharpe_annualised": "Sharpe ratio, annualised",
    "max_drawdown": "Max drawdown",
}
"""Of the table, in words."""
SHARES = ("total_return", "buy_and_hold", "max_drawdown")
OF_ACCOUNTS = ("total_return", "sharpe_annualised", "max_drawdown")
MOST_SETTINGS = 80
"""Characters of a run's settings in a terminal."""
ONE_POLICY = ("train", "combined")
"""Kinds of runs that are known by the config and seed of the one policy that they made."""
ABOUT = ("name", "kind", "seed")
READ = ("run.json", "manifest.json", "kpis.json", "walkforward.json", "sweep.json")
"""The files of a run that are read."""
OF_THE_BARS = ("bars", "first_time", "last_time", "in_sample", "dropped_rows", "periods_per_year")
"""Assumptions of a test that come from its bars, not from a choice."""


@dataclass(frozen=True)
class RunRow:
    """A run in a folder.

    Attributes
    ----------
    name : str
        Its folder, relative to that of the table, with forward slashes.
    kind : str
        "train", "backtest", "walkforward", "sweep" and others, as its run.json says.
    seed : str
        Seed, or of several the first and the last.
    settings : dict
        By dotted key: its config, and the assumptions of a test.
    figures : dict of str to float or None
        Those of FIGURES; None where the run has no such.
    fingerprint : str
        Of its config; empty for a test of a policy.
    in_sample : bool or None
        Whether its figures are of bars that it was trained on, at least in part; None where the run does not say.
    """

    name: str
    kind: str
    seed: str
    settings: dict[str, Any]
    figures: dict[str, float | None]
    fingerprint: str = ""
    in_sample: bool | None = None

    @property
    def shown_kind(self) -> str:
        """Its kind, and whether its figures say nothing of new bars."""
        return f"{self.kind}, in sample" if self.in_sample else self.kind

    def value(self, key: str) -> Any:
        """A figure, a setting, or what else has a column; None where there is none."""
        if key in ABOUT:
            return getattr(self, key)
        return self.figures[key] if key in FIGURES else self.settings.get(key)


@dataclass(frozen=True)
class RunTable:
    """The runs in a folder; made by `list_runs`.

    Attributes
    ----------
    folder : Path
    runs : tuple of RunRow
    differing : tuple of str
        Keys of the settings that are not the same in all runs of the table that have them, and the policy of a test.
    unreadable : dict of str to str
        Folders with a run.json that cannot be read, and why.
    """

    folder: Path
    runs: tuple[RunRow, ...]
    differing: tuple[str, ...]
    unreadable: dict[str, str]

    def sorted(self, key: str, *, is_reversed: bool = False) -> "RunTable":
        """The same by a column: figures from the highest, all else from the lowest; runs without it come last.

        Raises InputError for a column that there is not.
        """
        known = {*ABOUT, *FIGURES, *(name for run in self.runs for name in run.settings)}
        if key not in known:
            offered = ", ".join((*ABOUT, *FIGURES))
            raise InputError(f"sort is {key!r}; expected {offered}, or a key of a config.{nearest(key, sorted(known))}")
        has = [run for run in self.runs if run.value(key) is not None]
        lacks = [run for run in self.runs if run.value(key) is None]
        has.sort(key=lambda run: _sortable(run.value(key)), reverse=(key in FIGURES) != is_reversed)
        return RunTable(self.folder, (*has, *lacks), self.differing, self.unreadable)

    def to_dict(self) -> dict:
        """As JSON values; of the settings those that differ."""
        return {
            "schema_version": 1,
            "folder": str(self.folder),
            "differing": list(self.differing),
            "runs": [
                {
                    "name": run.name,
                    "kind": run.kind,
                    "seed": run.seed,
                    "in_sample": run.in_sample,
                    "settings": {key: run.settings[key] for key in self.differing if key in run.settings},
                    "figures": run.figures,
                }
                for run in self.runs
            ],
            "unreadable": self.unreadable,
        }

    @property
    def used_figures(self) -> list[str]:
        """The figures that some run has."""
        return [key for key in FIGURES if any(run.figures[key] is not None for run in self.runs)]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows as text: columns in which no run has a figure are left out."""
        used = self.used_figures
        heads = ["run", "kind", "seed", *used, "settings"]
        rows = [
            [run.name, run.shown_kind, run.seed, *(shown_figure(key, run.figures[key]) for key in used), self.told(run)]
            for run in self.runs
        ]
        return heads, rows

    def told(self, run: RunRow) -> str:
        """What a run's settings have that most of the runs have not, by the last parts of the keys where these are
        unique."""
        last = [key.rpartition(".")[2] for key in self.differing]
        short = dict(zip(self.differing, last, strict=True))
        own = [
            f"{short[key] if last.count(short[key]) == 1 else key} {self._shown(key, run)}"
            for key in self.differing
            if key in run.settings and _told(run.settings[key]) != self._usual[key]
        ]
        return ", ".join(own) or "–"

    @cached_property
    def _usual(self) -> dict[str, str]:
        """The most frequent value of each differing setting, as text; of equally frequent ones the first."""
        told = {key: [_told(run.settings[key]) for run in self.runs if key in run.settings] for key in self.differing}
        return {key: "" if key == "policy" else Counter(values).most_common(1)[0][0] for key, values in told.items()}

    def _shown(self, key: str, run: RunRow) -> str:
        """A setting as text; of the policy of a test the run that made it, if it is in the table."""
        value = run.settings[key]
        if key != "policy":
            return _told(value)
        makers = (maker for maker in self.runs if maker.kind in ONE_POLICY and maker.seed == run.seed)
        return next((maker.name for maker in makers if maker.fingerprint[:12] == value), value)

    def short_table(self) -> tuple[list[str], list[list[str]]]:
        """The same for a terminal: settings are cut where they are long."""
        heads, rows = self.table()
        return heads, [[*row, shorten(settings, MOST_SETTINGS, placeholder=" …")] for *row, settings in rows]

    def __repr__(self) -> str:
        heads, rows = self.short_table()
        return display.as_text(self._title(), rows, heads)

    def _repr_html_(self) -> str:
        heads, rows = self.table()
        return display.as_html(self._title(), rows, heads)

    def _title(self) -> str:
        return f"{len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'} in {self.folder}"


def list_runs(folder: str | Path, *, sort: str = "name") -> RunTable:
    """List the runs in a folder and its subfolders: training runs, populations, backtests, walk-forwards, sweeps.

    Nothing but run.json and the small files of figures beside it is read, each compared with the manifest; links are
    not followed. The lanes of a population are not listed.

    Parameters
    ----------
    folder
        The folder.
    sort
        The column to sort by: name, kind, seed, a figure (reward, above_baseline, total_return, buy_and_hold,
        sharpe_annualised, max_drawdown: from the highest) or the dotted key of a setting.

    Returns
    -------
    RunTable
        A row per run, printed as a table; `to_dict` for JSON.

    Raises
    ------
    InputError
        If there is no such folder, or no such column.
    """
    place = check_path("folder", folder)
    if not os.path.isdir(place):
        is_file = os.path.lexists(place)
        raise InputError(f"{place} is {'no folder' if is_file else 'not there'}; expected a folder with runs in it")
    runs, unreadable = [], {}
    for name in run_folders(place):
        try:
            runs.append(read_run(place, name))
        except (ArtifactError, OSError) as error:
            unreadable[name] = str(error)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            unreadable[name] = f"{place / name} is no run as idi-fast writes it: {type(error).__name__} {error}"
    return RunTable(place, tuple(runs), _differing(runs), unreadable).sorted(sort)


def run_folders(folder: Path) -> Iterator[str]:
    """The folders in a folder, itself included, that hold a run.json, by their relative names in order; not those
    within a run, and none behind a link or a hidden name."""
    for parent, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if "run.json" in files:
            inner.clear()
            yield Path(parent).relative_to(folder).as_posix()


def read_run(folder: Path, name: str) -> RunRow:
    """A run by its relative name. Raises ArtifactError, and KeyError or TypeError where it is none of ours."""
    linked = [file for file in READ if os.path.islink(folder / name / file)]
    if linked:
        raise ArtifactError(f"{folder / name / linked[0]} is a link; expected the file that idi-fast wrote")
    run = ReportedRun.open(folder / name)
    about = run.about
    told = (about.get("assumptions") or {}) | (about.get("evaluation") or {})
    return RunRow(
        name=name,
        kind=run.kind,
        seed=_seed(about),
        settings=_settings(about),
        figures=_figures(run),
        fingerprint=about.get("fingerprint", ""),
        in_sample=told.get("in_sample"),
    )


def shown_figure(key: str, value: float | None) -> str:
    """A figure for people: shares as percent."""
    return percent(value) if key in SHARES else number(value)


def _figures(run: ReportedRun) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(FIGURES)
    kind, about = run.kind, run.about
    if kind in ("train", "population", "combined"):
        found |= _rewards(about["evaluation"])
    elif kind in ("backtest", "symbol-backtest"):
        result = run.json("kpis.json")
        found |= _account(result["kpis"], result["buy_and_hold"])
    elif kind == "walkforward":
        result = run.json("walkforward.json")
        over = {name: result["over_seeds"][name]["median"] for name in OF_ACCOUNTS}
        found |= _account(over, result["buy_and_hold"])
    elif kind == "sweep":
        test = run.json("sweep.json")["test"]
        if "book" in test:
            found |= _account(test["book"], test["buy_and_hold"])
        elif len(test["by_seed"]) == 1:
            found |= _rewards(next(iter(test["by_seed"].values())))
    return {name: None if value is None else float(value) for name, value in found.items()}


def _rewards(evaluation: Mapping[str, Any]) -> dict[str, float]:
    best = evaluation["baselines"][evaluation["best_baseline"]]
    return {"reward": evaluation["mean"], "above_baseline": best["difference"]["mean"]}


def _account(kpis: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, float | None]:
    return {**{name: kpis.get(name) for name in OF_ACCOUNTS}, "buy_and_hold": held["total_return"]}


def _seed(about: Mapping[str, Any]) -> str:
    assumed = about.get("assumptions") or {}
    seeds = about.get("seeds") or (assumed.get("seeds") if isinstance(assumed, dict) else None)
    if seeds:
        return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"
    return str(about["seed"] if "seed" in about else about.get("policy", {}).get("seed", "–"))


def _settings(about: Mapping[str, Any]) -> dict[str, Any]:
    """Config, and of a test what it assumes; `policy` is the config that a tested policy was trained with."""
    found = dict(_flat(about.get("config") or {}))
    for key, value in (about.get("assumptions") or {}).items():
        if key not in OF_THE_BARS and not isinstance(value, dict | list):
            found[key] = value
    if "policy" in about:
        found["policy"] = about["policy"]["fingerprint"][:12]
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _differing(runs: Sequence[RunRow]) -> tuple[str, ...]:
    """The keys whose values differ, in the order of the configs."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    told = {key: {_told(run.settings[key]) for run in runs if key in run.settings} for key in keys}
    return tuple(key for key, values in told.items() if len(values) > 1 or key == "policy")


def _told(value: Any) -> str:
    if value is None or isinstance(value, float):
        return display.format_value(value)
    if isinstance(value, list):
        inner = [part["name"] if isinstance(part, dict) and "name" in part else _told(part) for part in value]
        return f"({' '.join(inner)})"
    return str(value)


def _sortable(value: Any) -> tuple[int, float, str]:
    """Numbers before texts; a text that is a number counts as one."""
    try:
        return (0, float(value), "")
    except (TypeError, ValueError):
        return (1, 0.0, str(value).casefold())

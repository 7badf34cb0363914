"""Sweeps: a grid of configs under several seeds, chosen on validation data and reported on test data."""

import itertools
import json
import math
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import account_columns, assume
from idi_fast.config.arguments import check_callback, check_config, check_grid
from idi_fast.config.draft import Draft
from idi_fast.config.feature_columns import feature_columns
from idi_fast.config.plugin_hashes import plugins_entry
from idi_fast.config.seeds import check_seeds, refuse_equal_seeds
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.config_history import with_history
from idi_fast.data.in_sample import describe_data, versions
from idi_fast.data.panel import TrainingBars, TrainingBarsLike, check_bars
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.shared_bars import Shared, encoding_key
from idi_fast.environments.splits import refuse_split
from idi_fast.errors import ConfigError, InputError
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.selection.criteria import EpisodeCriterion, HistoryCriterion
from idi_fast.selection.overfitting import Overfitting, effective_trials, probability_of_overfitting
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.storage.tables import write_table
from idi_fast.training.trainer import Trainer

SHOWN_POINTS = 5
"""Configs of the grid that are shown in a notebook, the best first."""
SHOWN_FIGURES = ("score", "deflated_sharpe_ratio", "probability_of_overfitting")
SIGNIFICANT = 0.95
"""Deflated Sharpe ratio from which a sweep's best config is called more than luck."""
OVERFITTED = 0.5
"""Probability of overfitting from which on a choice is no better than one by lot."""
MOST_POINTS = 10_000


@dataclass(frozen=True)
class Point:
    """One config of a grid; values: those of the keys of the grid."""

    values: dict[str, Any]
    config: TrainingConfig


def make_points(config: TrainingConfig | Draft[TrainingConfig], grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """The configs of a grid; the last key varies fastest.

    config: the base config; a draft need not be valid without the grid's values. Raises ConfigError, InputError.
    """
    if not grid:
        raise InputError("the grid is empty; give it a key and its values, for example learning_rate: 0.05, 0.1")
    for key, values in grid.items():
        if not values:
            raise InputError(f"the grid has no values for {key}")
    count = math.prod(map(len, grid.values()))
    if count > MOST_POINTS:
        found = f"{count:,}" if count < 10**18 else "over 10**18"  # Python prints no number of thousands of digits
        raise InputError(f"the grid has {found} points; expected no more than {MOST_POINTS:,}")
    draft = config if isinstance(config, Draft) else Draft.of(config)
    points: list[Point] = []
    common, seen = _common_of(draft), set()
    for values in itertools.product(*grid.values()):
        given = dict(zip(grid, values, strict=True))
        made = draft.copy().override(given, "the grid").build()
        common = common or _common(made)
        for name, value in _common(made).items():
            if value != common[name]:
                raise InputError(
                    f"the grid's {_listed(given)} changes {name}; runs that differ in it cannot be compared"
                )
        if made in seen:
            raise InputError(f"the grid has {_listed(given)} twice; name each value of a key once")
        seen.add(made)
        points.append(Point(given, made))
    return points


def _common_of(draft: Draft[TrainingConfig]) -> dict[str, Any] | None:
    """The same for a draft; None if it is valid with the grid's values only."""
    try:
        return _common(draft.build())
    except ConfigError:
        return None


def _common(config: TrainingConfig) -> dict[str, Any]:
    """What comparable runs must have in common: what is earned, and on what."""
    common = {"environment": replace(config.environment, observe_regime=False), "engine": config.engine}
    if config.environment.kind == "history":  # scored by an account, whatever the rewards
        return common
    moods = config.quantizer.mood_buckets if config.rewards.communication_clarity else None
    length = {"episode_length": config.episode_length}
    return {**common, "rewards": config.rewards, **length, "quantizer.mood_buckets": moods}


@dataclass(frozen=True)
class Sweep:
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
        return display.as_html(f"{self._title()}: {self.summary['verdict']}", best.rows(), best.columns, chart)

    def _title(self) -> str:
        return f"Sweep, configs: {self.points.height:,}, seeds: {len(self.policies)}"

    def _rows(self) -> list[tuple[str, object]]:
        values = ", ".join(f"{key} {value}" for key, value in self.summary["chosen"]["values"].items())
        return [
            ("chosen", textwrap.shorten(values, 90, placeholder=" …")),
            *((name.replace("_", " "), self.summary["validation"][name]) for name in SHOWN_FIGURES),
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


def sweep(
    config: TrainingConfig | Mapping[str, Any] | Draft[TrainingConfig] | None,
    grid: Mapping[str, Sequence[Any]],
    history: TrainingBarsLike | None = None,
    *,
    seeds: Iterable[int] = (0,),
    jobs: int | None = None,
    validation_bars: int | None = None,
    test_bars: int | None = None,
    fill: str | None = None,
    fee_bps: float | None = None,
    size: float = 1.0,
    cash_rate: float | None = None,
    borrow_bps: float | None = None,
    funding: str | None = None,
    risk_free: float | str = 0.0,
    evaluation_episodes: int | None = None,
    year_days: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Train every config of a grid under every seed, choose one on validation data, and report it on test data.

    On a history the bars are those for training, then those for validation and for the test, before each an embargo as
    long as the longest feature window of any config: its bars only fill the features' windows, and agent and account
    begin flat after it. A config's score is the Sharpe ratio per bar of equal capital in each of its seeds' accounts.
    Of many symbols all are tested at the same dates, with an account each: see `walk_forward`.

    On a simulated market a config's score is the mean, over fresh episodes and the seeds, of what it earns above the
    best of the baselines that observe nothing; validation and test have separate episodes.

    Parameters
    ----------
    config
        What the grid changes: the settings, a dict of them, or a draft, which need not be good without the grid's
        values; None: the default. A history makes the synthetic environment that of the history.
    grid
        Values by config key, such as `{"learning_rate": [0.05, 0.1]}`; the last key's change fastest.
    history
        Bars: a history, a frame, or a dict of them by symbol; by default those that the config names, where its
        environment is "history".
    seeds
        Distinct integers; every config is trained under each.
    jobs
        Threads; by default the usable cores.
    validation_bars, test_bars
        Of a history; by default a fifth of it each.
    fill, fee_bps, size, cash_rate, borrow_bps, funding, risk_free, year_days
        Of a history, as for `backtest`.
    evaluation_episodes
        Of a simulated market, 2 or more; by default 1,000 to choose by, and as many to report on.
    progress
        Called with the number of finished runs, and of all.

    Returns
    -------
    Sweep
        `points`, `trials`, the chosen `config` and its `policies`; `save` writes what `idi-fast sweep` writes.

    Raises
    ------
    ConfigError
        For an unknown key or an invalid value.
    InputError, DataError
        If an argument cannot be used, or the history is too short.
    IdiFastError
        If values overflow.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> close = 100.0 + np.sin(np.arange(500) / 5.0)
    >>> bars = idi.History.from_frame({"open": close, "close": close})
    >>> found = idi.sweep({"episodes": 2, "episode_length": 16}, {"discount": [0.5, 0.9]}, bars)
    >>> found.points.columns
    ['point', 'discount', 'score', 'min_seed', 'max_seed']
    """
    grid = check_grid(grid)
    check_callback("progress", progress)
    named = [name for name in (funding, risk_free) if isinstance(name, str)]
    if not isinstance(config, Draft):
        config = check_config(config, on_history=history is not None)
        named = account_columns(config, funding, risk_free)
    history = check_bars(history, extra=named)
    if not isinstance(config, Draft):
        config = with_history(config, history)
    points = make_points(config, grid)
    config = points[0].config  # all configs agree in what follows
    refuse_split(config, "a sweep")
    seeds = check_seeds(seeds, negative=config.engine.compat is not None)
    for point in points:
        refuse_equal_seeds(point.config, seeds)
    on_history = config.environment.kind == "history"
    unused = {"evaluation_episodes": evaluation_episodes}
    if not on_history:
        unused = {"history": history, "validation_bars": validation_bars, "test_bars": test_bars}
        unused |= {"fill": fill, "fee_bps": fee_bps, "year_days": year_days, "size": None if size == 1.0 else size}
        unused |= {"cash_rate": cash_rate, "borrow_bps": borrow_bps, "funding": funding, "risk_free": risk_free or None}
    idle = [name for name, value in unused.items() if value is not None]
    if idle:
        raise InputError(f"the {config.environment.kind} environment has no use for {', '.join(idle)}")
    if on_history:
        history = _load(points, named) if history is None else history
        criterion = HistoryCriterion(
            [point.config for point in points],
            history,
            validation_bars,
            test_bars,
            assume(
                config,
                history.columns,
                fill=fill,
                fee_bps=fee_bps,
                size=size,
                cash_rate=cash_rate,
                borrow_bps=borrow_bps,
                funding=funding,
                risk_free=risk_free,
            ),
            year_days,
        )
    else:
        criterion = EpisodeCriterion(seeds, evaluation_episodes)
    workers = WorkerPool(jobs, len(points) * len(seeds))
    keys = [encoding_key(point.config) for point in points]
    encoded: Shared[HistoryBars | None] = Shared(workers.jobs)

    def trained(number: int, seed: int) -> Policy:
        config = points[number].config
        bars = encoded.get(keys[number], lambda: criterion.training_bars(config))
        trainer = Trainer(config, seed, bars)
        with workers.training(trainer):
            trainer.train()
        return trainer.rollout()[0]

    series: dict[tuple[int, int], np.ndarray] = {}
    lock, trials = threading.Lock(), [(number, seed) for number in range(len(points)) for seed in seeds]

    def validate(trial: tuple[int, int]) -> None:
        earned = criterion.validation(trained(*trial), workers.stopped)
        with lock:
            series[trial] = earned
            if progress is not None:
                progress(len(series), len(trials))

    # Those that see the same bars one after the other, since few are kept.
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    workers.each(validate, sorted(trials, key=lambda trial: order[keys[trial[0]]]))

    def pooled(validations: list[np.ndarray]) -> np.ndarray:
        return criterion.excess(criterion.pool(validations))

    books = np.array([pooled([series[number, seed] for seed in seeds]) for number in range(len(points))])
    scores = [criterion.score(book) for book in books]
    chosen = int(np.argmax(scores))
    policies: dict[int, Policy] = {}
    # Trained once more, to the same bits: cheaper than keeping every policy until the choice is made.
    workers.each(lambda seed: policies.update({seed: trained(chosen, seed)}), seeds)
    policies = {seed: policies[seed] for seed in seeds}
    by_trial = {trial: criterion.score(pooled([series[trial]])) for trial in trials}
    sharpes = [HistoryCriterion.score(book) for book in books]
    trials_in_effect = effective_trials(books)
    deflated = kpis.deflated_sharpe_ratio(books[chosen], sharpes, trials_in_effect)
    overfitting, test = probability_of_overfitting(books, is_sharpe=on_history), criterion.test(policies)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "assumptions": {
            "grid": {key: list(values) for key, values in grid.items()},
            "points": len(points),
            "seeds": list(seeds),
            "trials": len(trials),
            **criterion.assumptions(),
        },
        "chosen": {
            "point": chosen,
            "values": points[chosen].values,
            "fingerprint": points[chosen].config.fingerprint(),
        },
        "validation": {
            "score": scores[chosen],
            "score_of": criterion.SCORE,
            "sharpe": sharpes[chosen],
            "effective_trials": trials_in_effect,
            "expected_best_sharpe": kpis.expected_best_sharpe(sharpes, trials_in_effect),
            "deflated_sharpe_ratio": deflated,
            **_of_overfitting(overfitting),
        },
        "test": test,
        "notes": criterion.notes(),
        "verdict": "; ".join(
            [
                criterion.UNDEFINED if np.isnan(deflated) else _luck(deflated, len(points)),
                *([] if overfitting is None or np.isnan(deflated) else [_overfitted(overfitting)]),
                criterion.verdict(test),
            ]
        ),
    }
    return Sweep(
        config=points[chosen].config,
        history=history,
        chosen=chosen,
        policies=policies,
        points=_points_frame(points, seeds, scores, by_trial),
        trials=_trials_frame(points, by_trial),
        summary=null_nan(summary),
    )


def _load(points: list[Point], named: Iterable[str]) -> TrainingBars:
    """The bars that the grid's configs name, with the columns that any of them reads, and those named."""
    extra = {column for point in points for column in feature_columns(point.config)} | set(named)
    return load_config_bars(points[0].config, extra=extra)


def _luck(deflated: float, points: int) -> str:
    if points == 1:
        apart = "above 0 beyond chance" if deflated >= SIGNIFICANT else "not above 0 beyond chance"
        return f"on validation data the only config's Sharpe ratio is {apart} (probability {deflated:.3f})"
    what = "more than the luck" if deflated >= SIGNIFICANT else "no more than the luck"
    return f"on validation data {what} of the best of {points} (deflated Sharpe ratio {deflated:.3f})"


def _of_overfitting(found: Overfitting | None) -> dict[str, float | int | None]:
    if found is None:
        return dict.fromkeys(("probability_of_overfitting", "probability_of_loss", "median_rank", "splits"))
    return {
        "probability_of_overfitting": found.probability,
        "probability_of_loss": found.probability_of_loss,
        "median_rank": found.median_rank,
        "splits": found.splits,
    }


def _overfitted(found: Overfitting) -> str:
    what = "says nothing of" if found.probability >= OVERFITTED else "carries over to"
    return f"what is best on one half of it {what} the other (probability of overfitting {found.probability:.2f})"


def _points_frame(
    points: list[Point], seeds: Sequence[int], scores: list[float], by_trial: dict[tuple[int, int], float]
) -> pl.DataFrame:
    rows = []
    for number, (point, score) in enumerate(zip(points, scores, strict=True)):
        mine = [by_trial[number, seed] for seed in seeds]
        figures = {"score": score, "min_seed": min(mine), "max_seed": max(mine)}
        rows.append({"point": number, **_cells(point.values), **figures})
    return pl.DataFrame(rows, infer_schema_length=None)


def _trials_frame(points: list[Point], by_trial: dict[tuple[int, int], float]) -> pl.DataFrame:
    rows = [
        {"point": number, "seed": str(seed), **_cells(points[number].values), "score": by_trial[number, seed]}
        for number, seed in by_trial
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _cells(values: dict[str, Any]) -> dict[str, Any]:
    plain = (int, float, str, bool, type(None))
    return {key: value if isinstance(value, plain) else json.dumps(value) for key, value in values.items()}


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def parse_grid(texts: Iterable[str]) -> dict[str, list[Any]]:
    """A grid from texts `key=value,value`: JSON values, or else texts. Raises InputError."""
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, sign, values = (part.strip() for part in text.partition("="))
        if not sign or not key or not values:
            raise InputError(f"`grid={text!r}`: expected key=value,value, as in learning_rate=0.05,0.1")
        if key in grid:
            raise InputError(f"`grid={key!r}` is given twice; list all its values at once")
        grid[key] = _values(values)
    return grid


def _values(text: str) -> list[Any]:
    values, parts = [], text.split(",")
    while parts:
        # Commas within a JSON value have split it: the shortest run of parts that is JSON is one value.
        for count in range(1, len(parts) + 1):
            with suppress(ValueError, RecursionError):
                values.append(json.loads(",".join(parts[:count])))
                del parts[:count]
                break
        else:
            values.append(parts.pop(0).strip())
    return values

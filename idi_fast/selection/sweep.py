"""Sweeps: a grid of configs under several seeds, chosen on validation data and reported on test data."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import account_columns, assume
from idi_fast.config.arguments import check_callback, check_config, check_grid
from idi_fast.config.draft import Draft
from idi_fast.config.feature_columns import feature_columns
from idi_fast.config.seeds import check_seeds, refuse_equal_seeds
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.config_history import with_history
from idi_fast.data.panel import TrainingBars, TrainingBarsLike, check_bars
from idi_fast.environments.environment import HistoryBars
from idi_fast.environments.shared_bars import Shared, encoding_key
from idi_fast.environments.splits import refuse_split
from idi_fast.errors import InputError
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.selection.criteria import EpisodeCriterion, HistoryCriterion
from idi_fast.selection.grid import Point, make_points
from idi_fast.selection.overfitting import effective_trials, probability_of_overfitting
from idi_fast.selection.sweep_result import Sweep, luck, of_overfitting, overfitted, points_frame, trials_frame
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.training.trainer import Trainer


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
    points, history, named = _prepared(config, grid, history, funding, risk_free)
    config = points[0].config  # all configs agree in what follows
    refuse_split(config, "a sweep")
    seeds = check_seeds(seeds, negative=config.engine.compat is not None)
    for point in points:
        refuse_equal_seeds(point.config, seeds)
    money = {"cash_rate": cash_rate, "borrow_bps": borrow_bps, "funding": funding, "risk_free": risk_free}
    of_account = {"fill": fill, "fee_bps": fee_bps, "size": size, **money}
    if config.environment.kind == "history":
        _refuse_unused(config, {"evaluation_episodes": evaluation_episodes})
        history = _load(points, named) if history is None else history
        configs, assumed = [point.config for point in points], assume(config, history.columns, **of_account)
        criterion = HistoryCriterion(configs, history, validation_bars, test_bars, assumed, year_days)
    else:
        unused = {"history": history, "validation_bars": validation_bars, "test_bars": test_bars, **of_account}
        unused |= {"size": None if size == 1.0 else size, "risk_free": risk_free or None, "year_days": year_days}
        _refuse_unused(config, unused)
        criterion = EpisodeCriterion(seeds, evaluation_episodes)
    trials = _Trials(points, seeds, criterion, jobs)
    return _chosen(grid, trials, history, trials.validated(progress))


def _prepared(
    config: TrainingConfig | Mapping[str, Any] | Draft[TrainingConfig] | None,
    grid: Mapping[str, Sequence[Any]],
    history: TrainingBarsLike | None,
    funding: str | None,
    risk_free: float | str,
) -> tuple[list[Point], TrainingBars | None, Sequence[str]]:
    """The points, the bars that were given, and the columns that the account reads."""
    named: Sequence[str] = [name for name in (funding, risk_free) if isinstance(name, str)]
    if not isinstance(config, Draft):
        config = check_config(config, on_history=history is not None)
        named = account_columns(config, funding, risk_free)
    bars = check_bars(history, extra=named)
    if not isinstance(config, Draft):
        config = with_history(config, bars)
    return make_points(config, grid), bars, named


def _refuse_unused(config: TrainingConfig, options: dict[str, Any]) -> None:
    idle = [name for name, value in options.items() if value is not None]
    if idle:
        raise InputError(f"the {config.environment.kind} environment has no use for {', '.join(idle)}")


def _load(points: list[Point], named: Iterable[str]) -> TrainingBars:
    """The bars that the grid's configs name, with the columns that any of them reads, and those named."""
    extra = {column for point in points for column in feature_columns(point.config)} | set(named)
    return load_config_bars(points[0].config, extra=extra)


class _Trials:
    """Every config of a grid under every seed: trained, and seen on the validation data."""

    def __init__(
        self,
        points: list[Point],
        seeds: Sequence[int],
        criterion: HistoryCriterion | EpisodeCriterion,
        jobs: int | None,
    ):
        self.points, self.seeds, self.criterion = points, seeds, criterion
        self.all = [(number, seed) for number in range(len(points)) for seed in seeds]
        self._workers = WorkerPool(jobs, len(self.all))
        self._keys = [encoding_key(point.config) for point in points]
        self._encoded: Shared[HistoryBars | None] = Shared(self._workers.jobs)

    def validated(self, progress: Callable[[int, int], None] | None) -> dict[tuple[int, int], np.ndarray]:
        """The course of each trial's policy on the validation data, by the number of its point and its seed."""
        series: dict[tuple[int, int], np.ndarray] = {}
        lock = threading.Lock()

        def validate(trial: tuple[int, int]) -> None:
            earned = self.criterion.validation(self._trained(*trial), self._workers.stopped)
            with lock:
                series[trial] = earned
                if progress is not None:
                    progress(len(series), len(self.all))

        # Those that see the same bars one after the other, since few are kept.
        order = {key: place for place, key in enumerate(dict.fromkeys(self._keys))}
        self._workers.each(validate, sorted(self.all, key=lambda trial: order[self._keys[trial[0]]]))
        return series

    def policies(self, number: int) -> dict[int, Policy]:
        """Those of a point, by seed: trained once more, to the same bits, which is cheaper than keeping every policy
        until the choice is made."""
        made: dict[int, Policy] = {}
        self._workers.each(lambda seed: made.update({seed: self._trained(number, seed)}), self.seeds)
        return {seed: made[seed] for seed in self.seeds}

    def _trained(self, number: int, seed: int) -> Policy:
        config = self.points[number].config
        bars = self._encoded.get(self._keys[number], lambda: self.criterion.training_bars(config))
        trainer = Trainer(config, seed, bars)
        with self._workers.training(trainer):
            trainer.train()
        return trainer.rollout()[0]


def _chosen(
    grid: dict[str, list[Any]],
    trials: _Trials,
    history: TrainingBars | None,
    series: dict[tuple[int, int], np.ndarray],
) -> Sweep:
    """The best point on the validation data, and what it does on the test data."""
    points, seeds, criterion = trials.points, trials.seeds, trials.criterion

    def pooled(validations: list[np.ndarray]) -> np.ndarray:
        return criterion.excess(criterion.pool(validations))

    books = np.array([pooled([series[number, seed] for seed in seeds]) for number in range(len(points))])
    scores = [criterion.score(book) for book in books]
    chosen = int(np.argmax(scores))
    policies = trials.policies(chosen)
    by_trial = {trial: criterion.score(pooled([series[trial]])) for trial in trials.all}
    test = criterion.test(policies)
    validation, verdict = _of_validation(books, scores, chosen, criterion)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "assumptions": {
            "grid": {key: list(values) for key, values in grid.items()},
            "points": len(points),
            "seeds": list(seeds),
            "trials": len(trials.all),
            **criterion.assumptions(),
        },
        "chosen": {
            "point": chosen,
            "values": points[chosen].values,
            "fingerprint": points[chosen].config.fingerprint(),
        },
        "validation": validation,
        "test": test,
        "notes": criterion.notes(),
        "verdict": "; ".join([*verdict, criterion.verdict(test)]),
    }
    return Sweep(
        config=points[chosen].config,
        history=history,
        chosen=chosen,
        policies=policies,
        points=points_frame(points, seeds, scores, by_trial),
        trials=trials_frame(points, by_trial),
        summary=null_nan(summary),
    )


def _of_validation(
    books: np.ndarray, scores: list[float], chosen: int, criterion: HistoryCriterion | EpisodeCriterion
) -> tuple[dict[str, Any], list[str]]:
    """The figures of the chosen point on the validation data, and how far they may be luck, also in words."""
    sharpes, trials = [HistoryCriterion.score(book) for book in books], effective_trials(books)
    deflated = kpis.deflated_sharpe_ratio(books[chosen], sharpes, trials)
    overfitting = probability_of_overfitting(books, is_sharpe=isinstance(criterion, HistoryCriterion))
    figures = {
        "score": scores[chosen],
        "score_of": criterion.SCORE,
        "sharpe": sharpes[chosen],
        "effective_trials": trials,
        "expected_best_sharpe": kpis.expected_best_sharpe(sharpes, trials),
        "deflated_sharpe_ratio": deflated,
        **of_overfitting(overfitting),
    }
    if np.isnan(deflated):
        return figures, [criterion.UNDEFINED]
    return figures, [luck(deflated, len(books)), *([] if overfitting is None else [overfitted(overfitting)])]

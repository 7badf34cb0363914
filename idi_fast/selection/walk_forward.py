"""Walk-forward analysis (Pardo 1992): train on a window of a history, test on the bars after it, and move on."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import Observations
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import account_columns, assume
from idi_fast.backtesting.kpi_units import shown_row
from idi_fast.backtesting.risk_free import RiskFree
from idi_fast.config.arguments import check_callback, check_config, check_flag
from idi_fast.config.plugin_hashes import plugins_entry
from idi_fast.config.seeds import check_seeds, refuse_equal_seeds
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_history import with_history
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_data, versions
from idi_fast.data.panel import TrainingBars, TrainingBarsLike, required_bars
from idi_fast.data.spikes import notes_on
from idi_fast.environments.features import longest_window, resolve_features
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.shared_bars import SHARED_BYTES, Shared
from idi_fast.environments.splits import refuse_split
from idi_fast.errors import InputError
from idi_fast.evaluation.verdicts import account_verdict, short_tests
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.selection.tested import SymbolTests, equity_frame, symbols_frame, windows_frame
from idi_fast.selection.timeline import Places, Targets, Timeline
from idi_fast.selection.windows import Window, make_windows, window_sizes
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.storage.tables import write_table
from idi_fast.training.trainer import Trainer

_HEADS = ("", "median of seeds", "buy and hold")


@dataclass(frozen=True)
class WalkForward(display.Plotted):
    """A finished walk-forward analysis; made by `walk_forward`.

    Attributes
    ----------
    windows : polars.DataFrame
        A row per window and seed: the bars of training and test, and the figures of the test.
    equity : polars.DataFrame
        A row per tested bar and seed, over all windows: position, equity from 1, and buying and holding.
    summary : dict
        Figures of that equity by seed and over the seeds, those of buying and holding the same bars, notes on what
        makes them doubtful, and the verdict, as JSON values.
    assumptions : dict
        Bars, windows, seeds, fill and costs.
    symbols : polars.DataFrame or None
        Of many symbols, a row per symbol and seed: the figures of its own account over all tests.
    config : TrainingConfig
    history : History or Panel
    """

    config: TrainingConfig
    history: TrainingBars
    assumptions: dict
    windows: pl.DataFrame
    equity: pl.DataFrame
    summary: dict
    symbols: pl.DataFrame | None = None

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._rows(), _HEADS) + f"\n  {self.summary['verdict']}"

    def _repr_html_(self) -> str:
        first = self.equity.filter(pl.col("seed") == str(self.assumptions["seeds"][0]))
        lines = {f"seed {self.assumptions['seeds'][0]}": first["equity"], "buy and hold": first["buy_and_hold"]}
        title, links = f"{self._title()}: {self.summary['verdict']}", display.file_links(display.saved_at(self))
        arrays = {name: line.to_numpy() for name, line in lines.items()}
        return display.as_html(title, self._rows(), _HEADS, arrays, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """A row per seed and one for buying and holding, a column per figure over all tests."""
        found = {f"seed {seed}": of for seed, of in self.summary["by_seed"].items()}
        found["buy and hold"] = self.summary["buy_and_hold"]
        rows = [{"of": name, **{k: v for k, v in of.items() if not isinstance(v, list)}} for name, of in found.items()]
        return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.selectors.float().fill_nan(None))

    def _title(self) -> str:
        about = self.assumptions
        windows, seeds = about["windows"], len(about["seeds"])
        return f"WalkForward, windows: {windows}, seeds: {seeds}, tested bars: {about['tested_bars']:,}"

    def _rows(self) -> list[tuple]:
        spread, held = self.summary["over_seeds"], self.summary["buy_and_hold"]
        names = ("total_return", "sharpe_annualised", "max_drawdown")
        return [shown_row(name, spread[name]["median"], held[name]) for name in names]

    def to_dict(self) -> dict:
        """The content of walkforward.json."""
        return {"schema_version": SCHEMA_VERSION, "assumptions": self.assumptions, **self.summary}

    def write(self, folder: Path) -> None:
        """Fill an empty folder with walkforward.json, windows.parquet, equity.parquet, of many symbols symbols.parquet,
        run.json and manifest.json."""
        write_json(folder / "walkforward.json", self.to_dict())
        write_table(folder / "windows.parquet", self.windows)
        write_table(folder / "equity.parquet", self.equity)
        if self.symbols is not None:
            write_table(folder / "symbols.parquet", self.symbols)
        fingerprint = self.config.fingerprint()
        run = {
            "schema_version": SCHEMA_VERSION,
            "kind": "walkforward",
            "fingerprint": fingerprint,
            "assumptions": self.assumptions,
            "versions": versions(),
            "data": describe_data(self.history),
            "config": self.config.canonical(),
            **plugins_entry(self.config),
        }
        write_json(folder / "run.json", run)
        training = {"seeds": self.assumptions["seeds"], "episodes": self.config.drawn_episodes}
        write_manifest(folder, config_sha256=fingerprint, training=training)

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast walkforward` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            self.write(folder)
        display.remember_place(self, out)


def walk_forward(
    config: TrainingConfig | Mapping[str, Any] | None,
    history: TrainingBarsLike,
    *,
    train_bars: int | None = None,
    test_bars: int | None = None,
    step: int | None = None,
    anchored: bool = False,
    warm: bool = False,
    seeds: Iterable[int] = (0,),
    jobs: int | None = None,
    fill: str | None = None,
    fee_bps: float | None = None,
    size: float = 1.0,
    cash_rate: float | None = None,
    borrow_bps: float | None = None,
    funding: str | None = None,
    risk_free: float | str = 0.0,
    year_days: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WalkForward:
    """Train and test over the windows of a history, each test strictly on bars after its training.

    Features, edges and tables are fitted on a window's training bars only. Between training and test lies an embargo,
    as long as the longest feature window, so that no feature of a tested bar has seen a training bar: its bars
    only fill the features' windows, and the agent begins flat at the first tested bar. One account runs over all tests.

    Of many symbols all are tested at the same dates: bars are counted in the times at which any symbol has one, and the
    embargo is one of each symbol's own bars. A window trains one policy on the symbols with bars for an episode. Each
    symbol has an account of its own; the result is of equal capital in each, as in a backtest of many symbols.

    Parameters
    ----------
    config
        The settings, or a dict of them; None: the default. A history makes the synthetic environment that of the
        history.
    history
        Bars to train and test on: a history, a frame, or a dict of them by symbol.
    train_bars
        Bars per training; by default half of the history.
    test_bars
        Bars per test, 2 or more; by default a tenth of the history.
    step
        Bars from one window to the next, at least `test_bars`, the default.
    anchored
        Whether every training begins with the first bar.
    warm
        Whether a window's tables start from those of the previous window.
    seeds
        Distinct integers; every window is trained under each.
    jobs
        Threads; by default the usable cores.
    fill, fee_bps, size, cash_rate, borrow_bps, funding, risk_free, year_days
        As for `backtest`.
    progress
        Called with the number of finished runs, and of all.

    Returns
    -------
    WalkForward
        `windows`, `equity` and `summary`; `save` writes what `idi-fast walkforward` writes.

    Raises
    ------
    InputError
        If an argument cannot be used, or the history is too short.
    IdiFastError
        If values overflow.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> close = 100.0 + np.sin(np.arange(400) / 5.0)
    >>> bars = idi.History.from_frame({"open": close, "close": close})
    >>> config = {"episodes": 2, "episode_length": 16}
    >>> walk = idi.walk_forward(config, bars, train_bars=150, test_bars=60, seeds=range(2))
    >>> walk.windows.height  # four windows, two seeds
    8
    """
    config = check_config(config, on_history=history is not None)
    history = required_bars(history, extra=account_columns(config, funding, risk_free))
    check_callback("progress", progress)
    check_flag("anchored", anchored)
    check_flag("warm", warm)
    config = with_history(config, history)
    if config.environment.kind != "history":
        raise InputError(f"environment.kind is {config.environment.kind!r}; a walk-forward needs 'history'")
    refuse_split(config, "a walk-forward")
    seeds = check_seeds(seeds, negative=False)
    refuse_equal_seeds(config, seeds)
    embargo = longest_window(config, resolve_features(config, history.columns))
    timeline = Timeline(history, embargo)
    bars = len(timeline)
    assumed = assume(
        config,
        history.columns,
        fill=fill,
        fee_bps=fee_bps,
        size=size,
        cash_rate=cash_rate,
        borrow_bps=borrow_bps,
        funding=funding,
        risk_free=risk_free,
    )
    sizes = window_sizes(bars, train_bars, test_bars, step, episode_length=config.episode_length)
    windows = make_windows(bars, *sizes, embargo=embargo, anchored=anchored)
    training = [
        timeline.training(window.train_start, window.train_stop, window.test_start, config.episode_length)
        for window in windows
    ]
    places = [timeline.places(*window.tested) for window in windows]
    workers = WorkerPool(jobs, len(seeds) if warm else len(windows))
    targets = _train(config, seeds, timeline, training, places, warm, workers, progress)
    long = [{symbol: np.ones(stop - start, np.int8) for symbol, (start, stop) in place.items()} for place in places]
    held = SymbolTests.of(timeline, long, places, assumed)
    accounts = {seed: SymbolTests.of(timeline, targets[seed], places, assumed) for seed in seeds}
    frequency = kpis.frequency_of(timeline.time, year_days)
    per_year = frequency.periods_per_year
    equity = equity_frame(timeline, windows, accounts, held)
    riskless = _riskless(timeline, windows, assumed.risk_free)
    about = {} if isinstance(history, History) else {"symbols": len(timeline.histories)}
    return WalkForward(
        config=config,
        history=history,
        assumptions={
            **about,
            "bars": bars,
            **dict(zip(("train_bars", "test_bars", "step"), sizes, strict=True)),
            "anchored": anchored,
            "warm": warm,
            "embargo": embargo,
            "windows": len(windows),
            "seeds": list(seeds),
            "fill": assumed.fill,
            "fee_bps": assumed.fee_bps,
            **assumed.of_money(),
            "tested_bars": sum(w.test_stop - w.test_start for w in windows),
            "periods_per_year": None if np.isnan(per_year) else per_year,
        },
        windows=windows_frame(timeline, windows, training, accounts, held, per_year, riskless),
        equity=equity,
        symbols=None
        if isinstance(history, History)
        else symbols_frame(timeline, accounts, held, year_days, assumed.risk_free),
        summary=_summary(equity, seeds, per_year, riskless, [*_notes(windows, embargo), *notes_on(history, frequency)]),
    )


def _train(
    config: TrainingConfig,
    seeds: tuple[int, ...],
    timeline: Timeline,
    training: Sequence[TrainingBars],
    places: Sequence[Places],
    warm: bool,
    workers: WorkerPool,
    progress: Callable[[int, int], None] | None,
) -> dict[int, list[Targets]]:
    """Train on each window under each seed: what the policies do over the tests, by seed and in the windows' order."""
    found: dict[tuple[int, int], Targets] = {}
    lock = threading.Lock()
    # With `warm` each seed goes through all windows, else each window through all seeds.
    room = SHARED_BYTES if warm else workers.jobs
    markets: Shared[HistoryBars] = Shared(room, lambda bars: bars.nbytes if warm else 1)
    seen: Shared[Observations] = Shared(room, lambda bars: bars.nbytes if warm else 1)

    def test(seed: int, number: int, market: HistoryBars, initial: Policy | None) -> Policy:
        trainer = Trainer(config, seed, market, initial)
        with workers.training(trainer):
            trainer.train()
        policy, _ = trainer.rollout()
        # The edges of a window are those of its bars, under every seed.
        targets = timeline.decide(policy, places[number], seen, number)
        with lock:
            found[seed, number] = targets
            if progress is not None:
                progress(len(found), len(training) * len(seeds))
        return policy

    def market(number: int) -> HistoryBars:
        return markets.get(number, lambda: HistoryBars(config, training[number]))

    def one_window(number: int) -> None:
        shared = market(number)
        for seed in seeds:
            test(seed, number, shared, None)

    def one_seed(seed: int) -> None:
        policy = None
        for number in range(len(training)):
            policy = test(seed, number, market(number), policy)

    if warm:
        workers.each(one_seed, seeds)
    else:
        workers.each(one_window, range(len(training)))
    return {seed: [found[seed, number] for number in range(len(training))] for seed in seeds}


def _riskless(timeline: Timeline, windows: list[Window], rate: float | str) -> list[np.ndarray] | None:
    """The riskless returns over the tested bars of each window, those of one account over all."""
    of_windows = RiskFree(rate)
    returns = [timeline.riskless(of_windows, *window.tested) for window in windows]
    return [part for part in returns if part is not None] or None


def _summary(
    equity: pl.DataFrame,
    seeds: tuple[int, ...],
    per_year: float,
    riskless: list[np.ndarray] | None,
    notes: list[str],
) -> dict:
    figures, held = {}, np.empty(0)
    of_cash = None if riskless is None else np.concatenate(riskless)
    for seed in map(str, seeds):
        mine = equity.filter(pl.col("seed") == seed)
        values, held = mine["equity"].to_numpy(), mine["buy_and_hold"].to_numpy()
        returns, of_holding = kpis.bar_returns(values), kpis.bar_returns(held)
        n = min(returns.size, of_holding.size)  # a liquidated equity has no more returns
        figures[seed] = {
            **kpis.equity_kpis(values, per_year, of_cash),
            "sharpe_interval": list(kpis.sharpe_interval(kpis.excess_returns(values, of_cash))),
            "excess_sharpe_interval": list(kpis.sharpe_interval(returns[:n] - of_holding[:n])),
        }
    spread = {
        name: {
            label: float(function([values[name] for values in figures.values()]))
            for label, function in (("min", np.min), ("median", np.median), ("max", np.max))
        }
        for name in ("total_return", "sharpe_per_bar", "sharpe_annualised", "max_drawdown")
    }
    intervals = {"zero": "sharpe_interval", "buy_and_hold": "excess_sharpe_interval"}
    above = {name: [seed for seed, of in figures.items() if of[key][0] > 0.0] for name, key in intervals.items()}
    below = {name: [seed for seed, of in figures.items() if of[key][1] < 0.0] for name, key in intervals.items()}
    holding, median = kpis.equity_kpis(held, per_year, of_cash), spread["total_return"]["median"]
    return null_nan(
        {
            "by_seed": figures,
            "over_seeds": spread,
            "buy_and_hold": holding,
            "significantly_above": above,
            "significantly_below": below,
            "notes": notes,
            "verdict": account_verdict(median, holding["total_return"], above, below, len(seeds)),
        }
    )


def _notes(windows: Sequence[Window], embargo: int) -> list[str]:
    one = "there is a single window; fewer train_bars or test_bars make more"
    longest = max(window.test_stop - window.test_start for window in windows)
    return [one] * (len(windows) == 1) + short_tests({"a test": longest}, embargo)

"""Walk-forward analysis (Pardo 1992): train on a window of a history, test on the bars after it, and move on."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import decide_from_flat
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import Account, AccountSimulator, TradingAssumptions, resolve_fill
from idi_fast.config.seeds import check_seeds
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_history import with_history
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_history, iso_time, versions
from idi_fast.data.spikes import notes_on
from idi_fast.data.timestamps import time_series
from idi_fast.environments.environment import HistoryBars
from idi_fast.environments.features import longest_window, resolve_features
from idi_fast.errors import InputError
from idi_fast.evaluation.verdicts import beside, beyond_chance, short_tests, signed_percent
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.tables import write_table
from idi_fast.training.artifact import SCHEMA_VERSION, write_manifest
from idi_fast.training.trainer import Trainer


@dataclass(frozen=True)
class Window:
    """Bars [train_start, train_stop) are trained on, [test_start, test_stop) tested; between them lies the embargo."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


def make_windows(
    bars: int, train_bars: int, test_bars: int, step: int, *, embargo: int, anchored: bool = False
) -> list[Window]:
    """The windows of a history, each `step` bars after the one before; the last may have a shorter test.

    anchored: every training begins with the first bar, and is longer by `step` each time. Raises InputError.
    """
    if train_bars < 1:
        raise InputError(f"train_bars is {train_bars}; expected 1 or more")
    if step < test_bars:
        raise InputError(f"step is {step}, but a test has {test_bars} bars; expected at least these, or tests overlap")
    # A decision is filled on the next bar, and before a gap the last one to be filled is to leave.
    least = 2 if step == test_bars else 3
    if test_bars < least:
        raise InputError(f"test_bars is {test_bars}; expected {least} or more, or nothing could be traded")
    if bars < train_bars + embargo + 2:
        raise InputError(
            f"the history has {bars} bars; {train_bars} for training, an embargo of {embargo} and a test of two need "
            f"{train_bars + embargo + 2}"
        )
    starts = range(0, bars - train_bars - embargo - 1, step)
    return [
        Window(
            0 if anchored else start, start + train_bars, start + train_bars + embargo,
            min(bars, start + train_bars + embargo + test_bars),
        )
        for start in starts
    ]  # fmt: skip


@dataclass(frozen=True)
class WalkForward:
    """A finished walk-forward analysis.

    windows: a row a window and seed, see `Tested`; equity: a row a tested bar and seed, over all windows;
    summary: KPIs of that equity, of each seed and over them, and of buying and holding the same bars, and notes on what
    makes them doubtful, as JSON values.
    """

    config: TrainingConfig
    history: History
    assumptions: dict
    windows: pl.DataFrame
    equity: pl.DataFrame
    summary: dict

    def to_dict(self) -> dict:
        """What walkforward.json holds."""
        return {"schema_version": SCHEMA_VERSION, "assumptions": self.assumptions, **self.summary}

    def write(self, folder: Path) -> None:
        """Fill an empty folder with walkforward.json, windows.parquet, equity.parquet, run.json and manifest.json."""
        write_json(folder / "walkforward.json", self.to_dict())
        write_table(folder / "windows.parquet", self.windows)
        write_table(folder / "equity.parquet", self.equity)
        fingerprint = self.config.fingerprint()
        run = {
            "schema_version": SCHEMA_VERSION, "kind": "walkforward", "fingerprint": fingerprint,
            "assumptions": self.assumptions, "versions": versions(), "data": describe_history(self.history),
            "config": self.config.to_dict(),
        }  # fmt: skip
        write_json(folder / "run.json", run)
        training = {"seeds": self.assumptions["seeds"], "episodes": self.config.episodes}
        write_manifest(folder, config_sha256=fingerprint, training=training)

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast walkforward` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            self.write(folder)


def walk_forward(
    config: TrainingConfig,
    history: History,
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
    year_days: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> WalkForward:
    """Train and test over the windows of a history, each test strictly on bars after its training.

    config: of the history environment, which a config of the synthetic one, the default, is made.
    train_bars, test_bars: half and a tenth of the history by default; step: `test_bars` by default. Features, edges and
    tables are fitted on a window's training bars only. The embargo between training and test is the longest feature
    window, so that no feature of a tested bar has seen one of the training; its bars only fill the features' windows,
    and the agent begins flat at the first tested bar, whatever the account holds. warm: a window's tables begin with
    those of the one before. fill, fee_bps: as for `backtest`. progress: called with how many runs are done, and of how
    many. year_days: as for `backtest`. The account is one over all tests: see `account_of_tests`. Raises InputError,
    DataError, IdiFastError.
    """
    config = with_history(config, history)
    if config.environment.kind != "history":
        raise InputError(f"environment.kind is {config.environment.kind!r}; a walk-forward needs 'history'")
    seeds, bars = check_seeds(seeds, negative=False), len(history)
    fee = config.environment.market.fee_bps if fee_bps is None else fee_bps
    assumed = TradingAssumptions(resolve_fill(fill, history.open is not None), fee)
    train_bars = bars // 2 if train_bars is None else train_bars
    test_bars = max(2, bars // 10) if test_bars is None else test_bars
    embargo = longest_window(config, resolve_features(config, history.columns))
    windows = make_windows(
        bars, train_bars, test_bars, test_bars if step is None else step, embargo=embargo, anchored=anchored
    )
    if train_bars <= config.episode_length:
        raise InputError(f"train_bars is {train_bars}; expected more than episode_length ({config.episode_length})")
    targets, lock, workers = {}, threading.Lock(), WorkerPool(jobs, len(seeds) if warm else len(windows))

    def test(seed: int, number: int, market: HistoryBars, initial: Policy | None) -> Policy:
        window = windows[number]
        trainer = Trainer(config, seed, market, initial)
        with workers.training(trainer):
            trainer.train()
        policy, _ = trainer.rollout()
        target = decide_from_flat(policy, history, window.test_start, window.test_stop, embargo)
        with lock:
            targets[seed, number] = target
            progress(len(targets), len(windows) * len(seeds))
        return policy

    def market(number: int) -> HistoryBars:
        return HistoryBars(config, history.slice(windows[number].train_start, windows[number].train_stop))

    def one_window(number: int) -> None:
        shared = market(number)
        for seed in seeds:
            test(seed, number, shared, None)

    def one_seed(seed: int) -> None:
        policy = None
        for number in range(len(windows)):
            policy = test(seed, number, market(number), policy)

    if warm:
        workers.each(one_seed, seeds)
    else:
        workers.each(one_window, range(len(windows)))
    accounts = {
        seed: account_of_tests([targets[seed, number] for number in range(len(windows))], history, windows, assumed)
        for seed in seeds
    }
    long = [np.ones(window.test_stop - window.test_start, np.int8) for window in windows]
    held = account_of_tests(long, history, windows, assumed)
    frequency = kpis.pace_of(history.time, year_days)
    per_year = frequency.periods_per_year
    equity = _equity_frame(history, windows, accounts, held)
    return WalkForward(
        config=config,
        history=history,
        assumptions={
            "bars": bars, "train_bars": train_bars, "test_bars": test_bars,
            "step": test_bars if step is None else step, "anchored": anchored, "warm": warm, "embargo": embargo,
            "windows": len(windows), "seeds": list(seeds), "fill": assumed.fill, "fee_bps": assumed.fee_bps,
            "tested_bars": sum(w.test_stop - w.test_start for w in windows),
            "periods_per_year": None if np.isnan(per_year) else per_year,
        },
        windows=_windows_frame(history, windows, accounts, held, per_year),
        equity=equity,
        summary=_summary(equity, seeds, per_year, [*_notes(windows, embargo), *notes_on(history, frequency)]),
    )  # fmt: skip


class Tested(NamedTuple):
    """One account over the tests of all windows.

    equity float64 (tested bars,): from 1; parts: of each window, in units of the equity that the window began with, and
    with the trades that ended in it, the open one last. After a liquidation nothing is left to earn or to lose: the
    equity of a part is 1.
    """

    equity: np.ndarray
    parts: list[Account]


def account_of_tests(
    targets: Sequence[np.ndarray], history: History, windows: Sequence[Window], assumed: TradingAssumptions
) -> Tested:
    """The account of target positions int8 (n,), in each window decided at the closes of its tested bars.

    Only where they differ is there an order: what is held at the end of a test is held on in one that follows at once.
    Before a gap the account leaves on the last tested bar, and pays for it.
    """
    keeper, equities, parts = AccountSimulator(assumed), [], []
    began, spent = 1.0, keeper.totals
    for number, (target, window) in enumerate(zip(targets, windows, strict=True)):
        if number + 1 < len(windows) and windows[number + 1].test_start > window.test_stop:
            # What is decided at the last close would be filled in the gap.
            target = np.concatenate([target[:-2], np.zeros(2, np.int8)])
        equity, position, trades = keeper.push(target, history.slice(window.test_start, window.test_stop))
        trades, totals = np.concatenate([trades, keeper.open_trade]), keeper.totals
        costs = {name: (totals[name] - spent[name]) / (began or 1.0) for name in ("fees", "slippage", "traded")}
        own = equity / began if began > 0.0 else np.ones(equity.size)
        parts.append(Account(own, position, trades, **costs, liquidated_at=totals["liquidated_at"]))
        equities.append(equity)
        began, spent = float(equity[-1]), totals
    return Tested(np.concatenate(equities), parts)


def _windows_frame(
    history: History, windows: list[Window], accounts: dict[int, Tested], held: Tested, per_year: float
) -> pl.DataFrame:
    rows = []
    for number, window in enumerate(windows):
        bounds = (window.train_start, window.train_stop - 1, window.test_start, window.test_stop - 1)
        names = ("train_first", "train_last", "test_first", "test_last")
        about = {"window": number, **dict(zip(names, bounds, strict=True))}
        if history.time is not None:
            about |= {f"{name}_time": iso_time(history.time[at]) for name, at in zip(names, bounds, strict=True)}
        of_holding = float(held.parts[number].equity[-1]) - 1.0
        for seed, account in accounts.items():
            part = account.parts[number]
            figures = {**kpis.equity_kpis(part.equity, per_year), **kpis.trade_kpis(part.trades)}
            figures |= {"turnover": part.traded, "fees": part.fees}
            rows.append({**about, "seed": str(seed), **figures, "buy_and_hold": of_holding})
    return pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None))


def _equity_frame(history: History, windows: list[Window], accounts: dict[int, Tested], held: Tested) -> pl.DataFrame:
    ticks = np.concatenate([np.arange(w.test_start, w.test_stop) for w in windows])
    about: dict[str, object] = {
        "window": np.repeat(np.arange(len(windows)), [w.test_stop - w.test_start for w in windows]),
        "tick": ticks,
    }
    if history.time is not None:
        about["time"] = time_series(history.time[ticks])
    about |= {"close": history.close[ticks], "buy_and_hold": held.equity}
    frames = []
    for seed, account in accounts.items():
        own = {"position": np.concatenate([part.position for part in account.parts]), "equity": account.equity}
        frames.append(pl.DataFrame({"seed": [str(seed)] * ticks.size, **about, **own}))
    return pl.concat(frames)


def _summary(equity: pl.DataFrame, seeds: tuple[int, ...], per_year: float, notes: list[str]) -> dict:
    figures, held = {}, np.empty(0)
    for seed in map(str, seeds):
        mine = equity.filter(pl.col("seed") == seed)
        values, held = mine["equity"].to_numpy(), mine["buy_and_hold"].to_numpy()
        returns, of_holding = kpis.bar_returns(values), kpis.bar_returns(held)
        n = min(returns.size, of_holding.size)  # a liquidated equity has no more returns
        figures[seed] = {
            **kpis.equity_kpis(values, per_year),
            "sharpe_interval": list(kpis.sharpe_interval(returns)),
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
    holding = kpis.equity_kpis(held, per_year)
    return null_nan(
        {
            "by_seed": figures,
            "over_seeds": spread,
            "buy_and_hold": holding,
            "significantly_above": above,
            "significantly_below": below,
            "notes": notes,
            "verdict": _verdict(spread["total_return"]["median"], holding["total_return"], above, below, len(seeds)),
        }
    )


def _notes(windows: Sequence[Window], embargo: int) -> list[str]:
    one = "it comes down to one window: a single training and test; fewer train_bars or test_bars make more"
    longest = max(window.test_stop - window.test_start for window in windows)
    return [one] * (len(windows) == 1) + short_tests({"a test": longest}, embargo)


def _verdict(earned: float, of_holding: float, above: dict, below: dict, seeds: int) -> str:
    """earned: the total return, of several seeds the median; above, below: the seeds of which that is significant."""
    more = f", the median of {seeds} seeds" if seeds > 1 else ""
    found = beside(earned, of_holding, "buy and hold", signed_percent, more)
    if earned != of_holding:
        found += f", {beyond_chance(len((above if earned > of_holding else below)['buy_and_hold']), seeds)}"
    if earned == 0.0:
        return f"{found}; neither a profit nor a loss"
    result, shown = ("profit", above) if earned > 0.0 else ("loss", below)
    return f"{found}; a {result} {beyond_chance(len(shown['zero']), seeds)}"

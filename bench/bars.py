"""The suites `backtest` and `export`: from a Parquet file to an account, and from a trace to streams."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.artifact import save_training
from idi_fast.backtest import backtest
from idi_fast.bench.case import Case, Context, Differs, Timed, elapsed, expect_equal
from idi_fast.bench.oracle import backtest as account_oracle
from idi_fast.bench.oracle import market_engine, reference
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import COMPAT, MARKET_TOLERANCE, compare, market_learnt, random_walk
from idi_fast.bench.yardsticks import SEED
from idi_fast.config import TrainingConfig
from idi_fast.export import export_streams
from idi_fast.history import History, load_history
from idi_fast.policy import Policy
from idi_fast.trainer import create_trainer

COLUMNS = ("time", "open", "close", "volume")


def write_bars(path: Path, history: History) -> Path:
    """The history as a Parquet file."""
    columns = {name: getattr(history, name) for name in COLUMNS}
    frame = pl.DataFrame(columns).with_columns(pl.col("time").cast(pl.Datetime("ns", "UTC")))
    frame.write_parquet(path)
    return path


def make_backtest(sizes: Sizes, context: Context) -> list[Case]:
    """Reading a history, and replaying a policy over it."""
    path = cache(lambda: write_bars(context.folder / "bars.parquet", random_walk(sizes.bars)))
    history = cache(lambda: load_history(path()))
    policy = cache(lambda: _train_on(random_walk(sizes.check_bars), sizes)[0])

    def read() -> float:
        file = path()
        return elapsed(lambda: load_history(file))

    def replay() -> float:
        given = policy(), history()
        return elapsed(lambda: backtest(*given))

    def check_reading() -> None:
        made, read = random_walk(sizes.check_bars), context.folder / "few_bars.parquet"
        write_bars(read, made)
        for name in COLUMNS:
            expect_equal(name, getattr(load_history(read), name), getattr(made, name))

    return [
        Case(
            "backtest", "read Parquet", "bar", "the arrays written", check_reading,
            Timed(sizes.bars, read), compiles=False,
        ),
        Case(
            "backtest", "replay and account", "bar", "market_engine.follow, backtest.account",
            lambda: _check_backtest(sizes), Timed(sizes.bars, replay),
        ),
    ]  # fmt: skip


def _train_on(history: History, sizes: Sizes) -> tuple[Policy, np.ndarray]:
    config = TrainingConfig.from_dict({"episodes": sizes.check_episodes, "environment": {"kind": "history"}})
    trainer = create_trainer(config, SEED, history)
    policy, _ = trainer.run()
    return policy, trainer.episode_rewards


def _check_backtest(sizes: Sizes) -> None:
    history = random_walk(sizes.check_bars)
    policy, rewards = _train_on(history, sizes)
    columns = (array.tolist() for array in (history.close, history.open, history.volume))
    market = market_engine.HistoryMarket(policy.config.to_dict(), SEED, *columns)
    agent, expected_rewards = market_engine.train(market, sizes.check_episodes)
    compare(policy, rewards, market_learnt(agent, policy.config.quantizer, expected_rewards), MARKET_TOLERANCE)

    result = backtest(policy, history)
    ticks = market_engine.follow(agent, market.bars)
    # The last bar's decision has no bar after it in which the oracle could take it.
    expect_equal("target", result.trace.position[:-1], [tick.position for tick in ticks])
    expect_equal("communication", result.trace.comm_action[:-1], [tick.comm for tick in ticks])
    fee_rate = policy.config.environment.market.fee_bps / 1e4
    given = result.trace.position, history.open, history.close, account_oracle.NEXT_OPEN, fee_rate
    kept = account_oracle.account(*given)
    expect_equal("position", result.account.position, kept.position)
    # The oracle's fractions are exact.
    expect_equal("equity", result.account.equity, [float(value) for value in kept.equity], **MARKET_TOLERANCE)
    expect_equal("fees", [result.account.fees], [float(kept.fees)], **MARKET_TOLERANCE)


def make_export(sizes: Sizes, context: Context) -> list[Case]:
    """Writing the streams of a trace."""
    artifact = cache(lambda: _save(context.folder / "long_run", 1, sizes.ticks))

    def export() -> float:
        made = artifact()
        return elapsed(lambda: export_streams(made, context.folder / "streams"))

    def check() -> None:
        artifact = _save(context.folder / "short_run", sizes.check_episodes, 64)
        export_streams(artifact, context.folder / "short_streams")
        run = reference.train({"episodes": sizes.check_episodes}, seed=SEED)
        for name, expected in reference.stream_files(run).items():
            if (context.folder / "short_streams" / name).read_bytes() != expected:
                raise Differs(f"{name} is not what the oracle writes")

    return [
        Case(
            "export", f"{len(reference.STREAMS)} streams", "tick", "reference.stream_files", check,
            Timed(sizes.ticks, export), compiles=False,
        )
    ]  # fmt: skip


def _save(folder: Path, episodes: int, episode_length: int) -> Path:
    fields = {"episodes": episodes, "episode_length": episode_length, "engine": COMPAT}
    trainer = create_trainer(TrainingConfig.from_dict(fields), SEED)
    save_training(folder, trainer, *trainer.run())
    return folder

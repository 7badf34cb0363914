"""Of the suite `backtest`: many policies over the same bars in one pass."""

from collections.abc import Callable
from functools import cache
from itertools import cycle, islice

from idi_fast.agents.policy import Policy
from idi_fast.backtesting.backtest import backtest
from idi_fast.backtesting.populations import backtest_population
from idi_fast.bench.backtest_twins import expect_kpis, run_kpis, train_both
from idi_fast.bench.bars import write_bars, write_walk
from idi_fast.bench.case import Case, Context, Timed, elapsed, expect_equal
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import random_walk
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.loading import load_history
from idi_fast.parallel.worker_pool import usable_cores
from idi_fast.training.trainer import create_trainer

TRAINED = 8
"""Policies that are trained; of more, the same ones follow in turn, each with a table and an account of its own."""


def make(
    sizes: Sizes, context: Context, fields: dict, columns: tuple[str, ...], training: Callable[[], History]
) -> list[Case]:
    """The case of a population: fields of the policies' config, columns of the bars of its check, and the bars that
    the others are trained on."""

    @cache
    def policies() -> list[Policy]:
        config, bars = TrainingConfig.from_dict({**fields, "episodes": sizes.lane_episodes}), training()
        return [create_trainer(config, seed, bars).run()[0] for seed in range(min(TRAINED, sizes.policies))]

    history = cache(lambda: load_history(write_walk(context.folder / "population.parquet", sizes.bars)))

    def seconds(count: int) -> float:
        chosen, bars = policies(), history()
        return elapsed(lambda: backtest_population(islice(cycle(chosen), count), bars, fee_bps=0.0))

    def alone() -> float:
        policy, bars = policies()[0], history()
        return elapsed(lambda: backtest(policy, bars, fee_bps=0.0))

    def check() -> None:
        few = load_history(
            write_bars(context.folder / "population_few.parquet", random_walk(sizes.check_bars), columns)
        )
        pairs = [train_both({**fields, "learning_rate": rate}, few, sizes.check_episodes) for rate in (0.05, 0.1, 0.2)]
        made = backtest_population([policy for policy, _ in pairs], few).table
        for row, (policy, twin) in zip(made.iter_rows(named=True), pairs, strict=True):
            expect_kpis(row, run_kpis(twin.run(few)))
            expected = backtest(policy, few).to_dict()["kpis"]
            expect_equal("the KPIs", [row[name] for name in expected], [*expected.values()])

    beyond = sizes.policies - 1
    return [
        Case(
            "backtest",
            f"each of {sizes.policies:,} policies beyond the first, {sizes.bars:,} bars",
            "bar",
            "market_engine.follow, backtest.account, kpis",
            check,
            Timed(beyond * sizes.bars, lambda: max(1e-9, seconds(sizes.policies) - seconds(1))),
            {"alone": Timed(sizes.bars, alone)},
            details={"jobs": usable_cores()},
        )
    ]

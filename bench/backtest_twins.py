"""A backtest by the plain-Python twins: training, rollout over other bars, account and KPIs."""

import math
import statistics
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from idi_fast.agents.policy import Policy
from idi_fast.bench.case import expect_equal
from idi_fast.bench.oracle import backtest as accounts
from idi_fast.bench.oracle import kpis as sums
from idi_fast.bench.oracle import market_engine, rollout
from idi_fast.bench.training import MARKET_TOLERANCE, compare, market_learnt
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.training.trainer import create_trainer


class TwinRun(NamedTuple):
    """The decisions on each bar but the last, and the accounts of these and of buy and hold."""

    ticks: list[rollout.Tick]
    account: accounts.Account
    held: accounts.Account


class Twin:
    """The agent that a config's twin trains on a history, and the reward of each episode."""

    def __init__(self, config: TrainingConfig, history: History):
        self._config, bars = config.to_dict(), _logs(history)
        market = market_engine.HistoryMarket(self._config, SEED, *_columns(history))
        self._encoder = market_engine.Encoder(bars, market_engine.feature_sizes(self._config))
        self.agent, self.rewards = market_engine.train(market, config.episodes)

    def run(self, history: History) -> TwinRun:
        """Its backtest: filled at the next open, or at the next close if there is no open."""
        fee_rate = self._config["environment"]["market"]["fee_bps"] / 1e4
        rows = market_engine.market_rows(_logs(history), self._encoder, fee_rate, self._config["rewards"])
        ticks = market_engine.follow(self.agent, rows)
        fill = accounts.NEXT_CLOSE if history.open is None else accounts.NEXT_OPEN
        close, open_, _ = _columns(history)
        # The last bar's decision has no following bar to be filled on.
        target = [*(tick.position for tick in ticks), 0]
        kept, held = (accounts.account(wanted, open_, close, fill, fee_rate) for wanted in (target, [1] * len(close)))
        return TwinRun(ticks, kept, held)


def _columns(history: History) -> tuple[list[float], list[float], list[float]]:
    open_ = history.close if history.open is None else history.open
    volume = [] if history.volume is None else history.volume.tolist()
    return history.close.tolist(), open_.tolist(), volume


def _logs(history: History) -> market_engine.Bars:
    close, open_, volume = _columns(history)
    return market_engine.Bars([*map(math.log, close)], [*map(math.log, open_)], [*map(math.log1p, volume)], None)


def train_both(fields: dict, history: History, episodes: int) -> tuple[Policy, Twin]:
    """A policy trained on a history, and its twin, which has learnt the same. Raises Differs."""
    config = TrainingConfig.from_dict({**fields, "episodes": episodes})
    trainer, twin = create_trainer(config, SEED, history), Twin(config, history)
    policy, _ = trainer.run()
    learnt = market_learnt(twin.agent, config.quantizer, twin.rewards)
    compare(policy, trainer.episode_rewards, learnt, MARKET_TOLERANCE)
    return policy, twin


def floats(values: Sequence) -> list[float]:
    """Fractions as floats."""
    return [float(value) for value in values]


def account_kpis(account: accounts.Account, held: accounts.Account) -> dict[str, float]:
    """KPIs of an account and that of buy and hold, by their definitions in docs/KPIS.md; NaN if undefined."""
    equity = floats(account.equity)
    bars = sums.push_bars(equity, account.position, floats(held.equity))
    (n, mean, *powers), _ = bars.moments
    signed, _ = bars.signed
    falls, _ = bars.drawdowns
    closed = sums.push_trades([trade for trade in account.trades if trade.exit_bar >= 0])
    values = {
        "total_return": equity[-1] - 1.0,
        "mean_return": mean,
        "sharpe_per_bar": _ratio(mean, math.sqrt(powers[0] / (n - 1))),
        "sortino_per_bar": _ratio(mean, math.sqrt(signed.downside / n)),
        "skewness": _ratio(powers[1] / n, (powers[0] / n) ** 1.5),
        "excess_kurtosis": _ratio(powers[2] / n, (powers[0] / n) ** 2) - 3.0,
        "omega": _ratio(signed.gains, signed.losses),
        "max_drawdown": min((fall.depth for fall in falls), default=0.0),
        "longest_drawdown_bars": max((fall.bars for fall in falls), default=0),
        "value_at_risk": statistics.quantiles(bars.returns, n=20, method="inclusive")[0],
        "beta": _ratio(bars.pairs[4], bars.pairs[3]),
        "trades": closed.closed,
        "win_rate": _ratio(closed.winners, closed.closed),
        "profit_factor": _ratio(closed.won, closed.lost),
        "expectancy": _ratio(closed.won - closed.lost, closed.closed),
        "exposure": bars.exposed / len(equity),
    }
    return {name: float(value) for name, value in values.items()}


def run_kpis(run: TwinRun) -> dict[str, float]:
    """The same for a whole backtest, with notional, fees and rewards. Not for its actions: holding a position and
    asking for it again can be worth the same, so that rounding decides between them."""
    return {
        **account_kpis(run.account, run.held),
        "turnover": float(run.account.traded),
        "fees": float(run.account.fees),
        "mean_reward": statistics.fmean(tick.reward for tick in run.ticks),
    }


def expect_kpis(made: Mapping[str, float | None], expected: Mapping[str, float]) -> None:
    """Raise Differs unless the KPIs are the expected ones, with null for NaN: to nine digits, since the twins keep
    exact fractions, or near 0 to some units in the last place of an equity of 1."""
    for name, value in expected.items():
        found = made[name]
        expect_equal(name, [math.nan if found is None else found], [value], rtol=1e-9, atol=1e-13)


def _ratio(over: float | Fraction, under: float | Fraction) -> float:
    return math.nan if under == 0 else float(over / under)

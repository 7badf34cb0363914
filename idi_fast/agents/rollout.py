"""A policy rolled out over price history, causally, a chunk of bars at a time."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import GreedyRollout, Steps, Trace, make_steps
from idi_fast.config.feature_columns import columns_read
from idi_fast.data.history import History
from idi_fast.environments.charges import HoldingCharges, charged_fee_bps
from idi_fast.environments.features import Bars, Encoder
from idi_fast.environments.history_bars import entry_values, log_columns, log_fill
from idi_fast.environments.history_environment import MarketFacts
from idi_fast.environments.rewards import RewardRule, bar_stream
from idi_fast.environments.state_space import make_rules
from idi_fast.errors import ArtifactError


class Observations(NamedTuple):
    """Bars as the agent sees them: the chunk, its features, log close float64 (n,), and the log price at which a
    position first held into each bar was entered, float64 (n,)."""

    history: History
    bars: Bars
    value: np.ndarray
    entry: np.ndarray

    @property
    def nbytes(self) -> int:
        """The memory that its own arrays take."""
        return sum(column.nbytes for column in (*self.bars, self.value, self.entry))

    def from_bar(self, first: int) -> Self:
        """The bars from number `first` on."""
        bars = self.bars.rows(slice(first, None))
        history = self.history.slice(first, None)
        return self._replace(history=history, bars=bars, value=self.value[first:], entry=self.entry[first:])


class HistoryRollout:
    """Rolls a policy out over consecutive chunks of a history; the result does not depend on the cuts.

    columns: those of the history, by their names in it; position −1, 0 or 1: held before the first bar; funding: the
    column of the funding rates that the policy's rewards pay, by default that of its training; symbol: that of the
    bars, whose own edges are used if the policy has some; rule: makes the rewards. Raises ArtifactError if policy and
    history do not fit, DataError without what the rewards need.
    """

    def __init__(
        self,
        policy: Policy,
        columns: Mapping[str, str],
        position: int = 0,
        funding: str | None = None,
        symbol: str | None = None,
    ):
        encoder = _fitting_encoder(policy, columns)
        self._charges = HoldingCharges(policy.config, columns, funding)
        self._policy = policy
        self._fill = policy.config.environment.data.fill
        fee_bps = charged_fee_bps(policy.config)
        self._bars = bar_stream(policy.config, encoder, fee_bps, is_new=self._charges.is_new, symbol=symbol)
        rules = make_rules(policy.config, policy.space)
        self._rollout = GreedyRollout(policy.config, policy.space, rules, policy.q, policy.comm_q, position)
        self.rule = RewardRule(policy.config, encoder)
        self._last_close = np.empty(0)

    def see(self, history: History) -> Observations:
        """The observations at the close of each of the next bars; bars that are only seen lead to no decision."""
        columns = log_columns(history)
        fill = log_fill(columns, self._fill)
        before, self._last_close = self._last_close, columns["close"][-1:]
        entry = entry_values(columns["close"], fill, before)
        charges = self._charges.push(history) if self._charges else None
        return Observations(history, self._bars.push(columns, fill, charges), columns["close"], entry)

    def decide(self, seen: Observations) -> Steps:
        """The decisions at each of the bars, which are consecutive."""
        steps = make_steps(seen.value.size)
        if self.rule.is_linear(seen.bars):
            self._rollout.follow_bars(seen.bars, self.rule.weights, steps)
        else:
            # The faster kernel knows no charges and no utilities.
            self._rollout.follow(self.rule.tape(seen.bars, np.empty((seen.value.size, 9))), steps)
        return steps

    def trace(self, seen: Observations, steps: Steps, reward: np.ndarray) -> Trace:
        """The trace of the bars decided on last; reward float64 (n,): of each decision."""
        history, bars = seen.history, seen.bars
        facts = MarketFacts(
            value=seen.value,
            entry=seen.entry,
            regime=bars.regime,
            risk=bars.risk,
            move=bars.move,
            close=history.close,
            time=history.time,
            after_gap=history.after_gap,
        )
        return self._rollout.trace(steps, facts, reward)

    @property
    def total_reward(self) -> float:
        """The sum over all decisions whose next bar has come."""
        return self._rollout.total_reward


def rollout_history(policy: Policy, history: History, position: int = 0, funding: str | None = None) -> Trace:
    """The trace of a policy over all bars: row t is what was seen at the close of bar t, and what was decided then.

    Every column but `reward`, which follows the decision and is NaN on the last bar, is known at that close.
    Raises ArtifactError if policy and history do not fit.
    """
    rollout = HistoryRollout(policy, history.columns, position, funding)
    seen = rollout.see(history)
    steps = rollout.decide(seen)
    return rollout.trace(seen, steps, np.append(steps.reward[1:], np.nan))


def observe(
    policy: Policy, history: History, start: int, stop: int, warm_up: int, symbol: str | None = None
) -> Observations:
    """The bars [start, stop) of a history as a policy sees them: the `warm_up` bars before, or as many as there are,
    only fill the features' windows. Raises ArtifactError if policy and history do not fit."""
    rollout = HistoryRollout(policy, history.columns, symbol=symbol)
    warm_up = min(warm_up, start)
    return rollout.see(history.slice(start - warm_up, stop)).from_bar(warm_up)


def decide_from_flat(policy: Policy, seen: Observations) -> np.ndarray:
    """Target positions int8 (n,) decided at the closes of bars that the policy sees so.

    At the first of them the agent is flat and in the mood that begins an episode, as in a backtest with a start.
    """
    return HistoryRollout(policy, seen.history.columns).decide(seen).position


def _fitting_encoder(policy: Policy, columns: Mapping[str, str]) -> Encoder:
    """The policy's encoder; ArtifactError where it does not fit a history with these columns."""
    encoder = policy.encoder
    if encoder is None:
        kind = policy.config.environment.kind
        raise ArtifactError(
            f"the policy was trained on the {kind} environment and has no features to read a price history with; "
            "train one with `idi-fast train --env history --data DATA`, or on the crypto environment without compat"
        )
    if policy.config.environment.observe_regime:
        raise ArtifactError(
            "the policy sees the simulated market's regime, which no price history has; train one without "
            "environment.observe_regime"
        )
    for name, feature in encoder.features.items():
        lacking = [column for column in columns_read(feature) if column not in columns]
        if name not in encoder.unused and lacking:
            raise ArtifactError(
                f"the policy's feature {name!r} reads the column {lacking[0]!r}, which this history does not have "
                f"(it has {', '.join(sorted(columns))}); name it, or train a policy without it"
            )
    return encoder

"""A trace: one row per tick of what an agent saw, did and tells its Tau specification."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.streams import (
    MARKET_STREAMS,
    TRACE_STREAMS,
    install_streams,
    select_streams,
    stream_files,
    upper_half,
)
from idi_fast.agents.table_layout import Layout
from idi_fast.config.arguments import check_text
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.timestamps import time_series
from idi_fast.environments.actions import ACTIONS, BUY, SELL
from idi_fast.environments.charges import charged_fee_bps
from idi_fast.environments.features import Bars
from idi_fast.environments.history_environment import MarketFacts
from idi_fast.environments.state_space import StateSpace, comm_columns
from idi_fast.kernels import streams as kernels
from idi_fast.kernels.learn import Rules, Tape
from idi_fast.kernels.rollout import rollout_bars, rollout_rows
from idi_fast.storage.files import output_path

MEANINGS = {"positive": kernels.POSITIVE, "alert": kernels.ALERT, "persist": kernels.PERSIST}
TRACE_ROWS = ("state", "action", "comm_action", "position", "reward", "close", "time")
MISSING_MOOD = "🙂 steady"


class Steps(NamedTuple):
    """The results of `rollout_rows` for n rows: state int64, action int8, comm int16 and position int8 (−1, 0, 1)
    decided on, and the reward float64 that the row brings for the previous action."""

    state: np.ndarray
    action: np.ndarray
    comm: np.ndarray
    position: np.ndarray
    reward: np.ndarray


def make_steps(n: int) -> Steps:
    """Arrays for the steps of n rows."""
    return Steps(np.empty(n, np.int64), np.empty(n, np.int8), np.empty(n, np.int16), np.empty(n, np.int8), np.empty(n))


@dataclass(frozen=True)
class Trace(display.Plotted):
    """What an agent saw, did and tells its Tau specification, a row per tick; made by training and backtests.

    Attributes
    ----------
    streams : dict of str to numpy.ndarray
        uint8 (n,) by name: the thirteen of every trace and, where the state has such features, those of the v38
        contract.
    state : numpy.ndarray
        int64 (n,), the number of the state.
    action : numpy.ndarray
        int8 (n,), 0 hold, 1 buy, 2 sell.
    comm_action : numpy.ndarray
        int16 (n,), the communication, a place in `comm_names`.
    position : numpy.ndarray
        int8 (n,), −1, 0 or 1, decided on by the action.
    reward : numpy.ndarray
        float64 (n,), reward of the action, no unit.
    close : numpy.ndarray or None
        float64 (n,), if the environment has prices.
    time : numpy.ndarray or None
        int64 (n,), ns since 1970 UTC, if the bars have times.

    Examples
    --------
    >>> import idi_fast as idi
    >>> trace = idi.train(idi.TrainingConfig(episodes=16), seed=7).trace
    >>> len(trace), trace.streams["q_buy"].dtype
    (64, dtype('uint8'))
    """

    config: TrainingConfig
    space: StateSpace
    streams: dict[str, np.ndarray]
    state: np.ndarray
    action: np.ndarray
    comm_action: np.ndarray
    position: np.ndarray
    reward: np.ndarray
    close: np.ndarray | None = None
    time: np.ndarray | None = None
    comm_names: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return self.state.size

    def __repr__(self) -> str:
        return display.as_text(f"Trace of {len(self):,} ticks", self._rows())

    def _repr_html_(self) -> str:
        lines = {"cumulative reward": np.nancumsum(self.reward)}
        return display.as_html(f"Trace of {len(self):,} ticks", self._rows(), lines=lines)

    def summary_frame(self) -> pl.DataFrame:
        """One row: ticks, the sum of the rewards, and the share of each action."""
        counts = np.bincount(self.action, minlength=len(ACTIONS)) / max(1, len(self))
        shares = dict(zip(ACTIONS, counts.tolist(), strict=True))
        return pl.DataFrame([{"of": "trace", "ticks": len(self), "reward": float(np.nansum(self.reward)), **shares}])

    def _rows(self) -> list[tuple[str, object]]:
        counts = np.bincount(self.action, minlength=len(ACTIONS)).tolist()
        actions = ", ".join(f"{name} {count:,}" for name, count in zip(ACTIONS, counts, strict=True))
        names = textwrap.shorten(", ".join(self.streams), 80, placeholder=" …")
        return [("actions", actions), ("reward", float(np.nansum(self.reward))), ("streams", names)]

    def frame(self, first: int = 0) -> pl.DataFrame:
        """All columns: tick (counted from `first`), time, close, the streams, action, comm_action, the buckets of the
        state, target, reward.

        A bucket column is called `<feature>_bucket`, because the v38 contract has streams called price, volume and
        trend.
        """
        columns: dict[str, object] = {"tick": np.arange(first, first + len(self))}
        if self.time is not None:
            columns["time"] = time_series(self.time)
        if self.close is not None:
            columns["close"] = self.close
        columns |= self.streams
        columns["action"] = pl.Series(ACTIONS).gather(self.action)
        columns["comm_action"] = pl.Series(self.comm_names, dtype=pl.String).gather(self.comm_action)
        columns["state"] = self.state
        for name, digit in zip(self.space.names, self.space.digits(self.state).T, strict=True):
            if name != "position":
                columns[f"{name}_bucket"] = digit
        columns["target"] = self.position
        columns["reward"] = pl.Series(self.reward).fill_nan(None)
        return pl.DataFrame(columns)

    def files(self, contract: str = "all") -> dict[str, bytes]:
        """The stream files of a contract, by name; their last line is not terminated under compat."""
        streams = select_streams(self.streams, contract)
        return stream_files(streams, newline=self.config.engine.compat is None)

    def export(self, folder: str | Path, contract: str = "all") -> None:
        """Write the stream files of a contract into a folder, all or none."""
        check_text("contract", contract)
        install_streams(self.files(contract), output_path(folder))


def joined(parts: Sequence[Trace]) -> Trace:
    """The whole of consecutive parts of a trace, one or more."""
    first = parts[0]
    rows = {name: [getattr(part, name) for part in parts] for name in TRACE_ROWS if getattr(first, name) is not None}
    streams = {name: np.concatenate([part.streams[name] for part in parts]) for name in first.streams}
    return replace(first, streams=streams, **{name: np.concatenate(arrays) for name, arrays in rows.items()})


class GreedyRollout:
    """A policy followed over one long episode, in chunks of rows of any size.

    q, comm_q: tables of the config's layout; position −1, 0 or 1: held before the first row.
    """

    def __init__(
        self,
        config: TrainingConfig,
        space: StateSpace,
        rules: Rules,
        q: np.ndarray,
        comm_q: np.ndarray,
        position: int = 0,
    ):
        self._config, self._space, self._rules = config, space, rules
        self._layout = Layout.of(config, space)
        self._tables = q, comm_q
        self._greedy = None if self._layout.tiling is not None else _greedy(q, comm_q)
        self._agent, self._sums = np.array([0, position + 1, 0, position + 1]), np.zeros(2)
        self._held = np.full(1, position, np.int8)
        self._lingers, self._open_trade = np.zeros(1, np.int64), np.zeros(2)

    def follow(self, tape: Tape, steps: Steps) -> None:
        """What is seen, done and earned at each of the next rows, into `steps`."""
        if self._greedy is not None:
            rollout_rows(tape, self._rules, *self._greedy, self._agent, self._sums, *steps)
            return
        observations, greedy, states = self._few(tape.observation)
        rollout_rows(tape._replace(observation=observations), self._rules, *greedy, self._agent, self._sums, *steps)
        steps.state[:] = states[steps.state]

    def follow_bars(self, bars: Bars, weights: np.ndarray, steps: Steps) -> None:
        """The same over bars, whose rewards are sums by weights float64 (3,), see `reward_weights`."""
        earning = bars.gap, bars.change, bars.cost, bars.scarcity, weights
        if self._greedy is not None:
            rollout_bars(bars.observation, *earning, self._rules, *self._greedy, self._agent, self._sums, *steps)
            return
        observations, greedy, states = self._few(bars.observation)
        rollout_bars(observations, *earning, self._rules, *greedy, self._agent, self._sums, *steps)
        steps.state[:] = states[steps.state]

    def _few(self, observation: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
        # A table of the distinct observations, which the kernel uses like any other.
        observations, found = np.unique(observation, return_inverse=True)
        states = self._layout.states_of(observations)
        return found.astype(np.int32), _greedy(*(self._layout.values(table, states) for table in self._tables)), states

    @property
    def total_reward(self) -> float:
        """Sum of all rewards so far."""
        return float(self._sums[1])

    def trace(self, steps: Steps, facts: MarketFacts, reward: np.ndarray) -> Trace:
        """The trace of the steps followed last, each seen and decided at its own row; reward float64 (n,)."""
        held = np.concatenate([self._held, steps.position])
        self._held = held[-1:]
        return self._trace(steps, facts, held[:-1], slice(None), slice(None), reward)

    def episode(self, steps: Steps, facts: MarketFacts) -> Trace:
        """The trace of a whole episode, whose last row only shows the result of the last action.

        In the default mode a tick's streams say what was known when its action was chosen; under compat they say what
        followed, as in the reference (which pairs an action with the next observation).
        """
        n = steps.state.size
        seen = slice(1, n) if self._config.engine.compat else slice(0, n - 1)
        held = np.concatenate([self._held, steps.position[:-1]])
        return self._trace(steps, facts, held, slice(0, n - 1), seen, steps.reward[1:])

    def _trace(
        self, steps: Steps, facts: MarketFacts, held: np.ndarray, ticks: slice, seen: slice, reward: np.ndarray
    ) -> Trace:
        """ticks: rows at which something was decided; seen: those that the streams describe."""
        config, space = self._config, self._space
        action, comm, state = steps.action[ticks], steps.comm[ticks], steps.state
        streams = {
            **decided_streams(config, space, state[seen], action, comm, self._lingers),
            **_market(space, state, seen, facts),
            **_guards(config, space, held, seen, facts, self._open_trade),
        }
        ordered = [name for name in (*TRACE_STREAMS, *MARKET_STREAMS) if name in streams]
        return Trace(
            config=config,
            space=space,
            streams={name: np.asarray(streams[name]).astype(np.uint8) for name in ordered},
            state=state[ticks],
            action=action,
            comm_action=comm,
            position=steps.position[ticks],
            reward=reward,
            close=None if facts.close is None else facts.close[seen].copy(),
            time=None if facts.time is None else facts.time[seen].copy(),
            comm_names=comm_columns(config)[0],
        )


def _greedy(q: np.ndarray, comm_q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best action of each row of the tables, ties to the first: int8 and int16 (rows,)."""
    return np.argmax(q, axis=1).astype(np.int8), np.argmax(comm_q, axis=1).astype(np.int16)


def greedy_trace(
    config: TrainingConfig,
    space: StateSpace,
    rules: Rules,
    q: np.ndarray,
    comm_q: np.ndarray,
    tape: Tape,
    facts: MarketFacts,
) -> Trace:
    """The trace of the greedy policy over a tape that begins with a reset row, a tick per step: see `GreedyRollout`."""
    rollout, steps = GreedyRollout(config, space, rules, q, comm_q), make_steps(tape.observation.size)
    rollout.follow(tape, steps)
    return rollout.episode(steps, facts)


def decided_streams(
    config: TrainingConfig,
    space: StateSpace,
    seen: np.ndarray,
    action: np.ndarray,
    comm: np.ndarray,
    lingers: np.ndarray,
) -> dict[str, np.ndarray]:
    """The streams that follow from observed states int64 (n,), actions and communications alone.

    lingers int64 (1,): ticks for which the last emote still shows, 0 at first; updated in place.
    """
    bits = {}
    if not space.is_compat_crypto:
        named = (name for name in space.features if name in MARKET_STREAMS)
        bits = {name: upper_half(space.digit(seen, name), space.size(name)) for name in named}
    return {
        "q_buy": action == BUY,
        "q_sell": action == SELL,
        "risk_budget_ok": np.ones(action.size),
        **_emotes(config, space, seen, comm, lingers),
        **_gates(config, space, seen),
        **bits,
    }


def _emotes(
    config: TrainingConfig, space: StateSpace, seen: np.ndarray, comm: np.ndarray, lingers: np.ndarray
) -> dict[str, np.ndarray]:
    n_moods = space.size(space.mood)
    texts = [config.emote.palette.get(mood, MISSING_MOOD) for mood in range(n_moods)]
    palette = np.array([[any(c in t for c in "🙂🚀"), "⚠️" in t or "😐" in t] for t in texts], np.uint8)
    meaning = np.array([MEANINGS.get(name, 0) for name in comm_columns(config)[0]], np.int64)
    positive, alert, persistence = (np.empty(comm.size, np.uint8) for _ in range(3))
    kernels.emote_bits(
        space.digit(seen, space.mood),
        comm,
        palette,
        meaning,
        config.emote.linger_ticks,
        lingers,
        positive,
        alert,
        persistence,
    )
    return {"q_emote_positive": positive, "q_emote_alert": alert, "q_emote_persistence": persistence}


def _market(space: StateSpace, state: np.ndarray, seen: slice, facts: MarketFacts) -> dict:
    if facts.move is not None:
        move = facts.move
    elif space.is_compat_crypto:
        move = np.zeros(state.size)  # the reference compares an observation with itself
    else:
        price = space.digit(state, "price")
        move = np.sign(np.diff(price, prepend=price[0]))
    if space.is_compat_crypto:
        regime = space.digit(state, "pnl_sign")
    else:
        regime = space.digit(state, "scarcity") if facts.regime is None else facts.regime
    risk = np.zeros(state.size) if facts.risk is None else facts.risk
    return {
        "q_regime": regime[seen],
        "price_up": move[seen] > 0,
        "price_down": move[seen] < 0,
        "risk_event": risk[seen],
    }


def _gates(config: TrainingConfig, space: StateSpace, seen: np.ndarray) -> dict[str, np.ndarray]:
    layers = config.layers
    # Without the features that the gates look at they mean nothing.
    is_gated = space.is_compat_crypto or {"price", "trend"} <= set(space.features)
    if not (layers.emit_weight_streams and is_gated):
        return dict.fromkeys(("weight_momentum", "weight_contra", "weight_trend"), np.ones(seen.size))
    # In the reference's crypto state the first and third digits are the position and the big move, and the latter is
    # measured by the buckets of a trend that is not in it.
    first, third = (space.names[0], space.names[2]) if space.is_compat_crypto else ("price", "trend")
    buckets = config.quantizer.trend_buckets if space.is_compat_crypto else space.size("trend")
    ratio = space.digit(seen, third) / max(1, buckets - 1)
    momentum = ratio >= layers.momentum_threshold
    contra = ratio <= layers.contrarian_threshold
    trend = (space.digit(seen, first) % 2 == 0) == layers.trend_favors_even
    return {
        "weight_momentum": momentum | ~(momentum | contra | trend),
        "weight_contra": contra,
        "weight_trend": trend,
    }


def _guards(
    config: TrainingConfig, space: StateSpace, held: np.ndarray, seen: slice, facts: MarketFacts, open_trade: np.ndarray
) -> dict[str, np.ndarray]:
    if space.is_compat_crypto:
        return {}
    synthetic = config.environment.kind == "synthetic"
    cost = 0.0 if synthetic else 2.0 * charged_fee_bps(config) / 1e4
    profit = np.empty(held.size, np.uint8)
    kernels.open_profit(held, facts.entry, facts.value, cost, open_trade, profit)
    gap = np.zeros(held.size) if facts.after_gap is None else facts.after_gap
    return {"profit_guard": profit[seen], "failure_echo": gap[seen]}

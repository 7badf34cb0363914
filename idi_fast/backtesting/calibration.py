"""How well the values of a planned policy foretell what comes of them on the bars of a backtest."""

import math
from typing import Self

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.environments.features import Bars, empty_bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.state_space import make_rules
from idi_fast.kernels.calibration import realised_advantages

BUCKETS = 10
STRETCH = 4_096
"""Bars that agents are followed over: behind the last of them the table's own values stand for what is to come."""
BATCH = 256
"""Bars whose sums are taken as independent: advantages of neighbouring bars come of the same later ones."""
NAMES = ("calibration_error", "calibration_slope")
TOO_FEW, ALL_ALIKE = "fewer than 2 bars", "the table expects the same everywhere"
FLAT, BUY, SELL = 1, 1, 2
COLUMNS = 8
N, EXPECTED, REALISED, EXPECTED_SQUARES, PRODUCTS, BATCH_SQUARES, BATCH_PRODUCTS, N_SQUARES = range(COLUMNS)


class Calibration:
    """What a table expected of going long rather than short, or than flat where shorts are not allowed, and what came
    of it, by bucket of what was expected.

    Each bar has both, from flat and in the agent's mood: the table's value of buying less that of selling, and the
    difference that came of both by following the table to the end, see `kernels.calibration.realised_advantages`.
    Buckets are tenths of what the table expects on the bars that it was planned on. rule: makes the rewards.
    """

    def __init__(self, policy: Policy, rule: RewardRule):
        space, states = policy.space, np.arange(policy.q.shape[0])
        self._rule, self._rules = rule, make_rules(policy.config, space)
        self._value, self._discount = policy.q.max(axis=1), policy.config.discount
        position = space.digit(states, "position")
        self._after = self._rules.next_position[position * 3 + policy.q.argmax(axis=1)].astype(np.int8)
        # Of all positions what is expected from flat, so that a bar's is looked up by the state that it has anyway.
        flat = states + (FLAT - position) * space.stride("position")
        self._expected = policy.q[flat, BUY] - policy.q[flat, SELL]
        self._mood = space.digit(states, "mood").astype(np.int32)
        seen = np.flatnonzero((policy.visits > 0) & (position == FLAT))
        self._edges = _tenths(self._expected[seen], policy.visits[seen].astype(np.float64))
        self._bucket = np.searchsorted(self._edges, self._expected, side="right").astype(np.int8)
        self._sums = np.zeros((self._edges.size + 1, COLUMNS))
        self._bars, self._state = empty_bars(0), np.zeros(0, np.int64)
        self._rewards = np.empty((STRETCH + 1, 9))

    def push(self, bars: Bars, state: np.ndarray) -> None:
        """The next bars, and the states int64 (n,) that the agent was in on them."""
        self._bars = Bars(*(np.concatenate(both) for both in zip(self._bars, bars, strict=True)))
        self._state = np.concatenate([self._state, state])
        done = 0
        while self._state.size - done > STRETCH:
            self._follow(self._sums, slice(done, done := done + STRETCH))
        self._bars = Bars(*(column[done:].copy() for column in self._bars))
        self._state = self._state[done:].copy()

    def add(self, other: Self) -> None:
        """Those of the same policy on other bars, after which this one takes no more."""
        self._sums, self._state = self._total() + other._total(), self._state[:0]

    def _follow(self, sums: np.ndarray, decided: slice) -> None:
        """Add what was decided on bars of which there is one more."""
        rows = slice(decided.start, decided.stop + 1)
        bars, state = self._bars.rows(rows), self._state[rows]
        tape = self._rule.tape(bars, self._rewards[: state.size])
        realised = np.empty(state.size - 1)
        realised_advantages(tape, self._rules, self._after, self._value, self._discount, self._mood[state], realised)
        expected, bucket, n = self._expected[state[:-1]], self._bucket[state[:-1]], len(sums)
        for column, values in (
            (N, np.ones(realised.size)),
            (EXPECTED, expected),
            (REALISED, realised),
            (EXPECTED_SQUARES, expected * expected),
            (PRODUCTS, expected * realised),
        ):
            sums[:, column] += np.bincount(bucket, values, n)
        place = np.arange(realised.size) // BATCH * n + bucket
        batches = -(-realised.size // BATCH) * n
        many, of_batch = np.bincount(place, None, batches), np.bincount(place, realised, batches)
        for column, values in (
            (BATCH_SQUARES, of_batch * of_batch),
            (BATCH_PRODUCTS, of_batch * many),
            (N_SQUARES, many * many),
        ):
            sums[:, column] += values.reshape(-1, n).sum(axis=0)

    def _total(self) -> np.ndarray:
        sums = self._sums.copy()
        if self._state.size > 1:
            self._follow(sums, slice(0, self._state.size - 1))
        return sums

    def buckets(self) -> list[dict[str, float | int | None]]:
        """A row per bucket that has bars: its bounds (None: none), bars, their mean expected and realised advantage,
        and the standard error of the latter by batches, None of a single one; all but the bars in units of reward."""
        edges, rows = self._edges.tolist(), []
        for low, high, sums in zip([None, *edges], [*edges, None], self._total().tolist(), strict=True):
            bars, mean = sums[N], sums[REALISED] / max(sums[N], 1.0)
            if not bars:
                continue
            # Of squared deviations of the batches' sums from what their bars have at the mean.
            spread = sums[BATCH_SQUARES] - 2.0 * mean * sums[BATCH_PRODUCTS] + mean * mean * sums[N_SQUARES]
            is_one = sums[N_SQUARES] == bars * bars
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "bars": int(bars),
                    "expected": sums[EXPECTED] / bars,
                    "realised": mean,
                    "standard_error": None if is_one else math.sqrt(max(0.0, spread)) / bars,
                }
            )
        return rows

    def kpis(self) -> tuple[dict[str, float | None], dict[str, str]]:
        """`calibration_error` and `calibration_slope`, and why they are undefined.

        The error is the mean distance of what buckets earned from what was expected of them, weighted by their bars:
        the expected calibration error (Naeini, Cooper & Hauskrecht 2015). The slope is that of a regression of what was
        earned on what was expected, 1 if it came as expected and 0 if the table knew nothing (Cox 1958).
        """
        by_bucket = self._total()
        bars, expected, realised, squares, products = by_bucket.sum(axis=0)[: PRODUCTS + 1].tolist()
        if not bars:
            return dict.fromkeys(NAMES), dict.fromkeys(NAMES, TOO_FEW)
        missed = float(np.abs(by_bucket[:, EXPECTED] - by_bucket[:, REALISED]).sum()) / bars
        spread = squares - expected**2 / bars
        if spread <= 1e-12 * squares:
            return {"calibration_error": missed, "calibration_slope": None}, {"calibration_slope": ALL_ALIKE}
        return {"calibration_error": missed, "calibration_slope": (products - expected * realised / bars) / spread}, {}


def calibration_of(policy: Policy, rule: RewardRule) -> Calibration | None:
    """That of a planned policy; None of one whose values have no standard errors, for they were learnt or are votes."""
    if policy.certainty is None or not np.isfinite(policy.certainty.errors).any():
        return None
    return Calibration(policy, rule)


def with_calibration(summary: dict, calibration: Calibration | None) -> dict:
    """The content of a kpis.json with what a calibration adds to it."""
    if calibration is None:
        return summary
    kpis, undefined = calibration.kpis()
    return {
        **summary,
        "kpis": {**summary["kpis"], **kpis},
        "undefined": {**summary["undefined"], **undefined},
        "calibration": calibration.buckets(),
    }


def _tenths(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The distinct values float64 (≤ 9,) below which a tenth, two tenths … of the weight is."""
    if not values.size:
        return np.zeros(0)
    order = np.argsort(values, kind="stable")
    heaped = np.cumsum(weights[order])
    wanted = np.arange(1, BUCKETS) / BUCKETS * heaped[-1]
    return np.unique(values[order][np.searchsorted(heaped, wanted)])

"""Accumulators do not depend on segments, keep the tails exactly in bounded memory, and hardly round."""

import math
from unittest import mock

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces

from idi_fast.backtesting import kpi_accumulator as accumulators
from idi_fast.backtesting import kpis
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator, Result
from idi_fast.data.bar_frequency import BarFrequency

PACE = BarFrequency(100.0, None, 0.5, None)

# Small blocks, so that a short series fills them and the tails often.
small = mock.patch.object(accumulators, "BLOCK", 8)


def equity_of(returns: np.ndarray) -> np.ndarray:
    return np.cumprod(1.0 + returns)


def kpis_of(equity: np.ndarray) -> dict[str, float]:
    accumulator = KpiAccumulator(equity.size)
    accumulator.push(equity, np.zeros(equity.size, np.int8), equity)
    return accumulator.result(PACE).kpis


@st.composite
def returns(draw) -> np.ndarray:
    """Returns of many kinds: all different, few values, long flat stretches, sorted, periodic."""
    n = draw(st.integers(0, 600))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    noise = rng.normal(0.0, 0.01, n)
    period = draw(st.integers(2, 9))  # so that a sample may see but one phase
    kind = draw(st.sampled_from(["noise", "few", "flat", "up", "down", "waves", "losses"]))
    return {
        "noise": noise,
        "few": np.round(noise, 2),
        "flat": np.where(rng.random(n) < 0.03, noise, 0.0),
        "up": np.sort(noise),
        "down": np.sort(noise)[::-1],
        "waves": np.where(np.arange(n) % period, 0.01, -0.02) + noise / 1e4,
        "losses": np.where(np.arange(n) < n // 2, noise, -abs(noise)),
    }[kind]


@given(returns(), st.integers(0, 300))
@settings(max_examples=examples(300))
def test_tails_are_exact_in_bounded_memory(changes, more):
    equity = equity_of(changes)
    n = equity.size
    with small:
        accumulator = KpiAccumulator(n + more)
        accumulator.push(equity, np.zeros(n, np.int8), equity)
        made = accumulator.result(PACE).kpis
        assert accumulator._low.values.size <= 2 * (math.ceil(0.05 * (n + more)) + 2) + 8
    if not n:
        return
    ordered = np.sort(kpis.bar_returns(equity))
    # Interpolation rounds, as does the sum of the tail.
    assert made["value_at_risk"] == pytest.approx(np.percentile(ordered, 5), rel=1e-13, abs=1e-17)
    lowest = ordered[: int((n - 1) * 0.05) + 1]
    assert made["conditional_value_at_risk"] == pytest.approx(lowest.mean(), rel=1e-13, abs=1e-17)
    low, high = np.percentile(ordered, [5, 95])
    if abs(low) > 1e-6:
        assert made["tail_ratio"] == pytest.approx(abs(high) / abs(low), rel=1e-9)


def test_tails_of_many_bars_are_exact():
    rng = np.random.default_rng(3)
    equity = equity_of(rng.standard_t(3, 400_000) * 1e-4)
    ordered = np.sort(kpis.bar_returns(equity))
    made = kpis_of(equity)
    # To the last bit, but for the rounding of the last step.
    assert made["value_at_risk"] == pytest.approx(np.percentile(ordered, 5), rel=1e-15)
    assert made["tail_ratio"] == pytest.approx(np.percentile(ordered, 95) / -np.percentile(ordered, 5), rel=1e-15)
    assert made["conditional_value_at_risk"] == pytest.approx(math.fsum(ordered[:20_000]) / 20_000, rel=1e-15)


@given(returns(), st.integers(0, 599))
@settings(max_examples=examples(200))
def test_the_value_of_a_rank(values, rank):
    if not values.size:
        return
    rank = min(rank, values.size - 1)
    ordered = np.sort(values)
    with small:
        made = accumulators._at_rank(values, rank)
    assert made == (ordered[rank], ordered[min(rank + 1, values.size - 1)])


@st.composite
def whole_runs(draw) -> dict:
    """What is pushed to an accumulator, as columns; the equity may come to 0."""
    changes = draw(returns())
    n = changes.size
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    equity = equity_of(changes)
    equity[draw(st.integers(0, 3 * n)) :] = 0.0
    entry = np.sort(rng.integers(0, 99, n // 5))
    rows = [entry, entry + rng.integers(0, 9, n // 5), *rng.normal(0, 0.1, (6, n // 5))]
    return {
        "bars": (equity, rng.integers(-1, 2, n).astype(np.int8), equity_of(rng.normal(0, 0.01, n))),
        "decisions": (rng.integers(0, 3, n), rng.integers(-1, 2, n), rng.integers(0, 2, n), rng.integers(0, 2, n)),
        "trades": np.maximum(np.array(rows, np.float64).T, -1.0),
    }


def accumulator_of(columns: dict, chunks=(10**9,)) -> Result:
    accumulator = KpiAccumulator(columns["bars"][0].size)
    for piece in pieces(columns["bars"][0].size, list(chunks)):
        accumulator.push(*(column[piece] for column in columns["bars"]))
        accumulator.push_decisions(*(column[piece] for column in columns["decisions"]))
    for piece in pieces(len(columns["trades"]), list(chunks)):
        accumulator.push_trades(columns["trades"][piece])
    return accumulator.result(PACE)


@given(whole_runs(), CHUNKS)
@settings(max_examples=examples(150))
def test_chunks_change_no_bit(columns, chunks):
    with small:
        assert repr(accumulator_of(columns, chunks)) == repr(accumulator_of(columns))


def test_chunks_change_no_bit_of_a_long_run():
    rng = np.random.default_rng(5)
    columns = {
        "bars": (equity_of(rng.normal(0, 1e-3, 100_000)), np.ones(100_000, np.int8), np.ones(100_000)),
        "decisions": [np.zeros(100_000, np.int8)] * 4,
        "trades": np.zeros((0, 8)),
    }
    whole = repr(accumulator_of(columns))
    for chunk in (4_095, 4_096, 33_333):
        assert repr(accumulator_of(columns, [chunk])) == whole


def test_a_result_can_be_taken_twice():
    accumulator = KpiAccumulator(100)
    accumulator.push(np.linspace(1.1, 2.0, 100), np.ones(100, np.int8), np.ones(100))
    assert repr(accumulator.result(PACE)) == repr(accumulator.result(PACE))


def test_rounding_does_not_grow_with_the_run():
    changes = np.random.default_rng(1).normal(1e-5, 1e-3, 1_000_000)
    exact = kpis.bar_returns(equity_of(changes))
    mean = math.fsum(exact) / exact.size
    deviation = math.sqrt(math.fsum((exact - mean) ** 2) / (exact.size - 1))
    made = kpis_of(equity_of(changes))
    assert made["mean_return"] == pytest.approx(mean, rel=1e-13)
    assert made["volatility_annualised"] == pytest.approx(deviation * 10, rel=1e-14)

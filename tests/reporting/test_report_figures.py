"""What the figures and tables of a report say: thinned lines keep their extremes, and values are those of the run."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from report_runs import make_runs, report_figures, report_page, unsealed
from test_trainer import config, train

from idi_fast.agents import maps as policy_maps
from idi_fast.backtesting.engine import kpi_names
from idi_fast.backtesting.kpis import sharpe_ratio
from idi_fast.environments.state_space import StateSpace
from idi_fast.reporting import course, formats, learning, merits
from idi_fast.reporting.account import largest_trades
from idi_fast.reporting.months import monthly_returns
from idi_fast.reporting.page import render
from idi_fast.reporting.parts import Note
from idi_fast.training.artifact import save_training


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


def equity_file(path: Path, equity, held=None, position=None, time=None) -> Path:
    """An equity.parquet of given series."""
    equity = np.array(equity, np.float64)
    held = equity if held is None else np.array(held, np.float64)
    position = np.zeros(equity.size) if position is None else position
    peak = np.maximum(1.0, np.maximum.accumulate(equity))
    columns = {"tick": np.arange(equity.size), "close": held, "position": np.array(position, np.int8)}
    columns |= {"equity": equity, "drawdown": equity / peak - 1.0, "buy_and_hold": held}
    times = {} if time is None else {"time": time}
    pl.DataFrame({**times, **columns}).write_parquet(path)
    return path


def walk(n: int, seed: int = 0) -> np.ndarray:
    return np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.01, n)))


# --- the course of an account


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(1, 12))
def test_buckets_keep_their_extremes(numbers, size):
    array, kept = np.array(numbers, np.float64), course.extreme_rows(np.array(numbers), size)
    assert (np.diff(kept) > 0).all()
    for first in range(0, len(numbers), size):
        bucket = numbers[first : first + size]
        mine = array[kept[(kept >= first) & (kept < first + size)]]
        assert set(mine) == {min(bucket), max(bucket)}


@given(st.lists(st.floats(-1.0, 1.0) | st.just(math.nan), min_size=1, max_size=30), st.integers(1, 12))
def test_the_moments_of_buckets(numbers, size):
    found = course.bucket_moments(np.array(numbers), size).T
    for (n, mean, squares), first in zip(found, range(0, len(numbers), size), strict=True):
        known = [x for x in numbers[first : first + size] if x == x]
        assert n == len(known)
        # Sums in another order: not the same bits.
        assert mean == pytest.approx(math.fsum(known) / max(1, len(known)), abs=1e-14)
        assert squares == pytest.approx(math.fsum((x - mean) ** 2 for x in known), abs=1e-13)


@pytest.mark.parametrize(("bars", "size"), [(1, 1), (4000, 1), (4001, 3), (10**8, 50_000)])
def test_a_line_has_no_more_points_than_a_screen(bars, size):
    assert course.bucket_size(bars) == size
    assert size == 1 or 2 * math.ceil(bars / size) <= course.MOST_POINTS


@settings(max_examples=examples(20))
@given(bars=st.integers(1, 60), most=st.integers(2, 40), rows=st.integers(1, 80), seed=st.integers(0, 9))
def test_the_size_of_a_block_changes_no_bit(tmp_path_factory, bars, most, rows, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("equity")
    path = equity_file(folder / "equity.parquet", walk(bars, seed), walk(bars, seed + 99), rng.integers(-1, 2, bars))
    with mock.patch.object(course, "MOST_POINTS", most):
        whole = course.read_course(path)
        with mock.patch.object(course, "BLOCK_ROWS", rows):
            parts = course.read_course(path)
    assert (parts.bars, parts.size, parts.months) == (whole.bars, whole.size, whole.months)
    for name, line in whole.lines.items():
        assert_array_equal(parts.lines[name].x, line.x)
        assert_array_equal(parts.lines[name].y, line.y)
    assert_array_equal(parts.ends, whole.ends)
    assert_array_equal(parts.sides, whole.sides)
    for name, moments in whole.moments.items():
        assert_array_equal(parts.moments[name], moments)


def test_no_spike_is_lost(tmp_path):
    equity = walk(30_001)
    equity[[7, 12_345]] = 9.0, 0.1
    found = course.read_course(equity_file(tmp_path / "equity.parquet", equity))
    line = found.lines["equity"]
    assert found.size > 1
    assert line.x.size <= course.MOST_POINTS + 2
    assert (line.y.min(), line.y.max(), line.y[0], line.y[-1]) == (0.1, 9.0, equity[0], equity[-1])
    assert_array_equal(line.y, equity[line.x])
    assert line.x[[0, -1]].tolist() == [0, 30_000]


def test_the_drawdown_of_holding_and_the_exposure(tmp_path):
    path = equity_file(tmp_path / "e.parquet", [1.0] * 4, [1.5, 0.75, 2.0, 1.0], [1, -1, 0, 1])
    found = course.read_course(path)
    assert found.lines["drawdown_held"].y.tolist() == [0.0, -0.5, 0.0, -0.5]
    assert found.sides.tolist() == [[1.0, 0.0, 0.0, 1.0], [0.0, -1.0, 0.0, 0.0]]
    with mock.patch.object(course, "MOST_POINTS", 3):  # four bars a bucket
        found = course.read_course(path)
    assert (found.size, found.sides.tolist(), found.ends.tolist()) == (4, [[0.5], [-0.25]], [3])


@given(st.integers(2, 60), st.integers(1, 7), st.integers(1, 5))
def test_the_rolling_ratio_is_that_of_the_last_bars(bars, size, window):
    equity = walk(bars)
    returns = np.diff(np.log(np.concatenate([[1.0], equity])))
    moments = course.bucket_moments(returns, size)
    if moments.shape[1] < window:
        return
    found = course.rolling_sharpe(moments, window)
    ends = course.last_rows(bars, size)[window - 1 :] + 1
    expected = [sharpe_ratio(returns[k * size : end]) for k, end in enumerate(ends)]
    # Moments are pooled, so not the same bits.
    assert_allclose(found, expected, rtol=1e-9)


def test_the_rolling_ratio_is_undefined_where_nothing_moves_and_after_liquidation():
    returns = np.array([0.0, 0.0, 0.0, 0.1, -0.1, np.nan, np.nan])
    found = course.rolling_sharpe(course.bucket_moments(returns, 1), 2)
    assert np.isnan(found).tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("bars", "per_year", "window"),
    [(119, 252.0, 0), (120, 252.0, 30), (2000, 252.0, 126), (2000, None, 500), (200, 12.0, 30)],
)
def test_the_window_of_the_rolling_ratio(tmp_path, bars, per_year, window):
    found = course.read_course(equity_file(tmp_path / "equity.parquet", walk(bars)))
    assert course.sharpe_window(found, per_year) == window


def test_months_and_years(tmp_path):
    days = [(2020, 11, 30), (2020, 12, 1), (2020, 12, 31), (2021, 1, 4), (2021, 3, 1), (2022, 1, 1)]
    times = [datetime(*day, tzinfo=UTC) for day in days]
    path = equity_file(tmp_path / "equity.parquet", [1.1, 1.0, 1.65, 3.3, 0.0, 0.0], time=times)
    for rows in (2, 1000):
        with mock.patch.object(course, "BLOCK_ROWS", rows):
            months = course.read_course(path).months
        years, returns, totals = monthly_returns(months)
        assert years == [2020, 2021, 2022]
        expected = np.full((3, 12), np.nan)
        expected[0, 10:], expected[1, 0], expected[1, 2] = [0.1, 0.5], 1.0, -1.0
        assert_allclose(returns, expected)
        assert_allclose(totals, [0.65, -1.0, np.nan])  # nothing is left to earn on in 2022


# --- figures as text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formats.number(None), "–"),
        (formats.number(math.nan), "–"),
        (formats.number(0.0), "0"),
        (formats.number(-0.215883), "−0.2159"),
        (formats.number(19.0), "19.00"),
        (formats.number(1234567.8), "1,234,568"),
        (formats.with_error(80.7972, 0.365), "80.80 ± 0.36"),
        (formats.with_error(-1.0, None), "−1.000"),
        (formats.with_error(1234.5, 23.0), "1,234 ± 23"),
        (formats.setting(5.0), "5"),
        (formats.setting(-1), "−1"),
        (formats.percent(0.123), "12.3%"),
        (formats.percent(-0.0045), "−0.45%"),
        (formats.percent(0.0), "0.0%"),
        (formats.percent(9814.017), "981,402%"),
        (formats.percent(-0.004, 0), "0%"),
        (formats.percent(None), "–"),
        (formats.count(2148), "2,148"),
        (formats.day("2013-03-01T00:00:00Z"), "1 Mar 2013"),
        (formats.day(None), "–"),
        (formats.words("mean_reward"), "Mean reward"),
        (formats.plural(1, "bar"), "1 bar"),
        (formats.plural(2000, "bar"), "2,000 bars"),
    ],
)
def test_formats(shown, text):
    assert shown == text


def test_every_kpi_has_a_place_and_a_unit():
    known = {name for names in merits.GROUPS.values() for name in names}
    names = [*kpi_names(), *kpi_names(is_pooled=True)]
    assert {name for name in names if not name.startswith("buy_and_hold.")} <= known
    assert dict(merits.grouped({"own": 1.0, "trades": 3, "liquidated_at": None})) == {
        "Trades": ["trades"],
        merits.OTHERS: ["own"],
    }


def test_undefined_kpis_say_why(runs, tmp_path):
    run = unsealed(runs / "backtest", tmp_path / "run")
    result = json.loads((run / "kpis.json").read_text())
    result["kpis"] |= {"calmar": None, "cagr": None}
    result["undefined"] = {"calmar": "no year", "cagr": "no year", "buy_and_hold.calmar": "no year"}
    (run / "kpis.json").write_text(json.dumps(result))
    notes = [part.text for section in report_page(run).sections for part in section.parts if isinstance(part, Note)]
    assert notes == ["– Calmar ratio, CAGR: no year."]


# --- training


@pytest.mark.parametrize(("episodes", "size"), [(1, 1), (49, 1), (50, 5), (1000, 5), (1001, 6), (100_000, 500)])
def test_bins_of_episodes(episodes, size):
    assert learning.bin_size(episodes) == size
    assert math.ceil(episodes / size) <= learning.MOST_BINS


def test_the_learning_curve_is_that_of_the_episodes(tmp_path):
    rng = np.random.default_rng(1)
    reward, exploration = rng.normal(size=57), np.linspace(1.0, 0.0, 57)
    pl.DataFrame({"reward": reward, "exploration": exploration}).write_parquet(tmp_path / "episodes.parquet")
    moments, explored, ends = learning.read_bins(tmp_path / "episodes.parquet", 57, 10)
    parts = np.split(reward, range(10, 57, 10))
    assert_allclose(moments[1], [part.mean() for part in parts])
    assert_allclose(moments[2], [part.var() * part.size for part in parts])
    assert_allclose(explored, [part.mean() for part in np.split(exploration, range(10, 57, 10))])
    assert ends.tolist() == [10, 20, 30, 40, 50, 57]


@pytest.mark.parametrize("settings", [config("history"), config("synthetic"), config("crypto", {"compat": "idi_iann"})])
def test_values_are_averaged_over_visits(settings):
    policy = train(settings)[1]
    maps, space = policy_maps.average_values(policy), policy.space
    sums: dict[tuple[int, ...], np.ndarray] = {}
    for state in np.flatnonzero(policy.visits):
        digits = dict(zip(space.names, space.digits(np.array([state]))[0].tolist(), strict=True))
        cell = digits["position"] if space.is_market else 0, digits[maps.y], digits[maps.x]
        sums[cell] = sums.get(cell, 0.0) + policy.visits[state] * np.append(policy.q[state], 1.0)
    assert maps.visits.sum() == policy.visits.sum()
    for cell in np.ndindex(maps.visits.shape):
        if cell in sums:
            mean = sums[cell][:3] / sums[cell][3]
            assert_allclose(maps.values[cell], mean, rtol=1e-12)  # summed in another order
            assert maps.greedy[cell] == np.argmax(maps.values[cell])
        else:
            assert np.isnan(maps.greedy[cell])
            assert np.isnan(maps.values[cell]).all()


def test_values_of_a_tile_coder_are_those_of_its_states():
    coder = {"tiling": "displaced", "num_tilings": 2, "tile_sizes": [2, 2, 2, 2, 2]}
    policy = train(config("history", tile_coder=coder))[1]
    maps = policy_maps.average_values(policy)
    states = np.arange(policy.space.n_states)
    weight = policy.visits[policy.layout.state_rows(states)].min(axis=1)
    cell = np.unravel_index(np.argmax(maps.visits), maps.visits.shape)
    digits = [policy.space.digit(states, name) for name in ("position", "trend", "price")]
    chosen = np.all([digit == place for digit, place in zip(digits, cell, strict=True)], axis=0)
    expected = np.average(policy.values(states[chosen]), axis=0, weights=weight[chosen])
    assert_allclose(maps.values[cell], expected)
    with mock.patch.object(policy_maps, "MOST_STATES", 500):
        some = policy_maps.average_values(policy)
    assert (maps.is_sampled, some.is_sampled) == (False, True)
    assert 0 < some.visits.sum() < maps.visits.sum()


@pytest.mark.parametrize(
    ("quantizer", "axes"),
    [
        ({}, ("price", "trend")),
        ({"trend_buckets": 1}, ("price", "volume")),
        ({"price_buckets": 1, "trend_buckets": 1}, ("volume", "scarcity")),
    ],
)
def test_axes_are_features_of_several_buckets(quantizer, axes):
    assert policy_maps.choose_axes(StateSpace.of(config(quantizer=quantizer))) == axes


def test_an_untrained_policy_has_no_maps(tmp_path):
    save_training(tmp_path / "run", *train(config(episodes=0)))
    page = report_page(tmp_path / "run")
    assert not {"greedy", "q-values", "learning-curve"} & {figure.name for figure in page.figures}
    render(page, "")


# --- trades


def test_the_largest_trades_are_marked_and_the_open_one(tmp_path):
    profit = [0.1, -0.5, 0.0, 0.5, None, -0.2]
    trades = pl.DataFrame({"entry_bar": range(6), "profit": profit})
    trades.write_parquet(tmp_path / "trades.parquet")
    with mock.patch("idi_fast.reporting.account.MOST_TRADES", 3):
        chosen, total = largest_trades(tmp_path / "trades.parquet")
    assert (chosen["entry_bar"].to_list(), total) == ([1, 3, 4], 6)


def test_trades_are_where_they_were_made(runs):
    trades = pl.read_parquet(runs / "backtest" / "trades.parquet")
    assert 0 < trades.height <= 200
    marks = {trace["name"]: trace for trace in report_figures(runs / "backtest")["price"].data}
    for name, direction in (("Long entry", 1), ("Short entry", -1)):
        mine = trades.filter(pl.col("direction") == direction)
        assert marks[name]["x"] == mine["entry_time"].dt.epoch("ms").to_list()
        assert_allclose(marks[name]["y"], mine["entry_price"], rtol=1e-5)  # six digits are kept
    assert len(marks["Exit"]["x"]) == trades["exit_bar"].count()

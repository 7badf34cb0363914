"""Bars whose close jumps, and comes back or stays: which are reported, and where."""

import json

import cli_helpers as cli
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces
from market_data import history, random_walk
from numpy.testing import assert_array_equal

from idi_fast.data import spikes
from idi_fast.data.spikes import SpikeDetector, spike_note
from idi_fast.data.timestamps import iso_time
from idi_fast.kernels import spikes as kernels
from oracle import spikes as oracle

WALK = random_walk(3000).close


def spiked(*places: int, value: float = 1e9, close: np.ndarray = WALK) -> np.ndarray:
    close = close.copy()
    close[list(places)] = value
    return close


def note(close: np.ndarray, chunks=(10**9,), time=None) -> str | None:
    bars, detector = history(close, time=time), SpikeDetector()
    for piece in pieces(close.size, list(chunks)):
        detector.push(bars.slice(piece.start, piece.stop))
    return detector.note()


def test_the_kernel_and_its_twin_share_a_reach():
    assert (kernels.REACH, kernels.GRADUAL) == (oracle.REACH, oracle.GRADUAL)


PRICES = st.lists(st.sampled_from([1.0, 1.1, 1.3, 2.0, 4.0, 1e6]), min_size=2, max_size=300)


FACTORS = st.sampled_from([(1.5, 1.2), (3.0, 3.0), (1.0, 1.0)])


@given(PRICES, st.integers(1, 300), st.integers(0, 300), FACTORS, st.integers(1, 300))
def test_find_spikes(prices, start, stop, factors, tail):
    args = start, min(stop, len(prices)), *factors, 1.9, tail
    assert kernels.find_spikes(np.array(prices), *args) == oracle.find_spikes(prices, *args)


RUNS = st.lists(st.tuples(st.sampled_from([1.0, 1.3, 2.0, 1e6]), st.integers(1, 13)), min_size=1, max_size=12)


@given(RUNS, FACTORS)
def test_find_spikes_of_several_bars(runs, factors):
    prices = [price for price, length in runs for _ in range(length)]
    args = 1, len(prices), *factors, 1.9, 5
    assert kernels.find_spikes(np.array(prices), *args) == oracle.find_spikes(prices, *args)


@pytest.mark.parametrize("bar", [1, 130, 2990])
def test_find_spikes_in_long_stretches(bar):
    """Of these most are passed over 128 at a time."""
    close = spiked(bar)
    args = 1, 2996, 1.5, 1.2, 1.4, 1
    assert kernels.find_spikes(close, *args) == (1, bar, 2996, 0, -1)
    assert kernels.find_spikes(close, *args) == oracle.find_spikes(close.tolist(), *args)


def test_a_wrong_price_is_pointed_out():
    said = note(spiked(1016), time=np.arange(3000) * 86_400 * 10**9 + 1_600_000_000 * 10**9)
    assert said == (
        "1 bar jumps by more than 20 robust deviations and back, as wrong prices do: bar 1,017 (2023-06-26T12:26:40Z), "
        f"has a close of 1e+09 after {WALK[1015]:g}"
    )
    said = note(spiked(500, 501, 502, 2000, value=1e-3))
    assert said.startswith(
        "4 bars jump by more than 20 robust deviations and back, as wrong prices do: the first, bar 501, "
    )


@pytest.mark.parametrize("chunks", [(10**9,), (7, 300)])
@pytest.mark.parametrize("value", [1e9, 1e-3])
@pytest.mark.parametrize("n", [5, 10])
def test_several_wrong_prices_in_a_row_are_pointed_out(n, value, chunks):
    said = note(spiked(*range(100, 100 + n), value=value), chunks)
    assert said == (
        f"{n} bars jump by more than 20 robust deviations and back, as wrong prices do: the first, bar 101, has a "
        f"close of {value:g} after {WALK[99]:g}"
    )


@pytest.mark.parametrize("chunks", [(10**9,), (7, 300)])
@pytest.mark.parametrize("n", [1, 2, 10])
@pytest.mark.parametrize("close", [WALK, WALK[:40]])
def test_wrong_prices_at_an_end_are_pointed_out(n, close, chunks):
    count = f"{n} bars jump" if n > 1 else "1 bar jumps"
    how = f"{count} by more than 20 robust deviations and back, or at an end of the history, as wrong prices do"
    which = "the first, " if n > 1 else ""
    first = note(spiked(*range(n), close=close), chunks)
    assert first == f"{how}: {which}bar 1, has a close of 1e+09 before {close[n]:g}"
    last = note(spiked(*range(close.size - n, close.size), close=close), chunks)
    bar = close.size - n
    assert last == f"{how}: {which}bar {bar + 1:,}, has a close of 1e+09 after {close[bar - 1]:g}"


def test_the_first_bar_has_a_time():
    assert "bar 1 (2020-09-13T12:26:40Z), has" in note(spiked(0), time=np.arange(3000) * 10**9 + 1_600_000_000 * 10**9)


def shocked(bars_back: int, volatility: float = 0.02) -> np.ndarray:
    """Closes that fall at once by 100 deviations and come back little by little."""
    close = WALK.copy()
    fall = np.zeros(close.size)
    fall[1000 : 1000 + bars_back] = np.linspace(-100 * volatility, 0, bars_back, endpoint=False)
    return close * np.exp(fall)


@pytest.mark.parametrize(
    "close",
    [
        WALK,
        shocked(8),
        WALK[:1],
        WALK[:2],
        np.array([100.0, 1e9]),
        np.full(100, 7.0),
    ],
)
def test_what_is_no_spike(close):
    assert note(close) is None


def split(bar: int, ratio: float, close: np.ndarray = WALK) -> np.ndarray:
    return np.concatenate([close[:bar], ratio * close[bar:]])


@pytest.mark.parametrize("chunks", [(10**9,), (7, 300)])
@pytest.mark.parametrize("ratio", [0.25, 10.0])
@pytest.mark.parametrize("bar", [11, 1000, WALK.size - 11])
def test_a_split_is_pointed_out(bar, ratio, chunks):
    close = split(bar, ratio)
    time = np.arange(3000) * 86_400 * 10**9 + 1_600_000_000 * 10**9
    assert note(close, chunks, time) == (
        "1 bar jumps to a level that stays, as prices that are not adjusted for a split do: "
        f"bar {bar + 1:,} ({iso_time(int(time[bar]))}), has a close of {close[bar]:g} after {close[bar - 1]:g}, a "
        "profit or loss that no holder had"
    )


def test_splits_and_wrong_prices_are_pointed_out_together():
    close = split(2000, 0.5, split(1000, 0.5))
    close[500] = 1e9
    said = note(close)
    assert said.startswith("1 bar jumps by more than 20 robust deviations and back")
    assert "; 2 bars jump to a level that stays" in said
    assert f"the first, bar 1,001, has a close of {close[1000]:g} after" in said


def test_eleven_wrong_prices_are_two_levels():
    assert note(spiked(*range(100, 111))).startswith("2 bars jump to a level that stays")


def test_a_shock_of_eleven_bars_is_no_spike():
    assert note(shocked(11)).startswith("1 bar jumps to a level that stays")


def test_a_fall_of_a_quarter_is_no_split():
    assert note(split(1000, 0.75, random_walk(3000, volatility=1e-3).close)) is None


def test_unchanged_closes_leave_a_deviation():
    """Most returns are 0, and so is their median deviation."""
    assert "bar 51, has a close of 1e+09 after 100" in note(spiked(50, close=np.full(100, 100.0)))
    ticks = np.where(np.arange(1000) % 10 == 0, 100.01, 100.0)  # a tick up and back is no spike
    assert note(ticks) is None
    assert "bar 50, has a close of 50" in note(spiked(49, value=50.0, close=ticks))


def test_the_threshold_is_in_robust_deviations():
    returns = np.tile([0.01, -0.01], 500)
    close = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    deviation = 1.4826 * 0.01
    for factor, is_spike in ((19.9, False), (20.2, True)):
        other = close.copy()
        other[500] = other[499] * np.exp(factor * deviation)
        assert (note(other) is not None) == is_spike


@given(st.sets(st.integers(0, 299), max_size=12), CHUNKS, st.sampled_from([20, 250, 300, 1000]))
def test_chunks_make_no_difference(places, chunks, scale_bars):
    close = spiked(*places, close=WALK[:300])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spikes, "SCALE_BARS", scale_bars)
        time = np.arange(300) * 10**9
        assert note(close, chunks, time) == note(close, time=time)


@given(
    st.lists(st.tuples(st.integers(0, 299), st.integers(1, 40)), max_size=5), CHUNKS, st.sampled_from([20, 250, 1000])
)
def test_chunks_make_no_difference_to_runs(runs, chunks, scale_bars):
    places = {place + k for place, n in runs for k in range(n) if place + k < 300}
    close = spiked(*places, close=WALK[:300])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spikes, "SCALE_BARS", scale_bars)
        assert note(close, chunks) == note(close)


def heavy_tailed(seed: int, n: int) -> np.ndarray:
    """Closes with the tails and the clustered volatility of a market: Student's t of 4 degrees, GARCH(1, 1)."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(4, n) / np.sqrt(2)
    returns, variance = np.empty(n), 1e-4
    for t in range(n):
        returns[t] = np.sqrt(variance) * shocks[t]
        variance = 5e-6 + 0.05 * returns[t] ** 2 + 0.9 * variance
    return 100.0 * np.exp(np.cumsum(returns))


@pytest.mark.parametrize("seed", range(4))
def test_markets_have_none(seed):
    assert note(heavy_tailed(seed, 10_000)) is None


def test_the_first_bars_alone_make_the_scale():
    wild = np.concatenate([WALK[:100], random_walk(100, volatility=2.0).close])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spikes, "SCALE_BARS", 100)
        assert note(wild) is not None
    assert note(WALK[:100]) is None


@pytest.fixture
def good(tmp_path):
    """A file of daily bars."""
    cli.bars(600).write_csv(tmp_path / "good.csv")
    return tmp_path / "good.csv"


@pytest.fixture
def wrong(tmp_path):
    """The same with one wrong price."""
    bars = cli.bars(600)
    bars[50, "close"] = 1e9
    bars.write_csv(tmp_path / "wrong.csv")
    return tmp_path / "wrong.csv"


NOTE = "1 bar jumps by more than 20 robust deviations and back, as wrong prices do: bar 51 ("
SWEEP = ("--grid", "learning_rate=0.1")


@pytest.mark.parametrize("args", [("train",), ("train", "--seeds", "0:2"), ("walkforward",), ("sweep", *SWEEP)])
def test_runs_that_train_point_it_out(tmp_path, good, wrong, args):
    name, *more = args
    data = ("--data",) if name == "train" else ()
    for path, is_wrong in ((wrong, True), (good, False)):
        outcome = cli.succeed(name, *data, path, *more, "--out", tmp_path / path.stem, *cli.QUICK)
        assert (f"note: {NOTE}" in outcome.stderr) == is_wrong
    if name in ("walkforward", "sweep"):
        notes = {
            kind: json.loads((tmp_path / kind / f"{name}.json").read_text())["notes"] for kind in ("wrong", "good")
        }
        assert [note for note in notes["wrong"] if note.startswith(NOTE)] == [
            note for note in notes["wrong"] if note not in notes["good"]
        ]


@pytest.mark.parametrize("command", ["backtest", "evaluate"])
def test_runs_of_a_policy_point_it_out(tmp_path, good, wrong, command):
    cli.succeed("train", "--data", good, "--out", tmp_path / "a", *cli.QUICK)
    args = (tmp_path / "a", "--data", wrong)
    if command == "backtest":
        args = (wrong, "--policy", tmp_path / "a", "--out", tmp_path / "b")
    outcome = cli.succeed(command, *args, "--json")
    assert f"note: {NOTE}" in outcome.stderr
    assert cli.one_object(outcome.stdout)["notes"][0].startswith(NOTE)


def test_of_many_symbols_the_first_is_named(tmp_path, good, wrong):
    cli.succeed("train", "--data", good, "--out", tmp_path / "a", *cli.QUICK)
    (tmp_path / "many").mkdir()
    for name, path in {"A": good, "B": wrong, "C": wrong}.items():
        (tmp_path / "many" / f"{name}.csv").write_bytes(path.read_bytes())
    options = ("--symbol-files", "--policy", tmp_path / "a", "--out", tmp_path / "b")
    outcome = cli.succeed("backtest", tmp_path / "many", *options)
    said = f"symbol 'B' (one of 2 symbols with such bars): {NOTE}"
    assert f"note: {said}" in outcome.stderr
    assert json.loads((tmp_path / "b" / "kpis.json").read_text())["notes"][0].startswith(said)


def test_a_history_is_left_as_it_is():
    bars = history(spiked(50))
    before = bars.close.copy()
    assert spike_note(bars) is not None
    assert_array_equal(bars.close, before)

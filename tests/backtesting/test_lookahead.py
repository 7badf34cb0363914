"""The look-ahead check finds every kind of leak that is built in, names its bar, and passes honest policies."""

import dataclasses

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import history, random_walk
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig, create_trainer
from idi_fast.agents.rollout import rollout_history
from idi_fast.backtesting import lookahead
from idi_fast.backtesting.lookahead import LookaheadViolation, check_lookahead, checked_segments
from idi_fast.config.feature_columns import SLOTS
from idi_fast.config.feature_settings import FeatureConfig
from idi_fast.data.history import History
from idi_fast.data.timestamps import iso_time
from idi_fast.environments.features import Encoder
from idi_fast.environments.history_bars import log_columns
from idi_fast.environments.series import FeatureStream, Series, SeriesStream
from idi_fast.errors import ArtifactError, InputError
from idi_fast.kernels import features as transforms

SIGNAL = {"column": "signal", "transform": "level", "window": 1}


def with_signal(bars: History, seed: int = 0) -> History:
    """The bars with a further column, a number a bar that has nothing to do with the others."""
    signal = np.random.default_rng(seed).normal(size=len(bars))
    return dataclasses.replace(bars, extra={"signal": signal}, columns={**bars.columns, "signal": "signal"})


def trained(bars: History, **fields):
    settings = {"episodes": 30, "episode_length": 40, "environment": {"kind": "history"}, **fields}
    return create_trainer(TrainingConfig.from_dict(settings), history=bars).run()[0]


@pytest.fixture(scope="module")
def policy():
    """A policy that sees volume, trend and drawdown beside the price; the regime's trend is another than its own."""
    trend = {"transform": "ema_ratio", "window": 20}
    return trained(random_walk(600), rewards={"ethics_bonus": 0.0}, features={"trend": trend})


@pytest.fixture(scope="module")
def policies():
    """Policies of all kinds: tables, tiles, methods, fills, features of every transform."""
    bars = with_signal(random_walk(500))
    features = {"price": SIGNAL, "trend": {"transform": "volatility", "window": 7}}
    others = {
        "volume": {"transform": "log_return", "window": 5},
        "scarcity": {"column": "open", "transform": "drawdown", "window": 9},
    }
    return [
        trained(bars),
        trained(bars, features=features, environment={"kind": "history", "data": {"fill": "next_close"}}),
        trained(bars, features=others, environment={"kind": "history", "allow_short": False}, tile_coder={}),
        trained(bars, tile_coder={"table_size": 200, "tiling": "reference"}, learning={"algorithm": "q_lambda"}),
        trained(bars, learning={"algorithm": "double_q_learning"}, quantizer={"volume_buckets": 1}),
        trained(history(bars.close), environment={"kind": "history", "data": {"fill": "same_close"}}),
    ]


@settings(max_examples=examples(25))
@given(
    which=st.integers(0, 5),
    n=st.integers(2, 150),
    seed=st.integers(0, 99),
    plain=st.booleans(),
    gaps=st.booleans(),
    cuts=st.integers(0, 4),
)
def test_honest_policies_pass(policies, which, n, seed, plain, gaps, cuts):
    bars = with_signal(random_walk(n, seed), seed)
    if gaps:
        bars = dataclasses.replace(bars, after_gap=np.random.default_rng(seed).random(n) < 0.2)
    if plain:
        # Without times, and without opens where the policy can do without.
        needs = {feature.column for feature in policies[which].encoder.features.values()}
        gone = {"time", "open"} - needs
        columns = {name: column for name, column in bars.columns.items() if name not in gone}
        bars = dataclasses.replace(bars, **dict.fromkeys(gone), columns=columns)
    assert check_lookahead(policies[which], bars, cuts=cuts, seed=seed) is None


def ahead(values: np.ndarray, bars: int) -> np.ndarray:
    """What stands so many bars later, at the end the last."""
    return np.append(values[bars:], np.repeat(values[-1:], min(bars, values.size)))[: values.size]


class TestLeakingFeatures:
    """The features of a bar are computed of later ones."""

    @pytest.mark.parametrize("name", ["volume", "trend", "scarcity"])
    @pytest.mark.parametrize(
        "leak",
        [
            lambda push, values: push(ahead(values, 1)),
            lambda push, values: push(values) - push(values).mean(),
            lambda push, values: push(values) + (values.max() - values[0]),
        ],
        ids=["one bar ahead", "mean of the series", "highest of the series"],
    )
    def test_a_transform_that_looks_ahead(self, policy, monkeypatch, name, leak):
        row, feature, inputs = SLOTS.index(name), policy.encoder.features[name], FeatureStream.inputs

        def honest(values):
            out, ring, moments = np.empty(values.size), np.zeros(feature.window), np.zeros(4)
            getattr(transforms, feature.transform)(values, ring, moments, np.zeros(1, np.int64), out)
            return out

        def leaky(self, columns):
            # Instead of the column the leaking feature of it, to be taken as it is: by a series of its own, since
            # others may be computed like the honest one.
            if self.parts[-1].series.transform != "level":
                self.parts.append(SeriesStream(Series.of(FeatureConfig(column=feature.column, transform="level"))))
                self.rows[row] = len(self.parts) - 1
            found = inputs(self, columns)
            made = leak(honest, found[-1][0])
            found[-1] = (made,)
            leaked.append(made.size)
            return found

        leaked = []
        monkeypatch.setattr(FeatureStream, "inputs", leaky)
        bars = random_walk(300, 5)
        found = check_lookahead(policy, bars)
        assert leaked
        assert found.column == f"{name}_bucket"
        assert found.bar < found.cut
        assert found.value == rollout_history(policy, bars).frame()[found.column][found.bar] != found.otherwise
        assert found.time == iso_time(bars.time[found.bar])

    # One that looks beyond the altered bars finds none there.
    @pytest.mark.parametrize("distance", [1, 7, 2000])
    def test_a_column_that_is_known_too_early(self, policies, distance):
        bars = with_signal(random_walk(2500, 3))

        def replay(policy, bars):
            return rollout_history(
                policy, dataclasses.replace(bars, extra={"signal": ahead(bars.extra["signal"], distance)})
            )

        found = check_lookahead(policies[1], bars, replay=replay)
        assert found.column == "price_bucket"
        assert found.cut - distance <= found.bar < found.cut

    @pytest.mark.parametrize("figure", [np.mean, np.max, np.median, lambda values: values[-1]])
    def test_a_column_scaled_by_the_whole_of_it(self, policies, figure):
        def replay(policy, bars):
            signal = bars.extra["signal"]
            return rollout_history(policy, dataclasses.replace(bars, extra={"signal": signal - figure(signal)}))

        found = check_lookahead(policies[1], with_signal(random_walk(200, 3)), replay=replay)
        assert (found.bar, found.column) == (0, "price_bucket")

    def test_edges_that_are_fitted_on_the_data_at_hand(self, policy):
        def replay(policy, bars):
            if len(bars) > 1:
                encoder = Encoder.fit(policy.config, policy.encoder.features, [log_columns(bars)])
                policy = dataclasses.replace(policy, encoder=encoder)
            return rollout_history(policy, bars)

        found = check_lookahead(policy, random_walk(400, 8), replay=replay)
        assert found.column.endswith("_bucket")
        assert found.bar < found.cut

    def test_a_leak_that_begins_late_in_a_long_history(self, policies, monkeypatch):
        monkeypatch.setattr(lookahead, "SEGMENT_BARS", 64)
        monkeypatch.setattr(lookahead, "HORIZON", 16)
        bars = with_signal(random_walk(1000, 3))

        def replay(policy, part):
            late = part.time >= bars.time[980]
            signal = np.where(late, ahead(part.extra["signal"], 1), part.extra["signal"])
            return rollout_history(policy, dataclasses.replace(part, extra={"signal": signal}))

        found = check_lookahead(policies[1], bars, replay=replay)
        assert found.start == 936
        assert 980 <= found.bar == found.cut - 1
        assert found.time == iso_time(bars.time[found.bar])
        assert f"bar {found.bar} ({found.time})" in str(found)
        assert str(found).endswith(", in a replay from bar 936 on")


def changed(**change):
    """A replay whose trace has columns that are functions of the trace and the bars."""

    def replay(policy, bars):
        trace = rollout_history(policy, bars)
        streams = {name: change[name](trace, bars) for name in trace.streams if name in change}
        columns = {name: make(trace, bars) for name, make in change.items() if name not in streams}
        return dataclasses.replace(trace, streams={**trace.streams, **streams}, **columns)

    return replay


class TestLeakingTraces:
    """The features are honest, but not what is made of them."""

    @pytest.mark.parametrize(
        ("column", "make"),
        [
            ("action", lambda trace, bars: (ahead(bars.close, 1) > bars.close).astype(np.int8)),
            ("comm_action", lambda trace, bars: (ahead(bars.close, 1) > bars.close).astype(np.int16)),
            ("position", lambda trace, bars: ahead(trace.position, 1)),
            ("close", lambda trace, bars: ahead(bars.close, 1)),
            ("time", lambda trace, bars: ahead(bars.time, 1)),
            ("price_up", lambda trace, bars: ahead(trace.streams["price_up"], 1)),
            ("failure_echo", lambda trace, bars: ahead(bars.after_gap, 1).astype(np.uint8)),
            ("failure_echo", lambda trace, bars: np.full(len(bars), bars.after_gap[1:].any(), np.uint8)),
        ],
    )
    def test_a_column_of_later_bars_is_found(self, policy, column, make):
        found = check_lookahead(policy, random_walk(200, 5), replay=changed(**{column: make}))
        assert found.column == ("target" if column == "position" else column)
        assert found.bar < found.cut

    def test_a_reward_in_units_of_later_volatility_is_found(self, policy):
        replay = changed(reward=lambda trace, bars: trace.reward / bars.close.std())
        found = check_lookahead(policy, random_walk(200, 5), replay=replay)
        assert (found.bar, found.column) == (0, "reward")
        assert found.cut >= 2  # the reward of bar 0 is known with bar 1

    def test_a_reward_that_comes_too_early_is_found(self, policy):
        # The last one before the cut may hang on the bar that is cut, the one before that may not.
        replay = changed(reward=lambda trace, bars: ahead(trace.reward, 1))
        found = check_lookahead(policy, random_walk(200, 5), replay=replay)
        assert found.column == "reward"
        assert found.bar == found.cut - 2

    def test_a_reward_that_is_undefined_in_both_is_none(self, policy):
        replay = changed(reward=lambda trace, bars: np.where(trace.action > 0, np.nan, trace.reward))
        assert check_lookahead(policy, random_walk(200, 5), replay=replay) is None


class Recorder:
    """A replay that keeps the bars it is given and does the same whatever they hold."""

    def __init__(self, bars: History):
        self.trace_bars, self.seen = bars, []

    def __call__(self, policy, bars):
        self.seen.append(bars)
        return rollout_history(policy, self.trace_bars.slice(0, len(bars)))


def test_other_futures_are_possible_bars_that_begin_with_the_cut(policy):
    prices = np.array([5e-324, 1e-300, 1.0, 7.0, 1e300, 1.7e308] * 5)
    extra = {"signal": np.array([0.0, -1.5, 1.7e308, 5e-324, -1.7e308, 3.0] * 5)}
    time = np.cumsum(np.arange(30) + 1)
    bars = history(prices, prices[::-1], np.arange(30.0), time, np.arange(30) % 4 == 0)
    bars = dataclasses.replace(
        bars, extra=extra, risk=np.arange(30) % 2, columns={**bars.columns, "signal": "signal", "risk": "risk"}
    )
    before = {name: bars.column(name).copy() for name in bars.columns}
    recorder = Recorder(random_walk(30))
    assert check_lookahead(policy, bars, cuts=60, replay=recorder) is None
    # Nearly all of the 29 cuts are drawn; the five replays of each come in a row.
    whole, *others = recorder.seen
    assert whole.close is bars.close or (whole.close == bars.close).all()
    places = [len(other) for other in others[::5]]
    assert places == sorted(set(places))
    assert len(places) > 20
    assert len(others) == 5 * len(places)
    for number, other in enumerate(others):
        cut, kind = places[number // 5], number % 5
        assert len(other) == (cut if kind == 0 else 30)
        for name, values in before.items():
            assert_array_equal(other.column(name)[:cut], values[:cut], err_msg=name)
        assert_array_equal(other.after_gap[:cut], bars.after_gap[:cut])
        assert (np.diff(other.time) > 0).all()
        assert other.time[-1] == (time[cut - 1] if kind == 0 else time[-1])
        if kind in (1, 2):
            assert (other.after_gap[cut:] != bars.after_gap[cut:]).all()
            assert (other.risk[cut:] != bars.risk[cut:]).all()
            inner = slice(cut, None)
            moved = (other.close > bars.close) if kind == 1 else (other.close < bars.close)
            # The largest and the smallest number there are have nowhere to go.
            assert (moved | (bars.close > 1e308) | (bars.close < 1e-320))[inner].all()
            assert_array_equal(np.sign(other.extra["signal"]), np.sign(bars.extra["signal"]))
        elif kind:
            assert_array_equal(np.sort(other.close[cut:]), np.sort(bars.close[cut:]))
            # A bar moves as a whole: its signal is its close's still.
            pairs = set(zip(bars.close.tolist(), bars.extra["signal"].tolist(), strict=True))
            assert set(zip(other.close.tolist(), other.extra["signal"].tolist(), strict=True)) <= pairs
    for name, values in before.items():
        assert_array_equal(bars.column(name), values, err_msg=name)


def test_the_bars_at_the_ends_and_about_full_windows_are_cuts(policy):
    recorder = Recorder(random_walk(200))
    check_lookahead(policy, random_walk(200), cuts=0, replay=recorder)
    places = [len(bars) for bars in recorder.seen[1::5]]
    # The features' windows are 16, 20, 32 and 64, that of the rewards' scale is 32.
    assert places == [1, 2, 3, 15, 16, 17, 19, 20, 21, 31, 32, 33, 63, 64, 65, 197, 198, 199]


def test_the_cost_is_bounded_whatever_the_length(policy, monkeypatch):
    monkeypatch.setattr(lookahead, "SEGMENT_BARS", 256)
    monkeypatch.setattr(lookahead, "HORIZON", 32)
    bars = random_walk(20_000)
    recorder = Recorder(bars)
    assert check_lookahead(policy, bars, cuts=5, replay=recorder) is None
    lengths = np.array([len(part) for part in recorder.seen])
    assert lengths.max() == 256
    assert lengths.size <= 4 * (1 + 5 * (18 + 5))
    closes = {float(part.close[0]) for part in recorder.seen}
    assert {float(bars.close[0]), float(bars.close[-256])} < closes
    assert len(closes) == 4


@given(bars=st.integers(2, 10**9), seed=st.integers(0, 99))
def test_stretches_are_the_ends_and_two_between(bars, seed):
    found = checked_segments(bars, seed)
    assert found == checked_segments(bars, seed)
    assert found == sorted(found)
    assert found[0][0] == 0
    assert found[-1][1] == bars
    assert all(stop - start == min(bars, lookahead.SEGMENT_BARS) for start, stop in found)
    assert len(found) <= 4
    if bars > 100 * lookahead.SEGMENT_BARS:
        assert len({*found, *checked_segments(bars, seed + 1)}) > len(found)


def test_a_finding_is_the_same_each_time_and_says_itself(policies):
    def replay(policy, bars):
        return rollout_history(policy, dataclasses.replace(bars, extra={"signal": ahead(bars.extra["signal"], 1)}))

    bars = with_signal(random_walk(100, 3))
    found = check_lookahead(policies[1], bars, seed=4, replay=replay)
    assert found == check_lookahead(policies[1], bars, seed=4, replay=replay)
    assert LookaheadViolation(**found.to_dict()) == found
    # A piece of a longer history has its bars' numbers there.
    piece = check_lookahead(policies[1], bars, seed=4, first=1000, replay=replay)
    assert (piece.bar, piece.cut, piece.start) == (found.bar + 1000, found.cut + 1000, 1000)
    found = LookaheadViolation(17, "1970-01-18T00:00:00Z", "price_bucket", 3, 1, 18, "shuffled", 0)
    text = "price_bucket is 3, but 1 with the bars from 18 on shuffled"
    assert str(found) == f"look-ahead at bar 17 (1970-01-18T00:00:00Z): {text}"
    assert str(dataclasses.replace(found, time=None)) == f"look-ahead at bar 17: {text}"


def test_what_cannot_be_checked_is_refused(policy):
    with pytest.raises(InputError, match="has 1 bars; expected 2 or more"):
        check_lookahead(policy, random_walk(1))
    with pytest.raises(InputError, match="cuts is -1; expected 0 or more"):
        check_lookahead(policy, random_walk(9), cuts=-1)
    with pytest.raises(InputError, match="seed is -1; expected 0 or more"):
        check_lookahead(policy, random_walk(9), seed=-1)
    synthetic, _ = create_trainer(TrainingConfig(episodes=1)).run()
    with pytest.raises(ArtifactError, match="trained on the synthetic environment"):
        check_lookahead(synthetic, random_walk(9))

"""Training on the histories of many symbols."""

from dataclasses import replace

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from history_files import assert_mentions
from hypothesis import given
from hypothesis import strategies as st
from market_data import random_walk
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.in_sample import describe_bars, is_in_sample
from idi_fast.data.panel import Panel
from idi_fast.environments.environment import HistoryBars
from idi_fast.environments.splits import split_history
from idi_fast.errors import DataError, InputError

HOUR = 3600 * 10**9
CONFIG = TrainingConfig.from_dict({"episodes": 40, "episode_length": 16, "environment": {"kind": "history"}})


def bars(n: int, seed: int, first: int = 0) -> idi.History:
    walk = random_walk(n, seed=seed)
    return replace(walk, time=(first + np.arange(n)) * HOUR, columns={"time": "time", **walk.columns})


A, B, C = bars(600, 1), bars(400, 2), bars(300, 3, first=500)
SYMBOLS = {"A": A, "B": B, "C": C}


def test_a_panel_of_one_symbol_is_its_history():
    one, panel = (idi.train(CONFIG, history, seed=1) for history in (A, {"A": A}))
    assert_array_equal(one.policy.q, panel.policy.q)
    assert one.policy.encoder.to_dict() == panel.policy.encoder.to_dict()
    assert one.evaluation.to_dict() == panel.evaluation.to_dict()
    assert {"symbol": "A", **one.policy.trained_on[0]} == panel.policy.trained_on[0]


def test_the_order_of_symbols_makes_no_difference():
    one, other = (idi.train(CONFIG, dict(pairs), seed=1) for pairs in (SYMBOLS.items(), [*SYMBOLS.items()][::-1]))
    assert one.policy.identity() == other.policy.identity()
    assert [about["symbol"] for about in one.policy.trained_on] == ["A", "B", "C"]


def test_each_symbol_is_encoded_for_itself_with_edges_of_all():
    panel = HistoryBars(CONFIG, Panel.of(SYMBOLS))
    assert_array_equal(panel.firsts, [0, 600, 1000, 1300])
    for place, history in enumerate((A, B, C)):
        alone = HistoryBars(CONFIG, history, panel.encoder)
        for own, pooled in zip(alone.bars, panel.bars, strict=True):
            assert_array_equal(own, pooled[panel.firsts[place] : panel.firsts[place + 1]])
    own = HistoryBars(CONFIG, A)
    assert own.encoder.to_dict() != panel.encoder.to_dict()
    counts = np.bincount(panel.bars.observation % 8, minlength=8)
    assert counts.min() > 0.5 * counts.max() or counts.size > 8


@given(st.lists(st.integers(18, 60), min_size=1, max_size=4), st.integers(1, 16), st.integers(1, 20))
def test_windows_lie_within_their_symbols(sizes, length, step):
    market = HistoryBars.__new__(HistoryBars)
    market.firsts = np.cumsum([0, *sizes])
    stops, shifts = market.windows(length, step)
    starts = []
    for first, size in zip(market.firsts, sizes, strict=False):
        starts += [first + k for k in range(0, size - length, step)]
    found = [number * step + shifts[np.searchsorted(stops, number, "right")] for number in range(stops[-1])]
    assert found == starts


def test_a_policy_of_some_symbols_meets_others():
    run = idi.train(CONFIG, {"A": A, "B": B}, seed=1)
    assert idi.backtest(run.policy, C).to_dict()["assumptions"]["in_sample"] is False
    assert idi.backtest(run.policy, B).to_dict()["assumptions"]["in_sample"] is True
    assert idi.evaluate(run.policy, SYMBOLS).in_sample
    assert not idi.evaluate(run.policy, {"C": C}).in_sample
    described = describe_bars(Panel.of({"A": A}))
    assert is_in_sample(described, Panel.of({"A": A})) is True
    assert is_in_sample(described, Panel.of({"Z": A})) is True  # a name is no proof
    assert is_in_sample(described, Panel.of({"A": B})) is False


def test_one_split_for_all_symbols():
    data = replace(CONFIG.environment.data, split="80%")
    config = replace(CONFIG, environment=replace(CONFIG.environment, data=data))
    found = split_history(config, Panel.of(SYMBOLS))
    at = np.datetime64(found.config.environment.data.split.rstrip("Z"), "ns").astype(np.int64)
    assert list(found.training.histories) == ["A", "B"]  # C begins too late
    assert list(found.test.histories) == ["A", "C"]  # B ends too early
    assert all(history.time[-1] < at - 63 * HOUR for history in found.training)
    assert all(history.time[0] >= at for history in found.test)
    run = idi.train(config, SYMBOLS, seed=1)
    assert [about["symbol"] for about in run.policy.trained_on] == ["A", "B"]
    assert not run.evaluation.in_sample


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: idi.train(CONFIG, {"A": A, "short": bars(10, 1)}), "the history of 'short' has 10 bars"),
        (
            lambda: idi.train(CONFIG, {"A": A, "B": idi.History.from_arrays(B.close)}),
            "'B' has the columns close, 'A' has",
        ),
        (lambda: idi.walk_forward(CONFIG, SYMBOLS), "history is a dict of histories; expected one History"),
        (lambda: idi.backtest(idi.train(CONFIG, A).policy, SYMBOLS), "history is a dict of histories"),
        (lambda: Panel({}), "there are no symbols"),
    ],
)
def test_what_does_not_fit_is_named(call, said):
    with pytest.raises((DataError, InputError), match=said):
        call()


def test_frames_by_symbol():
    frames = {symbol: history.to_frame() for symbol, history in SYMBOLS.items()}
    one, other = (idi.train(CONFIG, given, seed=1).policy for given in (SYMBOLS, frames))
    assert_array_equal(one.q, other.q)


def test_by_command(tmp_path):
    frames = [history.to_frame().with_columns(pl.lit(symbol).alias("ticker")) for symbol, history in SYMBOLS.items()]
    pl.concat(frames).write_parquet(tmp_path / "all.parquet")
    (tmp_path / "each").mkdir()
    for symbol, frame in zip(SYMBOLS, frames, strict=True):
        frame.drop("ticker").write_parquet(tmp_path / "each" / f"{symbol}.parquet")
    some = ["--episodes", "40", "--episode-length", "16"]
    by_col = ["train", "--data", tmp_path / "all.parquet", "--symbol-col", "ticker", *some]
    cli.succeed(*by_col, "--out", tmp_path / "a")
    cli.succeed("train", "--data", tmp_path / "each", "--symbol-files", *some, "--out", tmp_path / "b")
    policies = [idi.Policy.load(tmp_path / name) for name in "ab"]
    expected = idi.train(CONFIG, SYMBOLS, seed=0).policy
    for policy in policies:
        assert_array_equal(policy.q, expected.q)
        assert [about["symbol"] for about in policy.trained_on] == ["A", "B", "C"]
        assert all(about["files"] for about in policy.trained_on)
    assert len(load_config_bars(policies[0].config)) == 1300
    assert cli.succeed(*by_col, "--out", tmp_path / "a", "--resume").status == 0
    assert_mentions(cli.succeed("evaluate", tmp_path / "a").stdout, "windows of the bars")
    shown = cli.succeed(
        "backtest", tmp_path / "each" / "C.parquet", "--policy", tmp_path / "a", "--out", tmp_path / "c"
    )
    assert_mentions(shown.stdout, "in sample         True")
    many = ["backtest", tmp_path / "each", "--symbol-files", "--policy", tmp_path / "b", "--out", tmp_path / "d"]
    assert_mentions(cli.succeed(*many).stdout, "symbols")
    for name, data in (("a", tmp_path / "all.parquet"), ("b", tmp_path / "each")):
        cli.succeed("prove", tmp_path / name, "--prover", "replay")
        cli.succeed("verify", tmp_path / name, "--data", data, "--require", "replay")
    outcome = cli.run("verify", tmp_path / "b", "--data", tmp_path / "each" / "A.parquet", "--require", "replay")
    assert outcome.status == 1
    seeds = ["--seeds", "0:2", "--out", tmp_path / "p"]
    cli.succeed("train", "--data", tmp_path / "each", "--symbol-files", *some, *seeds)
    cli.succeed("export", tmp_path / "a", "--to", tmp_path / "streams")


def test_features_may_read_high_and_low():
    high = idi.History.from_arrays(
        A.close, time=A.time.view("datetime64[ns]"), high=A.close * 1.01, low=A.close * 0.99, volume=A.volume
    )
    features = {"price": {"transform": "zscore", "column": "high", "window": 16}}
    config = TrainingConfig.from_dict({**CONFIG.to_dict(), "features": features})
    run = idi.train(config, high, seed=1)
    assert run.policy.encoder.features["price"].column == "high"
    with pytest.raises(DataError, match="a feature needs the column 'high'"):
        idi.train(config, A, seed=1)


@pytest.mark.parametrize("command", ["walkforward", "sweep"])
def test_commands_of_one_history_refuse_many(tmp_path, command):
    A.to_frame().write_parquet(tmp_path / "A.parquet")
    extra = ["--grid", "discount=0.5"] if command == "sweep" else []
    outcome = cli.run(
        command, tmp_path / "A.parquet", *extra, "--set", "environment.data.symbol_files=true", "--out", tmp_path / "x"
    )
    assert outcome.status == 2
    assert_mentions(outcome.stderr, "symbol_files and symbol_col are for train")

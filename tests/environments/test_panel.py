"""Training on the histories of many symbols."""

import json
from dataclasses import replace

import cli_helpers as cli
import jsonschema
import numpy as np
import polars as pl
import pytest
from history_files import assert_mentions
from hypothesis import given
from hypothesis import strategies as st
from market_data import random_walk
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.backtesting.symbols import backtest_symbols
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.in_sample import describe_bars, is_in_sample
from idi_fast.data.panel import Panel
from idi_fast.environments.features import Encoder
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.splits import split_history
from idi_fast.errors import DataError, InputError
from idi_fast.schemas import load_schema
from idi_fast.selection.timeline import Timeline

HOUR = 3600 * 10**9
CONFIG = TrainingConfig.from_dict({"episodes": 40, "episode_length": 16, "environment": {"kind": "history"}})


def bars(n: int, seed: int, first: int = 0) -> idi.History:
    walk = random_walk(n, seed=seed)
    return replace(walk, time=(first + np.arange(n)) * HOUR, columns={"time": "time", **walk.columns})


def untimed(history: idi.History) -> idi.History:
    return idi.History.from_arrays(history.close, volume=history.volume)


PER_SYMBOL = TrainingConfig.from_dict(
    {**CONFIG.to_dict(), "environment": {"kind": "history", "data": {"edges": "per_symbol"}}}
)
A, B, C = bars(600, 1), bars(400, 2), bars(300, 3, first=500)
SYMBOLS = {"A": A, "B": B, "C": C}


def test_a_panel_of_one_symbol_is_its_history():
    one, panel = (idi.train(CONFIG, history, seed=1) for history in (A, {"A": A}))
    assert_array_equal(one.policy.q, panel.policy.q)
    assert one.policy.encoder.to_dict() == panel.policy.encoder.to_dict()
    assert one.evaluation.to_dict() == {k: v for k, v in panel.evaluation.to_dict().items() if k != "by_symbol"}
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
        (lambda: idi.walk_forward(CONFIG, {"A": untimed(A), "B": untimed(B)}), "tested at the same dates, but have no"),
        (
            lambda: idi.walk_forward(CONFIG, {"C": C, "Z": bars(20, 1, first=900)}, train_bars=20),
            "no symbol has 17 bars",
        ),
        (lambda: idi.train(PER_SYMBOL, A), "edges is 'per_symbol', but there is one history"),
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


def test_each_symbol_may_have_edges_of_its_own(tmp_path):
    policy = idi.train(PER_SYMBOL, SYMBOLS, seed=1).policy
    pooled = idi.train(CONFIG, SYMBOLS, seed=1).policy.encoder
    policy.save(tmp_path / "policy.parquet")
    encoder = idi.Policy.load(tmp_path / "policy.parquet").encoder
    assert encoder.to_dict() == policy.encoder.to_dict()
    assert {**encoder.to_dict(), "by_symbol": None} == {**pooled.to_dict(), "by_symbol": None}
    for symbol, history in SYMBOLS.items():
        alone = HistoryBars(CONFIG, history)
        assert encoder.of_symbol(symbol).to_dict() == alone.encoder.to_dict()
        found = HistoryBars(CONFIG, Panel.of({symbol: history}), encoder).bars
        for own, other in zip(alone.bars, found, strict=True):
            assert_array_equal(own, other)
    assert encoder.of_symbol("Z").to_dict() == encoder.of_symbol(None).to_dict() == encoder.to_dict()
    assert "3 symbols" in repr(policy)


def test_a_backtest_of_a_named_symbol_has_its_edges_and_another_the_pooled_ones():
    policy = idi.train(PER_SYMBOL, {"A": A, "B": B}, seed=1).policy
    encoder = policy.encoder
    result = backtest_symbols(policy, {"A": A, "Z": C})
    own = idi.backtest(replace(policy, encoder=encoder.of_symbol("A")), A)
    pooled = idi.backtest(replace(policy, encoder=replace(encoder, by_symbol={})), C)
    assert result.symbols["total_return"].to_list() == [own.kpis["total_return"], pooled.kpis["total_return"]]
    assert own.kpis["mean_reward"] != idi.backtest(policy, A).kpis["mean_reward"]
    unnamed = idi.backtest(policy, C)
    assert unnamed.kpis == pooled.kpis
    assert_mentions(unnamed.to_dict()["notes"][0], "edges of 2 symbols", "of none by name", "symbol_files")
    assert not any("symbols" in note for note in pooled.to_dict()["notes"])


def test_a_damaged_policy_has_edges_of_other_buckets():
    encoder = idi.train(PER_SYMBOL, SYMBOLS, seed=1).policy.encoder.to_dict()
    encoder["by_symbol"]["B"]["edges"]["price"] = [0.0]
    with pytest.raises(ValueError, match=r"the edges of 'B' make \(2, 4, 4, 8\) buckets; expected \(4, 4, 4, 8\)"):
        Encoder.from_dict(encoder)


def test_an_evaluation_by_symbol_is_that_of_its_episodes():
    policy = idi.train(PER_SYMBOL, SYMBOLS, seed=1).policy
    found = idi.evaluate(policy, SYMBOLS).to_dict()
    assert list(found["by_symbol"]) == ["A", "B", "C"]
    assert sum(of["episodes"] for of in found["by_symbol"].values()) == found["episodes"]
    for symbol, history in SYMBOLS.items():
        alone = idi.evaluate(policy, {symbol: history}).to_dict()
        of = found["by_symbol"][symbol]
        assert (of["mean"], of["episodes"]) == (alone["mean"], alone["episodes"])
        above = alone["baselines"][found["best_baseline"]]["difference"]
        assert of["difference"] == above
    assert "by_symbol" not in idi.evaluate(policy, A).to_dict()


def test_a_walk_forward_of_one_symbol_is_that_of_its_history():
    one, panel = (idi.walk_forward(CONFIG, given, seeds=(0, 3)) for given in (A, {"A": A}))
    assert one.windows.equals(panel.windows.select(one.windows.columns))
    assert panel.equity.equals(one.equity.select(panel.equity.columns))
    assert {**one.to_dict(), "assumptions": None} == {**panel.to_dict(), "assumptions": None}
    assert one.symbols is None
    last = one.equity.group_by("seed", maintain_order=True).last()["equity"]
    assert panel.symbols["total_return"].to_numpy() == pytest.approx(last.to_numpy() - 1.0)


def test_a_walk_forward_tests_all_symbols_at_the_same_dates():
    walk = idi.walk_forward(PER_SYMBOL, SYMBOLS, train_bars=300, test_bars=70)
    times = np.unique(np.concatenate([history.time for history in SYMBOLS.values()]))
    first, *_, last = walk.windows.iter_rows(named=True)
    assert (first["trained_symbols"], first["tested_symbols"]) == (2, 2)  # C has not begun, then is not trained on
    assert walk.equity["time"].to_physical().to_list() == times[first["test_first"] :].tolist()
    assert last["tested_symbols"] == 1
    bounds = times[[first["train_last"], first["test_first"]]]
    assert bounds[1] - bounds[0] == 65 * HOUR
    by_symbol = {row["symbol"]: row for row in walk.symbols.iter_rows(named=True)}
    assert by_symbol["B"]["tested_bars"] == 36  # from bar 364 to its last, the 399th
    # Equal capital in each of the three: what the book earned is their mean.
    mean = np.mean([row["total_return"] for row in by_symbol.values()])
    assert walk.to_dict()["by_seed"]["0"]["total_return"] == pytest.approx(mean, rel=1e-12)
    held = np.mean([row["buy_and_hold"] for row in by_symbol.values()])
    assert walk.to_dict()["buy_and_hold"]["total_return"] == pytest.approx(held, rel=1e-12)


def test_no_bar_of_a_walk_forward_is_trained_on_within_the_embargo_of_its_own_symbol():
    sparse = {"A": A, "S": C.slice(0, 300)}
    timeline = Timeline(Panel.of(sparse), 64)
    part = timeline.training(0, 700, 720, 16)
    for symbol, history in part.histories.items():
        stop, tested = len(history), np.searchsorted(sparse[symbol].time, timeline.time[720])
        assert tested - stop >= 64
        assert history.time[-1] < timeline.time[700]
    untouched = {**SYMBOLS, "A": replace(A, close=np.where(A.time >= timeline.time[364], A.close * 2.0, A.close))}
    one, other = (idi.walk_forward(CONFIG, given, train_bars=300, test_bars=336) for given in (SYMBOLS, untouched))
    assert one.symbols.filter(pl.col("symbol") == "B").equals(other.symbols.filter(pl.col("symbol") == "B"))


@pytest.mark.parametrize("grid", [{"discount": [0.5, 0.9]}])
def test_a_sweep_of_one_symbol_is_that_of_its_history(grid):
    one, panel = (idi.sweep(CONFIG, grid, given, seeds=(0, 3)) for given in (A, {"A": A}))
    assert one.trials.equals(panel.trials)
    own = {key: value for key, value in panel.summary["test"].items() if key != "by_symbol"}
    assert one.summary["test"] == own
    many = idi.sweep(PER_SYMBOL, grid, SYMBOLS)
    assert list(many.policies[0].encoder.by_symbol) == [about["symbol"] for about in many.policies[0].trained_on]
    by_symbol = many.summary["test"]["by_symbol"]
    mean = np.mean([of["total_return"] for of in by_symbol.values()])
    assert many.summary["test"]["book"]["total_return"] == pytest.approx(mean, rel=1e-12)


def test_commands_of_many_symbols(tmp_path):
    (tmp_path / "each").mkdir()
    for symbol, history in SYMBOLS.items():
        history.to_frame().write_parquet(tmp_path / "each" / f"{symbol}.parquet")
    many = [tmp_path / "each", "--symbol-files", "--edges", "per-symbol", "--episodes", "20", "--episode-length", "16"]
    walk = cli.succeed("walkforward", *many, "--train-bars", "300", "--out", tmp_path / "walk")
    assert_mentions(walk.stdout, "symbols", "symbol  total return", "A ", "C ")
    assert pl.read_parquet(tmp_path / "walk" / "symbols.parquet")["symbol"].to_list() == ["A", "B", "C"]
    grid = cli.succeed("sweep", *many, "--grid", "discount=0.5,0.9", "--out", tmp_path / "grid")
    assert_mentions(grid.stdout, "symbol  total return")
    cli.succeed("report", tmp_path / "walk", "--out", tmp_path / "walk.html")
    for name in ("walk", "grid"):
        assert cli.succeed("verify", tmp_path / name).status == 0
    cli.succeed("train", "--data", *many, "--out", tmp_path / "agent")
    cli.succeed("prove", tmp_path / "agent", "--prover", "replay")
    cli.succeed("verify", tmp_path / "agent", "--data", tmp_path / "each", "--require", "replay")
    written = {"walk": "walkforward", "grid": "sweep"}
    for name, schema in [(f"{name}/{kind}.json", kind) for name, kind in written.items()]:
        jsonschema.validate(json.loads((tmp_path / name).read_text()), load_schema(schema))
    for name in (*written, "agent"):
        jsonschema.validate(json.loads((tmp_path / name / "run.json").read_text()), load_schema("run"))
    shown = cli.succeed("evaluate", tmp_path / "agent", "--data", tmp_path / "each" / "C.parquet")
    assert_mentions(shown.stdout, "symbol", "C ")
    both = cli.run("train", "--data", tmp_path / "each", "--edges", "per-symbol", "--out", tmp_path / "x")
    assert both.status == 2

"""Walk-forward analysis: strictly out of sample, in whatever order windows are processed."""

import json
import signal
import threading
import time
from dataclasses import replace
from itertools import pairwise

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import history as prices
from market_data import random_walk, signal_in_the_embargo
from numpy.testing import assert_allclose, assert_array_equal
from test_trainer import config

from idi_fast import Policy, create_trainer
from idi_fast.backtesting.account import FILLS, TradingAssumptions, hold
from idi_fast.backtesting.backtest import backtest
from idi_fast.backtesting.kpis import sharpe_interval, sharpe_ratio
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_history
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import InputError
from idi_fast.evaluation.baselines import evaluate
from idi_fast.evaluation.verdicts import account_verdict, beside, signed_percent
from idi_fast.selection.walk_forward import walk_forward
from idi_fast.selection.windows import make_windows

SHORT = {name: {"transform": "ema_ratio", "window": 8} for name in ("price", "volume", "trend", "scarcity")}
EMBARGO = 32  # the scale of rewards looks back furthest
SIZES = {"train_bars": 150, "test_bars": 60}


ONE_WINDOW = "there is a single window; fewer train_bars or test_bars make more"
SHORT_TEST = "a test has {} bars, fewer than the 32 that the longest feature looks back over: it says little"


def setup(**fields):
    return config("history", features=SHORT, **fields)


def run(history: History, **options):
    return walk_forward(setup(), history, **{**SIZES, "seeds": (3, 1), **options})


@given(
    bars=st.integers(2, 400),
    train=st.integers(1, 100),
    test=st.integers(3, 60),
    more=st.integers(0, 20),
    embargo=st.integers(0, 40),
    anchored=st.booleans(),
)
def test_windows_follow_one_another_and_nothing_tested_was_trained_on(bars, train, test, more, embargo, anchored):
    step = test + more
    if bars < train + embargo + 2:
        with pytest.raises(InputError, match=f"the history has {bars} bars"):
            make_windows(bars, train, test, step, embargo=embargo, anchored=anchored)
        return
    windows = make_windows(bars, train, test, step, embargo=embargo, anchored=anchored)
    for k, window in enumerate(windows):
        assert window.train_start == (0 if anchored else k * step)
        assert window.train_stop == k * step + train
        assert window.test_start - window.train_stop == embargo
        assert 2 <= window.test_stop - window.test_start <= test
        assert window.test_stop <= bars
    for before, after in pairwise(windows):
        assert before.test_stop <= after.test_start
        assert before.test_stop - before.test_start == test
    # No further window would have two bars to test.
    assert windows[-1].train_stop + step + embargo + 2 > bars


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_bars": 0}, "train_bars is 0; expected 1 or more"),
        ({"step": 59}, "step is 59, but a test has 60 bars"),
        ({"test_bars": 1}, "test_bars is 1; expected 2 or more, or nothing could be traded"),
        ({"test_bars": 2, "step": 3}, "test_bars is 2; expected 3 or more, or nothing could be traded"),
        ({"train_bars": 30}, r"train_bars is 30; expected more than episode_length \(30\)"),
        ({"train_bars": 370}, "the history has 400 bars; 370 for training, an embargo of 32 .* need 404"),
        ({"jobs": 0}, "jobs is 0"),
        ({"seeds": (1, 1)}, "the seed 1 is listed twice"),
        ({"fill": "never"}, "fill is 'never'"),
        ({"fee_bps": -1.0}, "fee_bps is -1.0"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        run(random_walk(400), **options)
    with pytest.raises(InputError, match=r"environment\.kind is 'crypto'; a walk-forward needs 'history'"):
        walk_forward(config("crypto"), random_walk(400))
    with pytest.raises(InputError, match="train_bars is 45, half of the 90 there are; expected more than"):
        walk_forward(replace(setup(), episode_length=45), random_walk(90))


def test_each_window_is_a_training_and_a_backtest_by_hand():
    history = random_walk(400)
    result = run(history)
    assert result.assumptions["embargo"] == EMBARGO
    assert result.assumptions["windows"] == 4
    for row in result.windows.iter_rows(named=True):
        start = row["window"] * 60
        trained = history.slice(start, start + 150)
        policy, _ = create_trainer(setup(), int(row["seed"]), trained).run()
        first = iso_time(history.time[start + 150 + EMBARGO])
        later = backtest(policy, history.slice(start + 150, start + 150 + EMBARGO + 60), start=first)
        equity = result.equity.filter((pl.col("window") == row["window"]) & (pl.col("seed") == row["seed"]))
        assert equity["tick"].to_list() == list(range(start + 182, min(400, start + 242)))
        assert_array_equal(equity["position"].to_numpy()[1:], later.account.position[1:])
        assert (row["train_first"], row["train_last"]) == (start, start + 149)
        assert (row["test_first"], row["test_last"]) == (equity["tick"][0], equity["tick"][-1])


SIGNAL = {"price": {"column": "signal", "transform": "level", "window": 1}}


def signal_setup(**fields):
    """A config that learns to follow a signal, and to hold on where there is none."""
    few = {"price_buckets": 3, **{f"{name}_buckets": 1 for name in ("volume", "trend", "scarcity", "mood")}}
    profit = {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}
    about = {"features": SIGNAL, "quantizer": few, "rewards": profit, "discount": 0.01}
    return config("history", **{"episodes": 400, "learning": {"exploration_floor": 0.1}, **about, **fields})


def test_a_signal_in_the_embargo_is_not_acted_on():
    history = signal_in_the_embargo(400, embargo=EMBARGO, stretches=[60])
    result = walk_forward(signal_setup(), history, train_bars=400, test_bars=60, seeds=(0, 1))
    rows = result.windows
    assert (rows["trades"].to_list(), rows["open_trades"].to_list()) == ([0, 0], [0, 0])
    assert (rows["total_return"].to_list(), rows["turnover"].to_list()) == ([0.0, 0.0], [0.0, 0.0])
    assert not result.equity["position"].to_numpy().any()
    assert result.summary["buy_and_hold"]["total_return"] > 0.5  # what acting on the signal would have earned
    # A signal at the first tested bar is acted on.
    history.extra["signal"][400 + EMBARGO] = 1.0
    bought = walk_forward(signal_setup(), history, train_bars=400, test_bars=60, seeds=(0,))
    assert bought.windows["open_trades"].to_list() == [1]
    assert bought.equity["position"].to_list() == [0, *[1] * 59]


def test_an_agent_without_a_signal_leaves_what_the_one_before_it_held():
    history = signal_in_the_embargo(400, embargo=EMBARGO, stretches=[120], rise=0.0)
    history.extra["signal"][400 + EMBARGO] = 1.0  # bought at the first tested bar, and held to the end of its window
    result = walk_forward(signal_setup(), history, train_bars=400, test_bars=60, seeds=(0,))
    assert result.equity["position"].to_list() == [0, *[1] * 60, *[0] * 59]
    assert result.windows["trades"].to_list() == [0, 1]
    assert result.windows["open_trades"].to_list() == [1, 0]


def test_the_equity_is_stitched_from_the_windows():
    result = run(random_walk(400))
    for seed in ("3", "1"):
        rows = result.windows.filter(pl.col("seed") == seed)
        last = result.equity.filter(pl.col("seed") == seed)["equity"][-1]
        assert last == pytest.approx(np.prod(rows["total_return"].to_numpy() + 1.0))
        assert result.summary["by_seed"][seed]["total_return"] == pytest.approx(last - 1.0)
    held = np.prod(result.windows.filter(pl.col("seed") == "1")["buy_and_hold"].to_numpy() + 1.0)
    assert result.summary["buy_and_hold"]["total_return"] == pytest.approx(held - 1.0)


@pytest.mark.parametrize(
    ("earned", "above", "below", "seeds", "verdict"),
    [
        (
            -0.686,
            ([], []),
            (["1"], ["0", "1", "2"]),
            3,
            "worse than buy and hold (−68.6% against +142%, the median "
            "of 3 seeds), beyond chance for all 3 seeds; a loss beyond chance for 1 of 3 seeds",
        ),
        (
            1.9,
            (["4"], []),
            ([], []),
            1,
            "better than buy and hold (+190% against +142%), not beyond chance; a profit beyond chance",
        ),
        (
            1.9,
            ([], ["4", "2"]),
            (["1"], ["1"]),
            5,
            "better than buy and hold (+190% against +142%, the median of 5 "
            "seeds), beyond chance for 2 of 5 seeds; a profit beyond chance for no seed",
        ),
        (1.42, (["1"], []), ([], []), 1, "the same as buy and hold (+142%); a profit beyond chance"),
        (
            0.0,
            ([], []),
            ([], ["1"]),
            1,
            "worse than buy and hold (0% against +142%), beyond chance; neither a profit nor a loss",
        ),
    ],
)
def test_the_verdict_has_the_figures_beside_buy_and_hold(earned, above, below, seeds, verdict):
    above, below = (dict(zip(("zero", "buy_and_hold"), found, strict=True)) for found in (above, below))
    assert account_verdict(earned, 1.42, above, below, seeds) == verdict


def test_what_is_beyond_chance_is_on_the_side_of_its_interval():
    told = run(random_walk(400), seeds=range(6)).summary
    for name, key in (("zero", "sharpe_interval"), ("buy_and_hold", "excess_sharpe_interval")):
        intervals = {seed: found[key] for seed, found in told["by_seed"].items()}
        assert told["significantly_above"][name] == [seed for seed, (low, _) in intervals.items() if low > 0.0]
        assert told["significantly_below"][name] == [seed for seed, (_, high) in intervals.items() if high < 0.0]


def test_the_verdict_is_of_the_median_seed():
    told = run(random_walk(400)).summary
    median, held = told["over_seeds"]["total_return"]["median"], told["buy_and_hold"]["total_return"]
    first = beside(median, held, "buy and hold", signed_percent, ", the median of 2 seeds")
    assert told["verdict"].startswith(f"{first}, ")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"train_bars": 330, "test_bars": 38}, [ONE_WINDOW]),
        ({"test_bars": 31}, [SHORT_TEST.format(31)]),
        ({"test_bars": 32}, []),
        ({"train_bars": 350, "test_bars": 38}, [ONE_WINDOW, SHORT_TEST.format(18)]),
    ],
)
def test_too_little_to_walk_through_is_pointed_out(options, expected):
    assert run(random_walk(400), seeds=(1,), **options).to_dict()["notes"] == expected


@pytest.mark.parametrize("fill", FILLS)
def test_holding_is_buying_at_the_first_test_and_holding_to_the_last(fill):
    history, untrained = random_walk(400), setup(episodes=0)
    result = walk_forward(untrained, history, train_bars=150, test_bars=2, fill=fill, fee_bps=50.0)
    assert result.assumptions["windows"] == 109
    held = hold(history.slice(182, 400), TradingAssumptions(fill, 50.0)).equity
    assert_array_equal(result.equity["buy_and_hold"].to_numpy(), held)
    assert result.summary["buy_and_hold"]["total_return"] == pytest.approx(held[-1] - 1.0)


def test_an_agent_that_only_holds_pays_what_holding_pays():
    bars = 400 + np.cumsum(np.full(400, 1.0))
    history = prices(bars * (1.0 + 0.002 * np.sin(np.arange(400))))
    result = walk_forward(
        setup(episodes=400, exploration_decay=0.98), history, **SIZES, seeds=(2,), fee_bps=100.0, fill="next_close"
    )
    windows = result.windows
    assert windows["trades"].to_list() == [0] * 4
    assert windows["open_trades"].to_list() == [1] * 4
    assert [traded > 0.0 for traded in windows["turnover"]] == [True, False, False, False]
    assert_array_equal(result.equity["equity"], result.equity["buy_and_hold"])


@settings(max_examples=examples(6))
@given(st.integers(200, 399))
def test_later_bars_change_nothing_before_them(cut):
    history = random_walk(400)
    other = random_walk(400, seed=9)
    bars = {
        name: np.concatenate([getattr(history, name)[:cut], getattr(other, name)[cut:]])
        for name in ("close", "open", "volume")
    }
    one, two = run(history), run(replace(history, **bars))
    known = pl.col("tick") < cut
    assert one.equity.filter(known).equals(two.equity.filter(known))


@pytest.mark.parametrize("options", [{}, {"anchored": True}, {"warm": True}, {"warm": True, "anchored": True}])
def test_the_number_of_threads_changes_nothing(options):
    one, more = (run(random_walk(400), jobs=jobs, **options) for jobs in (1, 3))
    assert one.windows.equals(more.windows)
    assert one.equity.equals(more.equity)
    assert one.to_dict() == more.to_dict()


def test_a_feature_of_one_bucket_needs_no_embargo():
    far = {**SHORT, "scarcity": {"transform": "drawdown", "window": 90}}
    for buckets, embargo in ((2, 90), (1, EMBARGO)):
        made = config("history", features=far, quantizer={"scarcity_buckets": buckets})
        assert walk_forward(made, random_walk(400), **SIZES).assumptions["embargo"] == embargo


@pytest.mark.parametrize("warm", [False, True])
def test_what_ends_one_window_ends_all(warm):
    done = []

    def stop(finished, total):
        done.append((finished, total))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run(random_walk(400), warm=warm, jobs=1, progress=stop)
    # Of one thread's four windows of two seeds each the first is all that was begun.
    assert done == [(1, 8)]


def test_an_interrupt_does_not_wait_for_the_other_windows():
    long = setup(episodes=10**7)
    threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        walk_forward(long, random_walk(400), **SIZES, seeds=(1, 2))
    assert time.monotonic() - began < 30.0


def test_warm_windows_begin_with_the_tables_of_the_one_before():
    history = random_walk(400)
    cold, warm = run(history), run(history, warm=True)
    first = pl.col("window") == 0
    assert cold.windows.filter(first).equals(warm.windows.filter(first))
    assert not cold.windows.equals(warm.windows)
    untrained = walk_forward(setup(episodes=0), history, **SIZES, warm=True)
    assert untrained.windows["turnover"].to_list() == [0.0] * 4


def test_an_initial_policy_is_where_training_begins():
    first, _ = create_trainer(config(episodes=40), 1).run()
    kept, _ = create_trainer(config(episodes=0), 2, initial=first).run()
    assert_array_equal(kept.q, first.q)
    assert_array_equal(kept.comm_q, first.comm_q)
    again, _ = create_trainer(config(), 2, initial=first).run()
    fresh, _ = create_trainer(config(), 2).run()
    assert not np.array_equal(again.q, fresh.q)
    with pytest.raises(InputError, match=r"the initial policy has the states price 4, .* expected the states price 5"):
        create_trainer(config(quantizer={"price_buckets": 5}), initial=first)


def test_a_policy_remembers_the_bars_of_those_that_it_began_with():
    first, second, new = (random_walk(300, seed=seed) for seed in (1, 2, 3))
    policy = None
    for bars in (first, second, second):
        policy, _ = create_trainer(setup(), history=bars, initial=policy).run()
    assert policy.trained_on == [describe_history(second), describe_history(first)]
    for bars, answer in ((first, True), (second, True), (new, False)):
        assert evaluate(policy, history=bars).in_sample is answer
        assert backtest(policy, bars).assumptions["in_sample"] is answer
    simulated, _ = create_trainer(config("crypto"), initial=policy).run()
    assert backtest(simulated, first).assumptions["in_sample"]


def test_the_interval_of_a_sharpe_ratio_covers_it_nineteen_times_in_twenty():
    rng, covered = np.random.default_rng(3), 0
    for _ in range(1000):
        low, high = sharpe_interval(rng.normal(0.05, 1.0, 250))
        covered += low <= 0.05 <= high
    assert 930 <= covered <= 970
    returns = rng.normal(0.0, 1.0, 100)
    assert_allclose(np.mean(sharpe_interval(returns)), sharpe_ratio(returns))


# --- the command


def test_the_command(tmp_path):
    history = random_walk(400)
    columns = {name: getattr(history, name) for name in ("close", "open", "volume")}
    frame = pl.DataFrame({"time": np.arange(400) * 86_400, **columns})
    frame.with_columns(pl.from_epoch("time")).write_parquet(tmp_path / "bars.parquet")
    sets = [f"features.{name}={json.dumps(feature)}" for name, feature in SHORT.items()]
    options = ("--train-bars", 150, "--test-bars", 60, "--episodes", 12, "--episode-length", 30, "--seeds", "0:2")
    options += tuple(part for text in sets for part in ("--set", text))
    shown = cli.succeed("walkforward", tmp_path / "bars.parquet", *options, "--out", tmp_path / "wf").stdout
    cli.assert_mentions(shown, "windows", "buy and hold", "the median of 2 seeds", "beyond chance")
    assert sorted(path.name for path in (tmp_path / "wf").iterdir()) == [
        "equity.parquet",
        "manifest.json",
        "run.json",
        "walkforward.json",
        "windows.parquet",
    ]
    told = json.loads(
        cli.succeed(
            "walkforward", tmp_path / "bars.parquet", *options, "--out", tmp_path / "wf", "--force", "--json"
        ).stdout
    )
    kept = json.loads((tmp_path / "wf" / "walkforward.json").read_text())
    assert shown.splitlines()[-1] == kept["verdict"]
    assert told == {"out": str(tmp_path / "wf"), **kept}
    few = ("walkforward", tmp_path / "bars.parquet", *options, "--train-bars", 350, "--json", "--out", tmp_path / "few")
    outcome = cli.succeed(*few)
    cli.assert_mentions(outcome.stderr, f"note: {ONE_WINDOW}\n", f"note: {SHORT_TEST.format(18)}\n")
    assert cli.one_object(outcome.stdout)["notes"] == [ONE_WINDOW, SHORT_TEST.format(18)]
    line = cli.refused(tmp_path, "walkforward", tmp_path / "bars.parquet", *options, "--out", tmp_path / "wf")
    cli.assert_mentions(line, "already exists")
    line = cli.refused(tmp_path, "walkforward", tmp_path / "none.parquet", "--out", tmp_path / "other")
    cli.assert_mentions(line, "none.parquet")


def test_training_from_an_earlier_policy(tmp_path):
    cli.succeed("train", "--out", tmp_path / "one", "--episodes", 20)
    cli.succeed("train", "--out", tmp_path / "two", "--episodes", 0, "--init-policy", tmp_path / "one")
    runs = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two")]
    assert runs[0]["initial_policy"] is None
    assert runs[1]["initial_policy"]["fingerprint"] == runs[0]["fingerprint"]
    assert runs[1]["evaluation"]["mean"] == runs[0]["evaluation"]["mean"]
    one, two = (Policy.load(tmp_path / name) for name in ("one", "two"))
    assert_array_equal(one.q, two.q)
    assert_array_equal(one.comm_q, two.comm_q)
    assert not two.visits.any()
    assert evaluate(two).to_dict() == runs[1]["evaluation"]
    line = cli.refused(tmp_path, "train", "--out", tmp_path / "x", "--seeds", "0:2", "--init-policy", tmp_path / "one")
    cli.assert_mentions(line, "--init-policy goes with a single --seed only")
    cli.assert_mentions(
        cli.refused(tmp_path, "train", "--out", tmp_path / "x", "--init-policy", tmp_path / "none"), "no policy at"
    )

"""The whole way in one call: each step is what its own command makes, made once, and told at a glance."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_helpers import assert_mentions, bars, one_object, refused, run, succeed
from market_data import random_walk

import idi_fast as idi
from idi_fast.complete.first_config import first_config
from idi_fast.config.draft import Draft
from idi_fast.errors import InputError, OutputError

STEPS = ("agent", "backtest", "report.html", "spec")


def content(folder: Path) -> dict[str, bytes]:
    """All files but those that may differ between equal runs."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "timings.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def prices(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("prices") / "prices.parquet"
    bars(400).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def whole(prices) -> Path:
    folder = prices.parent / "whole"
    told = one_object(succeed("run", prices, "--out", folder, "--json").stdout)
    assert told["steps"] == dict.fromkeys(STEPS, "made")
    return folder


def test_each_step_is_what_its_command_makes(prices, whole, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads((whole / "agent/run.json").read_text())["config"]))
    succeed("train", "--config", config, "--out", tmp_path / "agent")
    succeed("backtest", prices, "--policy", whole / "agent", "--out", tmp_path / "backtest")
    succeed("report", whole / "backtest", "--out", tmp_path / "report.html")
    succeed("spec", whole / "backtest", "--kind", "v38", "--out", tmp_path / "spec")
    for name in ("agent", "backtest", "spec"):
        assert content(whole / name) == content(tmp_path / name), name
    assert (whole / "report.html").read_bytes() == (tmp_path / "report.html").read_bytes()


def test_the_account_is_as_asked_for(prices, tmp_path):
    flags = ("--size", 0.5, "--risk-free", 0.02, "--fill", "next-close", "--fee-bps", 7)
    told = one_object(succeed("run", prices, *flags, "--out", tmp_path / "run", "--json").stdout)
    config = Draft.of(first_config(400)).override({"environment.market.fee_bps": 7.0}).build()
    done = idi.run(prices, config=config, size=0.5, risk_free=0.02, fill="next_close")
    differing = ("out", "steps", "outputs")
    assert {**told, **dict.fromkeys(differing)} == {**done.summary, **dict.fromkeys(differing)}
    money = {"cash_rate": 0.0, "borrow_bps": 0.0, "funding": None, "risk_free": 0.02, "size": 0.5}
    assert told["assumptions"] == {"fill": "next_close", "fee_bps": 7.0, "slippage_bps": 0.0, **money}
    alone = idi.backtest(done.policy, done.history, fill="next_close", size=0.5, risk_free=0.02)
    assert done.kpis["kpis"] == alone.to_dict()["kpis"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", 1.5), "size is 1.5"),
        (("--fill", "nextopen"), "nextopen"),
        (("--year-days", 0), "year_days is 0"),
        (("--risk-free", 7), "risk_free is 7"),
        (("--risk-free", "rates"), "rates"),
        (("--kind", "v39"), "no kind 'v39'"),
    ],
)
def test_what_a_later_step_would_refuse_is_refused_before_the_first(prices, tmp_path, options, message):
    assert_mentions(refused(tmp_path, "run", prices, *options, "--out", tmp_path / "run"), message)


def test_a_column_of_rates_is_read(prices):
    frame = bars(400).with_columns(rate=pl.lit(0.03))
    done = idi.run(frame, risk_free="rate")
    assert done.kpis["kpis"]["sharpe_annualised"] == idi.run(frame, risk_free=0.03).kpis["kpis"]["sharpe_annualised"]


def test_the_summary_is_of_later_bars_only(prices, whole):
    summary = json.loads((whole / "summary.json").read_text())
    kpis = json.loads((whole / "backtest/kpis.json").read_text())
    assert summary["data"] == {
        "symbols": 1,
        "training_bars": 280 - 32,  # the longest window is neither of the training nor of the test
        "test_bars": 120,
        "split": "2024-10-07T00:00:00Z",
        "last_time": "2025-02-03T00:00:00Z",
    }
    assert kpis["assumptions"]["in_sample"] is False
    assert summary["policy"]["total_return"] == kpis["kpis"]["total_return"]
    assert summary["buy_and_hold"]["max_drawdown"] == kpis["buy_and_hold"]["max_drawdown"]
    assert summary["outputs"] == list(STEPS)
    page = (whole / "summary.md").read_text()
    assert f"**{summary['verdict']}**" in page
    assert "(report.html)" in page


def test_what_is_there_is_not_made_again(prices, whole):
    before = {path: path.stat().st_mtime_ns for name in STEPS for path in [whole / name, *(whole / name).rglob("*")]}
    done = run("run", prices, "--out", whole)
    assert done.status == 0
    assert done.stdout.count("there  ") == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = idi.run(prices, whole)  # the default is the same from Python
    assert set(again.steps.values()) == {"there"}


def test_only_what_is_missing_is_made(prices, tmp_path):
    idi.run(prices, tmp_path / "run")
    first = content(tmp_path / "run")
    (tmp_path / "run/report.html").unlink()
    assert idi.run(prices, tmp_path / "run").steps == {**dict.fromkeys(STEPS, "there"), "report.html": "made"}
    # As after a kill behind the step and before its record.
    record = json.loads((tmp_path / "run/steps.json").read_text())
    record["steps"]["backtest"]["made"] = None
    (tmp_path / "run/steps.json").write_text(json.dumps(record))
    assert idi.run(prices, tmp_path / "run").steps["backtest"] == "there"
    record["steps"]["backtest"]["replaces"] = json.loads((tmp_path / "run/steps.json").read_text())["steps"][
        "backtest"
    ]["made"] or digest_of(tmp_path / "run/backtest/manifest.json")
    (tmp_path / "run/steps.json").write_text(json.dumps(record))
    with pytest.raises(
        OutputError, match="backtest is of other data"
    ):  # that of an earlier run, which it was to replace
        idi.run(prices, tmp_path / "run")
    assert set(idi.run(prices, tmp_path / "run", force=True).steps.values()) == {"made"}
    assert content(tmp_path / "run") == first


def digest_of(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_of_other_inputs_is_kept_without_force(prices, tmp_path):
    idi.run(prices, tmp_path / "run", seed=1)
    first = content(tmp_path / "run")
    said = refused(tmp_path, "run", prices, "--out", tmp_path / "run", "--set", "discount=0.9")
    assert_mentions(said, "agent is of other data, settings or version", "--force")
    (tmp_path / "run/agent/policy.parquet").write_bytes(b"changed")
    with pytest.raises(OutputError, match="or was changed"):
        idi.run(prices, tmp_path / "run", seed=1)
    (tmp_path / "run/agent/policy.parquet").write_bytes(first["agent/policy.parquet"])
    assert content(tmp_path / "run") == first
    assert set(idi.run(prices, tmp_path / "run", force=True).steps.values()) == {"made"}


def test_a_folder_of_something_else_is_left_alone(prices, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    said = refused(tmp_path, "run", prices, "--out", tmp_path / "mine", "--force")
    assert_mentions(said, "holds something other than a run")


def test_too_few_bars_leave_nothing_behind(tmp_path):
    bars(60).write_parquet(tmp_path / "few.parquet")
    said = refused(tmp_path, "run", tmp_path / "few.parquet", "--out", tmp_path / "run")
    assert_mentions(said, "leaves 10 bars for training")
    with pytest.raises(InputError, match="no times"):
        idi.run(replace(random_walk(400), time=None))


def test_features_of_ones_own_may_have_no_specification(prices, tmp_path):
    config = first_config().to_dict()
    config["quantizer"] = {"mood_buckets": 1}
    config["features"] = [{"name": "rsi", "transform": "rsi", "window": 14, "buckets": 4}]
    done = idi.run(prices, tmp_path / "run", config=config)
    assert done.steps == {**dict.fromkeys(STEPS, "made"), "spec": "left out"}
    assert any(note.startswith("no specification was made: ") for note in done.summary["notes"])


def test_many_symbols(prices, tmp_path):
    (tmp_path / "symbols").mkdir()
    for number, name in enumerate("ab"):
        bars(400, 20 * number).write_parquet(tmp_path / f"symbols/{name}.parquet")
    told = one_object(
        succeed(
            "run", tmp_path / "symbols", "--symbol-files", "--out", tmp_path / "run", "--split", "2024-10-01", "--json"
        ).stdout
    )
    assert told["data"]["symbols"] == 2
    assert told["steps"] == dict.fromkeys(STEPS, "made")
    frames = {name: pl.read_parquet(tmp_path / f"symbols/{name}.parquet") for name in "ab"}
    same = idi.run(frames, split="2024-10-01")
    assert same.kpis["kpis"] == json.loads((tmp_path / "run/backtest/kpis.json").read_text())["kpis"]
    assert same.backtest.to_dict()["kpis"] == same.kpis["kpis"]
    assert "<svg" in same._repr_html_()


def test_in_memory_it_is_the_same(prices, whole):
    done = idi.run(idi.load_history(prices))
    on_disk = json.loads((whole / "summary.json").read_text())
    ignored = ("fingerprint", "outputs")  # the config names no file; there are neither report nor specification
    assert {k: v for k, v in done.summary.items() if k not in ignored} == {
        k: v for k, v in on_disk.items() if k not in ignored
    }
    assert done.backtest.kpis["total_return"] == done.kpis["kpis"]["total_return"]
    assert done.folder is None
    assert done.summary["verdict"] in repr(done)
    assert "<svg" in done._repr_html_()


def test_what_can_be_seen_coming_is_earned():
    done = idi.run(bars(3000))
    assert done.kpis["kpis"]["total_return"] > 10.0 * done.kpis["buy_and_hold"]["total_return"]
    assert done.summary["verdict"].startswith("better than buy and hold (")
    assert done.summary["advice"].startswith("it may have found something")


def test_where_there_is_nothing_to_find_it_holds_or_hardly_trades():
    walk = random_walk(6000)
    done = idi.run(walk)
    assert done.kpis["kpis"]["trades"] <= 0.02 * done.summary["data"]["test_bars"]


def test_bars_that_differ_between_the_sampled_ones_are_others(tmp_path):
    close = random_walk(400).close
    frames = [{"time": bars(400)["time"], "close": close}, {"time": bars(400)["time"], "close": close.copy()}]
    frames[1]["close"][5] *= 1.0 + 1e-9
    idi.run(pl.DataFrame(frames[0]), tmp_path / "run")
    with pytest.raises(OutputError):
        idi.run(pl.DataFrame(frames[1]), tmp_path / "run")
    assert np.array_equal(frames[0]["close"], close)

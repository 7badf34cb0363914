"""`idi-fast train --seeds`: what it refuses, the folder it writes, and that this appears whole or not at all."""

import json
import os
import signal
import time

import cli_helpers as cli
import polars as pl
import pytest
from test_population import SEEDS, run
from test_trainer import config

from idi_fast import Policy
from idi_fast.agents.trace_files import read_trace
from idi_fast.errors import ArtifactError, OutputError
from idi_fast.storage.files import digest, write_json
from idi_fast.training.population_artifact import save_population

QUICK = (*cli.QUICK, "--seeds", "4,0,9,2")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--seeds", ""], ["'' is neither a seed nor a range"]),
        (["--seeds", "1,,2"], ["--seeds 1,,2", "'' is neither a seed nor a range", "0:64"]),
        (["--seeds", "x:3"], ["'x:3' is neither"]),
        (["--seeds", "1:2:3:4"], ["'1:2:3:4' is neither"]),
        (["--seeds", "1.5"], ["'1.5' is neither"]),
        (["--seeds", "9" * 5000], ["is neither"]),
        (["--seeds", "4:4"], ["the range 4:4 is empty"]),
        (["--seeds", "0:4:0"], ["the step of 0:4:0 is 0"]),
        (["--seeds", f"0:{10**99}"], ["more than 1,000,000 seeds"]),
        (["--seeds", "0:4,2"], ["the seed 2 is listed twice"]),
        (["--seeds=-1:2"], ["the seed is -1; expected 0 or more"]),
        (["--seeds", "0:4", "--seed", 0], ["--seed and --seeds exclude each other"]),
        (["--seeds", "0:4", "--jobs", 0], ["jobs is 0; expected 1 or more"]),
        (["--seeds", "0:4", "--keep", "none"], ["--keep is 'none'; expected 'best' or 'all'"]),
        (["--jobs", 2], ["--jobs: only with --seeds"]),
        (["--jobs", 2, "--keep", "all"], ["--jobs and --keep: only with --seeds"]),
    ],
)
def test_what_the_command_refuses(options, parts, tmp_path):
    cli.assert_mentions(cli.refused(tmp_path, "train", "--out", tmp_path / "pop", *cli.QUICK, *options), *parts)


def test_compat_takes_negative_seeds(tmp_path):
    cli.succeed("train", "--out", tmp_path / "pop", "--compat", "idi-iann", "--seeds=-3:0", *cli.QUICK)
    assert Policy.load(tmp_path / "pop" / "best").seed in (-3, -2, -1)


@pytest.mark.parametrize("keep", ["best", "all"])
@pytest.mark.parametrize("options", [["--env", "crypto"], ["--data", "bars.csv"]])
def test_the_folder_of_a_population(keep, options, world, tmp_path, monkeypatch):
    monkeypatch.chdir(world)
    pop = tmp_path / "pop"
    told = cli.one_object(
        cli.succeed("train", *QUICK, *options, "--out", pop, "--keep", keep, "--jobs", 2, "--json").stdout
    )
    names = {name.split("/")[0] for name in cli.snapshot(pop)}
    assert names - {"seeds"} == {"summary.parquet", "run.json", "manifest.json", "timings.json", "best"}
    for seed in SEEDS:
        cli.succeed("train", *cli.QUICK, *options, "--seed", seed, "--out", tmp_path / str(seed))
    assert cli.same_run(pop / "best", tmp_path / str(told["best_seed"]))
    written = sorted(path.name for path in pop.glob("seeds/*"))
    assert written == (sorted(map(str, SEEDS)) if keep == "all" else [])
    assert all(cli.same_run(pop / "seeds" / seed, tmp_path / seed) for seed in written)

    recorded, summary = json.loads((pop / "run.json").read_text()), pl.read_parquet(pop / "summary.parquet")
    assert (recorded["kind"], recorded["seeds"], recorded["best_seed"]) == ("population", SEEDS, told["best_seed"])
    assert recorded["evaluation"]["in_sample"] == ("--data" in options)
    assert len(recorded["trained_on"]) == ("--data" in options)
    best = summary.row(SEEDS.index(told["best_seed"]), named=True)
    assert told["best"] == {"mean": best["evaluation"], "standard_error": best["evaluation_standard_error"]}
    assert told["over_seeds"]["max"] == best["evaluation"] == summary["evaluation"].max()
    evaluation = recorded["evaluation"]
    assert told["evaluation"] == evaluation
    single = json.loads((pop / "best" / "run.json").read_text())["evaluation"]
    assert set(single) - {"seed", "alerts"} < set(evaluation)
    assert list(evaluation["baselines"]) == list(single["baselines"]) == ["random", "hold", "buy", "sell"]
    leader = evaluation["baselines"][evaluation["best_baseline"]]
    assert leader["mean"] == max(other["mean"] for other in evaluation["baselines"].values())
    assert leader["difference"]["mean"] == pytest.approx(told["best"]["mean"] - leader["mean"])
    assert (evaluation["has_learnt"] is None) == evaluation["in_sample"]
    listed = json.loads((pop / "manifest.json").read_text())["files"]
    files = {name for name, data in cli.snapshot(pop).items() if data is not None}
    assert files - set(listed) == {name for name in files if name.endswith("timings.json")} | {"manifest.json"}


def test_the_report_names_the_best_seed_and_the_spread(tmp_path):
    report = cli.succeed("train", *QUICK, "--out", tmp_path / "pop", "--jobs", 2).stdout
    run = json.loads((tmp_path / "pop" / "run.json").read_text())
    best, evaluation = run["best_seed"], run["evaluation"]
    rows = dict(line.rsplit("  ", 1) for line in report.splitlines())
    rows = {name.strip(): value for name, value in rows.items()}
    assert (rows["seeds"], rows["jobs"], rows["best seed"]) == ("4", "2", str(best))
    assert [name for name in rows if name.endswith("of seeds")] == ["min of seeds", "median of seeds", "max of seeds"]
    assert " ± " in rows["evaluation"]
    assert " ± " in rows[f"above {evaluation['best_baseline']!r}"]
    assert rows["verdict"] == evaluation["verdict"]


def test_a_complete_population_of_an_earlier_version_is_told_of_without_baselines(tmp_path):
    pop = tmp_path / "pop"
    cli.succeed("train", *QUICK, "--out", pop)
    run = json.loads((pop / "run.json").read_text())
    for name in ("mean", "standard_error", "interval", "baselines", "best_baseline", "has_learnt", "verdict"):
        del run["evaluation"][name]
    write_json(pop / "run.json", run)
    manifest = json.loads((pop / "manifest.json").read_text())
    manifest["files"]["run.json"] = digest(pop / "run.json")
    write_json(pop / "manifest.json", manifest)
    outcome = cli.succeed("train", *QUICK, "--out", pop, "--resume")
    cli.assert_mentions(outcome.stderr, "is complete already")
    assert "above" not in outcome.stdout
    assert "verdict" not in outcome.stdout


def test_a_population_replaces_and_is_replaced_with_force_only(tmp_path):
    pop = tmp_path / "pop"
    for options in (["--seeds", "0:2", "--keep", "all"], ["--seeds", "0:3"], []):
        cli.succeed("train", *cli.QUICK, "--out", pop, "--force", *options)
        cli.assert_mentions(cli.refused(tmp_path, "train", *QUICK, "--out", pop), "already exists", "--force")
    cli.succeed("train", *QUICK, "--out", pop, "--force", "--keep", "all")
    for name in ("seeds/notes.txt", "seeds/timings.json"):
        (pop / name).write_text("mine")
        cli.assert_mentions(cli.refused(tmp_path, "train", *QUICK, "--out", pop, "--force"), name, "did not write")
        (pop / name).unlink()


def test_a_population_is_not_taken_for_an_agent(world, tmp_path):
    pop = tmp_path / "pop"
    cli.succeed("train", *QUICK, "--out", pop)
    for read in (Policy.load, read_trace):
        with pytest.raises(ArtifactError, match=f"{pop} is a population of agents; .* {pop}/best"):
            read(pop)
    backtest = ("backtest", world / "later.parquet", "--out", tmp_path / "b", "--policy", pop)
    cli.assert_mentions(cli.refused(tmp_path, *backtest), pop / "best")


def test_a_population_that_cannot_be_written(tmp_path):
    before = cli.snapshot(tmp_path)
    for keep in ("best", "all"):
        for name in ("policy.parquet", "summary.parquet"):
            with cli.failing_write(name, cli.FULL):
                args = ("--out", tmp_path / "pop", "--keep", keep, "--jobs", 2)
                message = cli.refused(tmp_path, "train", *QUICK, *args, code=1)
            cli.assert_mentions(message, "cannot write", cli.FULL.strerror)
    assert cli.snapshot(tmp_path) == before
    population = run(config())
    save_population(tmp_path / "pop", population)
    with pytest.raises(OutputError, match="already exists"):
        save_population(tmp_path / "pop", population)


def test_a_lane_that_fails_is_named(tmp_path):
    sets = ("--set", "rewards.pnl=1e308", "--set", "discount=1.0", "--set", "learning_rate=1.0")
    status, stdout, stderr = cli.run("train", "--out", tmp_path / "pop", "--seeds", "7:9", *sets, "--jobs", 1)
    assert (status, stdout, stderr.count("\n")) == (1, "", 1)
    cli.assert_mentions(stderr, "error: seed 7: the Q-values")
    assert cli.snapshot(tmp_path) == {}


def test_ctrl_c_cancels_all_lanes_and_leaves_nothing(tmp_path):
    process = cli.start(
        "train", "--out", tmp_path / "pop", "--seeds", "0:9", "--jobs", 3, "--keep", "all", "--episodes", 10**8
    )
    patience = time.monotonic() + 60
    while not os.listdir(tmp_path) and time.monotonic() < patience:  # until the run has begun to write
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert cli.finish(process) == (130, "", "interrupted; nothing was written\n")
    assert time.monotonic() - started < 5
    assert cli.snapshot(tmp_path) == {}


def test_a_disk_that_gets_full_while_the_best_lane_is_copied_is_said(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise cli.FULL

    monkeypatch.setattr("shutil.copyfile", full)
    outcome = cli.run("train", *QUICK, "--keep", "all", "--out", tmp_path / "out")
    assert (outcome.status, outcome.stdout, os.listdir(tmp_path)) == (1, "", [])
    assert outcome.stderr == f"error: cannot write {tmp_path / 'out'}: {cli.FULL.strerror}; nothing there was changed\n"

"""Trainings in the background: the artifacts of `idi-fast train`, stopped as by Ctrl-C, ended with the lab."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import cli_helpers as cli
import pytest

pytest.importorskip("dash", reason="the extra `lab` is not installed")

from lab_pages import opened, shown

import idi_fast as idi
from idi_fast.errors import InputError
from idi_fast.lab.train_page import training_config
from idi_fast.lab.trainings import Trainings
from idi_fast.lab.workspace import Workspace

PATIENCE = 60.0
FIELDS = {
    "train-source.value": "simulated",
    "train-algorithm.value": "value_iteration",
    "train-price.value": 3,
    "train-trend.value": 3,
    "train-episodes.value": 100,
    "train-seed.value": 4,
    "market-settings.data": {"vol_base": 0.02},
    "changed.data": {"times": 0, "name": None},
}


def until(is_so):
    """Wait until a function says so."""
    latest = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < latest
        time.sleep(0.05)


def test_the_page_trains_what_the_command_trains(tmp_path):
    idi.simulate_history(None, 600, tmp_path / "bars.parquet")
    with opened(tmp_path) as pages:
        first = pages.call("train-state.children", FIELDS)
        assert (first["train-name.value"], first["train-start.disabled"]) == ("run-1", False)
        begun = pages.call("train-problem.children", FIELDS | {"train-name.value": "mine"}, "train-start.n_clicks")
        assert begun == {"train-problem.children": None, "train-tick.disabled": False}
        told = pages.call("train-problem.children", FIELDS | {"train-name.value": "other"}, "train-start.n_clicks")
        assert "mine is still being trained" in shown(told["train-problem.children"])
        until(lambda: pages.lab.trainings.progress().state != "running")
        found = pages.call("train-state.children", FIELDS)
        assert "Done: mine" in shown(found["train-state.children"])
        assert found["changed.data"] == {"times": 1, "name": "mine"}
        assert "against" in shown(found["train-result.children"])
        assert found["train-figures.data"]["evaluation-figure"]["data"]
        assert pages.get("/report?run=mine").text.startswith("<!doctype html>")
        told = pages.call("train-problem.children", FIELDS | {"train-name.value": "mine"}, "train-start.n_clicks")
        assert "mine is there already" in shown(told["train-problem.children"])
    config = training_config("simulated", {"vol_base": 0.02}, "value_iteration", 100, 3, 3)
    idi.train(config, seed=4).save(tmp_path / "expected")
    assert cli.same_run(tmp_path / "mine", tmp_path / "expected")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.parquet", "expected", "mine"]


def test_a_training_is_stopped_and_goes_on_to_the_same_result(tmp_path):
    config = training_config("simulated", {}, "q_learning", 300_000, 3, 3)
    with Trainings(Workspace(tmp_path)) as trainings:
        assert trainings.progress() is None
        trainings.start("long", config, 0)
        until(lambda: trainings.progress().episodes)
        trainings.stop()
        until(lambda: trainings.progress().state not in ("running", "stopping"))
        stopped = trainings.progress()
        assert (stopped.state, stopped.can_resume) == ("stopped", True), stopped
        assert 0 < stopped.episodes[-1] < 300_000
        assert not (tmp_path / "long").exists()
        trainings.resume()
        until(lambda: trainings.progress().state != "running")
        done = trainings.progress()
        assert (done.state, done.episodes[-1]) == ("done", 300_000), done
        assert done.episodes == sorted(done.episodes)
    idi.train(config).save(tmp_path / "expected")
    assert cli.same_run(tmp_path / "long", tmp_path / "expected")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "long"]


def test_the_error_of_a_training_is_told(tmp_path):
    (tmp_path / "bars.csv").write_text("close\n1\n2\n3\n")
    (tmp_path / "numpy.py").write_text("raise SystemExit('a file of the folder was run')")
    with opened(tmp_path) as pages:
        fields = FIELDS | {"train-source.value": "bars.csv", "train-name.value": "mine"}
        pages.call("train-problem.children", fields, "train-start.n_clicks")
        until(lambda: pages.lab.trainings.progress().state != "running")
        told = shown(pages.call("train-state.children", FIELDS)["train-state.children"])
    assert "Failed: mine" in told
    assert "error: " in told
    assert "a file of the folder was run" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.csv", "numpy.py"]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"train-name.value": "../mine"}, "expected letters, digits"),
        ({"train-name.value": "mine", "train-source.value": "../bars.csv"}, "is no name of anything in the folder"),
        ({"train-name.value": "mine", "train-seed.value": None}, "seed: expected a whole number"),
        ({"train-name.value": "mine", "train-algorithm.value": "magic"}, "learning.algorithm"),
        ({"train-name.value": "mine", "train-price.value": 0}, "quantizer.price_buckets"),
    ],
)
def test_refusals(fields, part, tmp_path):
    with opened(tmp_path) as pages:
        told = pages.call("train-problem.children", FIELDS | fields, "train-start.n_clicks")
        assert part in shown(told["train-problem.children"])
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(InputError, match="no training that could go on"):
            pages.lab.trainings.resume()


LIVE = """
import sys
from idi_fast.lab.train_page import training_config
from idi_fast.lab.trainings import Trainings
from idi_fast.lab.workspace import Workspace
trainings = Trainings(Workspace(sys.argv[1]))
trainings.start("long", training_config("simulated", {}, "q_learning", 50_000_000, 3, 3), 0)
print(trainings._current._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it looks for processes as POSIX does")
def test_a_training_ends_with_a_lab_that_is_killed(tmp_path):
    lab = subprocess.Popen(
        [sys.executable, "-c", LIVE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    training = int(lab.stdout.readline())
    until(lambda: (tmp_path / "long.checkpoint").exists())
    lab.kill()
    lab.communicate()
    until(lambda: not _is_alive(training))
    assert not (tmp_path / "long").exists()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") if os.path.isdir("/proc") else open(os.devnull) as file:
        return ") Z " not in file.read()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to a single process")
def test_the_command_says_its_address_once_it_answers_and_ends_on_ctrl_c(tmp_path):
    process = cli.start("lab", tmp_path, "--no-browser", fresh=True)
    address = process.stdout.readline().strip()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(address, timeout=PATIENCE) as page:
        assert "idi-fast lab" in page.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address.partition("?")[0], timeout=PATIENCE)
    process.send_signal(signal.SIGINT)
    outcome = cli.finish(process)
    assert outcome.status == 130
    assert outcome.stderr.splitlines()[-1] == "interrupted; the lab has ended"
    assert list(tmp_path.iterdir()) == []

"""The programs that the benchmark compares with: plain C, and the reference package."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cli_helpers import assert_mentions, run

from idi_fast.bench import market_yardsticks, suites
from idi_fast.bench.oracle import reference
from idi_fast.bench.report import report
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import kinds
from idi_fast.bench.yardsticks import COMPILERS, ENVIRONMENTS, Yardsticks, twin
from idi_fast.errors import InputError

SMALLEST = Sizes.smallest()
has_compiler = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="there is no C compiler")


@has_compiler
def test_the_c_programs_equal_the_oracle(tmp_path):
    yardsticks = Yardsticks()
    yardsticks.add_c(tmp_path, 3)
    assert (set(yardsticks.c), yardsticks.refused, yardsticks.notes) == (set(ENVIRONMENTS), [], [])
    assert yardsticks.c["crypto"](3) > 0


@has_compiler
def test_a_c_program_that_differs_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "idi_fast.bench.yardsticks.twin", lambda env, episodes: reference.train({"episodes": 3}, env=env)
    )
    yardsticks = Yardsticks()
    yardsticks.add_c(tmp_path, 3)
    assert (yardsticks.c, yardsticks.refused) == ({}, ["C program 'synthetic'", "C program 'crypto'"])


@pytest.fixture
def history_kind(monkeypatch):
    """The kind of run on a history, as the only one: the twin of the simulated market takes seconds to fit."""
    (kind,) = (kind for kind in kinds(SMALLEST) if kind.c == "market, history")
    monkeypatch.setattr(market_yardsticks, "kinds", lambda sizes: [kind])
    return kind


def add_market(folder) -> Yardsticks:
    yardsticks = Yardsticks(compiler={"command": next(filter(shutil.which, COMPILERS))})
    market_yardsticks.add(yardsticks, folder, replace(SMALLEST, check_episodes=40))
    return yardsticks


@has_compiler
def test_the_c_program_of_the_default_markets_equals_the_oracle(history_kind, tmp_path):
    yardsticks = add_market(tmp_path)
    assert (list(yardsticks.c), yardsticks.refused, yardsticks.notes) == (["market, history"], [], [])
    assert yardsticks.c["market, history"](3) > 0


@has_compiler
def test_a_c_program_of_markets_that_differs_is_refused(history_kind, monkeypatch, tmp_path):
    other = history_kind.twin(history_kind.config(39))()
    learnt = replace(other, rewards=[*other.rewards, 0.0])
    monkeypatch.setattr(
        market_yardsticks, "kinds", lambda sizes: [replace(history_kind, twin=lambda _: lambda: learnt)]
    )
    yardsticks = add_market(tmp_path)
    assert (yardsticks.c, yardsticks.refused) == ({}, ["C program 'market, history'"])


@has_compiler
def test_the_c_program_of_markets_refuses_other_input(tmp_path):
    yardsticks = Yardsticks(compiler={"command": next(filter(shutil.which, COMPILERS))})
    program = yardsticks.build("market", tmp_path)
    (tmp_path / "short.txt").write_text("1 2 3\n")
    for arguments in ([], ["0", tmp_path / "short.txt"], ["1", tmp_path / "short.txt"], ["1", tmp_path / "none.txt"]):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, bool(done.stderr)) == (2, "", True)


def test_without_a_compiler_the_rest_is_timed(monkeypatch, small_bench, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, stdout, stderr = run("bench", "--suite", "train")
    assert (status, stderr) == (0, "")
    assert_mentions(
        stdout, "No C compiler was found (cc, gcc, clang): the C yardsticks were left out.", "× plain Python"
    )
    assert "time / C" not in stdout


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    (tmp_path / "cc").write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'cc 1.0' && exit\necho 'no such flag' >&2\nexit 1\n"
    )
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    yardsticks = Yardsticks()
    yardsticks.add_c(tmp_path, 1)
    assert yardsticks.c == {}
    assert yardsticks.notes == [f"the C yardstick {env} was left out: no such flag" for env in ENVIRONMENTS]


FAKE_CONFIG = """
class TrainingConfig:
    def __init__(self, *, episodes, episode_length):
        self.episodes, self.episode_length = episodes, episode_length
"""
FAKE_TRAINER = """
import json, pathlib
KNOWN = json.loads((pathlib.Path(__file__).parent / "known.json").read_text())

class QTrainer:
    def __init__(self, config, use_crypto_env=False, seed=0):
        assert (config.episode_length, seed) == (64, 42)
        self.env, self.config = "crypto" if use_crypto_env else "synthetic", config

    def run(self):
        print("a line of its own")
        return None, None

    def stats(self):
        return KNOWN[self.env]
"""


@pytest.fixture
def fake_reference(tmp_path) -> Path:
    """A folder with a package of the reference's interface that knows what the oracle finds at the smallest sizes."""
    package = tmp_path / "reference" / "idi_iann"
    package.mkdir(parents=True)
    runs = {env: twin(env, SMALLEST.check_episodes) for env in ENVIRONMENTS}
    known = {
        env: {"mean_reward": run.mean_reward, "comm_action_counts": run.comm_action_counts} for env, run in runs.items()
    }
    files = {"__init__.py": "", "config.py": FAKE_CONFIG, "trainer.py": FAKE_TRAINER, "known.json": json.dumps(known)}
    for name, text in files.items():
        (package / name).write_text(text)
    return package.parent


def test_the_reference_is_timed_too(small_bench, no_compiler, fake_reference):
    status, stdout, stderr = run("bench", "--suite", "train", "--reference", fake_reference, "--json")
    assert (status, stderr) == (0, "")
    results = json.loads(stdout)
    assert results["reference"]["measured"]
    assert results["cases"][0]["yardsticks"]["reference"]["units"] == SMALLEST.reference_episodes * 64
    assert "× reference" in report(results)
    assert "62,000" not in report(results)


def test_a_reference_that_differs_is_refused(fake_reference):
    known = json.loads((fake_reference / "idi_iann" / "known.json").read_text())
    known["crypto"]["comm_action_counts"]["silent"] += 1
    (fake_reference / "idi_iann" / "known.json").write_text(json.dumps(known))
    yardsticks = Yardsticks()
    yardsticks.add_reference(fake_reference, SMALLEST.check_episodes)
    assert (list(yardsticks.reference), yardsticks.refused) == (["synthetic"], ["reference package on 'crypto'"])


@pytest.mark.parametrize(
    ("file", "text", "part"),
    [
        ("__init__.py", None, "expected the folder that holds the Python package idi_iann"),
        ("trainer.py", "class Trainer: ...", "cannot be used as expected: ImportError: cannot import name 'QTrainer'"),
        ("config.py", "class TrainingConfig: ...", "cannot be used as expected: TypeError"),
    ],
)
def test_what_is_not_the_reference_is_refused(small_bench, fake_reference, file, text, part):
    path = fake_reference / "idi_iann" / file
    path.unlink() if text is None else path.write_text(text)
    status, stdout, stderr = run("bench", "--suite", "train", "--reference", fake_reference)
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert_mentions(stderr, f"--reference {fake_reference}", part)


def test_the_reference_needs_the_suite_that_times_it(fake_reference):
    with pytest.raises(InputError, match="add --suite train"):
        suites.run(["export"], 2, reference=fake_reference, sizes=SMALLEST)

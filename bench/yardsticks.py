"""The same training by other programs: plain C, built on the spot, and the reference package where it is at hand."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from idi_fast.bench.oracle import reference
from idi_fast.errors import InputError

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off")
ENVIRONMENTS = ("synthetic", "crypto")
SOURCES = Path(__file__).parent / "yardstick"
EPISODE_LENGTH = 64
SEED = 42

DOCUMENTED_STEPS_PER_SECOND = 62_000
"""The reference trainer idi_iann on the default config, measured on one core of an AMD EPYC at 2.6 GHz."""

# The package's own names, as its documentation and tests use them.
DRIVE_REFERENCE = """
import json, sys
from time import perf_counter
ask = json.load(sys.stdin)
import idi_iann
from idi_iann.config import TrainingConfig
from idi_iann.trainer import QTrainer
config = TrainingConfig(episodes=ask["episodes"], episode_length=ask["episode_length"])
trainer = QTrainer(config, use_crypto_env=ask["env"] == "crypto", seed=ask["seed"])
started = perf_counter()
trainer.run()
seconds = perf_counter() - started
stats = trainer.stats()
counts = {str(name): int(count) for name, count in stats["comm_action_counts"].items()}
print()
json.dump({"file": idi_iann.__file__, "seconds": seconds, "mean_reward": float(stats["mean_reward"]), "counts": counts},
          sys.stdout)
"""

Run = Callable[[int], float]
"""Trains so many episodes and returns the seconds that training took."""


def twin(env: str, episodes: int) -> reference.ReferenceRun:
    """The run of the oracle that both must equal."""
    return reference.train({"episodes": episodes, "episode_length": EPISODE_LENGTH}, env=env, seed=SEED)


@dataclass
class Yardsticks:
    """Those that are at hand and were found equal to the oracle; by environment, and what there is to say of the rest.

    vectorbt: a run of the account of `accounts`, in seconds, by engine; compiler: of the C programs, or None; versions:
    of other packages; notes: why something was left out; refused: what differs from the oracle.
    """

    c: dict[str, Run] = field(default_factory=dict)
    reference: dict[str, Run] = field(default_factory=dict)
    vectorbt: dict[str, Callable[[], float]] = field(default_factory=dict)
    compiler: dict | None = None
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add_c(self, folder: Path, check_episodes: int) -> None:
        """Build the C programs of the reference's training into a folder and check them."""
        found = next(filter(None, map(shutil.which, COMPILERS)), None)
        if found is None:
            self.notes.append(f"no C compiler was found ({', '.join(COMPILERS)}): the C yardsticks were left out")
            return
        version = _run([found, "--version"]).splitlines()[0]
        self.compiler = {"command": Path(found).name, "version": version, "flags": [*FLAGS]}
        for env in ENVIRONMENTS:
            program = self.build(env, folder)
            if program is None:
                continue
            if _c_equals_twin(program, env, check_episodes):
                self.c[env] = lambda episodes, program=program: run_c(program, episodes, SEED)[0]
            else:
                self.refused.append(f"C program {env!r}")

    def build(self, name: str, folder: Path) -> Path | None:
        """Build a C program into a folder; None, and a note, if there is no compiler for it."""
        if self.compiler is None:
            return None
        program = folder / name
        try:
            _run([self.compiler["command"], *FLAGS, "-o", str(program), str(SOURCES / f"{name}.c"), "-lm"])
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or [str(error)])[0]
            self.notes.append(f"the C yardstick {name} was left out: {reason}")
            return None
        return program

    def add_reference(self, path: Path, check_episodes: int) -> None:
        """Use the reference package in a folder; InputError if there is none, or it cannot be called as it should."""
        if not (path / "idi_iann" / "__init__.py").is_file():
            raise InputError(f"--reference {path}: expected the folder that holds the Python package idi_iann")
        for env in ENVIRONMENTS:
            made, run = _run_reference(path, env, check_episodes), twin(env, check_episodes)
            # The mean may be of a compensated sum; the counts depend on every draw and every greedy choice.
            close = abs(made["mean_reward"] - run.mean_reward) <= 1e-9 * max(1.0, abs(run.mean_reward))
            if close and made["counts"] == run.comm_action_counts:
                self.reference[env] = lambda episodes, env=env: _run_reference(path, env, episodes)["seconds"]
            else:
                self.refused.append(f"reference package on {env!r}")


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def run_c(program: Path, episodes: int, *arguments: object) -> tuple[float, list[list[str]]]:
    """The seconds that a C program's training took, and the words of what it printed besides."""
    output = _run([str(program), str(episodes), *map(str, arguments)])
    first, *lines = map(str.split, output.splitlines())
    return float(first[1]), lines


def read_dump(lines: list[list[str]]) -> tuple[dict[str, dict], list[float]]:
    """The tables "q" and "comm", by the digits of a state, and the episode rewards that a C program printed."""
    tables: dict[str, dict] = {"q": {}, "comm": {}}
    rewards = []
    for name, *rest in lines:
        if name == "reward":
            rewards.append(float.fromhex(rest[0]))
        else:
            tables[name][tuple(map(int, rest[0].split(",")))] = [*map(float.fromhex, rest[1:])]
    return tables, rewards


def _c_equals_twin(program: Path, env: str, episodes: int) -> bool:
    tables, rewards = read_dump(run_c(program, episodes, SEED, "dump")[1])
    run = twin(env, episodes)
    # The program has a row for every state, a dict for those that were looked up; all others are zeros.
    pairs = (tables["q"], run.q), (tables["comm"], run.comm_q)
    same = all(
        table == {key: expected.get(key, [0.0] * len(row)) for key, row in table.items()} for table, expected in pairs
    )
    return same and all(expected.keys() <= table.keys() for table, expected in pairs) and rewards == run.episode_rewards


def _run_reference(path: Path, env: str, episodes: int) -> dict:
    ask = {"env": env, "episodes": episodes, "episode_length": EPISODE_LENGTH, "seed": SEED}
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRIVE_REFERENCE],
        env={**os.environ, "PYTHONPATH": str(path)},
        input=json.dumps(ask),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    try:
        if done.returncode != 0:
            raise ValueError((done.stderr.strip().splitlines() or ["no message"])[-1])
        made = json.loads(done.stdout.splitlines()[-1])  # it may have printed lines of its own
        if not Path(made["file"]).resolve().is_relative_to(path.resolve()):
            raise ValueError(f"another idi_iann was imported, from {made['file']}")
    except ValueError as error:
        raise InputError(f"--reference {path}: its idi_iann cannot be used as expected: {error}") from None
    return made

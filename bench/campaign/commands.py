"""The commands that write, what they need, and what each leaves when nothing disturbs it."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from idi_fast.bench.campaign.specifications import TEXTS
from idi_fast.bench.campaign.trial import describe, timeless, tree
from idi_fast.bench.campaign.world import PLAN, QUICK, World

CHECKPOINTS = ".checkpoint"
"""How the name of a folder ends that an interrupted training leaves, as documented."""


@dataclass(frozen=True)
class Command:
    """A command that writes; needs: files and runs that it uses; before: commands run first; out: its output.

    long: options that make it run for hours, None if there are none; steps: whether it works in steps, keeps the
    results of each, and continues from there when it is run again.
    """

    argv: tuple[object, ...]
    out: str
    needs: tuple[str, ...] = ()
    before: tuple[tuple[object, ...], ...] = ()
    prepare: Callable[[Path], object] | None = None
    long: tuple[object, ...] | None = None
    steps: bool = False


def _flawed(folder: Path) -> None:
    for name in ("inputs", "outputs"):
        (folder / "flawed" / name).mkdir(parents=True)
    (folder / "flawed/agent.tau").write_text(TEXTS[1])
    for name in ("buy", "sell"):
        (folder / f"flawed/inputs/{name}.in").write_text("0\n1\n1\n0\n" * 5)
    (folder / "flawed/outputs/holding.out").write_text("of an earlier run\n")


def _old_outputs(folder: Path) -> None:
    for name in ("nonce", "profit", "holding"):
        (folder / f"spec/outputs/{name}.out").write_text("of an earlier run\n")


def _other_plan(folder: Path) -> None:
    (folder / "other.json").write_text(json.dumps([{**layer, "seed": 4} for layer in PLAN]))


SWEEP = ("sweep", "bars.csv", "--config", "history.json", *QUICK)
LAYERS = ("plan.json", "synthetic.json", "crypto.json")
WORKFLOW = ("workflow", "synthetic.json", "--set", "episodes=3", "--set", "episode_length=12")
ENDLESS = ("--episodes", 10**9)

COMMANDS: Mapping[str, Command] = {
    "train": Command(("train", *QUICK, "--out", "out"), "out", long=ENDLESS),
    "train --force": Command(
        ("train", "--seed", 5, *QUICK, "--force", "--out", "synthetic"), "synthetic", ("synthetic",), long=ENDLESS
    ),
    "train --seeds": Command(
        ("train", "--seeds", "4:6", "--keep", "all", *QUICK, "--force", "--out", "population"),
        "population",
        ("population",),
        long=ENDLESS,
    ),
    "train --resume": Command(
        ("train", "--episodes", 30, "--episode-length", 12, "--checkpoint-every", 10, "--resume", "--out", "out"),
        "out",
        long=ENDLESS,
    ),
    "backtest": Command(
        ("backtest", "later.csv", "--policy", "agent", "--out", "new/out"), "new", ("agent", "later.csv")
    ),
    "backtest --force": Command(
        ("backtest", "later.csv", "--policy", "agent", "--fee-bps", 9, "--force", "--out", "test"),
        "test",
        ("agent", "later.csv", "test"),
    ),
    "backtest of symbols": Command(
        ("backtest", "later.csv", "--policy", "agent", "--symbol-col", "symbol", "--force", "--out", "test"),
        "test",
        ("agent", "later.csv", "test"),
    ),
    "walkforward": Command(
        ("walkforward", "bars.csv", "--config", "history.json", "--seeds", "1", *QUICK, "--force", "--out", "walk"),
        "walk",
        ("bars.csv", "history.json", "walk"),
    ),
    "sweep": Command(
        (*SWEEP, "--grid", "discount=0.8,0.9", "--force", "--out", "grid"), "grid", ("bars.csv", "history.json", "grid")
    ),
    "export": Command(
        ("export", "agent", "--to", "inputs"),
        "inputs",
        ("synthetic", "agent"),
        (("export", "synthetic", "--to", "inputs"),),
    ),
    "spec": Command(
        ("spec", "agent", "--kind", "v38", "--ticks", 6, "--force", "--out", "spec"), "spec", ("agent", "spec")
    ),
    "layers": Command(("layers", "plan.json"), "layers", LAYERS),
    "layers --force": Command(
        ("layers", "other.json", "--force"), "layers", LAYERS, (("layers", "plan.json"),), _other_plan
    ),
    "manifest": Command(("manifest", "synthetic", "--idi-manifest"), "synthetic", ("synthetic",)),
    "commit": Command(
        ("commit", "synthetic", "--form", "idi", "--force", "--out", "binding"), "binding", ("synthetic", "binding")
    ),
    "open": Command(("open", "synthetic", "0", "--out", "opening.json"), "opening.json", ("synthetic",)),
    "prove": Command(("prove", "synthetic", "--prover", "digest"), "synthetic", ("synthetic",)),
    "prove --force": Command(("prove", "proven", "--prover", "digest", "--force"), "proven", ("proven",)),
    "workflow": Command((*WORKFLOW, "--out", "out"), "out", ("synthetic.json",), steps=True),
    "workflow --force": Command(
        (*WORKFLOW, "--seed", 3, "--force", "--out", "proven"), "proven", ("synthetic.json", "proven"), steps=True
    ),
    "tau run": Command(("tau", "run", "spec"), "spec", ("spec",), prepare=_old_outputs),
    "tau check --fix": Command(("tau", "check", "flawed", "--fix", "fixed"), "fixed", prepare=_flawed),
    "tau check --fix --force": Command(
        ("tau", "check", "flawed", "--fix", "flawed", "--force"), "flawed", prepare=_flawed
    ),
}
if find_spec("plotly") is not None:
    COMMANDS = {
        **COMMANDS,
        "report": Command(("report", "test", "--out", "page.html"), "page.html", ("test",)),
        "report --force": Command(
            ("report", "synthetic", "--force", "--out", "page.html"),
            "page.html",
            ("test", "synthetic"),
            (("report", "test", "--out", "page.html"),),
        ),
    }


@dataclass(frozen=True)
class Undisturbed:
    """The input and output of an undisturbed command; calls: those that an injector counts; steps: as for the
    command."""

    old: dict[str, bytes | None]
    new: dict[str, bytes | None]
    calls: list[str]
    steps: bool = False


def set_up(world: World, command: Command, within: Path | None = None) -> Path:
    """A sandbox in which the command can be run."""
    folder = world.sandbox(*command.needs, within=within)
    if command.prepare is not None:
        command.prepare(folder)
    for argv in command.before:
        outcome = world.worker.run(*argv, cwd=folder)
        if outcome.status != 0:
            raise RuntimeError(f"the campaign cannot go on: {describe(outcome)}")
    return folder


def undisturbed(world: World, name: str) -> Undisturbed:
    """The result of a command, which is run on first use."""
    known = world.memory.setdefault("undisturbed", {})
    if name not in known:
        command = COMMANDS[name]
        folder = set_up(world, command)
        old = timeless(tree(folder))
        outcome = world.worker.run(*command.argv, cwd=folder, fault="")
        if outcome.status != 0:
            raise RuntimeError(f"the campaign cannot go on: {describe(outcome)}")
        known[name] = Undisturbed(old, timeless(tree(folder)), outcome.events, command.steps)
    return known[name]


def calls_in_turn(world: World, number: int, salt: str) -> tuple[str, int] | None:
    """The command of a trial and the number of a call of it, from 1: each once; None where a command has no more.

    Commands come in turn, their calls in a random order. Raises Exhausted after the last.
    """
    from idi_fast.bench.campaign.trial import Exhausted

    names = list(COMMANDS)
    name, turn = names[number % len(names)], number // len(names)
    if turn and turn >= max(len(undisturbed(world, other).calls) for other in names):
        raise Exhausted
    calls = len(undisturbed(world, name).calls)
    if turn >= calls:
        return None
    order = random.Random(f"{world.seed} {salt} {name}").sample(range(1, calls + 1), calls)
    return name, order[turn]


def without_checkpoints(found: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """A tree without what an interrupted training may leave."""
    return {path: data for path, data in found.items() if not path.partition("/")[0].endswith(CHECKPOINTS)}

"""Mutated configs, plans and contracts, through every command that takes one."""

import json
import random

from idi_fast.bench.campaign import mutate
from idi_fast.bench.campaign.trial import OK, WRONG, Trial, difference, expect, tree, verdict_on
from idi_fast.bench.campaign.world import CONFIGS, CONTRACT, PLAN, QUICK, World

SMALL = ("--set", "episodes=3", "--set", "episode_length=12")
COMMANDS = {
    "print-config": ("train", "--print-config", "--config", "config.json"),
    "train": ("train", "--config", "config.json", *QUICK, "--out", "out"),
    "population": ("train", "--config", "config.json", *QUICK, "--seeds", "0:2", "--out", "out"),
    "walkforward": ("walkforward", "bars.csv", "--config", "config.json", *QUICK, "--out", "out"),
    "sweep": ("sweep", "bars.csv", "--config", "config.json", "--grid", "discount=0.8,0.9", *QUICK, "--out", "out"),
    "workflow": ("workflow", "config.json", *SMALL, "--out", "out"),
    "plan": ("layers", "config.json", "--dry-run", "--json"),
    "spec": ("spec", "synthetic", "--kind", "config.json", "--out", "out"),
    "export": ("export", "synthetic", "--kind", "config.json", "--to", "out", "--json"),
}
WEIGHTS = {"print-config": 12, "train": 8, "plan": 4, "spec": 2}
"""How often a command comes up, where not once."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """One mutated file through one command: it is accepted, or refused in one line without writing anything."""
    kind = trial.kind = rng.choices(list(COMMANDS), [WEIGHTS.get(name, 1) for name in COMMANDS])[0]
    folder = world.sandbox(*_surroundings(kind))
    name, whole = _whole(world, rng, kind)
    data, what = mutate.of_json(rng, whole) if rng.random() < 0.9 else mutate.of_text(rng, json.dumps(whole).encode())
    trial.what = f"{name}: {what}"
    (folder / "config.json").write_bytes(data)
    before = tree(folder)
    outcome = world.worker.run(*COMMANDS[kind], cwd=folder)
    verdict = verdict_on(outcome)
    if verdict != OK:
        changed = difference(tree(folder), before)
        expect(not changed, WRONG, f"refused, and yet {changed}: {outcome.stderr}")
    return verdict


def _surroundings(kind: str) -> tuple[str, ...]:
    if kind in ("spec", "export"):
        return ("synthetic",)
    return ("synthetic.json", "crypto.json") if kind == "plan" else ("bars.csv",)


def _whole(world: World, rng: random.Random, kind: str) -> tuple[str, object]:
    """The name and the value of the file that is mutated."""
    if kind == "plan":
        return "a plan", PLAN
    if kind in ("spec", "export"):
        return "a contract", CONTRACT
    name = rng.choice(sorted(CONFIGS))
    if rng.random() < 0.5:
        return name, CONFIGS[name]
    return f"{name} with all fields", _written_out(world, name)


def _written_out(world: World, name: str) -> dict:
    """A config with every field, as the program prints it."""
    known = world.memory.setdefault("written out", {})
    if name not in known:
        printed = world.worker.run("train", "--config", name, "--print-config", cwd=world.made)
        known[name] = json.loads(printed.stdout)
    return known[name]

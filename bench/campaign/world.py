"""The input of the campaign's commands: price histories, configs, plans, specifications, and runs of every kind."""

import json
import math
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from idi_fast.bench.campaign.trial import describe
from idi_fast.bench.campaign.worker import Worker

QUICK = ("--episodes", 3, "--episode-length", 12)
BARS = 160

FEATURES = {
    "price": {"transform": "zscore", "window": 8},
    "trend": {"transform": "ema_ratio", "window": 6},
    "scarcity": {"transform": "log_return", "window": 1},
}
CONFIGS: Mapping[str, dict] = {
    "history.json": {"environment": {"kind": "history", "data": {"path": "bars.csv"}}, "features": FEATURES},
    "synthetic.json": {"quantizer": {"price_buckets": 3}, "emote": {"palette": {"0": "🙂 calm", "1": "⚠️ alert"}}},
    "crypto.json": {
        "environment": {"kind": "crypto", "observe_regime": True, "market": {"stress_scenario": "panic"}},
        "learning": {"algorithm": "q_lambda", "trace_decay": 0.5},
    },
    "compat.json": {"engine": {"compat": "idi_iann", "rng": "mt19937"}, "episodic": {}},
    "tiles.json": {"tile_coder": {}, "environment": {"kind": "crypto"}},
}
"""Small configs of every kind; the mutations begin with these, and with all fields written out."""

PLAN = [
    {"name": name, "config": f"{name}.json", "out": f"layers/{name}", "install_inputs": f"specs/{name}/inputs"}
    for name in ("synthetic", "crypto")
]
CONTRACT = {
    "name": "patient",
    "meaning": "follows the table, but stays out of the market around risk events",
    "inputs": [
        {"name": "q_buy", "meaning": "1 where the table's best action is to buy"},
        {"name": "q_sell", "meaning": "1 where the table's best action is to sell"},
        {"name": "risk_event", "meaning": "1 where the price made a leap"},
    ],
    "outputs": [
        {
            "name": "calm",
            "equation": "risk_event[t]' & risk_event[t-1]'",
            "meaning": "1 after two good ticks",
        },
        {"name": "holding", "equation": "(q_buy[t] & calm[t]) | (holding[t-1] & (q_sell[t] | risk_event[t])')"},
    ],
    "guarantees": [{"never": "holding[t] & risk_event[t]", "meaning": "it holds nothing at a risk event"}],
}

RECIPES: Mapping[str, tuple[tuple[str, ...], tuple[object, ...]]] = {
    "agent": ((), ("train", "--config", "history.json", *QUICK)),
    "synthetic": ((), ("train", *QUICK)),
    "crypto": ((), ("train", "--config", "crypto.json", *QUICK)),
    "compat": ((), ("train", "--env", "crypto", "--compat", "idi-iann", *QUICK)),
    "tiles": ((), ("train", "--config", "tiles.json", *QUICK)),
    "population": ((), ("train", "--seeds", "0:2", "--keep", "all", *QUICK)),
    "test": (("agent",), ("backtest", "later.csv", "--policy", "agent")),
    "walk": ((), ("walkforward", "bars.csv", "--config", "history.json", *QUICK)),
    "grid": ((), ("sweep", "bars.csv", "--config", "history.json", "--grid", "learning_rate=0.1,0.2", *QUICK)),
    "spec": (("agent",), ("spec", "agent", "--kind", "v38")),
    "binding": (("synthetic",), ("commit", "synthetic")),
    "proven": ((), ("workflow", "synthetic.json", "--set", "episodes=3", "--set", "episode_length=12")),
}
"""Of each run what has to be there and the command that makes it, without --out."""


@dataclass
class World:
    """A folder in which runs are made on first use, and another for trials.

    memory: what parts remember from trial to trial, by their names; undo: called at the end.
    """

    folder: Path
    worker: Worker
    seed: int = 0
    memory: dict[str, Any] = field(default_factory=dict)
    undo: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.made.mkdir(parents=True)
        write_bars(self.made / "bars.csv", 0)
        write_bars(self.made / "later.csv", BARS)
        for name, config in CONFIGS.items():
            (self.made / name).write_text(json.dumps(config), encoding="utf-8")
        (self.made / "plan.json").write_text(json.dumps(PLAN))
        (self.made / "contract.json").write_text(json.dumps(CONTRACT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for undo in self.undo:
            undo()

    @property
    def made(self) -> Path:
        """The folder of undamaged runs."""
        return self.folder / "made"

    def need(self, name: str) -> Path:
        """The path of a file or run, which is made if it does not exist yet."""
        path = self.made / name
        if not path.exists():
            before, argv = RECIPES[name]
            for other in before:
                self.need(other)
            outcome = self.worker.run(*argv, "--out", name, cwd=self.made)
            if outcome.status != 0:
                raise RuntimeError(f"the campaign cannot begin: {describe(outcome)}")
        return path

    def sandbox(self, *names: str, within: Path | None = None) -> Path:
        """An empty folder for a trial, with copies of files and runs in it."""
        folder = (within or self.folder) / "trial"
        remove(folder)
        folder.mkdir()
        for name in names:
            path = self.need(name)
            if path.is_dir():
                shutil.copytree(path, folder / name)
            else:
                shutil.copyfile(path, folder / name)
        return folder


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, whatever modes it has."""
    if folder.is_dir():
        shutil.rmtree(folder)


def write_bars(path: Path, first: int, n: int = BARS) -> None:
    """Daily bars as CSV, the same for the same days."""
    rng = random.Random(7)
    lines, close = ["time,open,high,low,close,volume,symbol"], 100.0
    for day in range(first + n):
        opened, close = close, close * math.exp(0.02 * rng.gauss(0.01, 1.0))
        if day >= first:
            time = datetime(2022, 1, 1) + timedelta(days=day)
            high, low = max(opened, close) * 1.01, min(opened, close) * 0.99
            volume, symbol = rng.randrange(500, 2000), "AB"[day % 2]
            lines.append(f"{time:%Y-%m-%d},{opened:.4f},{high:.4f},{low:.4f},{close:.4f},{volume},{symbol}")
    path.write_text("\n".join(lines) + "\n")

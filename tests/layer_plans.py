"""Plans of layers for the tests, and what they leave behind."""

import json
from pathlib import Path

import cli_helpers as cli
import pytest

CONFIGS = {
    "momentum": {"episodes": 4, "episode_length": 16},
    "crypto": {"episodes": 5, "episode_length": 20, "environment": {"kind": "crypto"}},
    "reference": {"episodes": 6, "episode_length": 18, "engine": {"compat": "idi_iann", "rng": "mt19937"}},
    "endless": {"episodes": 50, "episode_length": 30, "rewards": {"pnl": 1e308}, "discount": 1, "learning_rate": 1},
}
"""Of which the last one's values grow beyond all numbers."""
GOOD = ("momentum", "crypto", "reference")
FAILURE = "layer 'endless': the Q-values overflowed"


def layer(of: str, /, **changes) -> dict:
    """An entry of a plan; a key that is changed to `...` is left out."""
    about = {"name": of, "config": f"configs/{of}.json", "out": f"artifacts/{of}"}
    about |= {"install_inputs": f"specs/{of}/inputs", "metadata": [f"layer={of}", "note=a=b"]}
    return {key: value for key, value in {**about, **changes}.items() if value is not ...}


def write_plan(folder: Path, layers: object) -> Path:
    """A plan beside its configs."""
    (folder / "configs").mkdir(exist_ok=True)
    for name, config in CONFIGS.items():
        (folder / "configs" / f"{name}.json").write_text(json.dumps(config))
    (folder / "plan.json").write_text(json.dumps(layers))
    return folder / "plan.json"


def outputs(folder: Path) -> dict[str, bytes | None]:
    """What a plan has left behind, but for how long it took."""
    left = cli.snapshot(folder)
    return {name: data for name, data in left.items() if name.startswith(("art", "spec")) and "timings" not in name}


@pytest.fixture
def good_plan(tmp_path) -> Path:
    return write_plan(tmp_path, [layer(name) for name in GOOD])


@pytest.fixture
def bad_plan(tmp_path) -> Path:
    """A plan of four layers, the third of which fails."""
    return write_plan(tmp_path, [layer(name) for name in ("momentum", "crypto", "endless", "reference")])

"""What a training run is: two that agree in it give the same results."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.config.plugin_hashes import config_hashes
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_history, versions
from idi_fast.data.panel import Panel, TrainingBars
from idi_fast.errors import InputError
from idi_fast.kernels._jit import SOURCES_HASH


def describe_run(
    config: TrainingConfig, seed: int, history: TrainingBars | None, initial: Policy | None = None
) -> dict:
    """Everything that determines the numbers of a run, as JSON values: two runs that agree in it give the same
    results."""
    plugins = config_hashes(config)
    about = {
        "config": config.to_dict(),
        "seed": str(seed),
        "versions": versions(),
        "kernels": SOURCES_HASH,
        "initial_policy": None if initial is None else initial.identity(),
        "data": None if history is None else _described(history),
        **({"plugins": plugins} if plugins else {}),
    }
    return json.loads(json.dumps(about))


def _described(bars: TrainingBars) -> dict:
    if not isinstance(bars, Panel):
        return {**describe_history(bars), "sha256": _digest(bars)}
    described = {symbol: _described(history) for symbol, history in bars.histories.items()}
    return {symbol: {key: about[key] for key in about if key != "sample"} for symbol, about in described.items()}


def _digest(history: History) -> str:
    columns = {name: getattr(history, name) for name in ("time", "close", "open", "high", "low", "volume", "risk")}
    sha256 = hashlib.sha256()
    for name, column in sorted({**columns, "after_gap": history.after_gap, **history.extra}.items()):
        if column is not None:
            sha256.update(name.encode() + b"\0" + np.ascontiguousarray(column).tobytes())
    return sha256.hexdigest()


def check_same_run(here: dict, there: dict, path: Path) -> None:
    """Raise InputError that names every difference of two descriptions of a run."""
    ours, theirs = dict(_leaves(here)), dict(_leaves(there))
    differences = [
        f"{name} is {_shown(ours, name)} here and {_shown(theirs, name)} in the checkpoint"
        for name in [*ours, *(name for name in theirs if name not in ours)]
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]
    if differences:
        raise InputError(
            f"{path} is of another run: {'; '.join(differences)}. Resume that run as it was begun, or discard it: "
            "`force=True` without `resume`"
        )


def _leaves(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            # Config keys are named as --set takes them; the sample adds nothing to data.sha256.
            if (prefix, name) != ("data", "sample"):
                yield from _leaves(part, name if prefix in ("", "config") else f"{prefix}.{name}")
    else:
        yield prefix, value


def _shown(leaves: dict[str, object], name: str) -> str:
    if name not in leaves:
        return "not set"
    return str(leaves[name]) if name == "seed" else json.dumps(leaves[name], ensure_ascii=False)

"""trace.json: a trace in the form that the reference's trace schema gives it (`idi_fast/schemas/trace.schema.json`).

Its Rust trainer writes the list of ticks alone, without metadata; that is read as well.
"""

import json
from collections.abc import KeysView, Mapping
from typing import Any, NoReturn

import numpy as np
import polars as pl

from idi_fast.agents.streams import TRACE_STREAMS, stream_type
from idi_fast.config.block import shown
from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.storage.json_files import MAX_JSON

DATA_VERSION = "1.0.0"
"""Of the reference's trace format."""
STEP = "step_id"
REQUIRED = ("q_buy", "q_sell", "risk_budget_ok", "q_emote_positive", "q_emote_alert", "q_regime")
"""The streams that every tick has; the others of `TRACE_STREAMS` may be left out."""
METADATA = {
    "episode_id": str,
    "policy_id": str,
    "env_id": str,
    "data_version": str,
    "seed": int,
    "config_hash": str,
    "timestamp": str,
}
REQUIRED_METADATA = tuple(METADATA)[:4]
OURS = "idi-fast/"
"""How the env_id begins of a trace that follows this package's own rules; the reference's is another."""
_NOUNS = {str: "text", int: "an integer"}


def looks_like_trace(value: Any) -> bool:
    """Whether a JSON value is a trace, well-formed or not, rather than anything else."""
    if isinstance(value, dict):
        return "ticks" in value and (isinstance(value["ticks"], list) or "metadata" in value)
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and not first.keys().isdisjoint((STEP, *TRACE_STREAMS))


def parse_trace(value: Any, where: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The ticks of a trace.json's value, a column a stream behind `tick`, and its metadata ({} of a list of ticks).

    where: the file that it is from. Raises ArtifactError, which names file, tick, key, what was found and expected.
    """
    metadata, ticks, place = {}, value, "[{}]"
    if isinstance(value, dict):
        for key in value:
            if key not in ("metadata", "ticks"):
                raise ArtifactError(f"{where}: {key!r} is not a known key; expected metadata and ticks")
        ticks, place = value.get("ticks"), "ticks[{}]"
        metadata = _metadata(value.get("metadata"), where)
    if not isinstance(ticks, list):
        raise ArtifactError(f"{where}: ticks is {shown(ticks)}; expected a list of objects")
    if not ticks:
        raise ArtifactError(f"{where} has no ticks; expected at least one")

    def at(number: int) -> str:
        return f"{where}: {place.format(number)}"

    names = _names(ticks[0], at(0), has_step=isinstance(value, dict))
    most = {name: _most(name) for name in names}
    columns: dict[str, list[int]] = {name: [] for name in names}
    for number, tick in enumerate(ticks):
        if not isinstance(tick, dict) or tick.keys() != names:
            _explain_keys(tick, names, at(number))
        for name, values in columns.items():
            found = tick[name]
            if type(found) is not int or not 0 <= found <= most[name]:
                raise ArtifactError(f"{at(number)}: {name} is {shown(found)}; expected {_range(most[name])}")
            values.append(found)
    steps = columns.pop(STEP, [])
    for number, step in enumerate(steps):
        if step != steps[0] + number:
            wanted = f"expected {steps[0] + number}, one more than before"
            raise ArtifactError(f"{at(number)}: {STEP} is {step}; {wanted}")
    frame = pl.DataFrame({name: columns[name] for name in TRACE_STREAMS if name in columns})
    return frame.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("tick"), pl.all().cast(pl.UInt8)), metadata


def _names(tick: Any, where: str, *, has_step: bool) -> KeysView[str]:
    """The keys of the first tick, which all others have too."""
    if not isinstance(tick, dict):
        raise ArtifactError(f"{where} is {shown(tick)}; expected an object")
    known = (STEP, *TRACE_STREAMS)
    for key in tick:
        if key not in known:
            raise ArtifactError(f"{where}: {key[:80]!r} is not a known key.{nearest(key, known)}")
    for key in (*((STEP,) if has_step else ()), *REQUIRED):
        if key not in tick:
            raise ArtifactError(f"{where}: {key} is missing; expected {_range(_most(key))}")
    return tick.keys()


def _explain_keys(tick: Any, names: KeysView[str], where: str) -> NoReturn:
    if not isinstance(tick, dict):
        raise ArtifactError(f"{where} is {shown(tick)}; expected an object")
    for name in names:
        if name not in tick:
            raise ArtifactError(f"{where}: {name} is missing; expected it in every tick, as in the first")
    other = next(key for key in tick if key not in names)
    raise ArtifactError(f"{where}: {other[:80]!r} is not a key of the first tick; expected the same keys in every tick")


def _most(name: str) -> int:
    if name == STEP:
        return 2**63 - 1
    kind = stream_type(name)
    return 1 if kind == "sbf" else (1 << int(kind[3:-1])) - 1  # of bv[n]


def _range(most: int) -> str:
    return "an integer >= 0" if most > 2**32 else f"an integer from 0 to {most}"


def _metadata(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        found = "missing" if value is None else shown(value)
        raise ArtifactError(f"{where}: metadata is {found}; expected an object")
    for key in value:
        if key not in METADATA:
            raise ArtifactError(f"{where}: metadata.{key[:80]} is not a known key.{nearest(key, METADATA)}")
    for key, kind in METADATA.items():
        if key not in value and key in REQUIRED_METADATA:
            raise ArtifactError(f"{where}: metadata.{key} is missing; expected {_NOUNS[kind]}")
        if key in value and type(value[key]) is not kind:
            raise ArtifactError(f"{where}: metadata.{key} is {shown(value[key])}; expected {_NOUNS[kind]}")
    return value


def trace_text(values: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """A trace.json, a line a tick.

    values: streams of `TRACE_STREAMS`, (n,) each. Raises InputError for more ticks than can be read again.
    """
    names = [name for name in TRACE_STREAMS if name in values]
    head = json.dumps(metadata, indent=2).replace("\n", "\n  ")
    template = ", ".join(f'"{name}": %d' for name in (STEP, *names))
    ticks = values[names[0]].size
    if (most := MAX_JSON // len(template)) < ticks:
        raise InputError(f"the trace has {ticks:,} ticks; as JSON it can be handed over with at most {most:,}")
    rows = zip(range(ticks), *(values[name].tolist() for name in names), strict=True)
    lines = ",\n    ".join("{" + template % row + "}" for row in rows)
    return f'{{\n  "metadata": {head},\n  "ticks": [\n    {lines}\n  ]\n}}\n'.encode()

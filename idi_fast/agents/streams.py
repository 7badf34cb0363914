"""Tau input streams: their types, the contracts that name them, and their files."""

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.storage.staging import install

TRACE_STREAMS = (
    "q_buy",
    "q_sell",
    "risk_budget_ok",
    "q_emote_positive",
    "q_emote_alert",
    "q_emote_persistence",
    "q_regime",
    "price_up",
    "price_down",
    "weight_momentum",
    "weight_contra",
    "weight_trend",
    "risk_event",
)
"""The streams of every trace, in the reference's order."""

MARKET_STREAMS = ("price", "volume", "trend", "profit_guard", "failure_echo")
"""Further streams of the v38 contract: the upper half of three features' buckets, and two guards."""

CONTRACT_FILES = {name: Path(__file__).parents[1] / "contracts" / f"{name}.json" for name in ("v38", "layered")}
"""The built-in contracts, which `tau.contract` reads in full."""

_INPUTS: dict[str, dict[str, str]] = {
    # Only the names and types of inputs: reading the equations would take longer than everything else here.
    contract: {stream["name"]: stream.get("type", "sbf") for stream in json.loads(file.read_bytes())["inputs"]}
    for contract, file in CONTRACT_FILES.items()
}

CONTRACTS = {**{contract: tuple(types) for contract, types in _INPUTS.items()}, "all": TRACE_STREAMS}
"""The streams a specification reads, by contract."""

_TYPES = {name: kind for types in _INPUTS.values() for name, kind in types.items()}


def stream_type(name: str) -> str:
    """The Tau type of a trace's stream, in the contracts' notation: bv[5] for the regime, sbf for all others."""
    return _TYPES.get(name, "sbf")


def contract_streams(contract: str) -> tuple[str, ...]:
    """The streams of a contract, in its order."""
    try:
        return CONTRACTS[contract]
    except KeyError:
        known = ", ".join(CONTRACTS)
        raise InputError(f"no contract {contract!r}; expected one of {known}.{nearest(contract, CONTRACTS)}") from None


def select_streams(streams: dict[str, np.ndarray], contract: str) -> dict[str, np.ndarray]:
    """The streams of a contract, in its order; ArtifactError if the trace lacks one."""
    missing = [name for name in contract_streams(contract) if name not in streams]
    if missing:
        raise ArtifactError(
            f"the contract {contract!r} reads {', '.join(missing)}, which this trace does not have as whole numbers: "
            "its agent's state has no such features, or the trace is damaged"
        )
    return {name: streams[name] for name in contract_streams(contract)}


def upper_half(bucket: np.ndarray, size: int) -> np.ndarray:
    """Whether each bucket (n,) of a feature lies in the upper half, but never of a feature with one."""
    return bucket * 2 >= max(2, size)


def left_behind(folder: Path, written: Iterable[str]) -> list[str]:
    """Streams of ours in a folder that are not among those `written`: from another run, and perhaps of another
    length."""
    ours = {*TRACE_STREAMS, *MARKET_STREAMS} - set(written)
    return sorted(name for name in ours if (folder / f"{name}.in").exists())


def check_stream(name: str, values: np.ndarray, kind: str | None = None) -> None:
    """Raise ArtifactError unless every value fits the stream's type; kind: by default that of a trace's stream."""
    kind = kind or stream_type(name)
    most = 1 if kind == "sbf" else (1 << int(kind[3:-1])) - 1  # of bv[n]
    if values.size and (values.min() < 0 or values.max() > most):
        tick = int(np.argmax((values < 0) | (values > most)))
        raise ArtifactError(f"stream {name!r} has the value {values[tick]} at tick {tick}; {kind} takes 0 to {most}")


def stream_text(values: np.ndarray, *, newline: bool = True) -> bytes:
    """One decimal value, 0 or more, per line; the last line is terminated only with `newline`."""
    if values.max(initial=0) > 99:
        text = "".join(f"{value}\n" for value in values.tolist()).encode()
        return text if newline else text[:-1]
    lines = np.empty((values.size, 3), np.uint8)
    lines[:, 0] = values // 10 + ord("0")
    lines[:, 1] = values % 10 + ord("0")
    lines[:, 2] = ord("\n")
    wanted = np.ones(lines.shape, bool)
    wanted[:, 0] = values >= 10
    text = lines[wanted].tobytes()
    return text if newline else text[:-1]


def stream_index(names: Iterable[str], *, newline: bool = True) -> bytes:
    """streams.json of a folder with these streams."""
    index = json.dumps({"streams": {name: f"{name}.in" for name in names}}, sort_keys=True, indent=2)
    return (index + "\n" if newline else index).encode()


def stream_files(
    streams: Mapping[str, np.ndarray], types: Mapping[str, str] | None = None, *, newline: bool = True
) -> dict[str, bytes]:
    """The `.in` files and streams.json of checked streams, by file name.

    types: the Tau types, by default those of a trace's streams. Raises ArtifactError for a value outside its type, and
    for streams that are empty or of unequal length, since a specification silently stops with the shortest.
    """
    check_lengths(streams)
    for name, values in streams.items():
        check_stream(name, values, types[name] if types else None)
    files = {f"{name}.in": stream_text(values, newline=newline) for name, values in streams.items()}
    return {**files, "streams.json": stream_index(streams, newline=newline)}


def check_lengths(streams: Mapping[str, np.ndarray]) -> None:
    """Raise ArtifactError for streams that are empty or of unequal length."""
    sizes = {name: values.size for name, values in streams.items()}
    shortest, longest = (pick(sizes, key=sizes.__getitem__) for pick in (min, max))
    if sizes[shortest] != sizes[longest]:
        raise ArtifactError(
            f"stream {shortest!r} has {sizes[shortest]} ticks and {longest!r} {sizes[longest]}; expected equal lengths"
        )
    if not sizes[longest]:
        raise ArtifactError(f"stream {longest!r} has no ticks; expected at least one")


class StreamFiles:
    """The `.in` files of a trace's streams and streams.json in a new folder, written chunk by chunk; a context."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self._folder, self._files = folder, ExitStack()
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def write(self, streams: dict[str, np.ndarray]) -> None:
        """Append the next ticks. Raises ArtifactError, OSError."""
        for name, values in select_streams(streams, "all").items():
            check_stream(name, values)
            if name not in self._open:
                file = (self._folder / f"{name}.in").open("wb")
                self._open[name] = self._files.enter_context(file)
            self._open[name].write(stream_text(values))

    def __exit__(self, kind: object, *error: object) -> None:
        self._files.close()
        if kind is None:
            (self._folder / "streams.json").write_bytes(stream_index(self._open))


def install_streams(files: Mapping[str, bytes], folder: Path) -> None:
    """Put files into a folder, all or none; other files there are left alone. Raises OutputError."""
    install({folder / name: data for name, data in files.items()})

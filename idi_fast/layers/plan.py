"""A plan of layers: its entries, where each is read from and written to, and which streams it installs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from idi_fast.agents.streams import CONTRACTS, MARKET_STREAMS, contract_streams
from idi_fast.config.block import NO_NUL, REQUIRED, Block, SettingError, setting
from idi_fast.errors import ConfigError, nearest
from idi_fast.storage.json_files import read_json
from idi_fast.tau.inputs import read_from

INDEX = "streams.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer(Block):
    """One agent of a plan; its paths are relative to the plan's folder or, if its config is not there, to the working
    directory."""

    name: str = setting(REQUIRED, "What messages call it.", minLength=1)
    config: str = setting(REQUIRED, "JSON config file.", minLength=1, pattern=NO_NUL)
    out: str = setting(REQUIRED, "Folder of its artifact.", minLength=1, pattern=NO_NUL)
    install_inputs: str | None = setting(
        None, "Folder that its streams are installed into; null is none.", minLength=1, pattern=NO_NUL
    )
    contract: str = setting("all", "Streams to install: v38, layered, or all and what a specification there reads.")
    seed: int = setting(0, "Seed of its training.")
    metadata: tuple[str, ...] = setting((), "Entries key=value for its manifest.")

    def _cross_check(self) -> None:
        if self.contract not in CONTRACTS:
            hint = nearest(self.contract, CONTRACTS)
            raise SettingError("contract", f"is {self.contract!r}; expected one of {', '.join(CONTRACTS)}.{hint}")
        keys = [entry.partition("=")[0].strip() for entry in self.metadata]
        for number, (key, entry) in enumerate(zip(keys, self.metadata, strict=True)):
            if not key or "=" not in entry:
                raise SettingError(f"metadata[{number}]", f"is {entry!r}; expected key=value, as in owner=research")
            if key in keys[:number]:
                raise SettingError(f"metadata[{number}]", f"gives {key!r} once more; expected each key once")


@dataclass(frozen=True)
class Place:
    """Where a layer is read from and written to, absolute.

    streams: names of those that it installs into `inputs`; read: the names of the files there that specifications read,
    each with a specification that reads it.
    """

    layer: Layer
    config_file: Path
    out: Path
    inputs: Path | None
    streams: tuple[str, ...]
    read: dict[str, Path]

    @classmethod
    def of(cls, layer: Layer, folder: Path) -> Self:
        """The place of a layer of a plan in a folder."""
        # Plans may be relative to the top of a repository, where they are run.
        homes = [home for home in (folder, Path()) if os.path.lexists(home / layer.config)]
        config, out = (_absolute(homes[0] if homes else folder, name) for name in (layer.config, layer.out))
        if layer.install_inputs is None:
            return cls(layer, config, out, None, (), {})
        inputs = _absolute(homes[0] if homes else folder, layer.install_inputs)
        read, streams = read_from(inputs), contract_streams(layer.contract)
        if layer.contract == "all":
            streams += tuple(name for name in MARKET_STREAMS if f"{name}.in" in read)
        return cls(layer, config, out, inputs, streams, read)


def read_layers(path: Path) -> list[Layer]:
    """The layers of a plan. Raises ConfigError."""
    tree = read_json(path)
    if not isinstance(tree, list) or not tree:
        found = "an empty list" if tree == [] else f"JSON of type {type(tree).__name__}"
        raise ConfigError(f"{path}: found {found}; expected a list of layers, at least one")
    layers: dict[str, Layer] = {}
    for number, entry in enumerate(tree, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        where = f"{path}: layer {number}" + (f" ({name!r})" if isinstance(name, str) else "")
        try:
            layer = Layer.from_dict(entry)
        except SettingError as error:
            raise ConfigError(f"{where}: {error}") from None
        if layer.name in layers:
            raise ConfigError(f"{where}: an earlier layer has that name; expected each name once")
        layers[layer.name] = layer
    return list(layers.values())


def check_places(path: Path, places: Sequence[Place]) -> None:
    """Refuse layers that would write to the same place."""
    outs: dict[str, Layer] = {}
    streams: dict[str, Layer] = {}
    indices: dict[str, Layer] = {}
    for place in places:
        layer = place.layer
        other = outs.setdefault(real_path(place.out), layer)
        if other is not layer:
            raise ConfigError(f"{path}: the layers {other.name!r} and {layer.name!r} have the same out, {layer.out}")
        if place.inputs is None:
            continue
        indices[real_path(place.inputs / INDEX)] = layer
        for stream in place.streams:
            other = streams.setdefault(real_path(place.inputs / f"{stream}.in"), layer)
            if other is not layer:
                raise ConfigError(
                    f"{path}: the layers {other.name!r} and {layer.name!r} both install {stream} into "
                    f"{layer.install_inputs}; give them folders of their own, or contracts that share no stream"
                )
    for file, layer in [*outs.items(), *streams.items(), *indices.items()]:
        for out, owner in outs.items():
            if file.startswith(out + os.sep) or (file == out and (file in streams or file in indices)):
                raise ConfigError(
                    f"{path}: the layer {layer.name!r} writes to {file}, in the out of {owner.name!r}; "
                    "an artifact holds nothing but its own files"
                )


def real_path(path: str | Path) -> str:
    """The canonical path of a place, whatever links lead to it."""
    return os.path.realpath(path)


def _absolute(folder: Path, name: str) -> Path:
    return Path(os.path.abspath(folder / name))

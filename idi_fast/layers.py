"""Layers: a plan of agents to train, whose artifacts and streams appear all together or not at all."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from idi_fast.artifact import SCHEMA_VERSION, write_training
from idi_fast.config import TrainingConfig
from idi_fast.config_io import REQUIRED, Block, SettingError, read_json, setting
from idi_fast.crew import Crew
from idi_fast.environments import HistoryBars
from idi_fast.episodes import temporary_log
from idi_fast.errors import ConfigError, IdiFastError, InputError, OutputError, nearest
from idi_fast.files import check_place, check_replaceable, explained
from idi_fast.history import History
from idi_fast.seeds import check_seeds
from idi_fast.space import StateSpace
from idi_fast.staging import Staging
from idi_fast.streams import CONTRACTS, MARKET_STREAMS, contract_streams, left_behind, stream_index, stream_type
from idi_fast.trainer import create_trainer, feature_columns, load_config_history

INDEX = "streams.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer(Block):
    """One agent of a plan; paths are relative to the plan's folder."""

    name: str = setting(REQUIRED, "What messages call it.", minLength=1)
    config: str = setting(REQUIRED, "JSON config file.", minLength=1)
    out: str = setting(REQUIRED, "Folder of its artifact.", minLength=1)
    install_inputs: str | None = setting(None, "Folder that its streams are installed into; null is none.", minLength=1)
    contract: str = setting("all", "Streams to install: all, v38 or layered.")
    seed: int = setting(0, "Seed of its training.")
    metadata: tuple[str, ...] = setting((), "Entries key=value for its manifest.")

    def _cross_check(self) -> None:
        if self.contract not in CONTRACTS:
            hint = nearest(self.contract, CONTRACTS)
            raise SettingError("contract", f"is {self.contract!r}; expected one of {', '.join(CONTRACTS)}.{hint}")
        for key in ("config", "out", "install_inputs"):
            if "\0" in (getattr(self, key) or ""):
                raise SettingError(key, f"is {getattr(self, key)!r}; expected a path, without null characters")
        keys = [entry.partition("=")[0].strip() for entry in self.metadata]
        for number, (key, entry) in enumerate(zip(keys, self.metadata, strict=True)):
            if not key or "=" not in entry:
                raise SettingError(f"metadata[{number}]", f"is {entry!r}; expected key=value, as in owner=research")
            if key in keys[:number]:
                raise SettingError(f"metadata[{number}]", f"gives {key!r} once more; expected each key once")

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that it installs."""
        return () if self.install_inputs is None else contract_streams(self.contract)


@dataclass(frozen=True)
class Task:
    """A layer that is ready to be trained: its config and history, read and checked, and its places, absolute."""

    layer: Layer
    config_file: Path
    config: TrainingConfig
    history: History | None
    out: Path
    inputs: Path | None

    @property
    def metadata(self) -> dict[str, str]:
        """The layer's metadata by key."""
        return {key.strip(): value for key, _, value in (entry.partition("=") for entry in self.layer.metadata)}

    @property
    def stream_files(self) -> list[Path]:
        """The `.in` files that it installs."""
        return [] if self.inputs is None else [self.inputs / f"{name}.in" for name in self.layer.streams]

    def describe(self) -> dict:
        """What will be done, as JSON values: see `run_plan`."""
        installs = None
        if self.inputs is not None:
            replaced = [file.name for file in self.stream_files if os.path.lexists(file)]
            streams = {name: stream_type(name) for name in self.layer.streams}
            about = {"contract": self.layer.contract, "ticks": self.config.episode_length, "streams": streams}
            installs = {"folder": str(self.inputs), **about, "replaces": replaced}
        return {
            "name": self.layer.name,
            "config": str(self.config_file),
            "fingerprint": self.config.fingerprint(),
            "seed": self.layer.seed,
            "steps": self.config.episodes * self.config.episode_length,
            "metadata": self.metadata,
            "out": str(self.out),
            "replaces": self.out.is_dir() and any(self.out.iterdir()),
            "installs": installs,
        }


def check_plan(path: str | Path, *, only: Iterable[str] = (), force: bool = False) -> list[Task]:
    """Read a plan and all it names, and refuse what could not be done; nothing is written.

    only: names of the layers that are wanted, by default all; of the others, configs and data are not read, but no two
    layers of a plan may write to the same place. Raises ConfigError, DataError, InputError, OutputError.
    """
    path = Path(path)
    layers = _read_layers(path)
    _check_places(path, layers)
    wanted = set(only) or {layer.name for layer in layers}
    for name in sorted(wanted - {layer.name for layer in layers}):
        raise InputError(f"{path} has no layer {name!r}.{nearest(name, [layer.name for layer in layers])}")
    histories: dict[tuple, History] = {}
    tasks = []
    for layer in layers:
        if layer.name in wanted:
            with _naming(layer):
                tasks.append(_prepare(path.parent, layer, histories))
    _check_inputs_are_kept(path, tasks)
    _check_lengths(tasks)
    for task in tasks:
        with _naming(task.layer):
            _check_targets(task, force)
    return tasks


def _read_layers(path: Path) -> list[Layer]:
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


def _check_places(path: Path, layers: Sequence[Layer]) -> None:
    """Refuse layers of which one writes where another does."""
    outs: dict[str, Layer] = {}
    streams: dict[str, Layer] = {}
    for layer in layers:
        other = outs.setdefault(_real(path.parent / layer.out), layer)
        if other is not layer:
            raise ConfigError(f"{path}: the layers {other.name!r} and {layer.name!r} have the same out, {layer.out}")
        for stream in layer.streams:
            other = streams.setdefault(_real(path.parent / layer.install_inputs / f"{stream}.in"), layer)
            if other is not layer:
                raise ConfigError(
                    f"{path}: the layers {other.name!r} and {layer.name!r} both install {stream} into "
                    f"{layer.install_inputs}; give them folders of their own, or contracts that share no stream"
                )
    indices = {_real(path.parent / layer.install_inputs / INDEX): layer for layer in layers if layer.streams}
    for place, layer in [*outs.items(), *streams.items(), *indices.items()]:
        for out, owner in outs.items():
            if place.startswith(out + os.sep) or (place == out and (place in streams or place in indices)):
                raise ConfigError(
                    f"{path}: the layer {layer.name!r} writes to {place}, in the out of {owner.name!r}; "
                    "an artifact holds nothing but its own files"
                )


def _real(path: str | Path) -> str:
    return os.path.realpath(path)


def _prepare(folder: Path, layer: Layer, histories: dict[tuple, History]) -> Task:
    file = _absolute(folder, layer.config)
    if not file.exists():
        hint = nearest(file.name, [path.name for path in file.parent.glob("*.json")])
        raise ConfigError(f"{file}: no such config.{hint}")
    config, history = TrainingConfig.from_json(file), None
    check_seeds([layer.seed], negative=config.engine.compat is not None)
    lacking = [name for name in layer.streams if name in MARKET_STREAMS]
    if lacking and StateSpace.of(config).is_compat_crypto:
        raise ConfigError(
            f"the contract {layer.contract!r} reads {', '.join(lacking)}, but the trace of this config has no such "
            "streams; expected 'all' or 'layered'"
        )
    if config.environment.kind == "history":
        # Layers with the same data share the arrays.
        key = config.environment.data, feature_columns(config)
        if key not in histories:
            histories[key] = load_config_history(config)
        history = histories[key]
        HistoryBars(config, history)  # which refuses bars that the config's features or episodes cannot do with
    inputs = None if layer.install_inputs is None else _absolute(folder, layer.install_inputs)
    return Task(layer, file, config, history, _absolute(folder, layer.out), inputs)


def _absolute(folder: Path, name: str) -> Path:
    return Path(os.path.abspath(folder / name))


def _check_inputs_are_kept(path: Path, tasks: Sequence[Task]) -> None:
    read = [path, *(task.config_file for task in tasks)]
    read += [task.config.environment.data.path for task in tasks if task.history is not None]
    for task in tasks:
        for file in map(_real, read):
            if file.startswith(_real(task.out) + os.sep):
                raise OutputError(f"layer {task.layer.name!r}: its out would replace {file}, which is read")


def _check_lengths(tasks: Sequence[Task]) -> None:
    # A specification stops with the shortest of its streams, without a word.
    firsts: dict[str, Task] = {}
    for task in tasks:
        if task.inputs is not None:
            other, ticks = firsts.setdefault(_real(task.inputs), task), task.config.episode_length
            if other.config.episode_length != ticks:
                raise ConfigError(
                    f"the layers {other.layer.name!r} and {task.layer.name!r} install streams of "
                    f"{other.config.episode_length} and {ticks} ticks into {task.inputs}; expected equal episode_length"
                )


def _check_targets(task: Task, force: bool) -> None:
    with explained(task.out):
        check_place(task.out)
        _check_folder(task.out.parent)
        check_replaceable(task.out, force)
    if task.inputs is not None:
        with explained(task.inputs):
            check_place(task.inputs / INDEX)
            _check_folder(task.inputs)
            for file in (*task.stream_files, task.inputs / INDEX):
                if file.is_dir():
                    raise OutputError(f"{file} is a folder where the file of a stream is to stand")


def _check_folder(folder: Path) -> None:
    """Refuse a folder that neither is there nor could be made."""
    nearest_place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest_place.is_dir():
        raise OutputError(f"{nearest_place} is not a folder; {folder} cannot be one")


@contextmanager
def _naming(layer: Layer) -> Iterator[None]:
    """Say in every error which layer it is of."""
    try:
        yield
    except IdiFastError as error:
        kind = ConfigError if isinstance(error, SettingError) else type(error)
        raise kind(f"layer {layer.name!r}: {error}") from error
    except OSError as error:
        raise IdiFastError(f"layer {layer.name!r}: {error.filename}: {error.strerror or error}") from error
    except MemoryError as error:
        raise IdiFastError(f"layer {layer.name!r}: not enough memory for its tables or data") from error


def run_plan(
    path: str | Path,
    *,
    only: Iterable[str] = (),
    keep_going: bool = False,
    force: bool = False,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Train the layers of a plan, `jobs` at a time, write their artifacts and install their streams.

    All appears at the end, together, or nothing does if a layer fails, unless `keep_going`: then the others appear all
    the same. only, force: as of `check_plan`, which refuses a plan before anything is trained; progress: called with
    how many layers have ended, and of how many.

    Returns JSON values: `layers`, each with what `Task.describe` says, its `summary` and `evaluation` as in run.json
    (None if it failed) and its `failure` (None if it did not); `left_behind`: streams of earlier runs in the folders
    installed into, by folder. Nothing of it depends on `jobs`. Raises what `check_plan` does, or the error of a failed
    layer, which it names, the first listed of several; OutputError where something cannot be put in its place.
    """
    tasks = check_plan(path, only=only, force=force)
    about = {task.layer.name: task.describe() for task in tasks}
    crew = Crew(jobs, len(tasks))
    runs: dict[str, dict] = {}
    failures: dict[str, str] = {}
    with Staging() as staging:
        for task in tasks:
            with _naming(task.layer):
                staging.reserve(task.out)
                if task.inputs is not None:
                    staging.reserve(task.inputs / INDEX)
                    for file in task.stream_files:
                        staging.watch(file)

        def work(task: Task) -> None:
            try:
                with _naming(task.layer):
                    runs[task.layer.name] = _train(task, crew, staging)
            except IdiFastError as error:
                if not keep_going or crew.stopped.is_set():
                    raise
                failures[task.layer.name] = str(error)

        crew.each(work, tasks, lambda: progress(len(runs) + len(failures), len(tasks)))
        whole = [task for task in tasks if task.layer.name in runs]
        indices = _write_indices(whole, staging)
        staging.swap([*(task.out for task in whole), *(file for task in whole for file in task.stream_files), *indices])
    for name, facts in about.items():
        run = runs.get(name, {})
        facts |= {key: run.get(key) for key in ("summary", "evaluation")} | {"failure": failures.get(name)}
    left = {str(index.parent): _left_behind(index.parent, whole) for index in indices}
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": str(path),
        "layers": list(about.values()),
        "left_behind": {folder: names for folder, names in left.items() if names},
    }


def _train(task: Task, crew: Crew, staging: Staging) -> dict:
    """Train a layer and write its artifact and streams where they are made; return its run.json."""
    trainer = create_trainer(task.config, task.layer.seed, task.history)
    trainer.compile()
    with crew.training(trainer), explained(task.out):
        folder = staging.reserve(task.out)
        folder.mkdir()
        with temporary_log(folder) as rewards:
            trainer.train(rewards=rewards)
            policy, trace = trainer.rollout()
            seconds = {"training_seconds": trainer.training_seconds}
            run = write_training(folder, trainer, policy, trace, seconds, task.metadata)
    if task.inputs is not None:
        with explained(task.inputs / INDEX):
            for name, data in trace.files(task.layer.contract).items():
                if name != INDEX:  # which is of all layers that install into the folder
                    staging.reserve(task.inputs / name).write_bytes(data)
    return run


def _write_indices(tasks: Sequence[Task], staging: Staging) -> list[Path]:
    """Write streams.json of each folder that is installed into; return their places."""
    by_folder: dict[Path, list[Task]] = {}
    for task in tasks:
        if task.inputs is not None:
            by_folder.setdefault(Path(_real(task.inputs)), []).append(task)
    places = []
    for installing in by_folder.values():
        place = installing[0].inputs / INDEX
        names = [name for task in installing for name in task.layer.streams]
        # As in each artifact: the reference does not terminate the last line.
        newline = any(task.config.engine.compat is None for task in installing)
        with explained(place):
            staging.reserve(place).write_bytes(stream_index(names, newline=newline))
        places.append(place)
    return places


def _left_behind(folder: Path, tasks: Sequence[Task]) -> list[str]:
    """Streams of ours in a folder that none of the tasks has installed there."""
    contracts = {task.layer.contract for task in tasks if task.inputs and _real(task.inputs) == _real(folder)}
    return sorted(set.intersection(*(set(left_behind(folder, contract_streams(contract))) for contract in contracts)))

"""Layers: a plan of agents to train, whose artifacts and streams appear all together or not at all."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

from idi_fast.agents.streams import (
    MARKET_STREAMS,
    TRACE_STREAMS,
    left_behind,
    stream_files,
    stream_index,
    stream_type,
)
from idi_fast.config.block import SettingError
from idi_fast.config.feature_columns import feature_columns
from idi_fast.config.seeds import check_seeds
from idi_fast.config.settings import Note, TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.panel import TrainingBars
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import ConfigError, IdiFastError, InputError, OutputError, nearest
from idi_fast.layers.plan import INDEX, Layer, Place, check_places, read_layers, real_path
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.storage.files import check_place, check_replaceable, explained
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.storage.staging import Staging
from idi_fast.training.artifact import write_training
from idi_fast.training.episode_log import temporary_log
from idi_fast.training.trainer import create_trainer


@dataclass(frozen=True)
class Task:
    """A layer that is ready for training: its config and history, read and checked."""

    place: Place
    config: TrainingConfig
    history: TrainingBars | None

    @property
    def layer(self) -> Layer:
        """The layer's entry in the plan."""
        return self.place.layer

    @property
    def out(self) -> Path:
        """The folder of its artifact."""
        return self.place.out

    @property
    def inputs(self) -> Path | None:
        """The folder that its streams are installed into."""
        return self.place.inputs

    @property
    def metadata(self) -> dict[str, str]:
        """The layer's metadata by key."""
        return {key.strip(): value for key, _, value in (entry.partition("=") for entry in self.layer.metadata)}

    @property
    def stream_files(self) -> list[Path]:
        """The `.in` files that it installs."""
        return [] if self.inputs is None else [self.inputs / f"{name}.in" for name in self.place.streams]

    def describe(self) -> dict:
        """What will be done, as JSON values: see `run_plan`."""
        installs = None
        if self.inputs is not None:
            replaced = [file.name for file in self.stream_files if os.path.lexists(file)]
            streams = {name: stream_type(name) for name in self.place.streams}
            about = {"contract": self.layer.contract, "ticks": self.config.episode_length, "streams": streams}
            about["specifications"] = sorted({str(specification) for specification in self.place.read.values()})
            installs = {"folder": str(self.inputs), **about, "replaces": replaced}
        return {
            "name": self.layer.name,
            "config": str(self.place.config_file),
            "fingerprint": self.config.fingerprint(),
            "seed": self.layer.seed,
            "steps": self.config.episodes * self.config.episode_length,
            "metadata": self.metadata,
            "out": str(self.out),
            "replaces": self.out.is_dir() and any(self.out.iterdir()),
            "installs": installs,
        }


def check_plan(
    path: str | Path, *, only: Iterable[str] = (), force: bool = False, note: Note = warnings.warn
) -> list[Task]:
    """Read a plan and everything it names, and refuse what cannot be done; nothing is written.

    only: names of the layers to train, by default all; configs and data of the others are not read, but no two
    layers of a plan may write to the same place; note: called with what the user should know. Raises ConfigError,
    DataError, InputError, OutputError.
    """
    return _check_plan(path, only, force, note)[0]


def _check_plan(path: str | Path, only: Iterable[str], force: bool, note: Note) -> tuple[list[Task], list[Place]]:
    path = Path(path)
    layers = read_layers(path)
    places = [Place.of(layer, path.parent) for layer in layers]
    check_places(path, places)
    wanted = set(only) or {layer.name for layer in layers}
    for name in sorted(wanted - {layer.name for layer in layers}):
        raise InputError(f"{path} has no layer {name!r}.{nearest(name, [layer.name for layer in layers])}")
    histories: dict[tuple, TrainingBars] = {}
    tasks = []
    for place in places:
        if place.layer.name in wanted:
            with _naming(place.layer):
                tasks.append(_prepare(place, histories, note))
    _check_inputs_are_kept(path, tasks)
    _check_lengths(tasks)
    for installing in _by_folder(tasks).values():
        _check_all_that_is_read(installing, places)
    for task in tasks:
        with _naming(task.layer):
            _check_targets(task, force)
    return tasks, places


def _prepare(place: Place, histories: dict[tuple, TrainingBars], note: Note) -> Task:
    layer, file = place.layer, place.config_file
    if not file.exists():
        hint = nearest(file.name, [path.name for path in file.parent.glob("*.json")])
        raise ConfigError(f"{file}: no such config.{hint}")
    config, history = TrainingConfig.from_json(file, note=note), None
    check_seeds([layer.seed], negative=config.engine.compat is not None)
    lacking = [name for name in place.streams if name in MARKET_STREAMS]
    if lacking and StateSpace.of(config).is_compat_crypto:
        reader, remedy = f"the contract {layer.contract!r}", "'all' or 'layered'"
        if layer.contract == "all":
            reader, remedy = place.read[f"{lacking[0]}.in"], "an environment or rules whose state has such features"
        raise ConfigError(
            f"{reader} reads {', '.join(lacking)}, but the trace of this config has no such streams; expected {remedy}"
        )
    if config.environment.kind == "history":
        # Layers with the same data share the arrays.
        key = config.environment.data, feature_columns(config)
        if key not in histories:
            histories[key] = load_config_bars(config)
        history = histories[key]
        HistoryBars(config, history)  # which refuses bars that do not suffice for the config's features or episodes
    return Task(place, config, history)


def _check_inputs_are_kept(path: Path, tasks: Sequence[Task]) -> None:
    data = [task.config.environment.data.path for task in tasks if task.history is not None]
    read = [path, *(task.place.config_file for task in tasks), *(file for file in data if file is not None)]
    for task in tasks:
        for file in map(real_path, read):
            if file.startswith(real_path(task.out) + os.sep):
                raise OutputError(f"layer {task.layer.name!r}: its out would replace {file}, which is read")


def _check_lengths(tasks: Sequence[Task]) -> None:
    # A specification silently stops with the shortest of its streams.
    firsts: dict[str, Task] = {}
    for task in tasks:
        if task.inputs is not None:
            other, ticks = firsts.setdefault(real_path(task.inputs), task), task.config.episode_length
            if other.config.episode_length != ticks:
                raise ConfigError(
                    f"the layers {other.layer.name!r} and {task.layer.name!r} install streams of "
                    f"{other.config.episode_length} and {ticks} ticks into {task.inputs}; expected equal episode_length"
                )


def _by_folder(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """The tasks that install streams, by target folder."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        if task.inputs is not None:
            found.setdefault(real_path(task.inputs), []).append(task)
    return found


def _check_all_that_is_read(tasks: Sequence[Task], places: Sequence[Place]) -> None:
    """Refuse to install into a folder from which a specification would read other streams too, of another length.

    tasks: all that install into the folder now; places: those of the whole plan.
    """
    inputs, ticks, names = tasks[0].inputs, tasks[0].config.episode_length, [task.layer.name for task in tasks]
    assert inputs is not None  # they install
    if (inputs.parent / "spec.json").is_file():
        raise OutputError(
            f"layer {names[-1]!r}: `idi-fast spec` wrote {inputs.parent}, with outputs to expect of its inputs; leave "
            "install_inputs out, and write that folder anew from the layer's artifact: "
            f"idi-fast spec {tasks[-1].out} --kind … --out {inputs.parent} --force"
        )
    now = {f"{name}.in" for task in tasks for name in task.place.streams}
    real = real_path(inputs)
    planned = {
        f"{name}.in" for place in places if place.inputs and real_path(place.inputs) == real for name in place.streams
    }
    for name, specification in tasks[0].place.read.items():
        lines = None if name in now else _count_lines(inputs / name)
        if name in now or lines == ticks or (lines is None and name in planned):
            continue
        is_ours = name.removesuffix(".in") in (*TRACE_STREAMS, *MARKET_STREAMS)
        remedy = "give a layer a contract that has it" if is_ours else "put one of that length there"
        if name in planned:
            remedy = "train its layer too"
        found = "there is none" if lines is None else f"that has {lines:,} lines"
        raise ConfigError(
            f"layer {names[-1]!r}: {specification} reads {inputs / name}, but {found}, and streams of {ticks:,} ticks "
            f"are to be installed beside it; {remedy}"
        )


def _count_lines(file: Path) -> int | None:
    """Lines before the first empty one, which ends an input; None if there is no file."""
    if not file.is_file():
        return None
    with file.open("rb") as lines:
        # In pieces: no value is as long, but somebody else's file may have no line breaks at all.
        return sum(1 for _ in takewhile(bytes.strip, iter(partial(lines.readline, 4096), b"")))


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
                    raise OutputError(f"{file} is a folder where the file of a stream must go")


def _check_folder(folder: Path) -> None:
    """Refuse a folder that neither exists nor can be created."""
    nearest_place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest_place.is_dir():
        raise OutputError(f"{nearest_place} is not a folder; {folder} cannot be one")


@contextmanager
def _naming(layer: Layer) -> Iterator[None]:
    """Name the layer in every error."""
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
    note: Note = warnings.warn,
) -> dict:
    """Train the layers of a plan, `jobs` at a time, write their artifacts and install their streams.

    Everything appears at the end, together, or nothing if a layer fails, unless `keep_going`: then the others still
    appear. only, force, note: as for `check_plan`, which refuses a plan before anything is trained; progress: called
    with the number of layers that have ended, and of all.

    Returns JSON values: `layers`, each with the result of `Task.describe`, its `summary` and `evaluation` as in
    run.json (None if it failed) and its `failure` (None if it did not); `left_behind`: streams of earlier runs in the
    target folders, by folder. Nothing of it depends on `jobs`. Raises what `check_plan` does, or the error of a failed
    layer, which it names, the first listed of several; OutputError if something cannot be put in its place.
    """
    tasks, places = _check_plan(path, only, force, note)
    about = {task.layer.name: task.describe() for task in tasks}
    workers = WorkerPool(jobs, len(tasks))
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
                    runs[task.layer.name] = _train(task, workers, staging)
            except IdiFastError as error:
                if not keep_going or workers.stopped.is_set():
                    raise
                failures[task.layer.name] = str(error)

        workers.each(work, tasks, lambda: progress(len(runs) + len(failures), len(tasks)))
        whole = [task for task in tasks if task.layer.name in runs]
        for installing in _by_folder(whole).values():
            # The earlier streams of a failed layer stay where the others install theirs.
            try:
                _check_all_that_is_read(installing, places)
            except ConfigError as error:
                failures |= {task.layer.name: str(error) for task in installing}
        whole = [task for task in whole if task.layer.name not in failures]
        indices = _write_indices(whole, staging)
        staging.swap([*(task.out for task in whole), *(file for task in whole for file in task.stream_files), *indices])
    for name, facts in about.items():
        run = {} if name in failures else runs.get(name, {})
        facts |= {key: run.get(key) for key in ("summary", "evaluation")} | {"failure": failures.get(name)}
    left = {str(index.parent): _left_behind(index.parent, whole) for index in indices}
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": str(path),
        "layers": list(about.values()),
        "left_behind": {folder: names for folder, names in left.items() if names},
    }


def _train(task: Task, workers: WorkerPool, staging: Staging) -> dict:
    """Train a layer and write its artifact and streams under construction; return its run.json."""
    trainer = create_trainer(task.config, task.layer.seed, task.history)
    trainer.compile()
    with workers.training(trainer), explained(task.out):
        folder = staging.reserve(task.out)
        folder.mkdir()
        with temporary_log(folder) as rewards:
            trainer.train(rewards=rewards)
            policy, trace = trainer.rollout()
            seconds = {"training_seconds": trainer.training_seconds}
            run = write_training(folder, trainer, policy, trace, seconds, task.metadata)
    if task.inputs is not None:
        with explained(task.inputs / INDEX):
            streams = {name: trace.streams[name] for name in task.place.streams}
            for name, data in stream_files(streams, newline=task.config.engine.compat is None).items():
                if name != INDEX:  # one for all layers that install into the folder
                    staging.reserve(task.inputs / name).write_bytes(data)
    return run


def _write_indices(tasks: Sequence[Task], staging: Staging) -> list[Path]:
    """Write streams.json of each target folder; return their places."""
    places = []
    for installing in _by_folder(tasks).values():
        inputs = installing[0].inputs
        assert inputs is not None  # they install
        place = inputs / INDEX
        names = [name for task in installing for name in task.place.streams]
        # As in each artifact: the reference does not terminate the last line.
        newline = any(task.config.engine.compat is None for task in installing)
        with explained(place):
            staging.reserve(place).write_bytes(stream_index(names, newline=newline))
        places.append(place)
    return places


def _left_behind(folder: Path, tasks: Sequence[Task]) -> list[str]:
    """Streams of ours in a folder that none of the tasks has installed there."""
    return left_behind(folder, {name for task in _by_folder(tasks)[real_path(folder)] for name in task.place.streams})

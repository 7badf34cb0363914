"""Replay: training and rollout again, from config, seed and data, comparing every byte."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.compare import compare
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.history import History
from idi_fast.data.in_sample import SAMPLES, describe_bars, describe_history, versions
from idi_fast.data.panel import Panel, TrainingBars
from idi_fast.data.timestamps import iso_time
from idi_fast.environments.splits import split_history
from idi_fast.errors import ConfigError, EvidenceError, IdiFastError, InputError
from idi_fast.evidence.folder import safe_files
from idi_fast.evidence.published import FOOTER, POLICY, RUN, Published, table_limits
from idi_fast.evidence.statement import TRAIN
from idi_fast.storage.files import MANIFEST, TIMINGS, digest
from idi_fast.storage.reader.client import ANY, Limits
from idi_fast.storage.tables import Table
from idi_fast.training.artifact import write_training
from idi_fast.training.trainer import create_trainer

OF_TRAINING = ("policy.parquet", "episodes.parquet", "trace.parquet", "run.json")


class Replayed(NamedTuple):
    """The result of training again.

    found: in a sentence; made: names of the files that it makes; by_value: of those whose values are equal though their
    bytes are not, which other versions may write.
    """

    found: str
    made: tuple[str, ...]
    by_value: tuple[str, ...]


def missing_inputs(published: Published) -> str | None:
    """What a reader has to give before training can be run again, None if the folder holds all of it."""
    run, config = published.run, published.config
    if run is None or config is None:
        return None
    missing = []
    if config.environment.kind == "history":
        missing.append("your copy of the price history, since no path out of the folder is followed: `data=PATH`")
    if run.get("initial_policy") is not None:
        missing.append("the policy whose values training began with: `initial=ARTIFACT`")
    return "; ".join(missing) or None


def replay(published: Published, data: str | None = None, initial: Path | None = None) -> Replayed:
    """Train again, in memory and a temporary folder, and compare each resulting file with the published one.

    data: the reader's own copy of the price history, without which none is read: a path that the folder names is not
    followed; initial: the policy that training started from, if there is one. Files that training does not make are not
    considered. Raises EvidenceError, naming what differs: versions, data, a bar, a file and the value in it; InputError
    for data that cannot be read.
    """
    run, config = published.run, published.config
    if run is None or run["kind"] != TRAIN or config is None:
        kind = "no run" if run is None else f"a {run['kind']}"
        raise EvidenceError(f"replay trains again; the folder is of {kind}")
    if POLICY not in published.files or published.policy is None:
        raise EvidenceError(f"the folder has no {POLICY}, which training leaves")
    seed = run.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise EvidenceError(f"{RUN}: seed must be a whole number")
    policy = _initial(run, initial)
    bars = None
    if config.environment.kind == "history":
        bars = _bars(published, config, run, data)
    elif data is not None:
        raise InputError(f"the run is of the {config.environment.kind} environment, which has no use for `data`")
    with _made_by(run):
        trainer = create_trainer(config, seed, bars, initial=policy)
        with tempfile.TemporaryDirectory(prefix="idi-fast-replay-") as scratch:
            folder = Path(scratch)
            try:
                trained, trace = trainer.run()
            except IdiFastError as error:
                raise EvidenceError(f"trained again, it fails: {error}") from error
            write_training(folder, trainer, _as_published(trained, published.policy), trace, {})
            how, made, by_value = _compare(published, folder, run)
    return Replayed(f"{trainer.steps:,} steps trained again with seed {seed}; {how}", made, by_value)


def _other_versions(run: Mapping[str, Any]) -> dict[str, str]:
    """The versions that a run.json says it was made by, of those that are other ones here; "unknown" where it does not
    say."""
    recorded = run.get("versions")
    recorded = recorded if isinstance(recorded, dict) else {}
    others = [name for name, own in versions().items() if recorded.get(name) != own]
    return {name: str(recorded.get(name, "unknown"))[:40] for name in others}


@contextmanager
def _made_by(run: Mapping[str, Any]) -> Iterator[None]:
    """Name the versions that made a folder in the EvidenceError that training again ends with under other ones."""
    try:
        yield
    except (EvidenceError, ConfigError) as error:
        others = _other_versions(run)
        if not others:
            raise
        own, needed = versions(), ", ".join(f"{name} {version}" for name, version in others.items())
        here = ", ".join(f"{name} {own[name]}" for name in others)
        raise EvidenceError(
            f"replay needs the versions that made the folder, {needed}; with {here}: {error}"
        ) from error


def _as_published(trained: Policy, policy: Policy) -> Policy:
    """The policy with what the published one says beside its values: an earlier version did not write all of it."""
    counts = None if policy.counts is None else trained.counts
    if trained.encoder is None or policy.encoder is None or policy.encoder.sketches:
        return replace(trained, counts=counts)
    return replace(trained, counts=counts, encoder=replace(trained.encoder, sketches={}))


def _initial(run: dict[str, Any], initial: Path | None) -> Policy | None:
    recorded = run.get("initial_policy")
    if recorded is None:
        if initial is not None:
            raise InputError("`initial` is given, but training began with no other policy")
        return None
    if initial is None:
        raise EvidenceError("training began with the values of another policy; give it: `initial=ARTIFACT`")
    policy = Policy.load(initial)
    if policy.identity() != recorded:
        raise EvidenceError(f"training did not begin with the policy {initial}: its identity differs")
    return policy


def _bars(published: Published, config: TrainingConfig, run: dict[str, Any], data: str | None) -> TrainingBars:
    """The reader's bars, under the names that their files had; EvidenceError unless those to train on are the recorded
    ones."""
    if data is None:
        reason = "the price history is not in the folder, and no path out of it is followed"
        raise EvidenceError(f"{reason}; say where yours is: `data=PATH`")
    bars = load_config_bars(config, replace(config.environment.data, path=data))
    if isinstance(bars, Panel):
        bars = _named_panel(bars, run)
        described = describe_bars(split_history(config, bars).training)
        if run["trained_on"][: len(described)] != described:
            raise EvidenceError(f"data: {data} has other bars of its symbols than {RUN} says")
        return bars
    recorded = _recorded(run)
    names, sample = list(recorded["files"]), recorded["sample"]
    bars = _named(bars, names)
    training = split_history(config, bars).training
    assert isinstance(training, History)  # a part of one
    described = describe_history(training)
    if described == recorded:
        return bars
    for name, expected in recorded["files"].items():
        if described["files"].get(name) != expected:
            bar = _first_other_bar(published, training, sample, recorded["bars"])
            raise EvidenceError(f"data: {data} is not what was trained on, {name}: its SHA-256 differs{bar}")
    raise EvidenceError(
        f"data: {data} has other bars than {RUN} says{_first_other_bar(published, training, sample, 0)}"
    )


def _named(history: History, names: Sequence[str]) -> History:
    """A history under the recorded names of its files."""
    found = list(history.digests.values())
    return replace(history, digests=dict(zip(names, found, strict=True))) if len(found) == len(names) else history


def _named_panel(panel: Panel, run: dict[str, Any]) -> Panel:
    recorded = run.get("trained_on")
    if not isinstance(recorded, list) or not all(isinstance(about, dict) for about in recorded):
        raise EvidenceError(f"{RUN} does not say which bars were trained on")
    names = {about.get("symbol"): list(about.get("files") or ()) for about in recorded}
    return Panel({symbol: _named(history, names.get(symbol, [])) for symbol, history in panel.histories.items()})


def _recorded(run: dict[str, Any]) -> dict[str, Any]:
    """The description of its training bars in a run; EvidenceError unless it has the form of `describe_history`."""
    recorded: dict[str, Any] = {}
    try:
        recorded = run["trained_on"][0]
        is_sound = isinstance(recorded["bars"], int) and isinstance(recorded["files"], dict)
        is_sound &= all(isinstance(time, int | None) and isinstance(close, float) for time, close in recorded["sample"])
    except (KeyError, TypeError, IndexError, ValueError):
        is_sound = False
    if not is_sound:
        raise EvidenceError(f"{RUN} does not say which bars were trained on")
    return recorded


def _first_other_bar(published: Published, history: History, sample: list, bars: int) -> str:
    """The first bar that is evidently another one: among those in the run's record and its trace."""
    if bars and bars != len(history):
        return f"; it has {len(history):,} bars, where {bars:,} were trained on"
    known = _sampled(sample, len(history)) + _traced(published, history)
    for bar, time, close in sorted(known, key=lambda row: row[0]):
        own_time = None if history.time is None else int(history.time[bar])
        if own_time != time:
            return f"; bar {bar} is of another time"
        if history.close[bar] != close:
            when = "" if time is None else f" ({iso_time(time)})"
            return f"; bar {bar}{when} closes at {history.close[bar]:g}, where {close:g} was trained on"
    return "; the bars that the record keeps are the same, so another one differs, or another column"


def _sampled(sample: list, bars: int) -> list[tuple[int, int | None, float]]:
    stride = 1
    while -(-bars // stride) > SAMPLES:
        stride *= 2
    places = range(0, bars, stride)
    return [(bar, time, close) for bar, (time, close) in zip(places, sample, strict=False)]


def _traced(published: Published, history: History) -> list[tuple[int, int | None, float]]:
    """The bars of the trace, which covers the last ones of the history except its very last."""
    if published.trace is None or "close" not in published.trace[0].columns:
        return []
    frame = published.trace[0]
    first = len(history) - frame.height - 1
    if first < 0:
        return []
    times = [None] * frame.height if history.time is None else history.time[first:-1].tolist()
    return list(zip(range(first, first + frame.height), times, frame["close"].to_list(), strict=True))


def _compare(published: Published, folder: Path, run: dict[str, Any]) -> Replayed:
    """Compare the files of a new training with the published ones. Raises EvidenceError."""
    made = tuple(name for name in safe_files(folder) if name not in (MANIFEST, TIMINGS))
    lacking = [name for name in made if name not in published.files]
    if lacking:
        raise EvidenceError(f"{lacking[0]} is missing; training leaves it")
    other = [name for name in made if digest(folder / name) != digest(published.folder / name)]
    if not other:
        return Replayed(f"{len(made)} files equal byte for byte", made, ())
    others = _other_versions(run)
    if not others:
        raise EvidenceError(_difference(published, folder, other))
    # Another version may write other bytes of equal values.
    for name in other:
        limits = _table_limits(published, folder, name)
        if not compare(published.folder / name, folder / name, limits=limits)["equal"]:
            raise EvidenceError(_difference(published, folder, other))
    own = versions()
    which = ", ".join(f"{name} {own[name]} here, {version} there" for name, version in others.items())
    how = f"{len(made)} files of equal values; of {len(other)} the bytes differ, as do versions: {which}"
    return Replayed(how, made, tuple(other))


def _table_limits(published: Published, folder: Path, name: str) -> Limits:
    """Limits of reading a file: a table must have the columns and rows of the one from the new training."""
    if not name.endswith(".parquet"):
        return ANY
    mine, theirs = (Table.open(place / name, name, FOOTER) for place in (folder, published.folder))
    if (mine.columns, mine.rows) != (theirs.columns, theirs.rows):
        raise EvidenceError(
            f"{name} has {theirs.rows:,} rows of {len(theirs.columns)} columns; training leaves {mine.rows:,} of "
            f"{len(mine.columns)}, and the names and types of these"
        )
    return table_limits(mine, published.files[name])


def _difference(published: Published, folder: Path, names: list[str]) -> str:
    """What differs first, in a sentence."""
    # The trace last: it follows from the policy, which is more telling.
    order = [name for name in OF_TRAINING if name in names] + [name for name in names if name not in OF_TRAINING]
    name = order[0]
    limits = _table_limits(published, folder, name)
    found = compare(published.folder / name, folder / name, context=0, limits=limits)["files"][0]
    if found["equal"]:
        return f"{name}: equal values, but not written as this version writes them"
    for column in found.get("columns", ()):
        first = column["first"]
        if "state" in first:
            return (
                f"{name}: {column['name']} is {_figure(first['a'])} in the state {tuple(first['state'].values())}, "
                f"and {_figure(first['b'])} trained again"
            )
        row = "episode" if name.startswith("episodes") else "tick"
        return (
            f"{name}: {column['name']} of {row} {first['at']} is {_figure(first['a'][0])}, "
            f"and {_figure(first['b'][0])} trained again"
        )
    for key in found.get("keys", ()):
        return f"{name}: {key['key']} is {_figure(key.get('a'))}, and {_figure(key.get('b'))} trained again"
    if found.get("first"):
        first = found["first"]
        return f"{name}: tick {first['at']} is {first['a'][0]}, and {first['b'][0]} trained again"
    return f"{name} differs from what training leaves"


def _figure(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float | np.floating) else str(value)[:120]

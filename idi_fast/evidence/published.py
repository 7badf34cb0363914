"""A published folder as its reader sees it: its claims, loaded only as far as that is safe."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast.agents.policy import COUNTS, Policy, table_columns
from idi_fast.agents.streams import MARKET_STREAMS, TRACE_STREAMS
from idi_fast.agents.trace_files import TRACE_FORMAT
from idi_fast.config.plugin_hashes import PluginError, read_hashes, require_plugins
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import ArtifactError, ConfigError, EvidenceError
from idi_fast.evidence.claims import CannotCheck
from idi_fast.evidence.fixed_point import to_fixed_point
from idi_fast.evidence.folder import read_file, safe_files
from idi_fast.evidence.manifest import Manifest
from idi_fast.evidence.reference import MAX_ENTRIES, STREAMS_FOLDER, PolicyTree, state_key
from idi_fast.evidence.statement import BACKTEST, STATEMENT, TRAIN, Statement
from idi_fast.evidence.strict_json import parse_object, take
from idi_fast.storage.reader.client import Limits
from idi_fast.storage.tables import Table, read_table

POLICY, TRACE, RUN = "policy.parquet", "trace.parquet", "run.json"
MAX_TABLE = 2**24
"""Most rows of a table of values that a reader accepts: some 800 MB with four communications."""
WHOLE, NUMBERS, TEXT, TIMES, FLAGS = "whole numbers", "numbers", "texts", "times", "true and false"
_INTEGERS = frozenset({"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32"})
TYPES = {WHOLE: _INTEGERS, NUMBERS: _INTEGERS | {"Float64"}, TEXT: {"String"}, TIMES: {"Datetime"}, FLAGS: {"Boolean"}}
"""The polars types of columns with such values."""
TEXTS = ("action", "comm_action")
MAX_TEXT = 1000
"""Most bytes of the name of a communication."""
TRACE_COLUMNS = {
    **dict.fromkeys(("tick", "state", "target", *TRACE_STREAMS, *MARKET_STREAMS), WHOLE),
    **dict.fromkeys(TEXTS, TEXT),
    "close": NUMBERS,
    "reward": NUMBERS,
    "time": TIMES,
}
"""The columns that a trace may have, by their values, besides those of `BUCKET`."""
BUCKET = re.compile("[a-z][a-z0-9_]{0,39}_bucket")
"""Columns of whole numbers for the digits of the state, which `content` compares."""
OTHER_TABLES = {
    "episodes.parquet": {"episode": WHOLE, "reward": NUMBERS, "exploration": NUMBERS},
    "equity.parquet": {
        **dict.fromkeys(("tick", "position", "window"), WHOLE),
        "seed": TEXT,
        "time": TIMES,
        **dict.fromkeys(("close", "equity", "drawdown", "buy_and_hold"), NUMBERS),
    },
    "trades.parquet": {
        **dict.fromkeys(("entry_bar", "exit_bar", "direction", "bars"), WHOLE),
        "symbol": TEXT,
        **dict.fromkeys(("entry_time", "exit_time"), TIMES),
        **dict.fromkeys(("entry_price", "exit_price", "profit", "fees", "slippage"), NUMBERS),
    },
    "summary.parquet": {
        "seed": TEXT,
        "visited_states": WHOLE,
        **dict.fromkeys(("mean_reward", "last_tenth_mean_reward", "evaluation", "evaluation_standard_error"), NUMBERS),
    },
}
"""The same for tables that no other check needs."""
FIGURES = ("windows.parquet", "symbols.parquet")
"""Tables with as many figures as the version that wrote them has; each column holds one value per row."""
FIGURE_TYPES = frozenset().union(*TYPES.values(), {"Boolean", "Null"})
FOOTER_MEMORY, FOOTER_SECONDS = 2**30 + (os.cpu_count() or 1) * 2**27, 60.0
FOOTER = Limits(FOOTER_MEMORY, FOOTER_SECONDS)
"""Limits of reading a footer; most of the memory is address space for the threads of polars, never used."""
STREAM = re.compile(rf"{STREAMS_FOLDER}/[^/]+\.in")
MAX_STREAM = 2**31
"""Most bytes of a stream's file."""


class Published:
    """A folder that was checked against its manifest; every property raises EvidenceError if it is not sound.

    policy_from: the policy if the folder itself does not hold it, such as that of a backtest.
    """

    def __init__(self, folder: str | Path, policy_from: Path | None = None):
        self.folder = Path(folder)
        self._policy_from = policy_from

    @cached_property
    def manifest(self) -> Manifest:
        """The content of manifest.json."""
        return Manifest.of(self.folder)

    @cached_property
    def files(self) -> dict[str, int]:
        """The files, and their lengths in bytes."""
        return safe_files(self.folder)

    def data(self, name: str, limit: int | None = None) -> bytes:
        """The bytes of a file."""
        return read_file(self.folder, name) if limit is None else read_file(self.folder, name, limit)

    @cached_property
    def run(self) -> dict[str, Any] | None:
        """run.json, None if there is none."""
        if RUN not in self.files:
            return None
        run = parse_object(self.data(RUN), RUN)
        take(run, "kind", str, RUN)
        return run

    @cached_property
    def config(self) -> TrainingConfig | None:
        """The config in the run.json of a training, None if there is none."""
        if self.run is None or "config" not in self.run:
            return None
        try:
            require_plugins(read_hashes(self.run.get("plugins", {})))
            return TrainingConfig.from_dict(take(self.run, "config", dict, RUN))
        except PluginError as error:
            raise CannotCheck(f"{RUN}: {error}") from None
        except (ConfigError, ValueError) as error:
            raise EvidenceError(f"{RUN}: {'config: ' * isinstance(error, ConfigError)}{error}") from None

    @cached_property
    def policy(self) -> Policy | None:
        """The policy, None if neither the folder nor the reader has one."""
        if POLICY in self.files:
            return self._own_policy()
        if self._policy_from is None:
            return None
        try:
            return Policy.load(self._policy_from)
        except PluginError as error:
            raise CannotCheck(str(error)) from None

    def _own_policy(self) -> Policy:
        path = self.folder / POLICY
        try:
            # Before the tables are allocated: a file of a few bytes can ask for more memory than there is.
            table = Table.open(path, POLICY, FOOTER)
            if table.about is None:
                raise EvidenceError(f"{POLICY} is a Parquet file but not a policy written by idi-fast")
            about = parse_object(table.about.encode(), POLICY)
            require_plugins(read_hashes(about.get("plugins", {})))
            config = TrainingConfig.from_dict(take(about, "config", dict, POLICY))
            states = StateSpace.of(config).n_states
            size = config.tile_coder.table_size if config.tile_coder else states
            if size > MAX_TABLE or table.rows > size:
                raise EvidenceError(f"{POLICY} is of {table.rows:,} rows; tables of up to {MAX_TABLE:,} are verified")
            tilings = config.tile_coder.num_tilings if config.tile_coder else 0
            known = [*table_columns(config), *(f"tile_{k}" for k in range(tilings))]
            _check_columns(table, dict.fromkeys([*known, *COUNTS], NUMBERS))
            return Policy.load(path, table_limits(table, self.files[POLICY]))
        except PluginError as error:
            raise CannotCheck(f"{POLICY}: {error}") from None
        except (ArtifactError, ConfigError, ValueError) as error:
            raise EvidenceError(str(error)) from None

    @cached_property
    def statement(self) -> Statement | None:
        """What the trace was made from, None if the folder does not say it.

        If the table is hidden it comes from the statement, which the proof binds; otherwise from policy and run.json.
        """
        if STATEMENT in self.files and POLICY not in self.files and self.manifest.proof_policy["prover"] == "zk":
            return Statement.read(self.data(STATEMENT))
        if self.trace is None or self.policy is None or self.run is None or self.run["kind"] not in (TRAIN, BACKTEST):
            return None
        return Statement.of(self.run, self.policy)

    @cached_property
    def trace(self) -> tuple[pl.DataFrame, dict] | None:
        """The trace and its metadata, None if there is none of ours."""
        if TRACE not in self.files or f"{STREAMS_FOLDER}/q_buy.in" not in self.files:
            return None
        try:
            table = Table.open(self.folder / TRACE, TRACE, FOOTER)
            # A line of 0 or 1 has two bytes, the last one perhaps no line end: this is the number of rows.
            lines = (self.files[f"{STREAMS_FOLDER}/q_buy.in"] + 1) // 2
            if table.rows != lines:
                raise EvidenceError(f"{TRACE} has {table.rows:,} ticks, but {STREAMS_FOLDER}/q_buy.in {lines:,} lines")
            _check_columns(table, TRACE_COLUMNS | {name: WHOLE for name in table.columns if BUCKET.fullmatch(name)})
            limits = table_limits(table, self.files[TRACE])
            parse_object((table.about or "{}").encode(), TRACE)  # strictly, before anything is taken from it
            frame, about = read_table(self.folder / TRACE, TRACE_FORMAT, "trace", limits)
        except ArtifactError as error:
            raise EvidenceError(str(error)) from None
        _check_trace(frame)
        return frame, about

    @property
    def required_trace(self) -> tuple[pl.DataFrame, dict]:
        """The trace and its metadata; EvidenceError where there is none of ours."""
        if self.trace is None:
            raise EvidenceError(f"the folder has no {TRACE} with the streams of a training or backtest")
        return self.trace

    @cached_property
    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """State and action of each tick of the trace, int64 (n,) and int64 (n,)."""
        frame, _ = self.required_trace
        names = frame["action"].to_numpy()
        actions = np.full(names.size, -1)
        for number, name in enumerate(ACTIONS):
            actions[names == name] = number
        if (actions < 0).any():
            tick = int(np.argmax(actions < 0))
            raise EvidenceError(f"{TRACE}: the action of tick {tick} is {str(names[tick])[:80]!r}; expected {ACTIONS}")
        return frame["state"].cast(pl.Int64).to_numpy(), actions

    def check_tables(self) -> None:
        """Raise EvidenceError for a table of ours with a foreign column."""
        for name in self.files:
            kind = os.path.basename(name)
            if kind not in OTHER_TABLES and kind not in FIGURES:
                continue
            try:
                table = Table.open(self.folder / name, name, FOOTER)
            except ArtifactError as error:
                raise EvidenceError(str(error)) from None
            if kind in OTHER_TABLES:
                _check_columns(table, OTHER_TABLES[kind])
            for column, type_ in table.columns.items():
                if type_.partition("(")[0] not in FIGURE_TYPES:
                    raise EvidenceError(f"{name}: {column[:80]} must hold one figure per row; its type is {type_[:80]}")

    def streams(self) -> dict[str, bytes]:
        """The `.in` files of the streams, by name."""
        names = [name for name in self.files if STREAM.fullmatch(name)]
        return {name.removeprefix(f"{STREAMS_FOLDER}/"): self.data(name, MAX_STREAM) for name in names}


def table_limits(table: Table, size: int) -> Limits:
    """Limits of reading a table of `size` bytes: some bytes per value, beside what every reader needs."""
    values = table.rows * max(1, len(table.columns))
    return Limits(FOOTER_MEMORY + 8 * size + 40 * values, FOOTER_SECONDS + size / 2**20 + values / 2**20)


def _check_columns(table: Table, known: Mapping[str, str]) -> None:
    """Raise EvidenceError for an unknown column, or one of another type; nothing of it was read."""
    for name, kind in table.columns.items():
        if name not in known:
            raise EvidenceError(f"{table.what} has a column {name[:80]!r}, which this version never writes there")
        if kind.partition("(")[0] not in TYPES[known[name]]:
            raise EvidenceError(f"{table.what}: {name} must hold {known[name]}, one per row; its type is {kind[:80]}")


def _check_trace(frame: pl.DataFrame) -> None:
    """Raise EvidenceError unless a trace has the columns of one, without nulls and with short texts."""
    wholes = ["state", "target", *TRACE_STREAMS, *(name for name in MARKET_STREAMS if name in frame.columns)]
    wholes += [name for name in frame.columns if name.endswith("_bucket")]
    for name in (*wholes, *TEXTS):
        if name not in frame.columns:
            raise EvidenceError(f"{TRACE} has no column {name!r}")
        what = "texts" if name in TEXTS else "whole numbers"
        if frame[name].null_count():
            raise EvidenceError(f"{TRACE}: {name} must hold {what}, one per tick")
    for name in TEXTS:
        longest = frame.select(pl.col(name).str.len_bytes().max()).item() or 0
        if longest > MAX_TEXT:
            raise EvidenceError(f"{TRACE}: {name} holds a text of {longest:,} bytes; expected at most {MAX_TEXT}")


def fixed_table(policy: Policy) -> np.ndarray:
    """The values of all states of a policy in Q16.16, int32 (n_states, 3); EvidenceError for too many states."""
    return to_fixed_point(state_values(policy))


def state_values(policy: Policy) -> np.ndarray:
    """Expected discounted reward of each action in all states of a policy, float64 (n_states, 3); EvidenceError for too
    many states."""
    return policy.values(_all_states(policy))


def _all_states(policy: Policy) -> np.ndarray:
    n = policy.space.n_states
    if n > MAX_TABLE:
        raise EvidenceError(f"the policy has {n:,} states; expected at most {MAX_TABLE:,}")
    return np.arange(n)


def visited_values(policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """The states that training visited, int64 (n,), and their values, float64 (n, 3); EvidenceError for too many."""
    states = _all_states(policy)
    states = states[policy.visited(states)]
    return states, policy.values(states)


def reference_tree(policy: Policy) -> PolicyTree:
    """The reference's commitment to the states of a policy that training visited; EvidenceError for too many."""
    states, values = visited_values(policy)
    if states.size > MAX_ENTRIES:
        raise EvidenceError(f"the policy has {states.size:,} visited states; that form takes {MAX_ENTRIES:,}")
    digits = policy.space.digits(states).tolist()
    table = to_fixed_point(values).tolist()
    return PolicyTree({state_key(key): row for key, row in zip(digits, table, strict=True)})

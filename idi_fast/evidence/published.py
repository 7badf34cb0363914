"""A folder of evidence as its reader sees it: what it claims, loaded only as far as it can be done safely."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast.artifact import TRACE_FORMAT
from idi_fast.config import TrainingConfig
from idi_fast.errors import ArtifactError, ConfigError, EvidenceError
from idi_fast.evidence.fixed_point import to_fixed_point
from idi_fast.evidence.folder import read_file, safe_files
from idi_fast.evidence.manifest import Manifest
from idi_fast.evidence.reference import MAX_ENTRIES, STREAMS_FOLDER, PolicyTree, state_key
from idi_fast.evidence.strict_json import parse_object, take
from idi_fast.policy import Policy
from idi_fast.space import ACTIONS, StateSpace
from idi_fast.streams import MARKET_STREAMS, TRACE_STREAMS
from idi_fast.tables import METADATA_KEY, read_table

POLICY, TRACE, RUN = "policy.parquet", "trace.parquet", "run.json"
MAX_TABLE = 2**24
"""Rows of a table of values that a reader makes room for, some 800 MB with four communications."""
WHOLE = {pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32}
MAX_STREAM = 2**31
"""Bytes of a stream's file."""


class Published:
    """A folder that was checked against its manifest; every property raises EvidenceError where it is not sound.

    policy_from: where the policy is that the folder itself does not hold, such as that of a backtest.
    """

    def __init__(self, folder: str | Path, policy_from: Path | None = None):
        self.folder = Path(folder)
        self._policy_from = policy_from

    @cached_property
    def manifest(self) -> Manifest:
        """What manifest.json says."""
        return Manifest.of(self.folder)

    @cached_property
    def files(self) -> dict[str, int]:
        """The files that there are, and their lengths in bytes."""
        return safe_files(self.folder)

    def data(self, name: str, limit: int | None = None) -> bytes:
        """The bytes of a file."""
        return read_file(self.folder, name) if limit is None else read_file(self.folder, name, limit)

    @cached_property
    def run(self) -> dict[str, Any] | None:
        """run.json, None where there is none."""
        if RUN not in self.files:
            return None
        run = parse_object(self.data(RUN), RUN)
        take(run, "kind", str, RUN)
        return run

    @cached_property
    def config(self) -> TrainingConfig | None:
        """The config that run.json of a training holds, None where there is none."""
        if self.run is None or "config" not in self.run:
            return None
        try:
            return TrainingConfig.from_dict(take(self.run, "config", dict, RUN))
        except ConfigError as error:
            raise EvidenceError(f"{RUN}: config: {error}") from None

    @cached_property
    def policy(self) -> Policy | None:
        """The policy, None where neither the folder nor the reader has one."""
        if POLICY in self.files:
            return self._own_policy()
        if self._policy_from is None:
            return None
        return Policy.load(self._policy_from)

    def _own_policy(self) -> Policy:
        path = self.folder / POLICY
        try:
            # Before room is made for the tables: a file of a few bytes can ask for more than there is.
            about = parse_object(pl.read_parquet_metadata(path)[METADATA_KEY].encode(), POLICY)
            config = TrainingConfig.from_dict(take(about, "config", dict, POLICY))
            rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
            states = StateSpace.of(config).n_states
            size = config.tile_coder.table_size if config.tile_coder else states
            if size > MAX_TABLE or rows > size:
                raise EvidenceError(f"{POLICY} is of {size:,} rows; tables of up to {MAX_TABLE:,} are verified")
            return Policy.load(path)
        except KeyError:
            raise EvidenceError(f"{POLICY} is a Parquet file but not a policy written by idi-fast") from None
        except (ArtifactError, ConfigError) as error:
            raise EvidenceError(str(error)) from None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
            raise EvidenceError(f"cannot read {POLICY}: {(str(error).splitlines() or ['?'])[0]}") from error

    @cached_property
    def trace(self) -> tuple[pl.DataFrame, dict] | None:
        """The trace and its metadata, None where there is none of ours."""
        if TRACE not in self.files or f"{STREAMS_FOLDER}/q_buy.in" not in self.files:
            return None
        try:
            rows = pl.scan_parquet(self.folder / TRACE, glob=False).select(pl.len()).collect().item()
            # A line of 0 or 1 has two bytes, the last one perhaps no end; so the rows are as many as can be read.
            lines = (self.files[f"{STREAMS_FOLDER}/q_buy.in"] + 1) // 2
            if rows != lines:
                raise EvidenceError(f"{TRACE} has {rows:,} ticks, but {STREAMS_FOLDER}/q_buy.in {lines:,} lines")
            frame, about = read_table(self.folder / TRACE, TRACE_FORMAT, "trace")
        except ArtifactError as error:
            raise EvidenceError(str(error)) from None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise EvidenceError(f"cannot read {TRACE}: {(str(error).splitlines() or ['?'])[0]}") from error
        _check_columns(frame)
        return frame, about

    @cached_property
    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """State and action of each tick of the trace, int64 (n,) and int64 (n,)."""
        if self.trace is None:
            raise EvidenceError(f"the folder has no {TRACE} with the streams of a training or backtest")
        frame, _ = self.trace
        names = frame["action"].to_numpy()
        actions = np.full(names.size, -1)
        for number, name in enumerate(ACTIONS):
            actions[names == name] = number
        if (actions < 0).any():
            tick = int(np.argmax(actions < 0))
            raise EvidenceError(f"{TRACE}: the action of tick {tick} is {str(names[tick])[:80]!r}; expected {ACTIONS}")
        return frame["state"].cast(pl.Int64).to_numpy(), actions

    def streams(self) -> dict[str, bytes]:
        """The `.in` files of the streams, by name."""
        names = [name for name in self.files if name.startswith(f"{STREAMS_FOLDER}/") and name.endswith(".in")]
        return {name.removeprefix(f"{STREAMS_FOLDER}/"): self.data(name, MAX_STREAM) for name in names}


def _check_columns(frame: pl.DataFrame) -> None:
    """Raise EvidenceError unless a trace has the columns of one, of their types and without nulls."""
    wholes = ["state", "target", *TRACE_STREAMS, *(name for name in MARKET_STREAMS if name in frame.columns)]
    wholes += [name for name in frame.columns if name.endswith("_bucket")]
    for name, kinds, what in (
        *((name, WHOLE, "whole numbers") for name in wholes),
        *((name, {pl.String}, "texts") for name in ("action", "comm_action")),
    ):
        if name not in frame.columns:
            raise EvidenceError(f"{TRACE} has no column {name!r}")
        if frame[name].dtype not in kinds or frame[name].null_count():
            raise EvidenceError(f"{TRACE}: {name} is to hold {what}, one a tick")


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


def reference_tree(policy: Policy) -> PolicyTree:
    """The reference's commitment to the states of a policy that training came to; EvidenceError for too many."""
    states = _all_states(policy)
    states = states[policy.visited(states)]
    if states.size > MAX_ENTRIES:
        raise EvidenceError(f"the policy has {states.size:,} visited states; that form takes {MAX_ENTRIES:,}")
    table = to_fixed_point(policy.values(states)).tolist()
    digits = policy.space.digits(states).tolist()
    return PolicyTree({state_key(key): row for key, row in zip(digits, table, strict=True)})

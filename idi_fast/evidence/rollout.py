"""A trace recomputed from bars: the result of the published decisions, if a reader has a copy of the data."""

from dataclasses import replace

import numpy as np
import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import greedy_trace
from idi_fast.backtesting.account import TradingAssumptions, resolve_fill
from idi_fast.backtesting.engine import Engine
from idi_fast.data.config_history import load_config_history
from idi_fast.data.history import History
from idi_fast.data.panel import TrainingBars
from idi_fast.data.timestamps import parse_time
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.features import Encoder
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.history_environment import HistoryEnvironment
from idi_fast.environments.rng import Generator
from idi_fast.environments.splits import load_training_bars
from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
from idi_fast.errors import EvidenceError
from idi_fast.evidence.claims import CannotCheck, Claim, attempt
from idi_fast.evidence.content import communications
from idi_fast.evidence.published import RUN, TRACE, Published
from idi_fast.evidence.statement import BACKTEST, TRAIN, Statement

REWARD = "reward"
MAX_HIDDEN = 2**16
"""States of a table that a proof can hide: `zk.statement.MAX_STATES`, which needs the curve library."""
TRUSTED = "this idi-fast, the reader's machine and copy of the data"


def check_rollout(published: Published, data: str) -> list[Claim]:
    """The trace against the result of its own decisions over the reader's bars: states, streams, rewards.

    data: the path of these bars. If they cannot be used the claim fails, since the reader asked for the check; without
    a policy for the trace it is not checked.
    """
    made: dict[str, pl.DataFrame] = {}

    def states() -> str:
        made["trace"] = _again(published, data)
        frame, _ = published.required_trace
        if other := set(frame.columns) ^ set(made["trace"].columns):
            raise EvidenceError(
                f"{TRACE}: these bars make no trace with the same columns, such as {sorted(other)[0]!r}"
            )
        if frame.height != made["trace"].height:
            raise EvidenceError(f"{TRACE} has {frame.height:,} ticks; from these bars come {made['trace'].height:,}")
        for name in ("state", *(name for name in made["trace"].columns if name not in ("state", REWARD))):
            _check_column(frame[name], made["trace"][name])
        return f"all {frame.height:,} ticks recomputed from {data}"

    def rewards() -> str:
        frame, _ = published.required_trace
        _check_column(frame[REWARD], made["trace"][REWARD])
        return f"the rewards of all {frame.height:,} ticks"

    claims = [attempt("states", "the reader's bars", states, TRUSTED)]
    if "trace" in made and RUN not in published.files:
        claims.append(attempt("figures", "the reader's bars", rewards, TRUSTED))
    return claims


def _check_column(found: pl.Series, expected: pl.Series) -> None:
    if found.dtype != expected.dtype:
        found = found.cast(expected.dtype, strict=False)
    other = found.ne_missing(expected)
    if other.any():
        tick = int(other.arg_true()[0])
        raise EvidenceError(
            f"{TRACE}: {found.name} of tick {tick} is {found[tick]}; from these bars comes {expected[tick]}"
        )


def _again(published: Published, data: str) -> pl.DataFrame:
    said = published.statement
    if said is None:
        raise _unsaid(published)
    if said.config.engine.compat or (said.kind == TRAIN and said.config.environment.kind != "history"):
        kind = "compat" if said.config.engine.compat else said.config.environment.kind
        raise EvidenceError(f"the run is of the {kind} environment, which has no use for `data`")
    source = replace(said.config.environment.data, path=data)
    if said.kind == TRAIN:
        bars = load_training_bars(said.config, data)
    else:
        bars = load_config_history(said.config, replace(source, start=None, end=None))
    found = list(bars.digests.values())
    if said.data is None or found != said.data["files"]:
        raise EvidenceError(f"data: {data} is not the data that the trace was made of: its SHA-256 differs")
    policy = published.policy or _of_decisions(published, said)
    if said.kind == TRAIN:
        return _training(said, policy, bars)
    assert isinstance(bars, History)  # as it was read
    # Bars before the first only fill the features' windows; if there are more bars, the run had an end.
    times = [said.data[key] for key in ("first_time", "last_time")]
    start, last = (None if time is None else parse_time(time, "the time of a bar") for time in times)
    terms = TradingAssumptions(resolve_fill(None, "open" in bars.columns), 0.0, initial_position=said.initial_position)
    engine = Engine(policy, bars, terms, start=start, end=None if last is None else last + 1)
    return pl.concat([engine.trace(segment).frame(segment.first) for segment in engine.segments(ahead=False)])


def _unsaid(published: Published) -> EvidenceError:
    """Why `data` cannot be compared with a trace of which the folder does not say by which config and edges it was
    made."""
    kind = None if published.run is None else published.run["kind"]
    if kind is None:
        return EvidenceError("`data` cannot be used: the folder does not say by which config and edges it was made")
    if kind in (TRAIN, BACKTEST) and published.policy is None:
        return CannotCheck("`data` is of use with the policy, which the folder does not hold: `policy=ARTIFACT`")
    return CannotCheck(
        f"a {str(kind)[:40]} has no trace of one policy that `data` could be compared with; give the folder of one run "
        "of it"
    )


def _training(said: Statement, policy: Policy, training: TrainingBars) -> pl.DataFrame:
    """The greedy rollout after training, over the last bars; the edges are those that training fits on all bars."""
    config = said.config
    bars = HistoryBars(config, training)
    if _values(bars.encoder) != _values(said.encoder):
        raise EvidenceError("the bucket edges are not those that training fits on these bars")
    environment = HistoryEnvironment(config, Generator(), bars)  # a rollout draws no random numbers
    tape, facts = environment.facts(config.episode_length + 1)
    rules = make_rules(config, policy.space)
    return greedy_trace(policy.config, policy.space, rules, policy.q, policy.comm_q, tape, facts).frame()


def _values(encoder: Encoder | None) -> dict | None:
    return None if encoder is None else encoder.to_dict()


def _of_decisions(published: Published, said: Statement) -> Policy:
    """A policy that decides as the trace does in its states, for a hidden table; if it reaches another state, that
    state differs from the trace's."""
    config = replace(said.config, tile_coder=None)
    space, names = StateSpace.of(config), comm_columns(config)[0]
    if space.n_states > MAX_HIDDEN:
        raise EvidenceError(f"the config has {space.n_states:,} states; a hidden table has at most {MAX_HIDDEN:,}")
    states, actions = published.decisions
    q, comm_q = np.zeros((space.n_states, len(ACTIONS))), np.zeros((space.n_states, len(names)))
    q[states, actions] = 1.0
    comm_q[states, communications(published)] = 1.0
    return Policy(config, 0, space, said.encoder, q, comm_q, np.ones(space.n_states, np.int64))

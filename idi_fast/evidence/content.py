"""The consistency of a folder's files: the run, its streams against their types and trace, the trace against the policy
and against itself."""

from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.streams import MARKET_STREAMS, TRACE_STREAMS, check_stream, stream_index, stream_text, stream_type
from idi_fast.agents.trace import decided_streams
from idi_fast.agents.trace_files import TRACE_FORMAT
from idi_fast.environments.actions import ACTIONS, BUY, SELL
from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
from idi_fast.errors import EvidenceError
from idi_fast.evidence.claims import Claim, Unchecked, attempt
from idi_fast.evidence.manifest import of_run
from idi_fast.evidence.published import POLICY, RUN, TRACE, Published
from idi_fast.evidence.reference import STREAMS_FOLDER
from idi_fast.evidence.statement import STATEMENT, TRAIN, public

INDEX = f"{STREAMS_FOLDER}/streams.json"
WORD = "the publisher's word"


def check_content(published: Published, sample: int | None = None) -> list[Claim]:
    """All claims that need only the folder; sample: how many random ticks of the trace are compared with the policy
    (None: all)."""
    claims = [attempt("config", "manifest, policy and trace", lambda: _check_config(published))]
    if published.run is not None:
        claims.append(attempt("figures", "nothing", lambda: Unchecked(f"what {RUN} says came of it is {WORD}")))
    elif published.trace is not None and "reward" in published.trace[0].columns:
        claims.append(attempt("figures", "nothing", lambda: Unchecked(f"the rewards of the trace are {WORD}")))
    if published.trace is None:
        nothing = Unchecked("the folder has no trace with streams")
        return [*claims, attempt("streams", "types and trace", lambda: nothing)]
    claims.append(attempt("streams", "types and trace", lambda: _check_streams(published)))
    policy = published.policy
    if policy is not None:
        trusted = "that the policy is the one meant, and trained as it says (replay shows it)"
        against = "the policy in the folder" if POLICY in published.files else "the policy given"
        claims.append(attempt("actions", against, lambda: check_trace(published, policy, sample), trusted))
    elif published.statement is None:
        nothing = Unchecked("the policy is not in the folder")
        claims.append(attempt("actions", "a policy", lambda: nothing))
    claims.append(attempt("signals", "states and decisions of the trace", lambda: _check_signals(published)))
    claims.append(attempt("states", "buckets, targets and each other", lambda: _check_states(published)))
    if published.policy is None and published.statement is not None:
        claims.append(attempt("communications", "each other", lambda: _check_communications(published)))
    return claims


def _check_config(published: Published) -> str:
    """run.json, manifest.json, the policy's and the trace's metadata describe one run."""
    published.check_tables()
    run, manifest = published.run, published.manifest
    claims: list[tuple[str, str, Any, str, Any]] = []

    def same(key: str, one: str, value: Any, other: str, expected: Any) -> None:
        claims.append((key, one, value, other, expected))

    policy, config = published.policy, published.config
    if run is not None and config is not None:
        same("the config's fingerprint", RUN, run.get("fingerprint"), "its own config", config.fingerprint())
        same("the config's fingerprint", "manifest.json", manifest.config_sha256, RUN, config.fingerprint())
    if policy is not None and config is not None:
        _check_same_config(config.to_dict(), policy.config.to_dict())
    if run is not None and run["kind"] == TRAIN:
        training = {"seed": run.get("seed"), "episodes": None if config is None else config.drawn_episodes}
        same("training", "manifest.json", manifest.training, RUN, training)
        if policy is not None:
            same("the seed", RUN, run.get("seed"), POLICY, policy.seed)
            same("trained_on", RUN, run.get("trained_on"), POLICY, policy.trained_on)
    elif policy is not None and run is not None and "policy" in run:
        same("the policy", RUN, run["policy"], "the policy given", policy.identity())
        same("the config's fingerprint", "manifest.json", manifest.config_sha256, RUN, policy.config.fingerprint())
    if published.trace is not None:
        about = published.trace[1]
        same("the config's fingerprint", TRACE, about.get("fingerprint"), "manifest.json", manifest.config_sha256)
        same("the format", TRACE, about.get("format"), "the format of traces", TRACE_FORMAT)
    if published.statement is not None:
        said, name = published.statement, "what the trace was made by"
        same("the config's fingerprint", "manifest.json", manifest.config_sha256, name, said.fingerprint)
        if published.trace is None:
            raise EvidenceError(f"there is no {TRACE} with streams, of which {STATEMENT} could speak")
        same("compat", TRACE, published.trace[1].get("compat"), name, said.config.engine.compat)
        if policy is not None and published.run is None:
            given = replace(said, config=public(policy.config), encoder=policy.encoder)
            same("the policy given", "the reader's file", given.text(), name, said.text())
    for key, value in _of_manifest(published).items():
        if manifest.version > 1 or key != "inputs":
            same(key, "manifest.json", getattr(manifest, key), RUN, value)
    for key, one, value, other, expected in claims:
        if value != expected:
            raise EvidenceError(f"{key} is {_shown(value)} in {one}, but {_shown(expected)} in {other}")
    kind = published.statement.kind if run is None and published.statement else "run" if run is None else run["kind"]
    return Unchecked(f"{_shown(kind)}, {manifest.config_sha256[:16]}… everywhere; that it was so is {WORD}")


def _of_manifest(published: Published) -> dict[str, Any]:
    """What the manifest must contain besides its files, according to run.json, if there is one."""
    if published.run is None:
        return {}
    try:
        return of_run(published.run)
    except (KeyError, TypeError, AttributeError):
        raise EvidenceError(f"{RUN} does not say what a run of ours says") from None


def _check_same_config(one: dict, other: dict, key: str = "config") -> None:
    for name in one:
        if isinstance(one[name], dict) and isinstance(other.get(name), dict):
            _check_same_config(one[name], other[name], f"{key}.{name}")
        elif one[name] != other.get(name):
            raise EvidenceError(
                f"{key}.{name} is {_shown(one[name])} in {RUN}, but {_shown(other.get(name))} in {POLICY}"
            )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _check_streams(published: Published) -> str:
    """Every stream has values of its type, one per tick, and is the trace's column of its name."""
    frame, about = published.required_trace
    files = published.streams()
    lacking = [name for name in TRACE_STREAMS if f"{name}.in" not in files]
    if lacking:
        raise EvidenceError(f"{STREAMS_FOLDER}/{lacking[0]}.in is missing")
    for name in published.files:
        own = name.removeprefix(f"{STREAMS_FOLDER}/")
        if own != name and name != INDEX and own not in files:
            raise EvidenceError(f"{name} is no stream of the trace")
    terminated = about.get("compat") is None
    for file, data in files.items():
        name = file.removesuffix(".in")
        if name not in frame.columns or name not in (*TRACE_STREAMS, *MARKET_STREAMS):
            raise EvidenceError(f"{STREAMS_FOLDER}/{file} is no stream of the trace")
        values = frame[name].to_numpy()
        check_stream(name, values)
        _check_text(f"{STREAMS_FOLDER}/{file}", data, stream_text(values, newline=terminated), name)
    _check_actions(published)
    names = [name for name in frame.columns if f"{name}.in" in files]
    if INDEX not in published.files:
        raise EvidenceError(f"{INDEX} is missing")
    if published.data(INDEX) != stream_index(names, newline=terminated):
        raise EvidenceError(f"{INDEX} does not list the streams that there are")
    return f"{len(files)} streams of {frame.height:,} ticks"


def _check_actions(published: Published) -> None:
    """The two streams of the action agree with it; without the policy too, since a proof may cover actions only."""
    frame, (_, actions) = published.required_trace[0], published.decisions
    ticks = np.arange(frame.height)
    for name, action in (("q_buy", BUY), ("q_sell", SELL)):
        _same(name, frame[name].to_numpy(), actions == action, ticks, "the action's")


def _check_text(file: str, found: bytes, expected: bytes, name: str) -> None:
    """Raise EvidenceError, naming the first different line, unless a stream's file is the text of its column."""
    if found == expected:
        return
    pairs = zip_longest(found.splitlines(), expected.splitlines())
    differing = ((tick, *pair) for tick, pair in enumerate(pairs) if pair[0] != pair[1])
    tick, line, value = next(differing, (None, None, None))
    if tick is None:
        raise EvidenceError(f"{file}: its lines do not end as those of a stream")
    line, value = ("nothing" if each is None else repr(each.decode("utf-8", "replace")[:80]) for each in (line, value))
    raise EvidenceError(f"{file}: tick {tick} is {line}, but {value} in {TRACE}; its type is {stream_type(name)}")


def check_trace(published: Published, policy: Policy, sample: int | None = None) -> str:
    """Each tick's action and communication are the greedy ones of its state.

    Raises EvidenceError, naming the first tick that differs.
    """
    frame, _ = published.required_trace
    states, _ = published.decisions
    n = frame.height
    _check_range(states, policy.space)
    ticks = np.arange(n)
    if sample is not None and sample < n:
        # From the system's generator: whoever wrote the trace must not know which ticks are checked.
        ticks = np.sort(np.random.default_rng().choice(n, sample, replace=False))
    states = states[ticks]
    expected = {
        "action": np.array(ACTIONS)[_greedy(policy, policy.q, states)],
        "comm_action": np.array(policy.comm_actions)[_greedy(policy, policy.comm_q, states)],
    }
    for name, values in expected.items():
        _same(name, frame[name].to_numpy()[ticks], values, ticks, "the policy's greedy one")
    if ticks.size < n:
        return Unchecked(f"{ticks.size:,} of {n:,} ticks, drawn at random, are so; the others are {WORD}")
    return f"all {n:,} ticks"


def _check_range(states: np.ndarray, space: StateSpace) -> None:
    if not states.size:
        raise EvidenceError(f"{TRACE} has no ticks")
    outside = (states < 0) | (states >= space.n_states)
    if outside.any():
        tick = int(np.argmax(outside))
        raise EvidenceError(f"{TRACE}: the state of tick {tick} is {states[tick]}; expected 0 to {space.n_states - 1}")


def _greedy(policy: Policy, table: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The first best column of each state; each distinct state is looked up once."""
    distinct, place = np.unique(states, return_inverse=True)
    return np.argmax(policy.layout.values(table, distinct), axis=1)[place]


def communications(published: Published) -> np.ndarray:
    """The communication of each tick by its number, int64 (n,). Raises EvidenceError."""
    statement = published.statement
    assert statement is not None  # which says what there is to communicate
    names = comm_columns(statement.config)[0]
    said = published.required_trace[0]["comm_action"].to_numpy()
    found = np.full(said.size, -1)
    for number, name in enumerate(names):
        found[said == name] = number
    if (found < 0).any():
        tick = int(np.argmax(found < 0))
        raise EvidenceError(
            f"{TRACE}: comm_action of tick {tick} is {str(said[tick])[:80]!r}, which the config has not"
        )
    return found


def _check_communications(published: Published) -> str:
    """For a hidden table: only that each state has one communication."""
    states, said = published.decisions[0], communications(published)
    _, first, place = np.unique(states, return_index=True, return_inverse=True)
    _same("comm_action", said, said[first][place], np.arange(said.size), "that of its state before")
    return Unchecked(f"nothing is proven of the communications: they are {WORD}")


def _check_states(published: Published) -> str:
    """Buckets are the digits of their states, and targets and positions follow from the actions."""
    if published.statement is None:
        return Unchecked(f"NOT CHECKED, they are {WORD}: the folder does not say of which config they are")
    frame, (states, actions) = published.required_trace[0], published.decisions
    config = published.statement.config
    space = StateSpace.of(config)
    _check_range(states, space)
    said = published.statement
    ticks = said.data["bars"] if said.kind != TRAIN and said.data is not None else config.episode_length
    if states.size != ticks:
        raise EvidenceError(f"{TRACE} has {states.size:,} ticks; the {said.kind} is of {ticks:,}")
    ticks = np.arange(states.size)
    digits = dict(zip(space.names, space.digits(states).T, strict=True))
    buckets = {f"{name}_bucket": digit for name, digit in digits.items() if name != "position"}
    for name in (name for name in frame.columns if name.endswith("_bucket")):
        if name not in buckets:
            raise EvidenceError(f"{TRACE} has a column {name!r}, which its states do not")
    for name, digit in buckets.items():
        if name not in frame.columns:
            raise EvidenceError(f"{TRACE} has no column {name!r}")
        _same(name, frame[name].to_numpy(), digit, ticks, "the state's")
    if "tick" not in frame.columns:
        raise EvidenceError(f"{TRACE} has no column 'tick'")
    _same("tick", frame["tick"].to_numpy(), ticks, ticks, "its place")
    target = frame["target"].to_numpy()
    if ((target < -1) | (target > 1)).any():
        raise EvidenceError(f"{TRACE}: a target is not -1, 0 or 1")
    held = np.concatenate([[published.statement.initial_position], target[:-1].astype(np.int64)]) + 1
    after = make_rules(config, space).next_position[held * 3 + actions] - 1
    _same("target", target, after, ticks, "what its action comes to")
    if space.is_market:
        _same("state", space.digit(states, "position"), held, ticks, "one with the position that was decided on")
    simulated = published.statement.data is None
    how = "their bars are simulated" if simulated else "`data` recomputes them from your bars where nothing else fails"
    return Unchecked(f"NOT CHECKED, they are {WORD}: {how}")


def _check_signals(published: Published) -> str:
    """The streams that follow from states and decisions follow from those of the trace."""
    if published.statement is None:
        return Unchecked("the folder does not say of which config the states are")
    frame, (states, actions) = published.required_trace[0], published.decisions
    config = published.statement.config
    space, said, n = StateSpace.of(config), communications(published), states.size
    _check_range(states, space)
    # Under compat a tick's streams say what was seen after it, which no column has for the last tick.
    seen = slice(1, n) if config.engine.compat else slice(0, n)
    streams = decided_streams(
        config, space, states[seen], actions[: n - seen.start], said[: n - seen.start], np.zeros(1, np.int64)
    )
    ticks = np.arange(n - seen.start)
    for name in (name for name in (*TRACE_STREAMS, *MARKET_STREAMS) if name in streams):
        if name not in frame.columns:
            raise EvidenceError(f"{TRACE} has no column {name!r}")
        _same(name, frame[name].to_numpy()[: ticks.size], np.asarray(streams[name]).astype(np.uint8), ticks, "so")
    if config.engine.compat:
        return Unchecked("all but the last tick, whose streams tell of a state that is not in the trace")
    return f"{len(streams)} streams of all {n:,} ticks"


def _same(name: str, found: np.ndarray, expected: np.ndarray, ticks: np.ndarray, what: str) -> None:
    other = np.flatnonzero(found != expected)
    if other.size:
        at = other[0]
        raise EvidenceError(f"{TRACE}: {name} of tick {ticks[at]} is {found[at]}, which is not {what}: {expected[at]}")

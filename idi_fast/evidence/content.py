"""What a folder's files say of one another: the run, its streams against their types and trace, the trace against the
policy."""

from itertools import zip_longest
from typing import Any

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.streams import MARKET_STREAMS, TRACE_STREAMS, check_stream, stream_index, stream_text, stream_type
from idi_fast.environments.state_space import ACTIONS, BUY, SELL, make_rules
from idi_fast.errors import EvidenceError
from idi_fast.evidence.checks import NOT_CHECKED, Check, attempt
from idi_fast.evidence.published import POLICY, RUN, TRACE, Published
from idi_fast.evidence.reference import STREAMS_FOLDER
from idi_fast.training.artifact import TRACE_FORMAT

TRAIN, BACKTEST = "train", "backtest"
INDEX = f"{STREAMS_FOLDER}/streams.json"


def check_content(published: Published, sample: int | None = None) -> list[Check]:
    """All checks that need nothing but the folder; sample: how many ticks of the trace, drawn at random, are compared
    with the policy (None: all)."""
    checks = []
    if published.run is not None:
        checks.append(attempt(RUN, "manifest, policy and trace", lambda: _check_run(published)))
    if published.trace is None:
        return [*checks, Check("streams", "types and trace", NOT_CHECKED, "the folder has no trace with streams")]
    checks.append(attempt("streams", "types and trace", lambda: _check_streams(published)))
    against = "greedy actions of the policy"
    if published.policy is None:
        checks.append(Check("trace", against, NOT_CHECKED, "the policy is not in the folder"))
    else:
        trusted = "that the states are those of the data (replay shows it)"
        checks.append(attempt("trace", against, lambda: check_trace(published, published.policy, sample), trusted))
    return checks


def _check_run(published: Published) -> str:
    """run.json, manifest.json, the policy's and the trace's metadata tell of one run."""
    published.check_tables()
    run, manifest = published.run, published.manifest
    claims: list[tuple[str, str, Any, str, Any]] = []

    def same(key: str, one: str, value: Any, other: str, expected: Any) -> None:
        claims.append((key, one, value, other, expected))

    policy, config = published.policy, published.config
    if config is not None:
        same("the config's fingerprint", RUN, run.get("fingerprint"), "its own config", config.fingerprint())
        same("the config's fingerprint", "manifest.json", manifest.config_sha256, RUN, config.fingerprint())
    if policy is not None and config is not None:
        _check_same_config(config.to_dict(), policy.config.to_dict())
    if run["kind"] == TRAIN:
        training = {"seed": run.get("seed"), "episodes": None if config is None else config.episodes}
        same("training", "manifest.json", manifest.training, RUN, training)
        if policy is not None:
            same("the seed", RUN, run.get("seed"), POLICY, policy.seed)
            same("trained_on", RUN, run.get("trained_on"), POLICY, policy.trained_on)
    elif policy is not None and "policy" in run:
        same("the policy", RUN, run["policy"], "the policy given", policy.identity())
        same("the config's fingerprint", "manifest.json", manifest.config_sha256, RUN, policy.config.fingerprint())
    if published.trace is not None:
        about = published.trace[1]
        same("the config's fingerprint", TRACE, about.get("fingerprint"), "manifest.json", manifest.config_sha256)
        same("the format", TRACE, about.get("format"), "the format of traces", TRACE_FORMAT)
    for key, one, value, other, expected in claims:
        if value != expected:
            raise EvidenceError(f"{key} is {_shown(value)} in {one}, but {_shown(expected)} in {other}")
    return f"{run['kind']}, {manifest.config_sha256[:16]}…"


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
    """Every stream takes values of its type, as many as there are ticks, and is the trace's column of its name."""
    frame, about = published.trace
    files = published.streams()
    lacking = [name for name in TRACE_STREAMS if f"{name}.in" not in files]
    if lacking:
        raise EvidenceError(f"{STREAMS_FOLDER}/{lacking[0]}.in is missing")
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
    """The two streams that say the action do so; without the policy too, for a proof may speak of actions alone."""
    frame, (_, actions) = published.trace[0], published.decisions
    ticks = np.arange(frame.height)
    for name, action in (("q_buy", BUY), ("q_sell", SELL)):
        _same(name, frame[name].to_numpy(), actions == action, ticks, "the action's")


def _check_text(file: str, found: bytes, expected: bytes, name: str) -> None:
    """Raise EvidenceError, naming the first line that differs, unless a stream's file is the text of its column."""
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
    """Each tick's action and communication are the greedy ones of its state, and the target follows.

    Raises EvidenceError, naming the first tick that differs.
    """
    frame, _ = published.trace
    states, actions = published.decisions
    space, n = policy.space, frame.height
    if not n:
        raise EvidenceError(f"{TRACE} has no ticks")
    outside = (states < 0) | (states >= space.n_states)
    if outside.any():
        tick = int(np.argmax(outside))
        raise EvidenceError(f"{TRACE}: the state of tick {tick} is {states[tick]}; expected 0 to {space.n_states - 1}")
    ticks = np.arange(n)
    if sample is not None and sample < n:
        # From the system's generator: whoever wrote the trace must not know which ticks are looked at.
        ticks = np.sort(np.random.default_rng().choice(n, sample, replace=False))
    states, actions = states[ticks], actions[ticks]
    digits = dict(zip(space.names, space.digits(states).T, strict=True))
    expected: dict[str, np.ndarray] = {
        "action": np.array(ACTIONS)[_greedy(policy, policy.q, states)],
        "comm_action": np.array(policy.comm_actions)[_greedy(policy, policy.comm_q, states)],
        **{f"{name}_bucket": digit for name, digit in digits.items() if name != "position"},
    }
    for name, values in expected.items():
        if name not in frame.columns:
            raise EvidenceError(f"{TRACE} has no column {name!r}")
        found = frame[name].to_numpy()[ticks]
        _same(name, found, values, ticks, "the policy's greedy one" if name.endswith("action") else "the state's")
    _check_targets(frame["target"].to_numpy(), published.decisions, policy)
    return f"{ticks.size:,} of {n:,} ticks, drawn at random" if ticks.size < n else f"all {n:,} ticks"


def _greedy(policy: Policy, table: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The first best column of each state; each distinct state is looked up once."""
    distinct, place = np.unique(states, return_inverse=True)
    return np.argmax(policy.layout.values(table, distinct), axis=1)[place]


def _check_targets(target: np.ndarray, decisions: tuple[np.ndarray, np.ndarray], policy: Policy) -> None:
    """Each target follows from the one before and the action, and the next state shows it where it has a position."""
    states, actions = decisions
    rules = make_rules(policy.config, policy.space)
    if ((target < -1) | (target > 1)).any():
        raise EvidenceError(f"{TRACE}: a target is not -1, 0 or 1")
    before, ticks = target[:-1].astype(np.int64) + 1, np.arange(1, target.size)
    _same("target", target[1:], rules.next_position[before * 3 + actions[1:]] - 1, ticks, "what its action comes to")
    if policy.space.is_market:
        held = policy.space.digit(states, "position")[1:]
        _same("state", held, before, ticks, "one with the position that was decided on")


def _same(name: str, found: np.ndarray, expected: np.ndarray, ticks: np.ndarray, what: str) -> None:
    other = np.flatnonzero(found != expected)
    if other.size:
        at = other[0]
        raise EvidenceError(f"{TRACE}: {name} of tick {ticks[at]} is {found[at]}, which is not {what}: {expected[at]}")

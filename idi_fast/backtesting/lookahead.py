"""Whether a policy's rollout looks ahead: the same bars again, with later ones removed or altered.

What is seen and decided at the close of a bar may depend only on the bars up to it. So the first c rows of a trace
must be the same, bit for bit, if all bars from c on are left out or altered. A difference proves look-ahead; no
difference proves nothing about cuts and futures that were not tried.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import rollout_history
from idi_fast.agents.trace import Trace
from idi_fast.data.history import History
from idi_fast.data.timestamps import iso_time
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.series import REGIME_TREND, SCALE, Series
from idi_fast.errors import InputError

SEGMENT_BARS = 65_536
"""Bars of a history that are rolled out at a time."""

HORIZON = 1024
"""Altered bars after a cut; beyond them there are no bars."""

BETWEEN_ENDS = 2
"""Random segments between the first and the last."""

ALTERED = {
    "at four times the price": (4.0, lambda n, rng: np.arange(n)),
    "at a quarter of the price": (0.25, lambda n, rng: np.arange(n)),
    "in reverse": (1.0, lambda n, rng: np.arange(n)[::-1]),
    "shuffled": (1.0, lambda n, rng: rng.permutation(n)),
}
"""The other futures: the factor of all values, and the order of the n bars."""


Value = int | float | str | None


@dataclass(frozen=True)
class LookaheadViolation:
    """A case of look-ahead.

    bar: row of the trace, from 0; time: its time, ISO 8601, if there are times; column: of the trace; value: with the
    bars of the history, otherwise: with another future; cut: the first bar of that future; future: how it was made;
    start: the bar that both rollouts begin with.
    """

    bar: int
    time: str | None
    column: str
    value: Value
    otherwise: Value
    cut: int
    future: str
    start: int

    def __str__(self) -> str:
        when = f" ({self.time})" if self.time else ""
        begin = f", in a replay from bar {self.start} on" if self.start else ""
        return (
            f"look-ahead at bar {self.bar}{when}: {self.column} is {self.value}, but {self.otherwise} with the bars "
            f"from {self.cut} on {self.future}{begin}"
        )

    def to_dict(self) -> dict:
        """As JSON values."""
        return asdict(self)


def check_lookahead(
    policy: Policy,
    history: History,
    *,
    cuts: int = 16,
    seed: int = 0,
    first: int = 0,
    replay: Callable[[Policy, History], Trace] = rollout_history,
) -> LookaheadViolation | None:
    """Search for a bar at which a rollout sees or does something else once later bars are changed.

    A history of up to SEGMENT_BARS bars is rolled out as a whole, a longer one in segments of that length: the first,
    the last and BETWEEN_ENDS more at random, each from its own first bar. A segment is cut after its first three bars,
    around the bar at which each feature's window is full, before its last three bars, and at `cuts` random places. At
    each cut it is rolled out five times: without the bars from there on, and with up to HORIZON of them (the rest left
    out) at four times and at a quarter of all prices, volumes and further columns, with the marks of missing rows
    inverted; reversed; and shuffled. All columns of the trace are compared up to the cut, the reward up to the bar
    before it, since the reward of a decision comes with the next bar. A feature whose window is longer than
    SEGMENT_BARS is checked only while it fills.

    seed: of random segments, cuts and shuffles, 0 or more; the result depends on nothing else. first: number of the
    history's first bar, if it is part of a longer one. replay: what is checked. Returns the earliest bar of the first
    segment with a difference, and the first column that differs there, causes before effects; None if there is no
    difference. Raises InputError for fewer than 2 bars or a bad option, ArtifactError if policy and history do not fit.
    """
    if len(history) < 2:
        raise InputError(f"the history has {len(history)} bars; expected 2 or more, to leave some out")
    for name, value in {"cuts": cuts, "seed": seed}.items():
        if value < 0:
            raise InputError(f"{name} is {value}; expected 0 or more")
    for start, stop in checked_segments(len(history), seed):
        findings = _findings(policy, history.slice(start, stop), first + start, cuts, seed, replay)
        # A reward is known a bar later, and so comes after the observations of its decision.
        earliest = min(findings, key=lambda finding: finding.bar + (finding.column == "reward"), default=None)
        if earliest is not None:
            return earliest
    return None


def checked_segments(bars: int, seed: int = 0) -> list[tuple[int, int]]:
    """First bar and end of each checked segment of a history, in order; they may overlap."""
    last = bars - SEGMENT_BARS
    if last <= 0:
        return [(0, bars)]
    between = np.random.default_rng(seed).integers(0, last, BETWEEN_ENDS, endpoint=True).tolist()
    return [(start, start + SEGMENT_BARS) for start in sorted({0, last, *between})]


def _findings(
    policy: Policy, bars: History, start: int, cuts: int, seed: int, replay: Callable[[Policy, History], Trace]
) -> Iterator[LookaheadViolation]:
    """The first difference at each cut and future of a segment, whose first bar has the number `start`."""
    rng = np.random.default_rng([seed, start])
    whole = replay(policy, bars)
    for cut in _cut_places(policy, len(bars), cuts, rng):
        for future, other in _futures(bars, cut, rng):
            found = _difference(whole, replay(policy, other), cut)
            if found:
                bar, column, value, otherwise = found
                time = None if bars.time is None else iso_time(bars.time[bar])
                yield LookaheadViolation(start + bar, time, column, value, otherwise, start + cut, future, start)


def _cut_places(policy: Policy, n: int, count: int, rng: np.random.Generator) -> list[int]:
    encoder = policy.encoder
    assert encoder is not None  # or it could not be replayed
    features = [one for name, one in encoder.features.items() if name not in encoder.unused]
    series = [Series.of(feature) for feature in (*features, SCALE, REGIME_TREND)]
    windows = {length for one in series for length in (int(one.parameters[0]), one.lookback)}
    places = {1, 2, 3, n - 3, n - 2, n - 1, *rng.integers(1, n, count).tolist()}
    places |= {window + near for window in windows for near in (-1, 0, 1)}
    return sorted(place for place in places if 0 < place < n)


def _futures(bars: History, cut: int, rng: np.random.Generator) -> Iterator[tuple[str, History]]:
    yield "left out", bars.slice(0, cut)
    near = bars.slice(0, cut + HORIZON)
    for name, (factor, order) in ALTERED.items():
        yield name, _altered(near, cut, order(len(near) - cut, rng), factor)


def _altered(bars: History, cut: int, order: np.ndarray, factor: float) -> History:
    """The bars, those from `cut` on in another order and scaled; flags are inverted if the factor is not 1."""
    rows = np.concatenate([np.arange(cut), cut + order])

    def scaled(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.append(values[:cut], _scaled(values[rows[cut:]], factor))

    def flags(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.append(values[:cut], values[rows[cut:]] ^ (factor != 1.0))

    time = bars.time
    if time is not None:
        # The spacings are permuted, so that times still increase and end at the same time.
        time = np.append(time[:cut], time[cut - 1] + np.cumsum(np.diff(time[cut - 1 :])[order]))
    return replace(
        bars,
        close=scaled(bars.close),
        open=scaled(bars.open),
        high=scaled(bars.high),
        low=scaled(bars.low),
        volume=scaled(bars.volume),
        time=time,
        risk=flags(bars.risk),
        after_gap=flags(bars.after_gap),
        extra={name: scaled(values) for name, values in bars.extra.items()},
    )


def _scaled(values: np.ndarray, factor: float) -> np.ndarray:
    """The values times the factor, each kept finite and of the same sign."""
    with np.errstate(over="ignore"):
        size = np.clip(np.abs(values) * factor, np.nextafter(0.0, 1.0), np.finfo(float).max)
    return np.where(values == 0.0, values, np.copysign(size, values))


def _difference(whole: Trace, part: Trace, cut: int) -> tuple[int, str, Value, Value] | None:
    """Bar, column and both values of the first difference in what is known at the close of the bars before a cut."""
    differs = np.zeros(cut, bool)
    for mine, others in zip(_columns(whole), _columns(part), strict=True):
        differs |= mine[:cut] != others[:cut]
    # A NaN equals nothing, but one in both places is the same.
    mine, others = whole.reward[: cut - 1], part.reward[: cut - 1]
    differs[1:] |= (mine != others) & ~(np.isnan(mine) & np.isnan(others))
    if not differs.any():
        return None
    bar = int(differs.argmax())
    pairs = zip(_row(whole, bar).items(), _row(part, bar).values(), strict=True)
    column, value, otherwise = next((name, a, b) for (name, a), b in pairs if a != b)
    return bar - (column == "reward"), column, value, otherwise


def _columns(trace: Trace) -> list[np.ndarray]:
    columns = [trace.state, trace.action, trace.comm_action, trace.position, *trace.streams.values()]
    return columns + [values for values in (trace.close, trace.time) if values is not None]


def _row(trace: Trace, bar: int) -> dict[str, Value]:
    """What is known at the close of a bar, causes first, under the names of `Trace.frame`; `reward` is that of the
    previous decision."""
    space = trace.space
    digits = dict(zip(space.names, space.digits(trace.state[bar : bar + 1])[0].tolist(), strict=True))
    seen = {name: digits.pop(name) for name in space.observed}
    reward = float(trace.reward[bar - 1]) if bar else None
    return {
        **{name: getattr(trace, name)[bar].item() for name in ("time", "close") if getattr(trace, name) is not None},
        **{f"{name}_bucket": digit for name, digit in seen.items()},
        "reward": None if reward is None or np.isnan(reward) else reward,
        **{f"{name}_bucket": digit for name, digit in digits.items()},
        "action": ACTIONS[trace.action[bar]],
        "comm_action": trace.comm_names[trace.comm_action[bar]],
        "target": trace.position[bar].item(),
        **{name: values[bar].item() for name, values in trace.streams.items()},
    }

"""A policy state by state: a map over two of its digits, and what a single state holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import make_rules
from idi_fast.kernels.crypto import REGIMES
from idi_fast.reporting import theme
from idi_fast.reporting.formats import UNDEFINED, count, number, percent, plural, words
from idi_fast.reporting.parts import Figure, Table
from idi_fast.storage.tables import Table as Rows

POSITIONS = ("short", "flat", "long")
WIDTH_OF_INTERVAL = 1.96
"""Standard errors to either side of an estimate, for 95%."""
MOST_LABELS = 16
SIDES = [theme.SIDES[name] for name in ACTIONS]


@dataclass(frozen=True)
class StateView:
    """One state of a policy.

    values float64 (3,): Q-values; errors float64 (2,) or None: standard errors of the advantage of buy and sell over
    hold; counts int64 (3,) or None: updates behind each value; visits: how often training came here; says: the greedy
    communication; last_seen: time or tick of the last row of the run's trace in this state.
    """

    state: int
    values: np.ndarray
    errors: np.ndarray | None
    counts: np.ndarray | None
    visits: int
    agreement: float | None
    says: str
    last_seen: str | None

    @property
    def action(self) -> str:
        """The greedy action."""
        return ACTIONS[int(np.argmax(self.values))]


class PolicyMap:
    """A policy and where its trace has been; last_seen: by state, the time or tick of its last row in the trace."""

    def __init__(self, policy: Policy, last_seen: Mapping[int, str]) -> None:
        self.policy = policy
        self.space = policy.space
        self._last_seen = last_seen

    @cached_property
    def _visits(self) -> np.ndarray:
        """Visits of each state int64 (n_states,); with a tile coder those of its least visited tile."""
        if self.policy.layout.tiling is None:
            return self.policy.visits
        return self.policy.visits[self.policy.layout.state_rows(np.arange(self.space.n_states))].min(axis=1)

    def labels(self, name: str) -> list[str]:
        """What each value of a digit means: of a feature the range between its bucket edges, in its own units."""
        if name == "position":
            return list(POSITIONS)
        if name == "regime":
            return list(REGIMES)
        found = self._edges(name)
        if self.space.size(name) == 1:
            return ["any"]
        if found is None:
            return [str(k) for k in range(self.space.size(name))]
        edges = [_edge(edge) for edge in found]
        inner = [f"{low} to {high}" for low, high in pairwise(edges)]
        return [f"below {edges[0]}", *inner, f"from {edges[-1]}"]

    def described(self, name: str) -> str:
        """A digit in words: of a feature its transform, column and window."""
        encoder = self.policy.encoder
        if encoder is None or name not in encoder.features:
            return words(name)
        feature = encoder.features[name]
        told = f"{words(feature.transform).lower()} of {feature.column}, {plural(feature.window or 1, 'bar')}"
        return f"{words(name)}: {told}"

    def most_visited(self) -> dict[str, int]:
        """The digits of the state that training came to most often."""
        state = int(np.argmax(self._visits))
        return {name: int(self.space.digit(np.array([state]), name)[0]) for name in self.space.names}

    def states(self, x: str, y: str, digits: Mapping[str, int]) -> np.ndarray:
        """The states over two digits, the others as given, int64 (size of y, size of x)."""
        base = sum(self.space.stride(name) * digits[name] for name in self.space.names if name not in (x, y))
        across = np.arange(self.space.size(x)) * self.space.stride(x)
        return base + across + (np.arange(self.space.size(y)) * self.space.stride(y))[:, np.newaxis]

    def state(self, digits: Mapping[str, int]) -> StateView:
        """What the policy holds of the state with these digits."""
        policy, number_of = self.policy, sum(self.space.stride(name) * digits[name] for name in self.space.names)
        one = np.array([number_of])
        rows = policy.layout.state_rows(one)[0]
        is_single = policy.layout.tiling is None
        certainty = policy.certainty
        errors = certainty.errors[rows[0]] if certainty is not None and is_single else None
        agreement = None
        if certainty is not None and certainty.agreement is not None and is_single:
            agreement = float(certainty.agreement[rows[0]])
        said = policy.layout.values(policy.comm_q, one)[0]
        return StateView(
            state=int(number_of),
            values=policy.values(one)[0],
            errors=errors,
            counts=policy.counts[rows[0]] if policy.counts is not None and is_single else None,
            visits=int(self._visits[number_of]),
            agreement=agreement,
            says=policy.comm_actions[int(np.argmax(said))],
            last_seen=self._last_seen.get(int(number_of)),
        )

    def figure(self, name: str, title: str, x: str, y: str, digits: Mapping[str, int]) -> Figure:
        """The greedy action over two digits, the others as given; the chosen state is framed."""
        states = self.states(x, y, digits)
        values = self.policy.values(states.ravel()).reshape(*states.shape, len(ACTIONS))
        visits = self._visits[states]
        greedy = np.where(visits > 0, np.argmax(values, axis=2), np.nan)
        letters = [["" if np.isnan(cell) else ACTIONS[int(cell)][0].upper() for cell in row] for row in greedy]
        scale = [[(k + side) / 3.0, colour] for k, colour in enumerate(SIDES) for side in (0, 1)]
        about = np.concatenate([values, visits[..., np.newaxis]], axis=2)
        told = [f"{action} %{{customdata[{k}]:.4~r}}" for k, action in enumerate(ACTIONS)]
        small = max(states.shape) <= MOST_LABELS
        cells = {
            "type": "heatmap",
            "z": theme.grid(greedy),
            "text": letters,
            "texttemplate": "%{text}" if small else "",
            "customdata": [theme.grid(row) for row in about],
            "colorscale": scale,
            "zmin": -0.5,
            "zmax": 2.5,
            "showscale": False,
            "xgap": 1,
            "ygap": 1,
            "hoverongaps": False,
            "hovertemplate": "<br>".join([*told, "%{customdata[3]:,} visits"]) + "<extra></extra>",
        }
        keys = [_key(action, colour) for action, colour in zip(ACTIONS, SIDES, strict=True)]
        frame = {"type": "rect", "x0": digits[x] - 0.5, "x1": digits[x] + 0.5, "y0": digits[y] - 0.5}
        frame |= {"y1": digits[y] + 0.5, "line": {"color": theme.TEXT, "width": 2.5}}
        height = 130 + 34 * min(12, max(4, states.shape[0]))
        known = int((visits > 0).sum())
        return Figure(
            name=name,
            title=title,
            caption=f"{plural(known, 'state')} of {count(states.size)} were visited, the others are blank. Choose "
            "one by a click, or in the fields.",
            alt=f"A map of the greedy action over {words(x).lower()} and {words(y).lower()}.",
            data=[cells, *keys],
            layout=theme.layout(
                height,
                hovermode="closest",
                dragmode=False,
                xaxis=self._axis(x),
                yaxis=self._axis(y),
                shapes=[frame],
            ),
        )

    def _axis(self, name: str) -> dict:
        """Of a feature with its bucket edges between the cells, of another digit with its values at them."""
        edges = self._edges(name)
        labels = self.labels(name) if edges is None else [_edge(edge) for edge in edges]
        step = max(1, -(-len(labels) // MOST_LABELS))
        places = range(0, len(labels), step)
        shift = 0.0 if edges is None else 0.5
        ticks = {"tickvals": [k + shift for k in places], "ticktext": [theme.plain(labels[k]) for k in places]}
        return theme.titled(theme.plain(self.described(name)), fixedrange=True, showgrid=False, **ticks)

    def _edges(self, name: str) -> np.ndarray | None:
        """The bucket edges of a feature, None for another digit."""
        encoder = self.policy.encoder
        if encoder is None or name not in encoder.features:
            return None
        return encoder.edges[list(encoder.features).index(name)]


def read_last_seen(rows: Rows) -> dict[int, str]:
    """By state the time, or tick, of the last row of a trace in it."""
    columns = [name for name in ("state", "time") if name in rows.columns]
    if "state" not in columns:
        return {}
    found, first = {}, 0
    for frame in rows.frames(columns):
        states = frame["state"].to_numpy()
        last, places = np.unique(states[::-1], return_index=True)
        for state, place in zip(last.tolist(), (states.size - 1 - places).tolist(), strict=True):
            found[state] = str(frame["time"][place]) if "time" in columns else f"tick {count(first + place)}"
        first += states.size
    return found


def state_table(title: str, view: StateView, moves: np.ndarray) -> Table:
    """What a state holds, as rows of the actions. moves bool (3,): whether an action changes the position."""
    rows = []
    for k, name in enumerate(ACTIONS):
        gain = view.values[k] - view.values[0]
        error = None if view.errors is None or k == 0 else float(view.errors[k - 1])
        reach = None if error is None or not np.isfinite(error) else WIDTH_OF_INTERVAL * error
        more = []
        if view.errors is not None:
            more.append(UNDEFINED if reach is None else f"{number(gain - reach, 3)} to {number(gain + reach, 3)}")
        if view.counts is not None:
            more.append(count(int(view.counts[k])))
        said = f"{words(name)}{' ◀' if name == view.action else ''}"
        rows.append((said, number(view.values[k]), number(gain, 3) if k else UNDEFINED, *more))
    told = [f"greedy action {view.action}", f"visited {plural(view.visits, 'time')}", f"says {view.says}"]
    told.append("not in the run's trace" if view.last_seen is None else f"last seen: {view.last_seen}")
    if view.agreement is not None:
        told.append(f"{percent(view.agreement, 0)} of the resamples agree")
    if not moves[int(np.argmax(view.values))]:
        told.append("the position stays")
    known = (("95% interval", view.errors), ("Updates", view.counts))
    heads = ["", "Q-value", "Above hold", *(head for head, of in known if of is not None)]
    return Table(title, heads, rows, f"State {count(view.state)}: {', '.join(told)}.")


def moved(policy: Policy, digits: Mapping[str, int]) -> np.ndarray:
    """Whether each action changes the position held in a state, bool (3,); in a state without one, all do but hold."""
    if "position" not in digits:
        return np.array([False, True, True])
    held = digits["position"]
    return make_rules(policy.config, policy.space).next_position[held * 3 : held * 3 + 3] != held


def agreement(one: PolicyMap, other: PolicyMap) -> tuple[int, float] | None:
    """How many states both policies have visited, and in what share of these they do the same; None where their
    states are not the same."""
    if (one.space.names, one.space.sizes) != (other.space.names, other.space.sizes):
        return None
    both = np.flatnonzero((one._visits > 0) & (other._visits > 0))
    if not both.size:
        return 0, float("nan")
    same = np.argmax(one.policy.values(both), axis=1) == np.argmax(other.policy.values(both), axis=1)
    return int(both.size), float(same.mean())


def have_same_edges(one: PolicyMap, other: PolicyMap) -> bool:
    """Whether the states of two policies, of the same digits, stand for the same values of the features."""
    return all(
        one.described(name) == other.described(name) and one.labels(name) == other.labels(name)
        for name in one.space.names
    )


def _edge(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _key(action: str, colour: str) -> dict:
    marker = {"symbol": "square", "size": 11, "color": colour}
    return {"type": "scatter", "mode": "markers", "name": words(action), "x": [None], "y": [None], "marker": marker}

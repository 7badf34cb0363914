"""The table of actions: the greedy action and the values of all three, over two features at a time."""

from dataclasses import dataclass

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import OTHERS, StateSpace
from idi_fast.reporting import theme
from idi_fast.reporting.formats import count, plural
from idi_fast.reporting.parts import Figure

MOST_STATES = 2**18
"""Most states to sample when a tile coder has more states than rows."""
MOST_LETTERS = 12
"""Most cells along an axis for which the greedy action is written into each."""
POSITIONS = ("Short", "Flat", "Long")
PREFERRED = ("price", "trend")


@dataclass(frozen=True)
class Maps:
    """Values averaged over all features but two, x and y, weighted by visits.

    values float64 (facets, y, x, 3): mean value of each action, NaN in a cell that was never visited; visits int64
    (facets, y, x); facets: one for each position held, or a single one without a name.
    """

    x: str
    y: str
    facets: tuple[str, ...]
    values: np.ndarray
    visits: np.ndarray
    is_sampled: bool

    @property
    def greedy(self) -> np.ndarray:
        """The action of the highest mean value, ties to the first, float64 (facets, y, x); NaN where there is none."""
        known = self.visits > 0
        best = np.argmax(np.where(known[..., np.newaxis], self.values, 0.0), axis=3)
        return np.where(known, best, np.nan)


def choose_axes(space: StateSpace) -> tuple[str, str]:
    """Two features for the axes: price and trend, or the next in the state if one is missing or has a single bucket."""
    others = [name for name in space.names if name not in (*PREFERRED, "position")]
    able = [name for name in (*PREFERRED, *others) if name in space.names]
    x, y, *_ = sorted(able, key=lambda name: space.size(name) == 1)
    return x, y


def average_values(policy: Policy) -> Maps:
    """Average a policy's values. With a tile coder, whose states share rows, a state counts as often as the least
    visited of its rows."""
    space, tiled = policy.space, policy.layout.tiling is not None
    x, y = choose_axes(space)
    facets = POSITIONS if space.is_market else ("",)
    is_sampled = tiled and space.n_states > MOST_STATES
    if is_sampled:  # random, since equal steps would hit only some buckets
        states = np.unique(np.random.Generator(np.random.PCG64(0)).integers(0, space.n_states, MOST_STATES))
    else:
        states = np.arange(space.n_states) if tiled else np.flatnonzero(policy.visits)
    visits = policy.visits[policy.layout.state_rows(states)].min(axis=1)
    shape = (len(facets), space.size(y), space.size(x))
    facet = space.digit(states, "position") if space.is_market else np.zeros(states.size, np.int64)
    cell = np.ravel_multi_index((facet, space.digit(states, y), space.digit(states, x)), shape)
    cells = int(np.prod(shape))
    total = np.bincount(cell, weights=visits, minlength=cells)
    values = policy.values(states)
    sums = np.stack([np.bincount(cell, weights=visits * column, minlength=cells) for column in values.T], axis=1)
    with np.errstate(invalid="ignore"):
        means = sums / total[:, np.newaxis]
    return Maps(x, y, facets, means.reshape(*shape, len(ACTIONS)), total.astype(np.int64).reshape(shape), is_sampled)


def value_figures(policy: Policy) -> list[Figure]:
    """Heat maps of the greedy action and of the values; none if training never visited a state."""
    maps = average_values(policy)
    if not maps.visits.any():
        return []
    return [_greedy_figure(maps), _value_figure(maps)]


def _how(maps: Maps) -> str:
    sampled = f" ({count(MOST_STATES)} states of a tile coder, drawn at random)" if maps.is_sampled else ""
    return f"averaged over all other features, weighted by visits{sampled}; blank: never visited"


def _panels(rows: int, columns: int) -> list[tuple[int, int, str, list[float], list[float]]]:
    """Row, column, axis suffix and domains of a grid of panels."""
    wide, high, made = 0.04, 0.16 / max(1, rows), []
    for row in range(rows):
        for column in range(columns):
            width, height = (1 - wide * (columns - 1)) / columns, (1 - high * (rows - 1)) / rows
            left, top = column * (width + wide), 1 - row * (height + high)
            suffix = "" if not made else str(len(made) + 1)
            made.append((row, column, suffix, [left, left + width], [max(0.0, top - height), top]))
    return made


def _axes(maps: Maps, rows: int, columns: int, titles: dict[tuple[int, int], str]) -> tuple[dict, list[dict]]:
    """Axes of all panels, and their titles as annotations."""
    axes, notes, plain = {}, [], {"showgrid": False, "ticks": "", "fixedrange": True, "dtick": 1}
    for row, column, suffix, across, along in _panels(rows, columns):
        is_first, is_last = column == 0, row == rows - 1
        thin = {"tickmode": "auto", "nticks": 8} if max(maps.visits.shape[1:]) > MOST_LETTERS else {}
        axes[f"xaxis{suffix}"] = {
            **(theme.titled(_title(maps.x)) if is_last and column == columns // 2 else theme.axis()),
            **plain,
            **thin,
            "domain": across,
            "anchor": f"y{suffix}",
            "showticklabels": is_last,
        }
        axes[f"yaxis{suffix}"] = {
            **(theme.titled(_title(maps.y)) if is_first and row == rows // 2 else theme.axis()),
            **plain,
            **thin,
            "domain": along,
            "anchor": f"x{suffix}",
            "showticklabels": is_first,
        }
        if (row, column) in titles:
            notes.append(
                {
                    "text": titles[row, column],
                    "showarrow": False,
                    "xref": "paper",
                    "yref": "paper",
                    "xanchor": "center",
                    "yanchor": "bottom",
                    "x": sum(across) / 2,
                    "y": along[1],
                    "font": {"color": theme.TEXT, "size": 12},
                }
            )
    return axes, notes


def _heat_map(maps: Maps, suffix: str, z: np.ndarray, facet: int, **own: object) -> dict:
    about = np.concatenate([maps.values[facet], maps.visits[facet][..., np.newaxis]], axis=2)
    told = [f"{name} %{{customdata[{k}]:.4~r}}" for k, name in enumerate(ACTIONS)]
    lines = (f"{_plain(maps.x)} %{{x}}, {_plain(maps.y)} %{{y}}", ", ".join(told), "%{customdata[3]:,} visits")
    return {
        "type": "heatmap",
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "z": theme.grid(z),
        "xgap": 1,
        "ygap": 1,
        "customdata": [theme.grid(row) for row in about],
        "hoverongaps": False,
        "hovertemplate": "<br>".join(lines) + "<extra></extra>",
        **own,
    }


def _greedy_figure(maps: Maps) -> Figure:
    columns, greedy = len(maps.facets), maps.greedy
    titles = {(0, k): name for k, name in enumerate(maps.facets) if name}
    axes, notes = _axes(maps, 1, columns, titles)
    steps = [theme.SIDES[name] for name in ACTIONS]
    scale = [[k / 3 + share / 3, colour] for k, colour in enumerate(steps) for share in (0, 1)]
    own = {"colorscale": scale, "zmin": -0.5, "zmax": 2.5, "showscale": False}
    if max(greedy.shape[1:]) <= MOST_LETTERS:
        own |= {"texttemplate": "%{text}"}
    data = [
        _heat_map(maps, suffix, z, column, text=[[_letter(value) for value in row] for row in z], **own)
        for (_, column, suffix, _, _), z in zip(_panels(1, columns), greedy, strict=True)
    ]
    keys = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name.title(),
            "x": [None],
            "y": [None],
            "marker": {"symbol": "square", "size": 11, "color": colour},
        }
        for name, colour in zip(ACTIONS, steps, strict=True)
    ]
    found = [int(np.count_nonzero(greedy == k)) for k in range(3)]
    told = ", ".join(f"{name} in {plural(n, 'cell')}" for name, n in zip(ACTIONS, found, strict=True))
    held = ", for each position held" if columns > 1 else ""
    return Figure(
        name="greedy",
        title="Greedy action",
        caption=f"The action of the highest value{held}, by {_axes_of(maps)}; values are {_how(maps)}.",
        alt=f"Heat maps of the greedy action: {told}.",
        data=[*data, *keys],
        layout=_grid_layout(300, axes, notes, is_titled=bool(titles)),
    )


def _value_figure(maps: Maps) -> Figure:
    rows, greedy = len(maps.facets), maps.greedy
    titles = {
        (row, column): f"{name.title()}" + (f", when {facet.lower()}" if facet else "")
        for row, facet in enumerate(maps.facets)
        for column, name in enumerate(ACTIONS)
    }
    axes, notes = _axes(maps, rows, 3, titles)
    dot = {"size": 5 if max(greedy.shape) <= MOST_LETTERS else 3, "color": theme.ORANGE}
    dot["line"] = {"width": 1, "color": theme.PAGE}
    data = []
    for row, column, suffix, _, _ in _panels(rows, 3):
        data.append(_heat_map(maps, suffix, maps.values[row, :, :, column], row, coloraxis="coloraxis"))
        y, x = np.nonzero(greedy[row] == column)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": x.tolist(),
                "y": y.tolist(),
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "hoverinfo": "skip",
                "showlegend": False,
                "marker": dot,
            }
        )
    low, high = float(np.nanmin(maps.values)), float(np.nanmax(maps.values))
    bar = {
        "orientation": "h",
        "thickness": 10,
        "len": 0.6,
        "x": 0.5,
        "xanchor": "center",
        "yref": "container",
        "y": 1,
        "yanchor": "top",
        "ypad": 0,
        "outlinewidth": 0,
        "tickfont": {"color": theme.MUTED},
    }
    scale = {"colorscale": theme.LOW_TO_HIGH, "colorbar": bar}
    return Figure(
        name="q-values",
        title="Q-values",
        caption=f"The expected discounted reward of each action by {_axes_of(maps)}, {_how(maps)}. A dot marks the "
        "greedy action.",
        alt=f"Heat maps of the values of hold, buy and sell, from {low:.3g} to {high:.3g}.",
        data=data,
        layout=_grid_layout(150 + 200 * rows, axes, notes, is_titled=True, coloraxis=scale),
    )


def _grid_layout(height: int, axes: dict, notes: list[dict], *, is_titled: bool, **own: object) -> dict:
    made = theme.layout(height, hovermode="closest", annotations=notes, **axes, **own)
    made["legend"] |= {"y": 1.0, "yref": "container", "yanchor": "top"}
    made["margin"] = {"l": 4, "r": 4, "t": 52 if is_titled else 30, "b": 4}
    return made


def _axes_of(maps: Maps) -> str:
    return f"{_plain(maps.x)} and {_plain(maps.y)}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _title(name: str) -> str:
    return f"{_plain(name)} bucket" if name not in OTHERS else _plain(name)


def _letter(value: float) -> str:
    return "" if np.isnan(value) else ACTIONS[int(value)][0].upper()

"""The table of actions: the greedy action and the values of all three, over two features at a time."""

import numpy as np

from idi_fast.agents.maps import MOST_STATES, Maps, average_values
from idi_fast.agents.policy import Policy
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import OTHERS
from idi_fast.reporting import theme
from idi_fast.reporting.edges import Edges, buckets, feature_edges
from idi_fast.reporting.formats import count, plural
from idi_fast.reporting.parts import Figure

MOST_LETTERS = 12
"""Most cells along an axis for which the greedy action is written into each."""
MOST_X_LABELS = 4
"""Of one of three panels side by side."""


def value_figures(policy: Policy) -> list[Figure]:
    """Heat maps of the greedy action and of the values; none if training never visited a state."""
    maps = average_values(policy)
    if not maps.visits.any():
        return []
    edges = feature_edges(policy)
    return [_greedy_figure(maps, edges), _value_figure(maps, edges)]


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


def _ticks(name: str, size: int, edges: Edges, room: int) -> dict:
    """The ticks of an axis: the edges of a feature's buckets where these meet, or the numbers of the values; room: how
    many labels there is room for."""
    if name not in edges:
        return {"dtick": 1} if size <= room else {"tickmode": "auto", "nticks": room}
    every = -(-len(edges[name].texts) // room)
    places = range((len(edges[name].texts) - 1) % every // 2, len(edges[name].texts), every)
    return {"tickvals": [place + 0.5 for place in places], "ticktext": [edges[name].texts[place] for place in places]}


def _axes(
    maps: Maps, rows: int, columns: int, titles: dict[tuple[int, int], str], edges: Edges
) -> tuple[dict, list[dict]]:
    """Axes of all panels, and their titles as annotations."""
    axes, notes, plain = {}, [], {"showgrid": False, "ticks": "", "fixedrange": True}
    y_size, x_size = maps.visits.shape[1:]
    of_x, of_y = _ticks(maps.x, x_size, edges, MOST_X_LABELS), _ticks(maps.y, y_size, edges, MOST_LETTERS)
    for row, column, suffix, across, along in _panels(rows, columns):
        is_first, is_last = column == 0, row == rows - 1
        axes[f"xaxis{suffix}"] = {
            **(theme.titled(_title(maps.x, edges)) if is_last and column == columns // 2 else theme.axis()),
            **plain,
            **of_x,
            "domain": across,
            "anchor": f"y{suffix}",
            "showticklabels": is_last,
        }
        axes[f"yaxis{suffix}"] = {
            **(theme.titled(_title(maps.y, edges)) if is_first and row == rows // 2 else theme.axis()),
            **plain,
            **of_y,
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


def _values_of(name: str, size: int, edges: Edges) -> list[str]:
    """What each value of a digit means, for a reader who points at it."""
    held = buckets(edges[name].texts) if name in edges else [str(k) for k in range(size)]
    return [f"{_plain(name)} {value}" for value in held]


def _heat_map(maps: Maps, edges: Edges, suffix: str, z: np.ndarray, facet: int, **own: object) -> dict:
    about = np.concatenate([maps.values[facet], maps.visits[facet][..., np.newaxis]], axis=2)
    told = [f"{name} %{{customdata[{k}]:.4~r}}" for k, name in enumerate(ACTIONS)]
    lines = ("%{hovertext}", ", ".join(told), "%{customdata[3]:,} visits")
    y, x = (_values_of(name, size, edges) for name, size in zip((maps.y, maps.x), z.shape, strict=True))
    return {
        "type": "heatmap",
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "z": theme.grid(z),
        "xgap": 1,
        "ygap": 1,
        "hovertext": [[f"{across}, {along}" for across in x] for along in y],
        "customdata": [theme.grid(row) for row in about],
        "hoverongaps": False,
        "hovertemplate": "<br>".join(lines) + "<extra></extra>",
        **own,
    }


def _greedy_figure(maps: Maps, edges: Edges) -> Figure:
    columns, greedy = len(maps.facets), maps.greedy
    titles = {(0, k): name for k, name in enumerate(maps.facets) if name}
    axes, notes = _axes(maps, 1, columns, titles, edges)
    steps = [theme.SIDES[name] for name in ACTIONS]
    scale = [[k / 3 + share / 3, colour] for k, colour in enumerate(steps) for share in (0, 1)]
    own = {"colorscale": scale, "zmin": -0.5, "zmax": 2.5, "showscale": False}
    if max(greedy.shape[1:]) <= MOST_LETTERS:
        own |= {"texttemplate": "%{text}"}
    data = [
        _heat_map(maps, edges, suffix, z, column, text=[[_letter(value) for value in row] for row in z], **own)
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


def _value_figure(maps: Maps, edges: Edges) -> Figure:
    rows, greedy = len(maps.facets), maps.greedy
    titles = {
        (row, column): f"{name.title()}" + (f", {facet.lower()}" if facet else "")
        for row, facet in enumerate(maps.facets)
        for column, name in enumerate(ACTIONS)
    }
    axes, notes = _axes(maps, rows, 3, titles, edges)
    dot = {"size": 5 if max(greedy.shape) <= MOST_LETTERS else 3, "color": theme.ORANGE}
    dot["line"] = {"width": 1, "color": theme.PAGE}
    data = []
    for row, column, suffix, _, _ in _panels(rows, 3):
        data.append(_heat_map(maps, edges, suffix, maps.values[row, :, :, column], row, coloraxis="coloraxis"))
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
    held = ", for each position held," if rows > 1 else ""
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
        caption=f"The expected discounted reward of each action{held} by {_axes_of(maps)}, {_how(maps)}. A dot marks "
        "the greedy action.",
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


def _title(name: str, edges: Edges) -> str:
    if name in edges:
        return f"{_plain(name)} ({edges[name].what})"
    return _plain(name) if name in OTHERS else f"{_plain(name)} bucket"


def _letter(value: float) -> str:
    return "" if np.isnan(value) else ACTIONS[int(value)][0].upper()

"""The bucket edges of a policy's features, in the features' own units."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.reporting.formats import count, number, percent, plural
from idi_fast.reporting.parts import Table

SHARES = {
    "log_return",
    "volatility",
    "drawdown",
    "ema_ratio",
    "simple_return",
    "spread",
    "run_up",
    "sma_ratio",
    "macd_histogram",
    "atr",
    "parkinson",
    "garman_klass",
    "rolling_rank",
}
"""Transforms whose values are shares; a difference of logarithms is nearly one."""
UNITS = {
    "zscore": "deviations",
    "bars_since_high": "bars",
    "bars_since_low": "bars",
    "time_of_day": "hours UTC",
    "day_of_week": "0 is Monday",
}


class FeatureEdges(NamedTuple):
    """What a feature is, with its unit, and its inner edges as texts."""

    what: str
    texts: list[str]


Edges = dict[str, FeatureEdges]


def feature_edges(policy: Policy) -> Edges:
    """Of each feature of several buckets; none for a policy without features of bars."""
    if policy.encoder is None:
        return {}
    found = {}
    for (name, feature), edges in zip(policy.encoder.features.items(), policy.encoder.edges, strict=True):
        if edges.size:
            unit = UNITS.get(feature.transform)
            what = feature.transform.replace("_", " ") + ("" if unit is None else f", {unit}")
            found[name] = FeatureEdges(what, [_text(edge, feature.transform) for edge in edges.tolist()])
    return found


def _text(edge: float, transform: str) -> str:
    if transform in SHARES:
        return percent(edge, 2)
    if transform.startswith("bars_since"):
        return count(np.ceil(edge))
    return number(edge, 3) if abs(edge) < 1e6 else f"{edge:.3g}"


def buckets(edges: list[str]) -> list[str]:
    """What each bucket holds, from its inner edges as texts."""
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"to {edges[0]}", *between, f"from {edges[-1]}"]


def edge_table(policy: Policy) -> Table | None:
    """The edges of all features; None without any."""
    edges = feature_edges(policy)
    if policy.encoder is None or not edges:
        return None
    own = len(policy.encoder.by_symbol)
    of_symbols = f" {plural(own, 'symbol')} have edges of their own; these are those of all bars." if own else ""
    return Table(
        title="Bucket edges",
        caption=f"The values of a feature from which on the next bucket begins, the first bucket being 0.{of_symbols}",
        heads=("Feature", "Value", "Edges"),
        rows=[(name.replace("_", " "), found.what, " · ".join(found.texts)) for name, found in edges.items()],
    )

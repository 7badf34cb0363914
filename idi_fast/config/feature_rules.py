"""The rules within a feature of a list: what its transform takes, and how its edges and buckets agree."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from idi_fast.config.block import SettingError, shown
from idi_fast.config.transforms import TRANSFORMS, Transform
from idi_fast.errors import nearest

if TYPE_CHECKING:
    from idi_fast.config.feature_settings import NamedFeature

PARAMETERS = ("window", "lag", "fast", "signal", "width", "quantile")
"""The keys of a feature that are numbers of its transform."""


def check_parameters(feature: "NamedFeature") -> None:
    """Raise SettingError for an unknown transform, and for columns and numbers that it does not take."""
    transform = TRANSFORMS.get(feature.transform)
    if transform is None:
        hint = nearest(feature.transform, TRANSFORMS) or f" The transforms are {', '.join(TRANSFORMS)}."
        own = " One of your own has to be loaded first: `load_plugin`"
        raise SettingError("transform", f"is {shown(feature.transform)}, which is none.{hint}{own}")
    _check_columns(feature, transform)
    wanted = {parameter.name: parameter for parameter in transform.parameters}
    if not transform.uses_window:
        del wanted["window"]
    for name in PARAMETERS:
        value = getattr(feature, name)
        if value is None:
            continue
        if name not in wanted:
            takes = f"takes {' and '.join(wanted)}" if wanted else "takes no numbers"
            problem = f"is {value}, but transform {transform.name!r} {takes}; remove it"
            raise SettingError(name, problem, "transform")
        least, most = wanted[name].minimum, wanted[name].maximum
        if not least <= value <= most:
            problem = f"is {value}; expected {least} to {most} for transform {transform.name!r}"
            raise SettingError(name, problem, "transform")


def _check_columns(feature: "NamedFeature", transform: Transform) -> None:
    takes_column, takes_other = "column" in transform.inputs, "other" in transform.inputs
    if feature.column != "close" and not takes_column:
        problem = f"is {feature.column!r}, but transform {transform.name!r} reads {' and '.join(transform.inputs)}"
        raise SettingError("column", f"{problem}; remove it", "transform")
    if feature.other is None and takes_other:
        problem = f"is missing; transform {transform.name!r} compares the column with another one"
        raise SettingError("other", f"{problem}, name it", "transform")
    if feature.other is not None and not takes_other:
        problem = f"is {feature.other!r}, but transform {transform.name!r} reads no second column; remove it"
        raise SettingError("other", problem, "transform")


def check_edges(feature: "NamedFeature") -> None:
    """Raise SettingError for edges that do not increase, that no value of the transform can be on both sides of, or
    that make other buckets than are asked for."""
    buckets, edges, transform = feature.buckets or 1, feature.edges, TRANSFORMS[feature.transform]
    if not isinstance(edges, tuple):
        categories = transform.categories
        if categories not in (None, buckets) and buckets > 1:
            problem = f"is {buckets}; expected {categories}, one for each value of {feature.transform!r}"
            raise SettingError("buckets", f"{problem}, or edges as a list", "transform")
        return
    for place, (low, high) in enumerate(pairwise(edges)):
        if not low < high:
            raise SettingError(f"edges[{place + 1}]", f"is {high:g} after {low:g}; expected edges that increase")
    least, greatest = transform.value_range
    for place, edge in enumerate(edges):
        if not least < edge <= greatest:
            above, to = f"above {least:g}" * (least > -math.inf), f"at most {greatest:g}" * (greatest < math.inf)
            wanted = " and ".join(filter(None, (above, to)))
            problem = (
                f"is {edge:g}; expected {wanted}: the values of transform {transform.name!r} lie on one side of it"
            )
            raise SettingError(f"edges[{place}]", problem, "transform")
    if len(edges) + 1 != buckets:
        problem = f"has length {len(edges)}; expected {buckets - 1}, one less than buckets"
        raise SettingError("edges", problem, "buckets")

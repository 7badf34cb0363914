"""How sure a planned table is, state by state, and whether what it expects comes about."""

from collections.abc import Iterator, Sequence

import numpy as np

from idi_fast.agents.maps import POSITIONS
from idi_fast.agents.policy import Policy
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import make_rules
from idi_fast.reporting import theme
from idi_fast.reporting.formats import count, number, percent, plural, words
from idi_fast.reporting.parts import Figure, Section, Table

MOST_ROWS = 24
SURE = 2.0
"""Standard errors by which an action is called better than holding for sure."""


def calibration_sections(buckets: Sequence[dict] | None) -> Iterator[Section]:
    """What a table expected and what came of it, from the `calibration` of kpis.json; none of a learnt one."""
    if buckets:
        yield Section("calibration", "Calibration", [_figure(buckets), _buckets(buckets)])


def _figure(buckets: Sequence[dict]) -> Figure:
    expected, realised = ([row[name] for row in buckets] for name in ("expected", "realised"))
    errors = [row["standard_error"] for row in buckets]
    ends = [min(expected), max(expected)]
    return Figure(
        name="calibration-figure",
        title="Expected and realised advantage",
        caption="What the table expects of being long rather than short (or flat, where shorts are not allowed), and "
        "what came of it, in units of reward: means of bars by what was expected, with two standard errors. On the "
        "line all comes as expected; where dots lie level, the table knows nothing of these bars.",
        alt="Dots of realised by expected advantage, in "
        f"{plural(len(buckets), 'bucket')}; the realised one goes from {number(min(realised))} to "
        f"{number(max(realised))}.",
        data=[
            theme.line("As expected", ends, ends, theme.GREY, line={"dash": "dot"}, hoverinfo="skip"),
            {
                "type": "scatter",
                "mode": "markers",
                "name": "Realised",
                "x": theme.numbers(expected),
                "y": theme.numbers(realised),
                "error_y": {
                    "type": "data",
                    "array": [None if error is None else 2.0 * error for error in errors],
                    "color": theme.MUTED,
                    "thickness": 1.5,
                    "width": 5,
                },
                "marker": {"size": 9, "color": theme.BLUE},
                "hovertemplate": "expected %{x:.4~r}<br>realised %{y:.4~r}<extra></extra>",
            },
        ],
        layout=theme.layout(
            360, hovermode="closest", xaxis=theme.titled("Expected advantage"), yaxis=theme.titled("Realised advantage")
        ),
    )


def _buckets(buckets: Sequence[dict]) -> Table:
    return Table(
        title="Expected and realised advantage",
        heads=("Expected up to", "Bars", "Expected", "Realised", "Std error"),
        rows=[
            (
                "more" if row["to"] is None else number(row["to"], 3),
                count(row["bars"]),
                number(row["expected"], 3),
                number(row["realised"], 3),
                number(row["standard_error"], 2),
            )
            for row in buckets
        ],
    )


def sure_tables(policy: Policy) -> Iterator[Table]:
    """The moves of a planned table that it is surest of; none of a learnt one, or one that only holds."""
    if policy.certainty is None:
        return
    best, space = np.argmax(policy.q, axis=1), policy.space
    states = np.flatnonzero((policy.visits > 0) & (best > 0))
    position = space.digit(states, "position")
    after = make_rules(policy.config, space).next_position[position * 3 + best[states]]
    states = states[after != position]
    errors = policy.certainty.errors[states, best[states] - 1]
    gain = policy.q[states, best[states]] - policy.q[states, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(errors > 0.0, gain / errors, 0.0)
    errors = np.where(np.isfinite(errors), errors, np.nan)
    if not states.size:
        return
    shown = np.argsort(-z, kind="stable")[:MOST_ROWS]
    sure = int(np.count_nonzero(z > SURE))
    names = [name for name in space.names if name != "position" and space.size(name) > 1]
    rest = f" The {count(MOST_ROWS)} with the highest z are shown." if z.size > MOST_ROWS else ""
    states = states[shown]
    figures = (gain[shown], 3), (errors[shown], 2), (z[shown], 2), (policy.certainty.bars[states], 3)
    columns = [
        [POSITIONS[k] for k in space.digit(states, "position")],
        *([count(digit) for digit in space.digit(states, name).tolist()] for name in names),
        [words(ACTIONS[k]) for k in best[states]],
        *([number(value, digits) for value in values.tolist()] for values, digits in figures),
    ]
    yield Table(
        title="Where the table is sure",
        caption=f"Of {plural(z.size, 'state')} in which it changes the position, {count(sure)} "
        f"({percent(sure / z.size, 0)}) have a move that is better than holding by more than two standard "
        f"errors.{rest} z is the advantage by its standard error; n the bars of equal weight that would say as much. "
        "policy.parquet has all.",
        heads=("Held", *(words(name) for name in names), "Does", "Advantage", "Std error", "z", "n"),
        rows=list(zip(*columns, strict=True)),
    )

"""A trace in memory: what its agent earned, and the columns of its decisions."""

import numpy as np
import polars as pl

from idi_fast.agents.trace import Trace
from idi_fast.environments.actions import ACTIONS
from idi_fast.reporting import theme
from idi_fast.reporting.course import bucket_size, extreme_rows
from idi_fast.reporting.formats import number, plural
from idi_fast.reporting.parts import Figure

NS_IN_MS = 1_000_000


def decision_rows(trace: Trace) -> pl.DataFrame:
    """The columns of trace.parquet that tell what the agent does and says, and in which regime."""
    return pl.DataFrame(
        {
            "action": pl.Series(ACTIONS).gather(trace.action),
            "comm_action": pl.Series(trace.comm_names, dtype=pl.String).gather(trace.comm_action),
            "q_regime": trace.streams["q_regime"],
        }
    )


def reward_figure(trace: Trace) -> Figure:
    """The rewards of a trace, added up."""
    total = np.nancumsum(trace.reward)
    size = bucket_size(total.size)
    kept = np.union1d(extreme_rows(total, size), [0, total.size - 1])
    x = kept if trace.time is None else trace.time[kept] // NS_IN_MS
    thinned = f" Drawn are the lowest and the highest value of every {plural(size, 'tick')}." if size > 1 else ""
    return Figure(
        name="reward",
        title="Cumulative reward",
        caption=f"The rewards of the greedy actions, added up tick by tick.{thinned}",
        alt=f"A line over {plural(total.size, 'tick')}, which ends at {number(float(total[-1]))}.",
        data=[theme.line("Cumulative reward", x, total[kept], theme.BLUE)],
        layout=theme.layout(
            320,
            xaxis=theme.titled("Tick") if trace.time is None else theme.axis(type="date"),
            yaxis=theme.axis(),
            margin=theme.NO_LEGEND,
        ),
    )

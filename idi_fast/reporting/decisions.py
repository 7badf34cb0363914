"""An agent's actions and communications bar by bar, and whether its alerts precede risk events."""

from collections.abc import Iterator, Sequence

import polars as pl

from idi_fast.environments.actions import ACTIONS
from idi_fast.reporting import theme
from idi_fast.reporting.formats import count, percent, words
from idi_fast.reporting.parts import Beside, Figure, Table
from idi_fast.reporting.run import ReportedRun

ALL = "All bars"


def decision_figures(run: ReportedRun, regimes: Sequence[str] = ()) -> Iterator[Figure]:
    """The mix of actions and of communication actions in a run's trace, over all bars and in each of the `regimes`, by
    their numbers; none if the run kept no trace."""
    if not run.has("trace.parquet"):
        return
    columns = ("action", "comm_action", "q_regime")
    # A handful of rows, however long the trace is; grouping does not order them.
    parts = [frame.group_by(columns).len() for frame in run.table("trace.parquet", columns).frames(columns)]
    mix = pl.concat(parts).group_by(columns).agg(pl.col("len").sum()).sort(columns)
    said = mix.group_by("comm_action").agg(pl.col("len").sum()).sort("len", "comm_action", descending=[True, False])
    order = [name for name in ("silent", "positive", "alert", "persist") if name in said["comm_action"]]
    order += [name for name in said["comm_action"] if name not in order]
    yield _mix_figure(mix, "action", ACTIONS, [theme.SIDES[name] for name in ACTIONS], regimes, "What the agent does")
    known = theme.cue_colours(order)
    colours = [known[name] for name in order]
    yield _mix_figure(mix, "comm_action", order, colours, regimes, "What the agent says")


def _mix_figure(
    mix: pl.DataFrame, column: str, names: Sequence[str], colours: Sequence[str], regimes: Sequence[str], title: str
) -> Figure:
    rows = {ALL: mix} | {name: mix.filter(pl.col("q_regime") == k) for k, name in enumerate(regimes)}
    totals = {row: int(part["len"].sum()) for row, part in rows.items()}
    rows = {row: part for row, part in rows.items() if totals[row]}
    labels = [f"{words(row)}<br>{count(totals[row])}" if regimes else words(row) for row in rows]
    shares = {
        name: [int(part.filter(pl.col(column) == name)["len"].sum()) / totals[row] for row, part in rows.items()]
        for name in names
    }
    of_regimes = ", and of those in each regime, with how many these are" if regimes else ""
    told = ", ".join(f"{name} {percent(share[0])}" for name, share in shares.items())
    return Figure(
        name=f"{column}-mix".replace("_", "-"),
        title=title,
        caption=f"Shares of {count(totals[ALL])} bars{of_regimes}.",
        alt=f"Stacked bars. Of all bars: {told}.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "name": theme.plain(words(name)),
                "showlegend": True,  # of a single colour, too
                "y": labels,
                "x": theme.numbers(share),
                "marker": {"color": colour, "line": {"width": 1, "color": theme.PAGE}},
                "text": [percent(value, 0) if value >= 0.08 else "" for value in share],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "insidetextfont": {"color": theme.ink(colour)},
                "hovertemplate": "%{y}: %{x:.1%}<extra>" + theme.plain(words(name)) + "</extra>",
            }
            for (name, share), colour in zip(shares.items(), colours, strict=True)
        ],
        layout=theme.layout(
            64 + 40 * len(labels),
            barmode="stack",
            bargap=0.35,
            hovermode="closest",
            xaxis=theme.shares(),
            yaxis=theme.fixed(autorange="reversed", type="category", showgrid=False),
            legend={**theme.layout(0)["legend"], "traceorder": "normal"},
        ),
    )


def alert_parts(alerts: dict[str, list[dict]] | None) -> Iterator[Figure | Beside]:
    """A figure and tables of an agent's alerts by mood and by regime, from the `alerts` of kpis.json; none if these
    were not counted."""
    if not alerts:
        return
    rows = [
        (f"{words(kind)} {row[kind]}" if kind == "mood" else words(str(row[kind])), row)
        for kind, found in alerts.items()
        for row in found
    ]
    yield _alert_figure(rows)
    yield Beside(
        [
            Table(
                title=f"Alerts by {kind}",
                heads=(words(kind), "Bars", "Alerts", "Risk events", "Precision", "Recall"),
                rows=[
                    (
                        words(str(row[kind])),
                        *(count(row[key]) for key in ("bars", "alerts", "risk_events")),
                        *(percent(row[key]) for key in ("alert_precision", "alert_recall")),
                    )
                    for row in found
                ],
            )
            for kind, found in alerts.items()
        ]
    )


def _alert_figure(rows: Sequence[tuple[str, dict]]) -> Figure:
    labels = [name for name, _ in rows]
    chance = [row["risk_events"] / row["bars"] if row["bars"] else None for _, row in rows]
    shown = (
        ("Precision", [row["alert_precision"] for _, row in rows], theme.BLUE, "circle"),
        ("Recall", [row["alert_recall"] for _, row in rows], theme.ORANGE, "diamond"),
        ("Precision of alerts at random", chance, theme.MUTED, "line-ns-open"),
    )
    told = ", ".join(f"{name} {percent(row['alert_precision'])}" for name, row in rows)
    return Figure(
        name="alerts",
        title="Alerts by mood and regime",
        caption="Precision: the share of the alerts that a risk event followed. Recall: the share of the risk events "
        "that an alert preceded. Alerts at random are right as often as bars are risk events.",
        alt=f"Dots of precision and recall. Precision: {told}.",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": values,
                "y": labels,
                "marker": {"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
                "hovertemplate": "%{y}: %{x:.1%}<extra>" + name + "</extra>",
            }
            for name, values, colour, symbol in shown
        ],
        layout=theme.layout(
            72 + 30 * len(rows),
            hovermode="closest",
            xaxis=theme.fixed(tickformat=".0%", rangemode="tozero"),
            yaxis=theme.fixed(autorange="reversed", type="category"),
        ),
    )

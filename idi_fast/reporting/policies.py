"""The page of a backtest of many policies on the same bars: how their figures are spread."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from idi_fast.reporting import theme
from idi_fast.reporting.backtests import backtest_notes
from idi_fast.reporting.formats import count, number, percent
from idi_fast.reporting.merits import assumption_facts, grouped, label, shown_value
from idi_fast.reporting.parts import Beside, Figure, KeyFigures, Page, Section, Table
from idi_fast.reporting.run import ReportedRun, describe_data, made_by

COLUMNS = ("seed", "total_return", "sharpe_annualised", "max_drawdown", "trades", "buy_and_hold_total_return")
MOST_ROWS = 100


def policies_page(run: ReportedRun) -> Page:
    """The page of a folder that `idi-fast backtest --all` wrote."""
    result, table = run.json("kpis.json"), run.table("policies.parquet", COLUMNS).frame()
    spread, held, n = result["spread"], result["buy_and_hold"], count(table.height)
    headline = [
        ("Median return", percent(spread["total_return"]["median"])),
        ("Buy and hold", percent(held["total_return"])),
        ("Least return", percent(spread["total_return"]["minimum"])),
        ("Greatest return", percent(spread["total_return"]["maximum"])),
        ("Median max drawdown", percent(spread["max_drawdown"]["median"])),
        ("Policies", n),
    ]
    # The verdict is on the median policy: the best was not chosen beforehand.
    median = {"kpis": {"total_return": spread["total_return"]["median"]}, "buy_and_hold": held}
    return Page(
        kind="Backtest of many policies",
        title=run.name,
        lead=" · ".join(describe_data(run.about["data"])),
        opening=[
            *backtest_notes(run, {"assumptions": result["assumptions"], **median}, of=f", the median of {n} policies"),
            KeyFigures(headline, is_large=True),
        ],
        sections=[
            Section("policies", "Policies", [*policy_figures(table), _ranked(table)]),
            Section(
                "performance",
                "Figures over the policies",
                [KeyFigures(assumption_facts(result["assumptions"])), Beside(_spread(spread, held))],
            ),
        ],
        footer=made_by(run),
    )


def _spread(spread: dict[str, dict], held: dict) -> list[Table]:
    defined = {name: found["median"] for name, found in spread.items() if found["policies"]}
    return [
        Table(
            group,
            ("", "Least", "Median", "Greatest", "Holding"),
            [
                (
                    label(name),
                    *(shown_value(name, spread[name][kind]) for kind in ("minimum", "median", "maximum")),
                    shown_value(name, held[name]) if name in held else "",
                )
                for name in names
            ],
        )
        for group, names in grouped(defined)
    ]


def _ranked(table: pl.DataFrame) -> Table:
    ranked = table.sort("total_return", descending=True, nulls_last=True, maintain_order=True).head(MOST_ROWS)
    rest = f" The {count(MOST_ROWS)} best of {count(table.height)}." if table.height > MOST_ROWS else ""
    return Table(
        title="Policies by return",
        caption="All their figures are in policies.parquet. Who takes the best of many has chosen by these bars, and "
        f"needs others to test the choice.{rest}",
        heads=("Seed", "Return", "Sharpe", "Drawdown", "Trades"),
        rows=[
            (seed, percent(own), number(sharpe, 3), percent(drawdown), count(trades))
            for seed, own, sharpe, drawdown, trades, _ in ranked.select(COLUMNS).iter_rows()
        ],
    )


def policy_figures(table: pl.DataFrame) -> Iterator[Figure]:
    """The returns of many policies on the same bars, the best first; table: `PopulationBacktest.table`."""
    ranked = table.sort("total_return", descending=True, nulls_last=True, maintain_order=True)
    held = ranked["buy_and_hold_total_return"].drop_nulls().unique().to_list()
    own, n = ranked["total_return"], ranked.height
    across = np.array([-0.5, n - 0.5])
    lines = [theme.line("Buy and hold", across, np.full(2, held[0]), theme.GREY, line={"dash": "dot"})]
    beaten = f" Of {count(n)} policies {count((own > held[0]).sum())} exceed it."
    yield Figure(
        name="returns",
        title="Return of each policy",
        caption="The total return of each policy's account, the best first, and that of buying and holding."
        + (beaten if len(held) == 1 else ""),
        alt=f"Dots of {count(n)} policies, from {percent(own[0])} down to {percent(own[-1])}.",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": "Policies",
                "x": list(range(n)),
                "y": theme.numbers(own.cast(pl.Float64).to_numpy()),
                "text": [f"seed {seed}" for seed in ranked["seed"]],
                "marker": {"size": 7, "color": theme.BLUE},
                "hovertemplate": "%{text}: %{y:.2%}<extra></extra>",
            },
            *(lines if len(held) == 1 else []),
        ],
        layout=theme.layout(
            320,
            hovermode="closest",
            xaxis={**theme.titled("Policies, the best first"), "showticklabels": False, "showgrid": False},
            yaxis=theme.axis(tickformat=".0%", hoverformat=".1%"),
        ),
    )

"""The page of a backtest of many symbols: their book, and how they differ."""

import polars as pl

from idi_fast.reporting import theme
from idi_fast.reporting.account import HELD, account_course, account_figures
from idi_fast.reporting.backtests import backtest_notes
from idi_fast.reporting.certainty import calibration_sections
from idi_fast.reporting.formats import count, day, number, percent, plural
from idi_fast.reporting.merits import Merits
from idi_fast.reporting.parts import Figure, KeyFigures, Page, Section, Table
from idi_fast.reporting.run import ReportedRun, made_by, policy_of

COLUMNS = ("symbol", "total_return", "buy_and_hold_total_return", "sharpe_annualised", "max_drawdown")
MOST_ROWS = 100


def symbols_page(run: ReportedRun) -> Page:
    """The page of a folder that `idi-fast backtest` wrote for many symbols."""
    result = run.json("kpis.json")
    merits, assumptions = Merits(result), result["assumptions"]
    found = run.table("symbols.parquet", COLUMNS).frame(COLUMNS)
    first, last = assumptions["first_time"], assumptions["last_time"]
    days = [] if first is None else [f"{day(first)} – {day(last)}"]
    course = account_course(run) if run.has("equity.parquet") else None
    sections = [Section("performance", "Performance of the book", merits.parts())]
    if course is not None:
        figures = list(account_figures(run, merits.periods_per_year, course))
        sections.append(Section("account", "Account of the book", figures))
    sections.append(Section("symbols", "Symbols", [symbol_figure(found), _table(found)]))
    sections += calibration_sections(result.get("calibration"))
    return Page(
        kind="Backtest of many symbols",
        title=run.name,
        lead=" · ".join([plural(found.height, "symbol"), plural(assumptions["bars"], "bar"), *days]),
        opening=[*backtest_notes(run, result, course), KeyFigures(merits.headline(), is_large=True)],
        sections=sections,
        footer=f"{policy_of(run)} {made_by(run)}",
    )


def symbol_figure(found: pl.DataFrame) -> Figure:
    """The return of each symbol's account by that of holding it."""
    own, held = found["total_return"], found["buy_and_hold_total_return"]
    both = pl.col("total_return", "buy_and_hold_total_return")
    lowest, highest = found.select(both.min()).row(0), found.select(both.max()).row(0)
    ends = [min(lowest), max(highest)]
    better = int((own > held).sum())
    return Figure(
        name="by-symbol",
        title="Symbol by symbol",
        caption="The total return of each symbol's account by that of buying and holding it. Above the line the policy "
        f"earned more: with {count(better)} of {plural(found.height, 'symbol')}.",
        alt=f"A scatter of {plural(found.height, 'symbol')}; the returns of the policy go from {percent(lowest[0])} to "
        f"{percent(highest[0])}.",
        data=[
            theme.line("As much as holding", ends, ends, theme.GREY, line={"dash": "dot"}, hoverinfo="skip"),
            {
                "type": "scatter",
                "mode": "markers",
                "name": "Symbol",
                "x": theme.numbers(held),
                "y": theme.numbers(own),
                "text": [theme.plain(name) for name in found["symbol"]],
                "marker": {"size": 7, "color": theme.BLUE, "line": {"width": 0.5, "color": theme.PAGE}},
                "hovertemplate": "%{text}<br>policy %{y:.1%}<br>holding %{x:.1%}<extra></extra>",
            },
        ],
        layout=theme.layout(
            400,
            hovermode="closest",
            xaxis={**theme.titled(HELD), "tickformat": ".0%"},
            yaxis={**theme.titled("Policy"), "tickformat": ".0%"},
        ),
    )


def _table(found: pl.DataFrame) -> Table:
    ranked = found.sort("total_return", "symbol", descending=[True, False]).head(MOST_ROWS)
    rest = f" The {count(MOST_ROWS)} best of {count(found.height)}." if found.height > MOST_ROWS else ""
    return Table(
        title="Symbols by return",
        caption=f"All their figures are in symbols.parquet.{rest}",
        heads=("Symbol", "Return", "Holding", "Sharpe", "Drawdown"),
        rows=[
            (symbol, percent(own), percent(held), number(sharpe, 3), percent(drawdown))
            for symbol, own, held, sharpe, drawdown in ranked.iter_rows()
        ],
    )

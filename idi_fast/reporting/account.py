"""Figures of an account over time: equity, drawdown, trades on the price, months, the rolling Sharpe ratio."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.evaluation.verdicts import account_verdict, beside, signed_percent
from idi_fast.reporting import theme
from idi_fast.reporting.course import Course, read_course, rolling_sharpe, sharpe_bounds, sharpe_window
from idi_fast.reporting.formats import count, is_undefined, number, percent, plural, sentence
from idi_fast.reporting.months import month_figure
from idi_fast.reporting.parts import Figure
from idi_fast.reporting.prices import HAS_CANDLES, candle_trace, run_candles, volume_trace
from idi_fast.reporting.run import ReportedRun
from idi_fast.storage.tables import Table

EQUITY_COLUMNS = ("equity", "drawdown", "buy_and_hold")
TRADE_COLUMNS = ("entry_bar", "exit_bar", "direction", "entry_price", "exit_price", "profit", "bars")
MOST_TRADES = 200
"""Trades marked on the price: more hide it."""
HELD = "Buy and hold"


def account_figures(run: ReportedRun, per_year: float | None, course: Course | None = None) -> Iterator[Figure]:
    """The figures of a backtest's account; per_year: bars per year, None if they are irregular; course: the account's,
    if it was read before."""
    course = account_course(run) if course is None else course
    yield _equity(course)
    yield _drawdown(course)
    if course.sides is not None:
        yield _price(course, run, course.sides)
    if len(course.months) > 1:
        yield month_figure(course.months)
    window = sharpe_window(course, per_year)
    if window:
        yield _sharpe(course, window, per_year)


def account_course(run: ReportedRun) -> Course:
    """The account of a backtest over time."""
    return read_course(run.table("equity.parquet", EQUITY_COLUMNS))


def account_words(result: dict, course: Course | None, of: str = "") -> str | None:
    """What the account earned beside buying and holding, in a sentence; None where that is undefined.

    result: a backtest's kpis.json; course: the account's, without which nothing is said of chance; of: whose return it
    is, if not that of a single account.
    """
    own, held = result["kpis"]["total_return"], result["buy_and_hold"]["total_return"]
    if is_undefined(own) or is_undefined(held):
        return None
    if course is None:
        return sentence(beside(own, held, "buy and hold", signed_percent, of))
    bounds = {"zero": sharpe_bounds(course.moments["equity"]), "buy_and_hold": sharpe_bounds(course.moments["excess"])}
    above, below = ({name: [0] * is_so(pair) for name, pair in bounds.items()} for is_so in (_is_above, _is_below))
    return sentence(account_verdict(own, held, above, below, 1))


def _is_above(bounds: tuple[float, float]) -> bool:
    return bounds[0] > 0.0


def _is_below(bounds: tuple[float, float]) -> bool:
    return bounds[1] < 0.0


def _x_axis(course: Course, **own: object) -> dict:
    """From the first bar to the last in all figures, so that they zoom together."""
    own = {"range": [int(course.lines["equity"].x[0]), int(course.ends[-1])], **own}
    return theme.axis(type="date", **own) if course.is_dated else theme.titled("Bar", **own)


def _layout(course: Course, height: int, **own: object) -> dict:
    made = theme.layout(height, meta={"zoom": "bars"}, **{"xaxis": _x_axis(course), **own})
    made["legend"] |= {"traceorder": "reversed"}  # the policy's line is drawn last, on top, and named first
    return made


def _thinned(course: Course) -> str:
    if course.size == 1:
        return ""
    return f" Drawn are the lowest and the highest value of every {plural(course.size, 'bar')}: no peak is lost."


def _equity(course: Course) -> Figure:
    own, held = course.lines["equity"], course.lines["buy_and_hold"]
    told = "The account at each close, from an equity of 1, after costs, and that of buying and holding."
    return Figure(
        name="equity",
        title="Equity",
        caption=told + _thinned(course),
        alt=f"Two lines: the policy's equity ends at {number(own.y[-1])}, that of buying and holding at "
        f"{number(held.y[-1])}, both from 1.",
        data=[
            theme.line(HELD, held.x, held.y, theme.GREY),
            theme.line("Policy", own.x, own.y, theme.BLUE),
        ],
        layout=_layout(course, 360, yaxis=theme.axis(tickformat=",~r", hoverformat=",.4~r")),
        has_log=True,
    )


def _drawdown(course: Course) -> Figure:
    own, held = course.lines["drawdown"], course.lines["drawdown_held"]
    return Figure(
        name="drawdown",
        title="Drawdown",
        caption=f"How far the equity stands below its highest so far, the initial 1 included.{_thinned(course)}",
        alt=f"Two lines below zero: the policy falls at worst by {percent(-own.y.min())} from its peak, buying and "
        f"holding by {percent(-held.y.min())}.",
        data=[
            theme.line(HELD, held.x, held.y, theme.GREY),
            theme.line("Policy", own.x, own.y, theme.ORANGE, fill="tozeroy", fillcolor=theme.role("orange-veil")),
        ],
        layout=_layout(course, 240, yaxis=theme.axis(tickformat=".0%", hoverformat=".1%")),
    )


def _price(course: Course, run: ReportedRun, exposure: np.ndarray) -> Figure:
    close, candles = course.lines["close"], run_candles(run)
    marks, said = _trade_marks(run, course.is_dated)
    # A position is held from its close on; the mean of a bucket is drawn at its end.
    step, of_price, of_position = "hv", "", "the position held at each close"
    if course.size > 1:
        every = f"every {plural(course.size, 'bar')}"
        step, of_price, of_position = "vh", f", the lowest and the highest of {every},", f"the mean position of {every}"
    sides = list(zip(("Long", "Short"), exposure, (theme.SIDES["buy"], theme.SIDES["sell"]), strict=True))
    bands = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": theme.numbers(course.ends),
            "y": theme.numbers(y),
            "yaxis": "y2",
            "fill": "tozeroy",
            "fillcolor": colour,
            "line": {"width": 0, "shape": step},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        for name, y, colour in sides
        if y.any()
    ]
    shares = " and ".join(f"{name.lower()} {percent(abs(float(y.mean())))}" for name, y, _ in sides)
    traces, axes = [theme.line("Close", close.x, close.y, theme.MUTED, line={"width": 1.2})], {}
    price, top = f"the closing price{of_price}", 0.24
    if candles is not None and set(candles.columns) >= HAS_CANDLES:
        traces, price = [candle_trace(candles, showlegend=False)], f"the price, {_each_candle(candles)}"
    if candles is not None and "volume" in candles.columns:
        traces.append(volume_trace(candles, yaxis="y3"))
        axes["yaxis3"] = theme.fixed(domain=[0.19, 0.33], tickformat=".2~s", nticks=3, rangemode="tozero")
        price, top = f"{price}{said}; below the volume", 0.38
    else:
        price = f"{price}{said}"
    below = {"range": [-1.08, 1.08], "tickvals": [-1, 0, 1], "ticktext": ["Short", "Flat", "Long"]}
    return Figure(
        name="price",
        title="Price, trades and position",
        caption=f"Above {price}{' and' if axes else '; below'} {of_position}.",
        alt=f"A line of the closing price, from {number(close.y[0])} to {number(close.y[-1])}, and below it the "
        f"position: {shares} of the time.",
        data=[*traces, *marks, *bands],
        layout=_layout(
            course,
            500 if axes else 440,
            xaxis={**_x_axis(course, anchor="y2"), "rangeslider": {"visible": False}},
            yaxis=theme.axis(domain=[top, 1.0], tickformat=",~r", hoverformat=",.6~r"),
            yaxis2=theme.fixed(domain=[0.0, 0.14], **below),
            hovermode="closest",
            bargap=0.2,
            **axes,
        ),
        has_log=True,
    )


def _each_candle(candles: pl.DataFrame) -> str:
    """How many bars a candle is made of."""
    return f"a candle for every {plural(int(candles['bars'][0]), 'bar')}"


def _trade_marks(run: ReportedRun, is_dated: bool) -> tuple[list[dict], str]:
    """Traces of entries and exits, and their part of the caption."""
    if not run.has("trades.parquet"):
        return [], ""
    trades, total = largest_trades(run.table("trades.parquet", TRADE_COLUMNS, may_be_empty=True))
    told = f" with the {plural(total, 'trade')}"
    if total > trades.height:
        told = f" with those {count(trades.height)} of {count(total)} trades that won or lost most"
    unit = "time" if is_dated else "bar"
    mark = {"symbol": "circle", "size": 5, "color": theme.PAGE, "line": {"width": 1.2, "color": theme.TEXT}}
    marks = [_marks("Exit", trades.drop_nulls("exit_bar"), f"exit_{unit}", "exit_price", mark)]
    for name, direction, symbol, colour in (
        ("Short entry", -1, "triangle-down", theme.SIDES["sell"]),
        ("Long entry", 1, "triangle-up", theme.SIDES["buy"]),
    ):
        mine = trades.filter(pl.col("direction") == direction)
        mark = {"symbol": symbol, "size": 8, "color": colour, "line": {"width": 0.5, "color": theme.PAGE}}
        marks.append(_marks(name, mine, f"entry_{unit}", "entry_price", mark))
    return [trace for trace in marks if trace["x"]], told


def largest_trades(source: Path | Table) -> tuple[pl.DataFrame, int]:
    """The trades to mark, in order of entry, and how many there are: the open one and, of the closed, those that won or
    lost the largest share of the equity."""
    table = Table.open(source)
    weight = pl.col("profit").abs().fill_null(math.inf)
    chosen: pl.DataFrame | None = None
    for frame in table.frames():
        frame = frame.with_columns(weight.alias("weight"))
        frame = frame if chosen is None else pl.concat([chosen, frame])
        chosen = frame.top_k(MOST_TRADES, by=["weight", "entry_bar"])
    assert chosen is not None  # a table has a frame at least
    return chosen.sort("entry_bar"), table.rows


def _marks(name: str, trades: pl.DataFrame, x: str, y: str, mark: dict) -> dict:
    times = trades[x] if trades[x].dtype.is_integer() else trades[x].dt.epoch("ms")
    told = [_told(name, profit, bars) for profit, bars in trades.select("profit", "bars").iter_rows()]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": times.to_list(),
        "y": theme.numbers(trades[y]),
        "text": told,
        "hovertemplate": "%{text}<br>%{y:,.6~r}<extra></extra>",
        "marker": mark,
    }


def _told(name: str, profit: float | None, bars: int | None) -> str:
    return f"{name}<br>still open" if bars is None else f"{name}<br>{percent(profit, 2)} in {plural(bars, 'bar')}"


def _sharpe(course: Course, window: int, per_year: float | None) -> Figure:
    scale = 1.0 if per_year is None else math.sqrt(per_year)
    own, held = (scale * rolling_sharpe(course.moments[name], window) for name in ("equity", "buy_and_hold"))
    x, known = course.ends[window - 1 :], own[~np.isnan(own)]
    told = f"lies between {number(known.min(), 3)} and {number(known.max(), 3)}" if known.size else "is undefined"
    unit = "per bar" if per_year is None else f"times the root of {number(per_year)}, the bars of a year"
    return Figure(
        name="sharpe",
        title="Rolling Sharpe ratio",
        caption=f"Of the bars' returns over the last {plural(window * course.size, 'bar')}: their mean over their "
        f"sample deviation, {unit}; no risk-free rate.",
        alt=f"Two lines: the policy's ratio {told}.",
        data=[theme.line(HELD, x, held, theme.GREY), theme.line("Policy", x, own, theme.BLUE)],
        layout=_layout(course, 260, yaxis=theme.axis(zeroline=True, zerolinecolor=theme.MUTED, hoverformat=".2f")),
    )

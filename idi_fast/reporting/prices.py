"""Prices as candlesticks with their volume, as far as a history has them."""

import numpy as np
import polars as pl

from idi_fast.data.candles import candle_frame
from idi_fast.data.history import History
from idi_fast.reporting import theme
from idi_fast.reporting.formats import number, plural
from idi_fast.reporting.parts import Figure
from idi_fast.reporting.run import ReportedRun

MOST_DRAWN = 256
"""Candles of a figure: more cannot be told apart."""
HAS_CANDLES = {"open", "high", "low", "close"}


def drawn_candles(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of `Candles.frame`, merged to at most MOST_DRAWN; x is in ms since 1970 or bars, at a candle's first
    bar."""
    every = -(-rows.height // MOST_DRAWN)
    how = {
        "open": pl.col("open").first(),
        "high": pl.col("high").max(),
        "low": pl.col("low").min(),
        "close": pl.col("close").last(),
        "volume": pl.col("volume").sum(),
        "bars": pl.col("bars").sum(),
    }
    x = pl.col("time").dt.epoch("ms") if "time" in rows.columns else pl.col("tick")
    group = rows.with_row_index("row").group_by(pl.col("row") // every, maintain_order=True)
    return group.agg(x.first().alias("x"), *(made for name, made in how.items() if name in rows.columns)).drop("row")


def run_candles(run: ReportedRun) -> pl.DataFrame | None:
    """The candles of a backtest, see `drawn_candles`; None where it kept none."""
    if not run.has("candles.parquet"):
        return None
    return drawn_candles(run.table("candles.parquet", ("tick", "close", "bars")).frame())


def candle_trace(candles: pl.DataFrame, **own: object) -> dict:
    """The candlesticks; a rising one is hollow, since colours tell actions apart."""
    kinds = {
        name: {"line": {"color": theme.MUTED, "width": 1}, "fillcolor": colour}
        for name, colour in (("increasing", theme.PAGE), ("decreasing", theme.MUTED))
    }
    values = {name: theme.numbers(candles[name]) for name in ("open", "high", "low", "close")}
    return {"type": "candlestick", "name": "Price", "x": candles["x"].to_list(), **values, **kinds, **own}


def volume_trace(candles: pl.DataFrame, **own: object) -> dict:
    """The volume of each candle as a bar; one that is not whole is as short as its bars are few."""
    return {
        "type": "bar",
        "name": "Volume",
        "x": candles["x"].to_list(),
        "y": theme.numbers(candles["volume"].cast(pl.Float64)),
        "marker": {"color": theme.GREY},
        "showlegend": False,
        "hovertemplate": "volume %{y:,.4~s}<extra></extra>",
        **own,
    }


def price_figure(history: History) -> Figure:
    """The prices of a history of one or more bars, and their volume."""
    rows = drawn_candles(candle_frame(history))
    has_candles, has_volume = set(rows.columns) >= HAS_CANDLES, "volume" in rows.columns
    x = rows["x"].to_numpy()
    line = theme.line("Close", x, rows["close"].to_numpy(), theme.BLUE)
    data = [candle_trace(rows) if has_candles else line]
    axes = {"yaxis": theme.axis(tickformat=",~r", hoverformat=",.6~r", domain=[0.24 if has_volume else 0.0, 1.0])}
    if has_volume:
        data.append(volume_trace(rows, yaxis="y2"))
        axes["yaxis2"] = theme.fixed(domain=[0.0, 0.18], tickformat=".2~s", nticks=3, rangemode="tozero")
    size = int(rows["bars"].max() or 1)  # pyright: ignore[reportArgumentType] -- of an integer column
    each = f" Each stands for {plural(size, 'bar')}." if size > 1 else ""
    what = "Open, highest, lowest and closing price" if has_candles else "The closing price"
    low, high = float(np.min(history.close)), float(np.max(history.close))
    return Figure(
        name="price",
        title="Price",
        caption=f"{what}{', and the volume below' if has_volume else ''}.{each}",
        alt=f"{'Candlesticks' if has_candles else 'A line'} of {plural(len(history), 'bar')}; the closes lie between "
        f"{number(low)} and {number(high)}.",
        data=data,
        layout=theme.layout(
            400,
            margin=theme.NO_LEGEND,
            showlegend=False,
            xaxis={
                **(theme.titled("Bar") if history.time is None else theme.axis(type="date")),
                "rangeslider": {"visible": False},
                **({"anchor": "y2"} if has_volume else {}),
            },
            **axes,
        ),
    )

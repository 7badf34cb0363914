"""The page of a walk-forward analysis: the stitched equity of each seed, and the return of each window."""

import numpy as np
import polars as pl

from idi_fast.report import theme
from idi_fast.report.course import bucket_size, extreme_rows
from idi_fast.report.formats import UNDEFINED, count, number, percent, plural
from idi_fast.report.merits import assumption_facts, label, shown_value
from idi_fast.report.parts import Facts, Figure, Note, Page, Section, Table
from idi_fast.report.run import Run, describe_data, made_by

MOST_SEEDS = 40
"""Seeds that are drawn: more lines are beyond telling apart."""
MOST_CELLS = 10
"""Windows up to which their returns are written into the heat map."""
HELD = "Buy and hold"


def walk_page(run: Run) -> Page:
    """The page of a folder that `idi-fast walkforward` wrote."""
    result, config = run.json("walkforward.json"), run.about["config"]
    assumptions = {**result["assumptions"]}
    seeds = [str(seed) for seed in assumptions.pop("seeds")]
    drawn = seeds[:MOST_SEEDS]
    over, held = result["over_seeds"], result["buy_and_hold"]
    spread = [
        (label(name), *(shown_value(name, over[name][which]) for which in ("min", "median", "max")),
         shown_value(name, held[name]))
        for name in over
    ]  # fmt: skip
    headline = [
        ("Median return", percent(over["total_return"]["median"])), (HELD, percent(held["total_return"])),
        ("Median Sharpe ratio", number(over["sharpe_annualised"]["median"], 3)),
        ("Median max drawdown", percent(over["max_drawdown"]["median"])), ("Seeds", count(len(seeds))),
        ("Windows", count(assumptions["windows"])),
    ]  # fmt: skip
    merits = [
        Facts([*assumption_facts(assumptions), ("Episodes a window", count(config["episodes"]))]),
        Table("Over the seeds", ("", "Least", "Median", "Greatest", HELD), spread),
        _by_seed(result["by_seed"]),
    ]
    return Page(
        kind="Walk-forward analysis",
        title=run.name,
        lead=" · ".join(describe_data(run.about["data"])),
        opening=[
            Note("Out of sample: each window was tested on bars after those it was trained on."),
            Note(f"{result['verdict'][:1].upper()}{result['verdict'][1:]}."), Facts(headline, is_large=True),
        ],
        sections=[
            Section("account", "Account", [_equity(run, seeds, drawn), _windows(run, drawn)]),
            Section("performance", "Performance", merits),
        ],
        footer=f"Config {run.about['fingerprint'][:12]}. {made_by(run)}",
    )  # fmt: skip


def _equity(run: Run, seeds: list[str], drawn: list[str]) -> Figure:
    path = run.table("equity.parquet", ("seed", "tick", "equity", "buy_and_hold"))
    scan = pl.scan_parquet(path)
    is_dated = "time" in scan.collect_schema()
    x = (pl.col("time").dt.epoch("ms") if is_dated else pl.col("tick")).alias("x")
    lines, size = [], 1
    for seed in drawn:
        mine = scan.filter(pl.col("seed") == seed).select(x, "equity", "buy_and_hold").collect()
        size = bucket_size(mine.height)
        lines.append((f"Seed {seed}", *_thin(mine, "equity", size)))
    held = theme.line(HELD, *_thin(mine, "buy_and_hold", size), theme.TEXT, line={"dash": "dot"})
    own = [
        theme.line(name, x, y, theme.BLUE, opacity=0.75, line={"width": 1.2}, showlegend=name == lines[0][0], legendgroup="seeds")
        for name, x, y in lines
    ]  # fmt: skip
    own[0]["name"] = "Seeds" if len(lines) > 1 else lines[0][0]
    thinned = f" Drawn are the lowest and the highest value of every {plural(size, 'bar')}." if size > 1 else ""
    some = f" Drawn are the first {count(len(drawn))} of {count(len(seeds))} seeds." if len(seeds) > len(drawn) else ""
    ends = [y[-1] for _, _, y in lines]
    return Figure(
        name="equity",
        title="Stitched equity",
        caption="The account over the test windows, one after the other, from an equity of 1: a line a seed, and buying and "
        f"holding in the same windows.{thinned}{some}",
        alt=f"{plural(len(lines), 'line')} of equity, which end between {number(min(ends))} and {number(max(ends))}; buying and "
        f"holding ends at {number(held['y'][-1])}.",
        data=[*own, held],
        layout=theme.layout(
            380, xaxis=theme.axis(type="date") if is_dated else theme.titled("Bar"),
            yaxis=theme.axis(tickformat=",~r", hoverformat=",.4~r"),
        ),
        has_log=True,
    )  # fmt: skip


def _thin(frame: pl.DataFrame, column: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    values = frame[column].to_numpy()
    kept = extreme_rows(values, size)
    return frame["x"].to_numpy()[kept], values[kept]


def _windows(run: Run, drawn: list[str]) -> Figure:
    frame = pl.read_parquet(run.table("windows.parquet", ("window", "seed", "total_return", "buy_and_hold")))
    windows = frame["window"].unique().sort().to_list()
    held = frame.unique("window").sort("window")["buy_and_hold"].to_list()
    returns = [held] + [frame.filter(pl.col("seed") == seed).sort("window")["total_return"].to_list() for seed in drawn]
    dates = "test_first_time" in frame.columns
    first = frame.unique("window").sort("window")["test_first_time"].str.slice(0, 7).to_list() if dates else windows
    most = max(abs(value) for row in returns for value in row) or 1.0
    is_written = len(windows) <= MOST_CELLS
    text = {"text": [[percent(value, 0) for value in row] for row in returns], "texttemplate": "%{text}"}
    beaten = sum(value > row[k] for row in [held] for seed in returns[1:] for k, value in enumerate(seed))
    cells = len(drawn) * len(windows)
    axis = {"type": "category", "showgrid": False, "ticks": "", "fixedrange": True}
    return Figure(
        name="windows",
        title="Return of each window",
        caption=f"The return of the test of each window, a column a window by {'its first month' if dates else 'its number'}.",
        alt=f"A heat map of {plural(len(windows), 'window')} by {plural(len(drawn), 'seed')}; the policy's return exceeds that of "
        f"buying and holding in {count(beaten)} of {count(cells)} cells.",
        data=[
            {
                "type": "heatmap", "x": [str(value) for value in first], "y": [HELD, *(f"Seed {seed}" for seed in drawn)],
                "z": [theme.numbers(row) for row in returns], "zmin": -most, "zmax": most, "showscale": False,
                "colorscale": theme.LOSS_TO_PROFIT, "xgap": 2, "ygap": 2,
                "hovertemplate": "%{y}, %{x}: %{z:.1%}<extra></extra>", **(text if is_written else {}),
            }
        ],
        layout=theme.layout(
            60 + max(26, 120 // len(returns)) * len(returns), hovermode="closest",
            xaxis={**theme.axis(side="top"), **axis}, yaxis={**theme.axis(autorange="reversed"), **axis},
        ),
    )  # fmt: skip


def _by_seed(by_seed: dict[str, dict]) -> Table:
    return Table(
        title="By seed",
        caption="The 95% interval is that of the Sharpe ratio per bar of the returns above those of buying and holding.",
        heads=("Seed", "Return", "Sharpe", "Drawdown", "95% interval"),
        rows=[
            (seed, percent(found["total_return"]), number(found["sharpe_annualised"], 3), percent(found["max_drawdown"]),
             _interval(found["excess_sharpe_interval"]))
            for seed, found in by_seed.items()
        ],
    )  # fmt: skip


def _interval(interval: list[float | None]) -> str:
    low, high = interval
    return UNDEFINED if low is None else f"{number(low, 2)} to {number(high, 2)}"

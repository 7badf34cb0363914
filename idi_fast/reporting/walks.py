"""The page of a walk-forward analysis: the stitched equity of each seed, and the return of each window."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from idi_fast.reporting import theme
from idi_fast.reporting.course import bucket_size, extreme_rows
from idi_fast.reporting.formats import UNDEFINED, count, number, percent, plural, sentence
from idi_fast.reporting.merits import assumption_facts, label, shown_value
from idi_fast.reporting.months import PLAIN
from idi_fast.reporting.parts import Figure, KeyFigures, Note, Page, Section, Table
from idi_fast.reporting.run import ReportedRun, describe_data, made_by

MOST_SEEDS = 40
"""Most seeds to draw: more lines cannot be told apart."""
MOST_CELLS = 10
"""Most windows for which the returns are written into the heat map."""
HELD = "Buy and hold"


def walk_page(run: ReportedRun) -> Page:
    """The page of a folder that `idi-fast walkforward` wrote."""
    result = run.json("walkforward.json")
    assumptions = dict(result["assumptions"])
    seeds = [str(seed) for seed in assumptions.pop("seeds")]
    verdict, over, held = result["verdict"], result["over_seeds"], result["buy_and_hold"]
    headline = [
        ("Median return", percent(over["total_return"]["median"])),
        (HELD, percent(held["total_return"])),
        ("Median Sharpe ratio", number(over["sharpe_annualised"]["median"], 3)),
        ("Median max drawdown", percent(over["max_drawdown"]["median"])),
        ("Seeds", count(len(seeds))),
        ("Windows", count(assumptions["windows"])),
    ]
    facts = [*assumption_facts(assumptions), ("Episodes a window", count(run.about["config"]["episodes"]))]
    return Page(
        kind="Walk-forward analysis",
        title=run.name,
        lead=" · ".join(describe_data(run.about["data"])),
        opening=[
            Note(sentence(verdict)),
            Note("Out of sample: each window was tested on bars after those it was trained on."),
            *(Note(sentence(text), is_warning=True) for text in result.get("notes", ())),
            KeyFigures(headline, is_large=True),
        ],
        sections=[
            Section("account", "Account", list(walk_figures(run, seeds))),
            Section(
                "performance", "Performance", [KeyFigures(facts), _spread(over, held), _by_seed(result["by_seed"])]
            ),
        ],
        footer=f"Config {run.about['fingerprint'][:12]}. {made_by(run)}",
    )


def walk_figures(run: ReportedRun, seeds: list[str]) -> Iterator[Figure]:
    """The stitched equity of each seed, and the return of each window."""
    yield _equity(run, seeds)
    yield _windows(run, seeds[:MOST_SEEDS])


def read_accounts(run: ReportedRun, seeds: list[str]) -> tuple[bool, list[pl.DataFrame]]:
    """Whether there are times, and the account of each of these seeds: x (ms since 1970 or bars), equity,
    buy_and_hold."""
    table = run.table("equity.parquet", ("seed", "tick", "equity", "buy_and_hold"))
    is_dated = "time" in table.columns
    x = (pl.col("time").dt.epoch("ms") if is_dated else pl.col("tick")).alias("x")
    read = ("seed", "time" if is_dated else "tick", "equity", "buy_and_hold")
    frames = (frame.filter(pl.col("seed").is_in(seeds)) for frame in table.frames(read))
    accounts = pl.concat(frames).select("seed", x, "equity", "buy_and_hold")
    return is_dated, [accounts.filter(pl.col("seed") == seed) for seed in seeds]


def _equity(run: ReportedRun, seeds: list[str]) -> Figure:
    drawn, data = seeds[:MOST_SEEDS], []
    is_dated, parts = read_accounts(run, drawn)
    for seed, mine in zip(drawn, parts, strict=True):
        style = {"width": 1.4, **theme.told_apart(len(data))}
        own = {"line": style, "showlegend": len(drawn) <= theme.MOST_TOLD_APART}
        data.append(theme.line(f"Seed {seed}", *thinned(mine, "equity"), style["color"], **own))
    ends = [line["y"][-1] for line in data]
    held = theme.line(HELD, *thinned(parts[-1], "buy_and_hold"), theme.TEXT, line={"width": 2.4})
    size = bucket_size(parts[-1].height)
    fewer = f" Drawn are the lowest and the highest value of every {plural(size, 'bar')}." if size > 1 else ""
    some = f" Drawn are the first {count(len(drawn))} of {count(len(seeds))} seeds." if len(seeds) > len(drawn) else ""
    return Figure(
        name="equity",
        title="Stitched equity",
        caption="The account over the test windows, one after the other, from an equity of 1: a line per seed, and "
        f"buying and holding in the same windows.{fewer}{some}",
        alt=f"{plural(len(data), 'line')} of equity, which end between {number(min(ends))} and {number(max(ends))}; "
        f"buying and holding ends at {number(held['y'][-1])}.",
        data=[*data, held],
        layout=theme.layout(
            380,
            xaxis=theme.axis(type="date") if is_dated else theme.titled("Bar"),
            yaxis=theme.axis(tickformat=",~r", hoverformat=",.4~r"),
        ),
        has_log=True,
    )


def thinned(frame: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a line of an account, of which no peak is lost."""
    values = frame[column].to_numpy()
    kept = np.union1d(extreme_rows(values, bucket_size(values.size)), [0, values.size - 1])
    return frame["x"].to_numpy()[kept], values[kept]


def _windows(run: ReportedRun, seeds: list[str]) -> Figure:
    frame = run.table("windows.parquet", ("window", "seed", "total_return", "buy_and_hold")).frame()
    first = frame.filter(pl.col("seed") == seeds[0]).sort("window")
    held = first["buy_and_hold"].to_list()
    returns = [frame.filter(pl.col("seed") == seed).sort("window")["total_return"].to_list() for seed in seeds]
    is_dated = "test_first_time" in frame.columns
    labels = first["test_first_time"].str.slice(0, 7) if is_dated else first["window"].cast(pl.String)
    rows, most = [held, *returns], max(abs(value) for row in (held, *returns) for value in row)
    text = {"text": [[percent(value, 0) for value in row] for row in rows], "texttemplate": "%{text}"}
    better = sum(own > other for row in returns for own, other in zip(row, held, strict=True))
    return Figure(
        name="windows",
        title="Return of each window",
        caption=f"The return of the test of each window, by its {'first month' if is_dated else 'number'}.",
        alt=f"A heat map of {plural(len(held), 'window')} by {plural(len(seeds), 'seed')}; the policy's return exceeds "
        f"that of buying and holding in {count(better)} of {count(len(held) * len(seeds))} cells.",
        data=[
            {
                "type": "heatmap",
                "x": labels.to_list(),
                "y": [HELD, *(f"Seed {seed}" for seed in seeds)],
                "z": [theme.numbers(row) for row in rows],
                "zmin": -most or -1.0,
                "zmax": most or 1.0,
                "showscale": False,
                "colorscale": theme.LOSS_TO_PROFIT,
                "xgap": 2,
                "ygap": 2,
                "hovertemplate": "%{y}, %{x}: %{z:.1%}<extra></extra>",
                **(text if len(held) <= MOST_CELLS else {}),
            }
        ],
        layout=theme.layout(
            60 + max(26, 120 // len(rows)) * len(rows),
            hovermode="closest",
            xaxis=theme.axis(side="top", **PLAIN),
            yaxis=theme.axis(autorange="reversed", **PLAIN),
        ),
    )


def _spread(over: dict[str, dict], held: dict) -> Table:
    columns = ("min", "median", "max")
    rows = [
        (label(name), *(shown_value(name, found[column]) for column in columns), shown_value(name, held[name]))
        for name, found in over.items()
    ]
    return Table("Over the seeds", ("", "Least", "Median", "Greatest", HELD), rows)


def _by_seed(by_seed: dict[str, dict]) -> Table:
    return Table(
        title="By seed",
        caption="The 95% interval is that of the Sharpe ratio per bar of the returns above those of buying and holding "
        "(Lo 2002).",
        heads=("Seed", "Return", "Sharpe", "Drawdown", "95% interval"),
        rows=[
            (
                seed,
                percent(found["total_return"]),
                number(found["sharpe_annualised"], 3),
                percent(found["max_drawdown"]),
                _interval(*found["excess_sharpe_interval"]),
            )
            for seed, found in by_seed.items()
        ],
    )


def _interval(low: float | None, high: float | None) -> str:
    return UNDEFINED if low is None or high is None else f"{number(low, 2)} to {number(high, 2)}"

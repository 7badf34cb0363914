"""Mutated price histories, CSV and Parquet, through every command that reads one."""

import io
import random
from collections.abc import Callable

import numpy as np
import polars as pl

from idi_fast.bench.campaign import mutate
from idi_fast.bench.campaign.trial import OK, WRONG, Trial, difference, expect, tree, verdict_on
from idi_fast.bench.campaign.world import QUICK, World

COMMANDS = {
    "backtest": ("backtest", "{data}", "--policy", "agent", "--out", "out"),
    "symbols": ("backtest", "{data}", "--policy", "agent", "--symbol-col", "symbol", "--out", "out"),
    "drop": ("backtest", "{data}", "--policy", "agent", "--nan", "drop", "--json", "--out", "out"),
    "same-close": ("backtest", "{data}", "--policy", "agent", "--fill", "same-close", "--no-trace", "--out", "out"),
    "period": (
        "backtest",
        "{data}",
        "--policy",
        "agent",
        "--start",
        "2022-07-01",
        "--end",
        "2022-09-01",
        "--out",
        "out",
    ),
    "compat": ("backtest", "{data}", "--policy", "compat", "--compat", "idi-iann", "--out", "out"),
    "calibrate": ("backtest", "{data}", "--calibrate-only"),
    "evaluate": ("evaluate", "agent", "--data", "{data}", "--json"),
    "train": ("train", "--data", "{data}", *QUICK, "--out", "out"),
    "walkforward": ("walkforward", "{data}", "--config", "history.json", *QUICK, "--out", "out"),
    "sweep": ("sweep", "{data}", "--config", "history.json", "--grid", "discount=0.8,0.9", *QUICK, "--out", "out"),
}
WRITING = {name for name, argv in COMMANDS.items() if "--out" in argv}

HUGE = (0.0, -1.0, 1e-300, 1e300, 1.7e308, float("nan"), float("inf"), float("-inf"), 5e-324, 1e9)
TIMES = (0, -1, 1, 2**31 - 1, 2**31, 20240105, 202401051030, 45_000, 2**62, -(2**62), 2**63 - 1, 10**12, 10**15, 10**18)
TYPES = (
    pl.String,
    pl.Float32,
    pl.Int8,
    pl.Int64,
    pl.UInt64,
    pl.Boolean,
    pl.Decimal(20, 4),
    pl.Categorical,
    pl.Binary,
    pl.Null,
    pl.Date,
    pl.Datetime("ns"),
    pl.Datetime("ms", "UTC"),
    pl.Datetime("us", "Europe/Berlin"),
    pl.Time,
    pl.Duration,
    pl.List(pl.Float64),
    pl.Struct({"a": pl.Float64}),
)
NAMES = (
    "",
    " close",
    "Close",
    "CLOSE",
    "price",
    "time",
    "date",
    "Gmt time",
    "timestamp",
    "volume",
    "x",
    "🙂",
    "a" * 400,
)


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """One damaged history through one command: it is accepted, or refused in one line without writing anything."""
    trial.kind = rng.choice(sorted(COMMANDS))
    folder = world.sandbox("agent", "history.json", *(["compat"] if trial.kind == "compat" else []))
    frame = pl.read_csv(world.need("later.csv"), try_parse_dates=True)
    kind = rng.choice(("csv", "csv", "parquet", "parquet"))
    trial.what, name, data = (_csv if kind == "csv" else _parquet)(rng, frame)
    (folder / name).write_bytes(data)
    before = tree(folder)
    outcome = world.worker.run(*(str(arg).format(data=name) for arg in COMMANDS[trial.kind]), cwd=folder)
    verdict = verdict_on(outcome)
    made = difference(tree(folder), before)
    if verdict == OK and trial.kind in WRITING:
        expect((folder / "out" / "manifest.json").is_file(), WRONG, "exit code 0, but nothing was written")
    else:
        expect(not made, WRONG, f"{verdict}, and yet {made}: {outcome.stderr}")
    return verdict


def _csv(rng: random.Random, frame: pl.DataFrame) -> tuple[str, str, bytes]:
    what = []
    if rng.random() < 0.6:
        frame, how = _table(rng, frame)
        what.append(how)
    text = io.BytesIO()
    separator = rng.choice((",", ",", ",", ";", "\t", "|"))
    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Object)]
    beyond = [name for name, kind in frame.schema.items() if kind.is_temporal() and not _has_text(frame[name])]
    frame = frame.drop(nested).with_columns(pl.col(beyond).cast(pl.Int64))
    frame.write_csv(text, separator=separator, include_header=rng.random() < 0.95)
    data = text.getvalue()
    if rng.random() < 0.6:
        data, how = mutate.of_text(rng, data)
        what.append(how)
    name = rng.choice(("data.csv", "data.csv", "data.csv", "data.txt", "data.parquet", "data.csv.gz"))
    return f"{name}, separated by {separator!r}: {'; '.join(what)}", name, data


def _has_text(times: pl.Series) -> bool:
    """Whether all of these times lie within a calendar; polars panics where others are to be written as text."""
    kind = times.dtype
    if kind in (pl.Time, pl.Duration):
        return kind == pl.Time
    numbers, units = times.cast(pl.Int64), {"ms": 10**3, "us": 10**6, "ns": 10**9}
    most = 10**8 * 86_400 * units[kind.time_unit] // 1000 if isinstance(kind, pl.Datetime) else 10**6
    return bool((numbers.is_between(-most, most) | numbers.is_null()).all())


def _parquet(rng: random.Random, frame: pl.DataFrame) -> tuple[str, str, bytes]:
    what = []
    if rng.random() < 0.4:
        frame, how = _table(rng, frame)
        what.append(how)
    buffer = io.BytesIO()
    options = {
        "compression": rng.choice(("zstd", "snappy", "uncompressed", "gzip", "lz4")),
        "row_group_size": rng.choice((None, None, 7, 64)),
        "data_page_size": rng.choice((None, 64)),
        "statistics": rng.random() < 0.8,
    }
    frame.write_parquet(buffer, **options)
    data = buffer.getvalue()
    if not what or rng.random() < 0.5:
        footer = int.from_bytes(data[-8:-4], "little") + 8
        begin = rng.choice((4, 4, max(len(data) - footer, 0), len(data) - 8))
        data, how = mutate.of_bytes(rng, data, begin)
        what.append(how)
    name = rng.choice(("data.parquet", "data.parquet", "data.parquet", "data.csv"))
    return f"{name} ({options['compression']}): {'; '.join(what)}", name, data


def _table(rng: random.Random, frame: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    kind = rng.choice(sorted(_CHANGES))
    return _CHANGES[kind](rng, frame), kind


def _with_values(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    """Some values of a column of numbers are replaced, or all are scaled."""
    name = rng.choice(("open", "high", "low", "close", "volume"))
    values = frame[name].cast(pl.Float64).to_numpy().copy()
    for _ in range(rng.choice((1, 1, 2, len(values)))):
        values[rng.randrange(len(values))] = rng.choice(HUGE)
    if rng.random() < 0.2:
        with np.errstate(over="ignore", invalid="ignore"):
            values = values * rng.choice((1e-320, 1e300, -1.0, 0.0))
    return frame.with_columns(pl.Series(name, values))


def _with_nulls(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    name, rows = rng.choice(frame.columns), rng.sample(range(frame.height), rng.choice((1, 5, frame.height)))
    return frame.with_columns(pl.when(pl.int_range(frame.height).is_in(rows)).then(None).otherwise(name).alias(name))


def _renamed(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    old, new = rng.choice(frame.columns), rng.choice(NAMES)
    return frame if new in frame.columns else frame.rename({old: new})


def _retyped(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    name, kind = rng.choice(frame.columns), rng.choice(TYPES)
    try:
        return frame.with_columns(frame[name].cast(kind, strict=False))
    except pl.exceptions.PolarsError:  # what cannot be cast is made of nothing
        return frame.with_columns(pl.lit(None, dtype=kind).alias(name))


def _other_times(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    """Times in another order, another unit, or beyond the calendar."""
    n, time = frame.height, frame["time"].cast(pl.Datetime("us"))
    first, step = rng.choice(TIMES), rng.choice((0, 1, 60, 86_400, -1, 10**9))
    numbers = pl.Series("time", [min(max(first + k * step, -(2**63)), 2**63 - 1) for k in range(n)], dtype=pl.Int64)
    order = list(range(n))
    rng.shuffle(order)
    kinds: tuple[Callable[[], pl.Series], ...] = (
        lambda: time.reverse(),
        lambda: time[order],
        lambda: time.shift(1, fill_value=time[0]),
        lambda: numbers,
        lambda: numbers.cast(pl.String),
        lambda: numbers.cast(pl.Float64),
        lambda: numbers.cast(pl.Datetime(rng.choice(("ms", "us", "ns")))),
        lambda: pl.Series("time", np.clip(numbers.to_numpy(), -(2**31), 2**31 - 1).astype(np.int32)).cast(pl.Date),
        lambda: time.dt.strftime(
            rng.choice(("%d.%m.%Y", "%m/%d/%y", "%Y%m%d", "%H:%M", "%d %b %Y", "%Y-%m-%dT%H:%M:%SZ"))
        ),
        lambda: time.dt.strftime("%Y-%m-%d") + rng.choice((" 24:00", " 25:00", "+99:00", "Z", " x", " 12:00 AM")),
    )
    return frame.with_columns(rng.choice(kinds)().alias("time"))


def _other_rows(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    kinds = (
        lambda: frame.head(rng.choice((0, 1, 2, 3, 8))),
        lambda: frame.sample(fraction=1.0, shuffle=True, seed=rng.randrange(1000)),
        lambda: pl.concat([frame, frame]),
        lambda: pl.concat([frame] * 30).with_columns(pl.lit("A").alias("symbol")),
        lambda: frame.reverse(),
    )
    return rng.choice(kinds)()


def _other_columns(rng: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    kinds = (
        lambda: frame.drop(rng.sample(frame.columns, rng.randrange(1, len(frame.columns)))),
        lambda: frame.select(rng.sample(frame.columns, len(frame.columns))),
        lambda: frame.with_columns(*(pl.lit(0).alias(f"x{k}") for k in range(rng.choice((1, 300))))),
        lambda: frame.with_columns(pl.lit(rng.choice(("", "../x", "a/b", "\0", "A" * 300, ".", ".."))).alias("symbol")),
        lambda: frame.with_columns(pl.int_range(frame.height).alias("symbol")),
    )
    return rng.choice(kinds)()


_CHANGES: dict[str, Callable[[random.Random, pl.DataFrame], pl.DataFrame]] = {
    "values": _with_values,
    "nulls": _with_nulls,
    "a renamed column": _renamed,
    "a retyped column": _retyped,
    "times": _other_times,
    "rows": _other_rows,
    "columns": _other_columns,
}

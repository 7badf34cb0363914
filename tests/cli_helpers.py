"""Running idi-fast, in this process or in one of its own, and a small world of files to run it on."""

import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import forked
import numpy as np
import polars as pl

from idi_fast.cli import main
from idi_fast.storage import exchange

MAIN = "from idi_fast.cli import main; main()"
NOTICE = "compiling kernels for this command"
QUICK = ("--episodes", 4, "--episode-length", 16)
FEW_STATES = tuple(f"--set=quantizer.{name}_buckets=2" for name in ("volume", "trend", "scarcity", "mood"))
"""What hides a table, or tries all of its states, takes as long as the table is large."""
STREAMS = (
    "q_buy",
    "q_sell",
    "risk_budget_ok",
    "q_emote_positive",
    "q_emote_alert",
    "q_emote_persistence",
    "q_regime",
    "price_up",
    "price_down",
    "weight_momentum",
    "weight_contra",
    "weight_trend",
    "risk_event",
)

BATCH = """
import json, resource, signal, sys
from cli_helpers import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails as on a full disk
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit, args in json.load(sys.stdin):
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))
    outcome = run(*args)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(json.dumps(outcome), flush=True)
"""

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class Outcome(NamedTuple):
    """What a command leaves behind besides files; stderr without the notice that kernels are being compiled."""

    status: int
    stdout: str
    stderr: str


def run(*args: object, stdout: io.StringIO | None = None) -> Outcome:
    """Run a command in this process."""
    stdout, stderr, status = stdout or io.StringIO(), io.StringIO(), 0
    argv = mock.patch.object(sys, "argv", ["idi-fast", *map(str, args)])
    with argv, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            main()
        except SystemExit as leaving:
            status = leaving.code or 0
    return Outcome(status, stdout.getvalue(), _without_notice(stderr.getvalue()))


def start(
    *args: object, code: str = MAIN, env: dict[str, str] | None = None, fresh: bool = False, **streams
) -> subprocess.Popen | forked.Process:
    """Start a command, or other code, in a process of its own; there too warnings are errors.

    fresh: whether it has to import everything itself, as it does where it has an environment or streams of its own.
    """
    arguments = list(map(str, args))
    if forked.AVAILABLE and not fresh and not env and set(streams) <= {"stdin"}:
        return forked.Process(code, arguments, dict(os.environ), stdin="stdin" in streams)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", **streams}
    argv = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.Popen(argv, env={**os.environ, **(env or {})}, **options)


def finish(process: subprocess.Popen | forked.Process, text: str | None = None) -> Outcome:
    """Wait for a process of `start`."""
    stdout, stderr = process.communicate(text, timeout=120)
    return Outcome(process.returncode, stdout or "", _without_notice(stderr))


def run_batch(calls: Sequence[tuple[int | None, Sequence[object]]]) -> list[Outcome]:
    """Run commands in one process of their own, each under a limit to the size of files, in bytes (None: no limit).

    If the process dies on the way, there are fewer outcomes than calls.
    """
    process = start(code=f"import sys; sys.path[:] = {sys.path}\n{BATCH}", stdin=subprocess.PIPE)
    outcome = finish(process, json.dumps([(limit, [str(arg) for arg in args]) for limit, args in calls]))
    return [Outcome(*json.loads(line)) for line in outcome.stdout.splitlines()]


def _without_notice(stderr: str) -> str:
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith(NOTICE))


def one_object(text: str) -> dict:
    """Parse the one strict JSON object that a text must be, and check that it says its version."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    assert value["schema_version"] == 1
    return value


def succeed(*args: object) -> Outcome:
    """Run a command in this process and check that it ends well, with stdout and nothing but notes on stderr."""
    outcome = run(*args)
    others = [line for line in outcome.stderr.splitlines() if not line.startswith("note: ")]
    assert (outcome.status, bool(outcome.stdout), others) == (0, True, []), outcome
    return outcome


def refused(folder: Path, *args: object, code: int = 2) -> str:
    """Run a command that must be refused in one line, with `folder` as it was before; return that line."""
    before = snapshot(folder)
    outcome = run(*args)
    assert (outcome.status, outcome.stdout, outcome.stderr.count("\n")) == (code, "", 1), outcome
    assert outcome.stderr.startswith("error: ")
    assert "internal error" not in outcome.stderr
    assert snapshot(folder) == before
    return outcome.stderr


def assert_mentions(message: str, *parts: object) -> None:
    assert [part for part in map(str, parts) if part not in message] == [], message


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in and below a folder, hidden or not: the bytes of files, None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def same_run(one: Path, other: Path) -> bool:
    """Whether two artifacts are equal in all files but timings.json."""
    left, right = snapshot(one), snapshot(other)
    return left.pop("timings.json") is not None and right.pop("timings.json") is not None and left == right


def bars(n: int = 120, first: int = 0) -> pl.DataFrame:
    """Daily bars, the same for the same days whichever stretch is asked for."""
    day = np.arange(first, first + n)
    close = 100.0 + 10.0 * np.sin(day / 9.0) + 3.0 * np.sin(day / 2.0)
    times = [datetime(2024, 1, 1) + timedelta(days=int(k)) for k in day]
    return pl.DataFrame({"time": times, "open": close + 0.25, "close": close, "volume": 1000.0 + 300.0 * np.cos(day)})


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


TABLE = bars(40).with_columns(pl.col("time").dt.strftime("%Y-%m-%d")).cast(pl.String)
CSV = TABLE.write_csv().encode()
PARQUET = parquet_bytes(bars(40))


def with_cell(row: int, column: str, value: str) -> bytes:
    """The table as CSV with one cell changed; rows count from 1."""
    number = pl.int_range(1, TABLE.height + 1)
    cell = pl.when(number == row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    return TABLE.with_columns(cell).write_csv().encode()


def make_world(folder: Path) -> Path:
    """Price histories and one agent of each kind, trained in a moment."""
    bars().write_csv(folder / "bars.csv")
    bars(first=120).write_parquet(folder / "later.parquet")
    bars().select("close").write_parquet(folder / "closes.parquet")
    bars(first=120).select("close").write_parquet(folder / "later_closes.parquet")
    kinds = {
        "agent": ("--data", folder / "bars.csv", "--episodes", 60, *FEW_STATES),
        "synthetic": FEW_STATES,
        "compat_crypto": ("--env", "crypto", "--compat", "idi-iann"),
    }
    for name, args in kinds.items():
        succeed("train", "--out", folder / name, *QUICK, *args)
    return folder


def copy_of(artifact: Path, target: Path) -> Path:
    shutil.copytree(artifact, target)
    return target


def put(folder: Path, manifest: str | None = None) -> Path:
    """Make a folder of somebody else's."""
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years of work")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    return folder


def link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


def restore(folder: Path, files: dict[str, bytes | None]) -> None:
    """Make the inside of a folder what a snapshot says."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    for name, data in files.items():
        (folder / name).mkdir() if data is None else (folder / name).write_bytes(data)


def rewritten(table: Path, target: Path, *, columns=None, about=None, raw: str | None = None) -> None:
    """Write a table of ours anew: `columns` changes its frame, `about` returns or makes changes of its metadata."""
    frame, metadata = pl.read_parquet(table), json.loads(pl.read_parquet_metadata(table)["idi_fast"])
    metadata.update((about(metadata) if about else None) or {})
    text = json.dumps(metadata) if raw is None else raw
    (columns(frame) if columns else frame).write_parquet(target, metadata={"idi_fast": text})


def flipped(artifact: Path, name: str, folder: Path, n: int) -> list[Path]:
    """Copies of an artifact, in each another byte of one file changed, all over the file."""
    data, copies = bytearray((artifact / name).read_bytes()), []
    for position in range(5, len(data), len(data) // n):
        copies.append(copy_of(artifact, folder / f"{name}-{position}"))
        damaged = data.copy()
        damaged[position] ^= 0x10
        (copies[-1] / name).write_bytes(damaged)
    return copies


def damage(path: Path, how: str, at: float) -> None:
    """Flip a bit at a place in a file (0: its beginning, 1: its end), or truncate the file there."""
    data = bytearray(path.read_bytes())
    place = min(int(at * len(data)), len(data) - 1)
    if how == "flip":
        data[place] ^= 0x04
    path.write_bytes(data[:place] if how == "truncate" else data)


@contextlib.contextmanager
def failing_write(name: str, error: BaseException) -> Iterator[None]:
    """Raise `error` when a file called `name` is opened for writing, and leave the file there, empty."""
    real = io.open

    def opened(file, mode="r", *args, **kwargs):
        if mode[0] in "wx" and not isinstance(file, int) and os.path.basename(file) == name:
            real(file, mode, *args, **kwargs).close()
            raise error
        return real(file, mode, *args, **kwargs)

    with mock.patch("io.open", opened), mock.patch("builtins.open", opened):
        yield


@contextlib.contextmanager
def failing_rename(error: BaseException, *, first: int, last: int, after: bool = False) -> Iterator[None]:
    """Raise `error` in the steps number `first` to `last` that put something in its place, counted from 1.

    after: after the step instead of before it.
    """
    real, calls = exchange._call, iter(range(1, 10_000))

    def call(source, target, *, exchanged):
        fails = first <= next(calls) <= last
        if not fails or after:
            real(source, target, exchanged=exchanged)
        if fails:
            raise error

    with mock.patch.object(exchange, "_call", call):
        yield

"""What goes to the terminal: data to stdout, everything else to stderr."""

import ast
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from idi_fast.cli import signals
from idi_fast.display import BARS, format_value, sparkline
from idi_fast.errors import printable

if TYPE_CHECKING:
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.data.panel import TrainingBars

UNWRITTEN = "nothing was written"
ARGUMENT = re.compile(r"`([a-z]+(?:_[a-z]+)*)(?:=([^`]+))?`")
FLAGS = {
    "load_plugin": "--plugin FILE.py",
    "funding": "--funding-col",
    "time": "--time-col",
    "price": "--price-col",
    "open": "--open-col",
    "volume": "--volume-col",
    "risk": "--risk-col",
    "history": "--data",
    "initial": "--init-policy",
    "streams": "--stream",
    "verify_command": "--command",
}
"""The flags of arguments whose flag has another name."""


COLOURS = {"error": "red", "warning": "yellow", "note": "yellow", "failed": "red"}
"""Of what messages begin with, on a terminal."""


def message(text: str) -> None:
    """A line for the user, on stderr. Nothing in it, such as the name of a file, can make further lines or colours; the
    lines of a drawing below it begin with two spaces. Arguments are named as flags, see `as_flags`."""
    shown = "\n  ".join(map(printable, as_flags(text).split("\n  ")))
    kind, colon, rest = shown.partition(":")
    if kind in COLOURS:
        shown = painted(f"{kind}{colon}", sys.stderr, fg=COLOURS[kind], bold=True) + rest
    typer.echo(shown, err=True)


def is_coloured(stream: Any) -> bool:
    """Whether a stream is a terminal that shows colours, and its user has not asked for none (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, stream: Any, **style: Any) -> str:
    """A text in a style of `typer.style`, where the stream shows colours."""
    return typer.style(text, **style) if is_coloured(stream) else text


def print_verdict(text: str) -> None:
    """Print what a result comes to, on stdout."""
    typer.echo(painted(text, sys.stdout, bold=True))


SPARKS = 60
"""Characters of a sparkline."""


def print_sparkline(name: str, table: Path, column: str) -> None:
    """Print a column of a table, if there is one, as a line of small bars with its first and last value: on a terminal
    whose encoding has them, nothing elsewhere."""
    if not sys.stdout.isatty() or not _can_show(BARS) or not os.path.isfile(table):
        return
    from idi_fast.storage.tables import Table

    rows = Table.open(table)
    if rows.rows < 2:
        return
    blocks = [block[column].to_numpy() for block in rows.blocks([column], -(-rows.rows // SPARKS))]
    line = sparkline([float(block.mean()) for block in blocks], SPARKS)
    if line:
        ends = f"{format_value(float(blocks[0][0]))} to {format_value(float(blocks[-1][-1]))}"
        typer.echo(f"\n{name}  {painted(line, sys.stdout, fg='cyan')}  {ends}")


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def as_flags(text: str) -> str:
    """A text of the library, with the flags of the command line in place of Python's arguments.

    In the library's messages an argument is in backticks: `jobs`, `force=True`, `time='none'`.
    """
    return ARGUMENT.sub(_flag, text)


def _flag(found: re.Match) -> str:
    name, value = found.groups()
    flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
    if value is None or value == "True":
        return flag
    if value == "False":
        return f"--no-{flag.removeprefix('--')}"
    with suppress(ValueError, SyntaxError):
        value = shlex.quote(ast.literal_eval(value)) if value[0] in "'\"" else value
    return f"{flag} {value}"


def note(text: str) -> None:
    """Print something that the user should know about a successful run, on stderr."""
    message(f"note: {text}")


def print_notes(texts: Iterable[str]) -> None:
    """Print each of these notes on stderr."""
    for text in texts:
        note(text)


def note_history(history: "TrainingBars | None") -> list[str]:
    """Point out wrong prices, splits and gaps of a history; returns the notes printed. None: no history."""
    from idi_fast.data.spikes import bar_notes

    notes = [] if history is None else bar_notes(history)
    print_notes(notes)
    return notes


def note_in_sample(optimism: float | None = None) -> None:
    """Say that a result is over bars of the policy's training, and what share of it is chance if that is known."""
    from idi_fast.agents.certainty import of_chance

    nothing = "the policy was trained on some of these bars; the result says nothing about new ones"
    note(nothing + of_chance(optimism))


def print_json(data: object) -> None:
    """Print one JSON object on stdout."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    typer.echo(json.dumps(data, ensure_ascii=not is_unicode, allow_nan=False, indent=2))


def print_rows(rows: Sequence[tuple[str, object]]) -> None:
    """Print names and values in two columns on stdout."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        shown = format_value(value)
        if name == "verdict":
            shown = painted(shown, sys.stdout, bold=True)
        typer.echo(f"{name:<{width}}  {shown}")


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout, names to the left, figures to the right."""
    cells = [list(heads), *([format_value(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for place, (first, *rest) in enumerate(cells):
        figures = "  ".join(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        line = f"{first:<{widths[0]}}  {figures}"
        typer.echo(line if place else painted(line, sys.stdout, bold=True))


SHOWN_SYMBOLS = 20


def print_symbols(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with a row per symbol, of many the first, and an empty line."""
    print_columns(heads, rows[:SHOWN_SYMBOLS])
    if len(rows) > SHOWN_SYMBOLS:
        typer.echo(f"… {len(rows) - SHOWN_SYMBOLS:,} more symbols")
    typer.echo()


def format_error(figures: dict) -> str:
    """A mean and its standard error."""
    return f"{format_value(figures['mean'])} ± {format_value(figures['standard_error'])}"


def tell_of_compilation(jobs: Sequence[str] = ()) -> None:
    """Say why a command is slow, when it has to compile kernels, and have another process compile those of `jobs`, see
    `idi_fast.warmup.JOBS`: the kernels that the command needs last."""
    from idi_fast.kernels._jit import on_compilation

    def tell() -> None:
        message("compiling kernels for this command; this happens once and may take ten seconds or more …")
        if jobs:
            from idi_fast.warmup import compile_ahead

            compile_ahead(jobs)

    on_compilation(tell)


def learning_jobs(settings: "TrainingConfig") -> tuple[str, ...]:
    """The jobs, as for `tell_of_compilation`, of a command that trains agents."""
    is_usual = settings.learning.is_plain and settings.tile_coder is None and settings.engine.compat is None
    if settings.learning.plans:
        return ("planner",)
    market = "synthetic" if settings.environment.kind == "synthetic" else "market"
    return (f"{market} learner",) if is_usual else ()


@contextmanager
def interruptible(*outputs: Path | None, unchanged: Callable[[], str] = lambda: UNWRITTEN) -> Iterator[None]:
    """On a signal, in the block or until the command ends, say what is left of the run.

    outputs: files and folders that the run writes, or writes into; unchanged: says what is left if these are as they
    were before; it must not import anything, since a signal may have cut an import short.
    """
    left, watch = _what_is_left(outputs, unchanged), signals.current()
    if watch is not None:
        watch.left = left
    try:
        yield
    except KeyboardInterrupt:
        if watch is None:
            message(f"interrupted; {left()}")
        else:
            watch.say()
        raise


def _what_is_left(outputs: Sequence[Path | None], unchanged: Callable[[], str]) -> Callable[[], str]:
    places = [os.path.abspath(place) for place in outputs if place is not None]
    before = [_identity(place) for place in places]

    def left() -> str:
        changed = [(old, new) for old, new in zip(before, map(_identity, places), strict=True) if old != new]
        if not changed:
            return unchanged()
        replaced = all(old is not None and new is not None and old[:2] != new[:2] for old, new in changed)
        return "the output was replaced" if replaced else "the output was written"

    return left


def _identity(place: str) -> tuple[int, int, frozenset] | None:
    """Identifies a file, or a folder with its content, so that a replacement is noticed; None if there is nothing."""
    try:
        found = os.lstat(place)
        inside = os.scandir(place) if stat.S_ISDIR(found.st_mode) else nullcontext(())
        with inside as entries:
            # Hidden ones are in the making.
            names = frozenset((entry.name, entry.inode()) for entry in entries if not entry.name.startswith("."))
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, names


@contextmanager
def stopped_by_signals(cancel: Callable[[], None]) -> Iterator[None]:
    """The first signal asks the work to stop where it can save itself, a second one ends it at once."""
    watch = signals.current()
    with nullcontext() if watch is None else watch.cancelling(cancel):
        yield


@contextmanager
def counted_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A callback of how many are done, and of how many, that draws a bar; it does nothing if stderr is no terminal.

    what: what is counted, in the plural.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def training_progress(
    total_steps: int, describe: Callable = lambda progress: f"episode {progress.episodes:,}"
) -> Iterator[Callable[[Any], None] | None]:
    """A callback for `Trainer.run` that draws a bar with steps/s and time left; None if stderr is no terminal.

    describe: text beside the bar, from the callback's argument, which has `steps`.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("training"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total_steps, rate="")

        begun = None  # a resumed run's first steps were not of these seconds

        def update(progress) -> None:
            nonlocal begun
            begun = progress.steps if begun is None else begun
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{(progress.steps - begun) / elapsed / 1e6:,.1f} M steps/s" if elapsed > 0 else ""
            bar.update(task, completed=progress.steps, rate=f"{describe(progress)}  {rate}")

        yield update

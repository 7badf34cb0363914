"""What goes to the terminal: data to stdout, everything else to stderr."""

import json
import math
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import typer

from idi_fast.errors import Cancelled


def message(text: str) -> None:
    """A line for the user, on stderr."""
    typer.echo(text, err=True)


def note(text: str) -> None:
    """Something that the user should know of a run that goes well, on stderr."""
    message(f"note: {text}")


def print_notes(texts: Iterable[str]) -> None:
    """All of them, on stderr."""
    for text in texts:
        note(text)


def note_spikes(history: object) -> list[str]:
    """Point out bars of a history whose close jumps and comes back; the notes that were printed. None: no history."""
    from idi_fast.spikes import spike_note

    found = None if history is None else spike_note(history)
    notes = [] if found is None else [found]
    print_notes(notes)
    return notes


def note_in_sample() -> None:
    """Say that a result is over bars of the policy's training."""
    note("the policy was trained on some of these bars; the result says nothing about new ones")


def print_json(data: object) -> None:
    """One JSON object on stdout."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    typer.echo(json.dumps(data, ensure_ascii=not is_unicode, allow_nan=False, indent=2))


def print_rows(rows: Sequence[tuple[str, object]]) -> None:
    """Names and values in two columns, on stdout."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {format_value(value)}")


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout: names to the left, figures to the right."""
    cells = [list(heads), *([format_value(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for first, *rest in cells:
        figures = "  ".join(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        typer.echo(f"{first:<{widths[0]}}  {figures}")


def format_value(value: object) -> str:
    """A figure as people read it: six significant digits, a dash where it is undefined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def format_error(figures: dict) -> str:
    """A mean and its standard error."""
    return f"{format_value(figures['mean'])} ± {format_value(figures['standard_error'])}"


def prepare_reading() -> None:
    """Start the process that parses files, so that it is ready by the time all else is loaded."""
    from idi_fast.reader.client import prepare

    prepare()


def warn_of_compilation() -> None:
    """Say why the very first run takes its time."""
    from idi_fast.kernels._jit import cache_is_cold

    if cache_is_cold():
        message("compiling kernels; this happens once and takes some ten seconds …")


@contextmanager
def interruptible(left: Callable[[], str] = lambda: "nothing was written") -> Iterator[None]:
    """On Ctrl-C or SIGTERM say what is left of the run; the exit codes are typer's 130 and the handler's 143."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # the latter is raised by the handler of SIGTERM only
        message(f"interrupted; {left()}")
        raise


@contextmanager
def stopped_by_signals(cancel: Callable[[], None], left: Callable[[], str]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the work to stop where it can save itself, a second one ends it at once.

    Says what is left of the run once `Cancelled` comes of it; the exit code is 130, or 143 after SIGTERM.
    """
    handlers, caught = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}, []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def stop(number: int, frame: object) -> None:
        caught.append(number)
        restore()
        cancel()

    try:
        for number in handlers:
            signal.signal(number, stop)
        yield
    except Cancelled:
        message(f"interrupted; {left()}")
        raise typer.Exit(128 + caught[0]) from None
    finally:
        restore()


@contextmanager
def counted_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A callback of how many are done, and of how many, that draws a bar; it does nothing where stderr is no terminal.

    what: that which is counted, in the plural.
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
) -> Iterator[object]:
    """A callback for `Trainer.run` that draws a bar with steps/s and time left; None where stderr is no terminal.

    describe: what to say beside the bar of the callback's argument, which has `steps`.
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

"""The command line: parse, call the library, print, exit code. Heavy imports are inside the commands."""

import atexit
import gc
import io
import os
import sys
import traceback
import warnings

from idi_fast.cli import signals
from idi_fast.errors import CacheWarning, Cancelled, IdiFastError, InputError

READ_BARS = ("backtest", "data", "evaluate", "sweep", "walkforward")
READ_TABLES = ("commit", "compare", "export", "prove", "report", "spec", "verify")
"""Commands that parse price histories, and those that parse other tables."""
CSV_NAMES = (".csv", ".csv.gz")


def __getattr__(name: str):
    # `main` imports the commands once signals are watched: with all they need that takes some tenths of a second.
    if name == "app":
        from idi_fast.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line; the only place where exceptions become exit codes."""
    # Half a million objects live on from imports alone; looking through them for cycles again and again, as by default
    # every 700 objects, is a tenth of the time of a short command.
    gc.set_threshold(1_000_000)
    # Nor at the end, where the interpreter looks through all of them thrice: a quarter of a second.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a dash or an emoji gets a question mark, not an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with signals.watched(), warnings.catch_warnings():
        # A line, and no line of our source with it; -W error does not make a failure of it.
        warnings.simplefilter("always", CacheWarning)
        warnings.showwarning = _show_warning
        _run()


def _run() -> None:
    try:
        _prepare_reading(sys.argv[1:])
        _settle()
        from idi_fast.cli.commands import entry

        entry(prog_name="idi-fast")
    except Exception as error:  # noqa: BLE001 -- the outermost place: every error becomes one line and an exit code
        if signals.came():  # where C code calls Python, an interrupt may come out as another error
            sys.exit(1)
        if "--debug" in sys.argv:
            traceback.print_exc()
        _print_error(f"error: {_describe(error)}")
        sys.exit(_exit_code(error))


def _prepare_reading(arguments: list[str]) -> None:
    """Start the process that parses files, if the command reads any: its imports take as long as those of the command,
    so they run side by side.
    """
    if not {"-h", "--help"}.isdisjoint(arguments) or "_IDI_FAST_COMPLETE" in os.environ:
        return
    command = next((part for part in arguments if not part.startswith("-")), None)
    has_data = any(part.startswith(("--data", "--init-policy")) for part in arguments)
    reads_bars = command in READ_BARS or (command == "train" and has_data)
    if reads_bars or command in READ_TABLES:
        from idi_fast.storage.reader.client import prepare

        prepare(expects_bars=reads_bars and not any(part.lower().endswith(CSV_NAMES) for part in arguments))


def _settle() -> None:
    """Complete or roll back what killed commands left unfinished, before anything else is done."""
    from idi_fast.storage import records

    # The shell's completion is to print nothing else. And nearly always there is nothing to settle.
    if "_IDI_FAST_COMPLETE" not in os.environ and records.found():
        from idi_fast.cli import console
        from idi_fast.storage.settling import settle

        settle(console.note)


def _print_error(text: str) -> None:
    from idi_fast.cli import console

    console.message(text)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _print_error(f"warning: {message}")


def _describe(error: Exception) -> str:
    if isinstance(error, IdiFastError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory for the tables (buckets, episodic.k), the rewards (episodes) or the data"
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
    return f"internal error ({type(error).__name__}: {error}); idi-fast --debug … shows where"


def _exit_code(error: Exception) -> int:
    if isinstance(error, Cancelled):
        return 130
    return 2 if isinstance(error, InputError) else 1

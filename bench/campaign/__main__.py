"""`python -m idi_fast.bench.campaign`: attack idi-fast for some minutes; exit code 1 if anything failed."""

import argparse
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.bench.campaign.runner import PARTS, Findings, run_campaign
from idi_fast.bench.campaign.trial import VERDICTS, Trial

SHOWN = 40
"""Faults that are printed; the JSON has all."""


def main() -> int:
    """Parse the command line, run the campaign, print what it came to."""
    parser = argparse.ArgumentParser(prog="python -m idi_fast.bench.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long, all parts together [default: 30]")
    parser.add_argument("--seed", type=int, default=0, help="which everything is drawn from [default: 0]")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"{', '.join(PARTS)}; often")
    parser.add_argument("--trials", type=int, metavar="N", help="the first N trials of each part, however long")
    parser.add_argument("--trial", type=int, metavar="K", help="one trial of one part, whose files are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write counts and faults there")
    options = parser.parse_args()
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # Under nohup: ignored here still, but not by the commands that are to end on it, which would inherit that.
        signal.signal(signal.SIGHUP, lambda *_: None)
    parts = list(dict.fromkeys(options.only or PARTS))
    if options.trial is not None:
        if len(parts) != 1:
            parser.error("--trial needs --only with its part")
        return _one(parts[0], options.seed, options.trial)
    numbers = None if options.trials is None else dict.fromkeys(parts, range(options.trials))
    seconds = options.minutes * 60 if numbers is None else None
    with _progress() as report:
        findings = run_campaign(parts, options.seed, seconds=seconds, numbers=numbers, report=report)
    _print(findings)
    if options.json is not None:
        options.json.write_text(json.dumps(findings.as_dict(), indent=2) + "\n")
    return int(bool(findings.faults))


def _one(part: str, seed: int, number: int) -> int:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="idi-fast-trial-"))
    findings = run_campaign(
        [part], seed, numbers={part: [number]}, folder=folder, report=lambda trial: _say(trial, 10_000)
    )
    _out(f"files: {folder}")
    return int(bool(findings.faults))


def _print(findings: Findings) -> None:
    """A table of the counts, and the faults."""
    kinds: dict[tuple[str, str], Counter[str]] = {}
    for (part, kind, verdict), n in sorted(findings.counts.items()):
        for row in ((part, kind), ("all", "")):
            kinds.setdefault(row, Counter())[verdict] += n
    kinds["all", ""] = kinds.pop(("all", ""), Counter())  # as the last row
    rows: list[tuple[str, ...]] = [("part", "kind", "trials", *VERDICTS)]
    for (part, kind), verdicts in kinds.items():
        rows.append((part, kind, str(verdicts.total()), *(str(verdicts[name] or "") for name in VERDICTS)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = [f"{row[k]:<{width}}" if k < 2 else f"{row[k]:>{width}}" for k, width in enumerate(widths)]
        _out("  ".join(cells).rstrip())
    for trial in findings.faults[:SHOWN]:
        _out("")
        _say(trial, 1500)
        _out(f"  {findings.reproduction(trial)}")
    if len(findings.faults) > SHOWN:
        _out(f"\n… and {len(findings.faults) - SHOWN} more faults; --json FILE has all")
    seconds = ", ".join(f"{part} {n:.0f} s" for part, n in findings.seconds.items())
    _out(f"\n{len(findings.faults)} faults in {findings.counts.total()} trials ({seconds}), seed {findings.seed}")


def _say(trial: Trial, most: int) -> None:
    _out(f"{trial.verdict}: {trial.part} {trial.number} ({trial.kind}), {trial.what}"[:most])
    if trial.detail:
        _out(f"  {trial.detail[:most]}")


def _out(text: str) -> None:
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


@contextmanager
def _progress() -> Iterator[Callable[[Trial], None]]:
    """Draws a line of counts where stderr is a terminal; elsewhere a line for each fault."""
    if not sys.stderr.isatty():

        def say(trial: Trial) -> None:
            if trial.is_fault:
                sys.stderr.write(f"{trial.verdict}: {trial.part} {trial.number} ({trial.kind})\n")

        yield say
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    counts: Counter[str] = Counter()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("")

        def update(trial: Trial) -> None:
            counts[trial.verdict] += 1
            verdicts = ", ".join(f"{n:,} {verdict}" for verdict, n in counts.items())
            bar.update(task, description=f"{trial.part} {trial.number:,}: {verdicts}")

        yield update


if __name__ == "__main__":
    sys.exit(main())

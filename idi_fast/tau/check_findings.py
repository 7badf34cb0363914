"""The findings of a check, and the report of all."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

REFUSED = "the interpreter refuses the specification: exit code 1, no outputs"
NOT_MODELLED = "the interpreter may accept it; its output is not predicted here"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong with a specification's folder, or that its owner should know.

    Attributes
    ----------
    severity : str
        "error": the run fails or its results are silently wrong; "warning": they may be; "note": neither.
    code : str
        The kind of finding, as docs/TAU.md lists them.
    found, effect, remedy : str
        What there is, what comes of it and what to do, without a full stop.
    file : str
        Relative to the folder.
    line, column : int or None
        From 1.
    stream : str
        Its name.
    step : int or None
        At which the run goes wrong, from 0.
    fixable : bool
        Whether `fix_folder` repairs it.
    """

    severity: Severity
    code: str
    found: str
    effect: str
    remedy: str
    file: str
    line: int | None = None
    column: int | None = None
    stream: str = ""
    step: int | None = None
    fixable: bool = False

    @property
    def where(self) -> str:
        """The place for messages: ``agent.tau, line 3, column 8``."""
        places = [self.file, *(f"{what} {n}" for what, n in (("line", self.line), ("column", self.column)) if n)]
        return ", ".join(places)

    def __str__(self) -> str:
        return f"{self.where}: {self.found}"


@dataclass(frozen=True)
class Report:
    """What a check came to.

    Attributes
    ----------
    folder, spec : str
        The folder and the specification's file in it.
    findings : tuple of Finding
        Errors first.
    inputs : dict of str to int
        Lines of each used input file.
    outputs : tuple of str
        The files that the run writes, each with as many lines as it takes steps.
    steps : int or None
        That the run will take; None where it cannot be told.
    seconds : tuple of float or None
        About how long the interpreter will take, from and to; None with `steps`.
    """

    folder: str
    spec: str
    findings: tuple[Finding, ...]
    inputs: dict[str, int]
    outputs: tuple[str, ...]
    steps: int | None
    seconds: tuple[float, float] | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the run fail or go wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def counts(self) -> dict[str, int]:
        """Findings by severity."""
        return {severity: sum(f.severity == severity for f in self.findings) for severity in SEVERITIES}

    def as_dict(self) -> dict:
        """The report as JSON values."""
        values = asdict(self)
        return {"schema_version": 1, **values, "counts": self.counts(), "ok": not self.errors}


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings, errors first, each kind in the order of files and lines."""
    return tuple(
        sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), not f.file.endswith(".tau"), f.file, f.line or 0))
    )


def several(names: Iterable[str], most: int = 4) -> str:
    """Names in a row, only the first few of many."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(n: int, what: str) -> str:
    """A number of things: ``1 line``, ``2 lines``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"

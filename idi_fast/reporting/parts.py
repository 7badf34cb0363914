"""The parts of a report: a page of sections, each with figures, tables and notes; no HTML and no files here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure of plotly.js.

    name: unique on the page, as `equity`; caption: what it shows and how it was made; alt: a description for those
    who cannot see it; data, layout: as plotly.js takes them, colours by role (see `theme.role`); narrow: other data and
    layout for narrow screens; has_log: whether a reader can make the y axis logarithmic.
    """

    name: str
    title: str
    caption: str
    alt: str
    data: Sequence[dict[str, Any]]
    layout: dict[str, Any]
    narrow: tuple[Sequence[dict[str, Any]], dict[str, Any]] | None = None
    has_log: bool = False


@dataclass(frozen=True)
class Table:
    """Cells are texts; the first of a row is its header."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Beside:
    """Small tables, side by side if there is room."""

    tables: Sequence[Table]


@dataclass(frozen=True)
class KeyFigures:
    """Names and values side by side; large ones are read first."""

    facts: Sequence[tuple[str, str]]
    is_large: bool = False


@dataclass(frozen=True)
class Note:
    """Something a reader should know before the figures; a warning stands out."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and its content; name: unique on the page."""

    name: str
    title: str
    parts: Sequence[Figure | Table | Beside | KeyFigures | Note]


@dataclass(frozen=True)
class Page:
    """A report. kind: of the run; title: its name; lead: a line about it; opening: what comes before the sections."""

    kind: str
    title: str
    lead: str
    opening: Sequence[KeyFigures | Note]
    sections: Sequence[Section]
    footer: str

    @property
    def figures(self) -> list[Figure]:
        """All figures, in the order of the page."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Figure)]

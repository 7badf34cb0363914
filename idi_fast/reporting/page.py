"""A report as one HTML file that needs no network: plotly.js and the figures' data are inside."""

import json
from collections.abc import Sequence
from functools import singledispatch
from html import escape
from importlib.resources import files

from idi_fast.errors import InputError
from idi_fast.reporting.parts import Beside, Figure, KeyFigures, Note, Page, Section, Table
from idi_fast.reporting.theme import PALETTES

GENERATOR = '<meta name="generator" content="idi-fast report">'
"""The mark of our files."""
# The browser itself refuses anything that would leave the file.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def plotly_js() -> str:
    """The source of plotly.js; InputError if plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("a report needs plotly; install it with: pip install 'idi-fast[report]'") from None
    return get_plotlyjs()


def render(page: Page, library: str) -> str:
    """The page as HTML, with `library` as the source of plotly.js; the same page gives the same text."""
    links = "".join(f'<a href="#{section.name}">{escape(section.title)}</a>' for section in page.sections)
    style = page_css()
    return "".join(
        [
            '<!doctype html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n',
            GENERATOR,
            f'\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{escape(page.title)} – {escape(page.kind.lower())}</title>\n<style>\n{style}</style>\n</head>\n",
            f'<body>\n<header>\n<p class="kind">{escape(page.kind)}</p>\n<h1>{escape(page.title)}</h1>\n',
            f'<p class="lead">{escape(page.lead)}</p>\n</header>\n',
            *map(_html, page.opening),
            f'<nav aria-label="Sections">{links}</nav>\n' if len(page.sections) > 1 else "",
            "<main>\n",
            *map(_section, page.sections),
            "</main>\n",
            '<noscript><p class="note warning">The figures are drawn by a script, which this browser does not '
            "run.</p></noscript>\n",
            f"<footer><p>{escape(page.footer)}</p></footer>\n",
            f"<script>{_contained(library)}</script>\n",
            f'<script id="palettes" type="application/json">{json.dumps(PALETTES)}</script>\n',
            f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n",
        ]
    )


def figure_json(data: object, layout: object) -> str:
    """The JSON of a figure, colours by role."""
    return json.dumps({"data": data, "layout": layout}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _section(section: Section) -> str:
    parts = "".join(map(_html, section.parts))
    return f'<section id="{section.name}">\n<h2>{escape(section.title)}</h2>\n{parts}</section>\n'


@singledispatch
def _html(part: object) -> str:
    raise TypeError(f"a page has no place for {type(part).__name__}")


@_html.register
def _(figure: Figure) -> str:
    wide = figure_json(figure.data, figure.layout)
    narrow = "" if figure.narrow is None else _data("narrow", figure_json(*figure.narrow))
    switch = (
        '<div class="switch" role="group" aria-label="Scale of the axis">'
        '<button type="button" aria-pressed="true" data-scale="linear">Linear</button>'
        '<button type="button" aria-pressed="false" data-scale="log">Logarithmic</button></div>'
    )
    return (
        f'<figure id="{figure.name}">\n<div class="head"><h3>{escape(figure.title)}</h3>'
        f"{switch if figure.has_log else ''}</div>\n"
        f'<div class="plot" role="img" aria-label="{escape(figure.alt)}" style="height:{figure.layout["height"]}px">'
        f"</div>\n<figcaption>{escape(figure.caption)}</figcaption>\n{_data('wide', wide)}{narrow}</figure>\n"
    )


@_html.register
def _(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads)
    body = "".join(map(_row, table.rows))
    caption = f"<small>{escape(table.caption)}</small>" if table.caption else ""
    return (
        f'<div class="table"><table>\n<caption><strong>{escape(table.title)}</strong>{caption}</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )


@_html.register
def _(beside: Beside) -> str:
    return f'<div class="beside">\n{"".join(map(_html, beside.tables))}</div>\n'


@_html.register
def _(facts: KeyFigures) -> str:
    kind = "facts large" if facts.is_large else "facts"
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in facts.facts)
    return f'<dl class="{kind}">\n{shown}</dl>\n'


@_html.register
def _(note: Note) -> str:
    return f'<p class="note{" warning" if note.is_warning else ""}">{escape(note.text)}</p>\n'


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    return f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in others)}</tr>\n'


def _data(kind: str, json_text: str) -> str:
    return f'<script class="{kind}" type="application/json">{_inert(json_text)}</script>\n'


def _contained(source: str) -> str:
    """JavaScript that no string in it can end."""
    return source.replace("</script", "<\\/script")


def _inert(json_text: str) -> str:
    """JSON in which no text can end the surrounding script."""
    return json_text.replace("<", "\\u003c")


def page_css() -> str:
    """The style sheet of a page, with the colours of both schemes."""
    return _palette_css() + _asset("page.css")


def _palette_css() -> str:
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in PALETTES[kind].items()) for kind in PALETTES)
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _asset(name: str) -> str:
    return files("idi_fast.reporting").joinpath(name).read_text("utf-8")

"""The page of two runs beside each other: what sets their configs apart, and their figures."""

import re
from collections.abc import Callable, Iterator

from idi_fast.differences import key_differences
from idi_fast.errors import ArtifactError
from idi_fast.reporting import theme
from idi_fast.reporting.account import HELD, account_course
from idi_fast.reporting.course import Course, Line
from idi_fast.reporting.formats import UNDEFINED, count, number, plural, setting
from idi_fast.reporting.learning import bin_size, read_bins
from idi_fast.reporting.merits import Merits, grouped, label, shown_value
from idi_fast.reporting.parts import Beside, Figure, KeyFigures, Note, Page, Section, Table
from idi_fast.reporting.run import ReportedRun
from idi_fast.reporting.walks import read_accounts, thinned
from idi_fast.storage.json_files import json_text

MOST_DIFFERENCES = 60
MOST_LETTERS, MOST_TEXT = 20, 60
"""Of a value in one word, which does not wrap on a phone, and in several."""
MOST_SEEDS = 20
HASH = re.compile(r"[0-9a-f]{40,}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
COLOURS = (theme.BLUE, theme.ORANGE)
CONFIG = ("config", "assumptions", "policy", "seed")
"""Parts of run.json that say how a run was made."""
OTHER_BARS = "Their bars are not the same, and so their figures say little of which is better."


def comparison_page(runs: tuple[ReportedRun, ReportedRun], page: Callable[[ReportedRun], Page]) -> Page:
    """The page of two runs of one kind; page: makes that of one of them. Raises ArtifactError."""
    one, other = runs
    if one.kind != other.kind:
        raise ArtifactError(
            f"{one.folder} is of the kind {one.kind!r} and {other.folder} of the kind {other.kind!r}; runs of one kind "
            "can be compared"
        )
    names = names_of(runs)
    pages = [page(run) for run in runs]
    sections = [
        Section("glance", "At a glance", [_headlines(runs, pages, names), *_figures(runs, names)]),
        Section("differences", "Differences", [_differences(runs, names)]),
    ]
    if tables := _kpis(runs, names):
        sections.append(Section("figures", "All figures", [Beside(tables)]))
    return Page(
        kind=f"{pages[0].kind}: two compared",
        title=" and ".join(names),
        lead=" / ".join(dict.fromkeys(each.lead for each in pages)),
        opening=[
            *([Note(OTHER_BARS, is_warning=True)] if have_other_bars(*runs) else []),
            *(
                Note(f"{name}: {part.text}", is_warning=part.is_warning)
                for name, each in zip(names, pages, strict=True)
                for part in each.opening
                if isinstance(part, Note)
            ),
        ],
        sections=sections,
        footer=" ".join(f"{name}: {each.footer}" for name, each in zip(names, pages, strict=True)),
    )


def have_other_bars(one: ReportedRun, other: ReportedRun) -> bool:
    """Whether two runs are of different bars of histories, or only one of them is of a history."""
    first, second = (
        [{key: part for key, part in bars.items() if key != "files"} for bars in _bars_of(run)] for run in (one, other)
    )
    return first != second


def _bars_of(run: ReportedRun) -> list[dict]:
    """The histories that a run was tested on, or else trained on; none of a simulated market."""
    tested = run.about.get("data")
    return run.about.get("trained_on", []) if tested is None else [tested]


def names_of(runs: tuple[ReportedRun, ReportedRun]) -> tuple[str, str]:
    """The names of two folders, with those of their parents where they are the same."""
    one, other = (run.folder.resolve() for run in runs)
    if one.name != other.name:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def _headlines(runs: tuple[ReportedRun, ReportedRun], pages: list[Page], names: tuple[str, str]) -> Table:
    """The most important figures of both."""
    facts = [[fact for part in _large(each) for fact in part.facts] for each in pages]
    if runs[0].kind in ("backtest", "symbol-backtest"):
        merits = [Merits(run.json("kpis.json")) for run in runs]
        # The same kind of Sharpe ratio, which may be undefined by the year in one of them.
        facts = [each.headline(all(each.is_annual for each in merits)) for each in merits]
    one, other = map(dict, facts)
    keys = list(dict.fromkeys([*one, *other]))
    return Table(
        "The most important figures",
        ("", *names),
        [(key, one.get(key, UNDEFINED), other.get(key, UNDEFINED)) for key in keys],
    )


def _large(page: Page) -> list[KeyFigures]:
    return [part for part in page.opening if isinstance(part, KeyFigures)]


def _kpis(runs: tuple[ReportedRun, ReportedRun], names: tuple[str, str]) -> list[Table]:
    """All figures of two backtests, in groups; none of other runs."""
    if not all(run.has("kpis.json") for run in runs):
        return []
    one, other = (run.json("kpis.json").get("kpis", {}) for run in runs)
    return [
        Table(
            group,
            ("", *names),
            [(label(key), shown_value(key, one.get(key)), shown_value(key, other.get(key))) for key in keys],
        )
        for group, keys in grouped({**other, **one})
    ]


def _figures(runs: tuple[ReportedRun, ReportedRun], names: tuple[str, str]) -> Iterator[Figure]:
    kind = runs[0].kind
    if kind in ("backtest", "symbol-backtest") and all(run.has("equity.parquet") for run in runs):
        courses = [account_course(run) for run in runs]
        if courses[0].is_dated == courses[1].is_dated:  # bars are not to be drawn over times
            yield _equities(courses, names)
    if kind == "walkforward":
        yield from _walks(runs, names)
    if kind == "train" and all(run.table("episodes.parquet", (), may_be_empty=True).rows for run in runs):
        yield _learning_curves(runs, names)


def _equities(courses: list[Course], names: tuple[str, str]) -> Figure:
    own, held = ([course.lines[name] for course in courses] for name in ("equity", "buy_and_hold"))
    lines = [
        theme.line(theme.plain(name), line.x, line.y, colour)
        for name, line, colour in zip(names, own, COLOURS, strict=True)
    ]
    holding = [
        theme.line(theme.plain(f"{HELD}: {name}"), line.x, line.y, theme.GREY, line={"dash": dash})
        for name, line, dash in zip(names, held, ("solid", "dot"), strict=True)
    ]
    if _is_same(*held):
        holding = [{**holding[0], "name": HELD}]
    ends = [f"{name} at {number(line.y[-1])}" for name, line in zip(names, own, strict=True)]
    return _equity_figure("Equity", "The accounts at each close,", [*holding, *lines], ends, courses[0].is_dated)


def _walks(runs: tuple[ReportedRun, ReportedRun], names: tuple[str, str]) -> Iterator[Figure]:
    """The stitched equity of all seeds of both."""
    lines, ends, dated = [], [], set()
    for run, name, colour in zip(runs, names, COLOURS, strict=True):
        seeds = [str(seed) for seed in run.json("walkforward.json")["assumptions"]["seeds"]][:MOST_SEEDS]
        is_dated, accounts = read_accounts(run, seeds)
        dated.add(is_dated)
        for place, account in enumerate(accounts):
            own = {"showlegend": place == 0, "legendgroup": name, "opacity": 0.75, "line": {"width": 1.2}}
            lines.append(theme.line(theme.plain(name), *thinned(account, "equity"), colour, **own))
        last = [float(account["equity"][-1]) for account in accounts]
        ends.append(f"{name} between {number(min(last))} and {number(max(last))}")
    if len(dated) == 1:
        yield _equity_figure("Stitched equity", "The accounts of all seeds over the test windows,", lines, ends, *dated)


def _equity_figure(title: str, what: str, lines: list[dict], ends: list[str], is_dated: bool) -> Figure:
    return Figure(
        name="equity",
        title=title,
        caption=f"{what} from an equity of 1, after costs.",
        alt=f"Lines of equity, which end: {', '.join(ends)}.",
        data=lines,
        layout=theme.layout(
            380,
            xaxis=theme.axis(type="date") if is_dated else theme.titled("Bar"),
            yaxis=theme.axis(tickformat=",~r", hoverformat=",.4~r"),
        ),
        has_log=True,
    )


def _is_same(one: Line, other: Line) -> bool:
    return one.x.tolist() == other.x.tolist() and one.y.tolist() == other.y.tolist()


def _learning_curves(runs: tuple[ReportedRun, ReportedRun], names: tuple[str, str]) -> Figure:
    data, told = [], []
    for run, name, colour in zip(runs, names, COLOURS, strict=True):
        table = run.table("episodes.parquet", ("episode", "reward", "exploration"))
        moments, _, ends = read_bins(table, table.rows, bin_size(table.rows))
        data.append(theme.line(theme.plain(name), ends, moments[1], colour))
        told.append(f"{name}: {plural(table.rows, 'episode')}, {number(float(moments[1][-1]))} at the end")
    return Figure(
        name="learning-curve",
        title="Learning curves",
        caption="Mean reward of the episodes, with exploration, in at most 200 steps. The rewards of different "
        "settings may be on different scales.",
        alt=f"Two lines. {'; '.join(told)}.",
        data=data,
        layout=theme.layout(340, xaxis=theme.titled("Episode"), yaxis=theme.axis()),
    )


def _differences(runs: tuple[ReportedRun, ReportedRun], names: tuple[str, str]) -> Table:
    """What their run.json say differently of how they were made."""
    one, other = ({key: _without_samples(run.about[key]) for key in CONFIG if key in run.about} for run in runs)
    found = list(key_differences(one, other))
    rest = f" The first {count(MOST_DIFFERENCES)} of {count(len(found))}." if len(found) > MOST_DIFFERENCES else ""
    rows = [(each["key"], *(_text(each, side) for side in "ab")) for each in found[:MOST_DIFFERENCES]]
    return Table(
        "Settings that differ",
        ("", *names),
        rows or [("None", "", "")],
        caption=f"Of config, assumptions, policy and seed.{rest}",
    )


def _without_samples(value: object) -> object:
    """The same without the prices by which bars of a training are known again."""
    if isinstance(value, dict):
        return {key: _without_samples(inner) for key, inner in value.items() if key != "sample"}
    return [_without_samples(inner) for inner in value] if isinstance(value, list) else value


def _text(difference: dict, side: str) -> str:
    value = difference.get(side)
    if value is None or isinstance(value, bool):
        return UNDEFINED if value is None else "yes" if value else "no"
    if isinstance(value, int | float):
        return setting(value)
    if isinstance(value, dict):
        value = ", ".join(f"{key} {inner}" for key, inner in value.items())
    text = " ".join((value if isinstance(value, str) else json_text(value)).split())
    if TIME.fullmatch(text):
        return text.removesuffix("T00:00:00Z").replace("T", " ")
    if HASH.fullmatch(text):
        return f"{text[:12]}…"
    most = MOST_TEXT if " " in text else MOST_LETTERS
    return text if len(text) <= most else f"{text[: most - 1]}…"

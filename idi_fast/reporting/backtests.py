"""The page of a backtest: its assumptions, its KPIs, the account over time, its decisions."""

from collections.abc import Iterator

from idi_fast.agents.certainty import of_chance
from idi_fast.kernels.crypto import REGIMES
from idi_fast.reporting.account import account_course, account_figures, account_words
from idi_fast.reporting.certainty import calibration_sections
from idi_fast.reporting.course import Course
from idi_fast.reporting.decisions import alert_parts, decision_figures
from idi_fast.reporting.formats import count, percent, plural
from idi_fast.reporting.merits import Merits
from idi_fast.reporting.parts import KeyFigures, Note, Page, Section
from idi_fast.reporting.run import ReportedRun, describe_data, made_by, policy_of

UNVISITED = 0.1
"""Share of bars in unvisited states from which a reader is warned."""


def backtest_page(run: ReportedRun) -> Page:
    """The page of a folder that `idi-fast backtest` wrote."""
    result, data = run.json("kpis.json"), run.about["data"]
    merits, course = Merits(result), account_course(run) if run.has("equity.parquet") else None
    sections = [Section("performance", "Performance", merits.parts())]
    if course is not None:
        sections.append(Section("account", "Account", list(account_figures(run, merits.periods_per_year, course))))
    said = [*decision_figures(run, REGIMES), *alert_parts(result.get("alerts"))]
    if said:
        sections.append(Section("decisions", "Decisions", said))
    sections += calibration_sections(result.get("calibration"))
    return Page(
        kind="Backtest",
        title=run.name,
        lead=" · ".join(describe_data(data)),
        opening=[*backtest_notes(run, result, course), KeyFigures(merits.headline(), is_large=True)],
        sections=sections,
        footer=f"{policy_of(run)} {made_by(run)}",
    )


def backtest_notes(run: ReportedRun, result: dict, course: Course | None = None, of: str = "") -> Iterator[Note]:
    """What a reader of a backtest's kpis.json should know first; course, of: see `account_words`."""
    assumptions, kpis, words = result["assumptions"], result["kpis"], account_words(result, course, of)
    verdict = [] if words is None else [Note(words)]
    if assumptions.get("in_sample"):
        chance = of_chance(assumptions.get("optimism"))
        text = "In sample: the policy was trained on some of these bars. The result says nothing about new ones"
        yield Note(f"{text}{chance}.", is_warning=True)  # before the verdict, which it makes worthless
        yield from verdict
    elif assumptions.get("in_sample", False) is None:
        yield from verdict
        yield Note("Whether the policy was trained on some of these bars cannot be told.", is_warning=True)
    else:
        yield from verdict
        yield Note("Out of sample: no bar with this time and close was among those of its training.")
    if kpis.get("liquidated_at") is not None:
        at = count(kpis["liquidated_at"])
        yield Note(f"Liquidated at bar {at}: nothing was left, and trading ended there.", is_warning=True)
    if kpis.get("liquidated_symbols"):
        ended = plural(kpis["liquidated_symbols"], "account")
        yield Note(f"Liquidated: of {ended} nothing was left, and trading ended there.", is_warning=True)
    if (kpis.get("unvisited_states") or 0.0) > UNVISITED:
        share = percent(kpis["unvisited_states"], 0)
        yield Note(f"{share} of the bars are in states that training never visited, or not in all their tiles.")
    if not run.has("equity.parquet"):
        yield Note("This run kept its figures of merit only: there is no course of the account to draw.")

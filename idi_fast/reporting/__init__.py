"""`idi-fast report`: a run as one self-contained HTML file, and its figures as pictures."""

import os
from collections.abc import Callable
from pathlib import Path

from idi_fast.config.arguments import check_path
from idi_fast.errors import ArtifactError, OutputError
from idi_fast.reporting.backtests import backtest_page
from idi_fast.reporting.comparison import comparison_page
from idi_fast.reporting.learning import training_page
from idi_fast.reporting.page import GENERATOR, plotly_js, render
from idi_fast.reporting.parts import Page
from idi_fast.reporting.pictures import check_kaleido, mark_pictures, write_pictures
from idi_fast.reporting.policies import policies_page
from idi_fast.reporting.populations import population_page
from idi_fast.reporting.run import ReportedRun
from idi_fast.reporting.sweeps import sweep_page
from idi_fast.reporting.symbols import symbols_page
from idi_fast.reporting.walks import walk_page
from idi_fast.storage.failures import explained
from idi_fast.storage.files import check_kept, check_place, check_replaceable, check_replaceable_file, output_path
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.storage.staging import Staging

PAGES: dict[str, Callable[[ReportedRun], Page]] = {
    "backtest": backtest_page,
    "symbol-backtest": symbols_page,
    "train": training_page,
    "population": population_page,
    "walkforward": walk_page,
    "sweep": sweep_page,
    "population-backtest": policies_page,
}
EXPECTED = "a training run, a population, a backtest, a walk-forward or a sweep"


def write_report(
    run: str | Path,
    out: str | Path | None = None,
    *,
    against: str | Path | None = None,
    png: str | Path | None = None,
    force: bool = False,
) -> dict:
    """Write the results of a run as one self-contained HTML file, plotly.js included; or compare two runs in one.

    Memory does not grow with the bars of a backtest or the episodes of a training. The same run gives the same bytes.
    `report` makes the page of a result in memory.

    Parameters
    ----------
    run
        A folder that `idi-fast train`, `train --seeds`, `backtest`, `walkforward` or `sweep` wrote, or the `save` of a
        result.
    out
        The file, by default `<run>.html` beside the folder, or `<run>-<against>.html`.
    against
        The folder of another run of the same kind: the page then has both, and what sets them apart.
    png
        A folder to write each figure to as well, as a PNG file; needs kaleido and a browser.
    force
        Whether an earlier report and earlier pictures are replaced.

    Returns
    -------
    dict
        What was written, as JSON values: run, against (if given), kind, out, figures (their names), png.

    Raises
    ------
    ArtifactError
        If a folder holds no such run, or is damaged, or the two are of different kinds.
    InputError
        If plotly or kaleido is not installed.
    OutputError
        If the file exists and `force` is not given, or no file may be there.
    """
    found = _open(run)
    other = None if against is None else _open(check_path("against", against))
    folders = [each.folder.resolve() for each in (found, other) if each is not None]
    name = "-".join(folder.name for folder in folders)
    target = folders[0].with_name(f"{name}.html") if out is None else Path(os.path.abspath(out))
    pictures = None if png is None else Path(os.path.abspath(png))
    for folder in folders:
        _check_places(target, pictures, folder)
    with Staging() as staging:
        staging.watch(target)
        _check_replaceable(target, force)
        library = plotly_js()
        if pictures is not None:
            check_kaleido()
            staging.watch(pictures)
            with explained(pictures):
                check_kept(pictures, folders)
                check_replaceable(pictures, force)
        page = _page(found) if other is None else comparison_page((found, other), _page)
        places = [target]
        with explained(target):
            staging.reserve(target).write_bytes(render(page, library).encode())
        if pictures is not None:
            places.append(pictures)
            with explained(pictures):
                made = staging.reserve(pictures)
                made.mkdir()
                write_pictures(page.figures, made)
                mark_pictures(made)
                write_manifest(made, config_sha256=_fingerprint(found), training={})
        staging.swap(places)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": str(run),
        **({} if against is None else {"against": str(against)}),
        "kind": found.kind,
        "out": str(target),
        "figures": [figure.name for figure in page.figures],
        "png": None if png is None else str(png),
    }


def render_run(run: str | Path) -> tuple[str, str, tuple[str, ...]]:
    """The page of a run's folder as HTML, the run's kind, and the names of the figures. Raises as `write_report`."""
    return render_opened(_open(run))


def render_opened(found: ReportedRun) -> tuple[str, str, tuple[str, ...]]:
    """The same of a run that is open, or in memory."""
    library, page = plotly_js(), _page(found)
    return render(page, library), found.kind, tuple(figure.name for figure in page.figures)


def write_html(html: str, out: str | Path, *, force: bool = False) -> None:
    """Write a page to a file, whole or not at all; `force` replaces an earlier report. Raises OutputError."""
    check_place(output_path(out))
    target = Path(os.path.abspath(out))
    with Staging() as staging:
        staging.watch(target)
        _check_replaceable(target, force)
        with explained(target):
            staging.reserve(target).write_bytes(html.encode())
        staging.swap([target])


def _open(run: str | Path) -> ReportedRun:
    found = ReportedRun.open(check_path("run", run))
    if found.kind not in PAGES:
        raise ArtifactError(f"{run} is of the kind {found.kind!r}, of which there is no report; expected {EXPECTED}")
    return found


def _page(run: ReportedRun) -> Page:
    try:
        return PAGES[run.kind](run)
    except KeyError as error:
        raise ArtifactError(f"{run.folder} says nothing of {error}; another version of idi-fast wrote it") from error


def _fingerprint(run: ReportedRun) -> str:
    return run.about["policy"]["fingerprint"] if "policy" in run.about else run.about["fingerprint"]


def _check_places(target: Path, pictures: Path | None, folder: Path) -> None:
    for path in (target, pictures):
        if path is not None:
            check_place(path)
        if path is not None and Path(os.path.realpath(path)).is_relative_to(folder):
            raise OutputError(f"{path} would lie in the run, whose manifest lists all it holds; name another place")
    if pictures is not None and target.is_relative_to(pictures):
        raise OutputError(f"{target} would lie among the pictures, a folder that is replaced whole; name another place")


def _check_replaceable(target: Path, force: bool) -> None:
    check_replaceable_file(target, True, "report")
    if not os.path.lexists(target):
        return
    with explained(target), open(target, "rb") as file:
        if GENERATOR.encode() not in file.read(4096):
            there = target if force else f"the report {target} already exists and"
            remedy = "`force=True` will not replace it" if force else "choose another name"
            raise OutputError(f"{there} is something other than a report of idi-fast; {remedy}")
    check_replaceable_file(target, force, "report")

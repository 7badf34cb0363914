"""`idi-fast report`: a run as one self-contained HTML file, and its figures as pictures."""

import os
from collections.abc import Callable
from pathlib import Path

from idi_fast.errors import ArtifactError, OutputError
from idi_fast.reporting.backtests import backtest_page
from idi_fast.reporting.learning import training_page
from idi_fast.reporting.page import GENERATOR, plotly_js, render
from idi_fast.reporting.parts import Page
from idi_fast.reporting.pictures import check_kaleido, mark_pictures, write_pictures
from idi_fast.reporting.populations import population_page
from idi_fast.reporting.run import ReportedRun
from idi_fast.reporting.symbols import symbols_page
from idi_fast.reporting.walks import walk_page
from idi_fast.storage.failures import explained
from idi_fast.storage.files import check_kept, check_place, check_replaceable, check_replaceable_file
from idi_fast.storage.staging import Staging
from idi_fast.training.artifact import SCHEMA_VERSION, write_manifest

PAGES: dict[str, Callable[[ReportedRun], Page]] = {
    "backtest": backtest_page,
    "symbol-backtest": symbols_page,
    "train": training_page,
    "population": population_page,
    "walkforward": walk_page,
}
EXPECTED = "a training run, a population, a backtest or a walk-forward"


def write_report(
    run: str | Path, out: str | Path | None = None, *, png: str | Path | None = None, force: bool = False
) -> dict:
    """Write what a run came to as one HTML file, with plotly.js inside it: it asks nothing of any network.

    run: a folder that `idi-fast train`, `train --seeds`, `backtest` or `walkforward` wrote; out: the file, by default
    `<run>.html` beside the folder; png: a folder to write each figure to as well, as a PNG file; force: replace an
    earlier report and earlier pictures. Memory does not grow with the bars of a backtest or the episodes of a training.
    The same run gives the same bytes. Returns what was written, as JSON values: run, kind, out, figures (their names),
    png. Raises ArtifactError, InputError, OutputError.
    """
    found = ReportedRun.open(run)
    if found.kind not in PAGES:
        raise ArtifactError(f"{run} is of the kind {found.kind!r}, of which there is no report; expected {EXPECTED}")
    folder = found.folder.resolve()
    target = folder.with_name(f"{folder.name}.html") if out is None else Path(os.path.abspath(out))
    pictures = None if png is None else Path(os.path.abspath(png))
    _check_places(target, pictures, folder)
    with Staging() as staging:
        staging.watch(target)
        _check_replaceable(target, force)
        library = plotly_js()
        if pictures is not None:
            check_kaleido()
            staging.watch(pictures)
            with explained(pictures):
                check_kept(pictures, (run,))
                check_replaceable(pictures, force)
        page, places = _page(found), [target]
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
        "schema_version": SCHEMA_VERSION, "run": str(run), "kind": found.kind, "out": str(target),
        "figures": [figure.name for figure in page.figures], "png": None if png is None else str(png),
    }  # fmt: skip


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
    check_replaceable_file(target, force, "report")
    if not os.path.lexists(target):
        return
    with explained(target), open(target, "rb") as file:
        if GENERATOR.encode() not in file.read(4096):
            raise OutputError(f"{target} is something other than a report of idi-fast; --force will not replace it")

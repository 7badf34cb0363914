"""Reports from Python: a result in memory, or a run's folder, as one HTML page."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from idi_fast.backtesting.backtest import Backtest
from idi_fast.backtesting.populations import PopulationBacktest
from idi_fast.config.arguments import described
from idi_fast.errors import InputError
from idi_fast.reporting import EXPECTED, render_opened, render_run, write_html
from idi_fast.reporting.plots import backtest_run
from idi_fast.selection.sweep_result import Sweep
from idi_fast.selection.walk_forward import WalkForward
from idi_fast.training.population import Population
from idi_fast.training.run import TrainingRun

RESULTS = (Backtest, PopulationBacktest, WalkForward, Population, TrainingRun, Sweep)


@dataclass(frozen=True)
class HtmlReport:
    """A self-contained page with figures, tables and assumptions; made by `report`.

    Attributes
    ----------
    html : str
        The page, with plotly.js inside it.
    kind : str
        Of the result: "backtest", "symbol-backtest", "population-backtest", "train", "population", "walkforward" or
        "sweep".
    figures : tuple of str
        Names of its figures.
    """

    html: str
    kind: str
    figures: tuple[str, ...]

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the page to a file; `force` replaces an earlier report. Raises OutputError."""
        write_html(self.html, path, force=force)

    def __repr__(self) -> str:
        return f"HtmlReport of the kind {self.kind!r}, {len(self.figures)} figures, {len(self.html) / 1e6:.1f} MB"

    def _repr_html_(self) -> str:
        # In a frame of its own, so that its styles and scripts do not meet the notebook's.
        return f'<iframe srcdoc="{escape(self.html)}" width="100%" height="720" style="border:0"></iframe>'


def report(
    result: Backtest | PopulationBacktest | WalkForward | Population | TrainingRun | Sweep | str | Path,
) -> HtmlReport:
    """Make one HTML page of a result, as `idi-fast report` does of a folder; it needs plotly.

    `write_report` writes the page of a folder straight to a file, with pictures if wanted.

    Parameters
    ----------
    result
        A backtest, also of many policies, walk-forward, sweep, population or training run, or the folder of one.

    Returns
    -------
    HtmlReport
        Displayed in a notebook; `save` writes it.

    Raises
    ------
    ArtifactError
        If a folder holds no such run, or is damaged.
    InputError
        If plotly is not installed (`pip install 'idi-fast[report]'`), or there is no report of such a result.
    """
    if isinstance(result, str | Path):
        return HtmlReport(*render_run(result))
    if not isinstance(result, RESULTS):
        raise InputError(f"the result is {described(result)}, of which there is no report; expected {EXPECTED}")
    if isinstance(result, Backtest):  # not through files: the trace of two million bars takes seconds to write
        return HtmlReport(*render_opened(backtest_run(result, "backtest")))
    with TemporaryDirectory(prefix="idi-fast-") as scratch:
        folder = Path(scratch) / type(result).__name__.lower()
        result.save(folder)
        return HtmlReport(*render_run(folder))

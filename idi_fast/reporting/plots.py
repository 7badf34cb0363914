"""The figures of results in memory: those of their reports, as figures of plotly."""

from collections.abc import Iterator
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace
from idi_fast.backtesting.backtest import Backtest
from idi_fast.backtesting.populations import PopulationBacktest
from idi_fast.backtesting.symbols import SymbolBacktest
from idi_fast.config.arguments import check_flag, check_text, described
from idi_fast.data.candles import candle_frame, has_more_than_closes
from idi_fast.data.history import History
from idi_fast.errors import InputError, nearest
from idi_fast.evaluation.baselines import Comparison
from idi_fast.kernels.crypto import REGIMES
from idi_fast.reporting.account import account_figures
from idi_fast.reporting.decisions import alert_parts, decision_figures
from idi_fast.reporting.learning import evaluation_figure, learning_figures, visit_figure
from idi_fast.reporting.parts import Figure
from idi_fast.reporting.pictures import picture
from idi_fast.reporting.policies import policy_figures
from idi_fast.reporting.populations import ranked_seeds, seed_figures
from idi_fast.reporting.prices import price_figure
from idi_fast.reporting.run import ResultRun
from idi_fast.reporting.sweeps import sweep_figures
from idi_fast.reporting.symbols import symbol_figure
from idi_fast.reporting.traces import decision_rows, reward_figure
from idi_fast.reporting.values import value_figures
from idi_fast.reporting.walks import walk_figures
from idi_fast.selection.sweep_result import Sweep
from idi_fast.selection.walk_forward import WalkForward
from idi_fast.training.population import Population
from idi_fast.training.run import TrainingRun

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure


def plotted(result: object, name: str | None, dark: bool) -> "PlotlyFigure":
    """A figure of a result, the first without a name. Raises InputError."""
    check_flag("dark", dark)
    if name is not None:
        check_text("figure", name)
    figure = _named(result, name)
    try:
        from plotly.graph_objects import Figure as PlotlyFigure
    except ImportError:
        raise InputError("a plot needs plotly; install it with: pip install 'idi-fast[report]'") from None
    return PlotlyFigure(picture(figure, "dark" if dark else "light", width=None))


def _named(result: object, name: str | None) -> Figure:
    names = []
    for figure in figures_of(result):
        if name in (None, figure.name):
            return figure
        names.append(figure.name)
    if name is None:
        raise InputError(f"there is nothing to draw of {described(result)}: it is empty")
    raise InputError(f"there is no figure {name!r}, only {', '.join(names) or 'none at all'}.{nearest(name, names)}")


@singledispatch
def figures_of(result: object) -> Iterator[Figure]:
    """The figures of a result, each made when it is its turn; the first is shown where none is named."""
    raise InputError(f"there is no figure of {described(result)}")


@figures_of.register
def _(result: Backtest) -> Iterator[Figure]:
    run = backtest_run(result)
    yield from account_figures(run, result.assumptions["periods_per_year"])
    yield from decision_figures(run, REGIMES)
    yield from (part for part in alert_parts(result.to_dict()["alerts"]) if isinstance(part, Figure))


def backtest_run(result: Backtest, name: str = "Backtest") -> ResultRun:
    """A backtest as the folder that its `save` would write."""
    history = result.history
    return ResultRun(
        Path(name),
        {
            "equity.parquet": lambda: result.equity,
            "trades.parquet": lambda: result.trades,
            "trace.parquet": lambda: decision_rows(result.trace),
            **({"candles.parquet": lambda: candle_frame(history)} if has_more_than_closes(history) else {}),
        },
        {"kpis.json": result.to_dict, "run.json": result.run_file},
    )


@figures_of.register
def _(result: SymbolBacktest) -> Iterator[Figure]:
    run = ResultRun(Path("SymbolBacktest"), {"equity.parquet": result.equity_frame})
    yield from account_figures(run, result.to_dict()["assumptions"]["periods_per_year"])
    yield symbol_figure(result.symbols)


@figures_of.register
def _(result: PopulationBacktest) -> Iterator[Figure]:
    yield from policy_figures(result.table)


@figures_of.register
def _(result: Trace) -> Iterator[Figure]:
    if len(result):
        yield reward_figure(result)
        yield from decision_figures(ResultRun(Path("Trace"), {"trace.parquet": lambda: decision_rows(result)}))


@figures_of.register
def _(result: Policy) -> Iterator[Figure]:
    yield from value_figures(result)
    yield visit_figure(result)


@figures_of.register
def _(result: TrainingRun) -> Iterator[Figure]:
    yield from learning_figures(ResultRun(Path("TrainingRun"), {"episodes.parquet": lambda: result.episodes}))
    yield evaluation_figure(result.evaluation.to_dict())
    yield from figures_of(result.policy)
    yield from (figure for figure in figures_of(result.trace) if figure.name != "reward")


@figures_of.register
def _(result: Comparison) -> Iterator[Figure]:
    yield evaluation_figure(result.to_dict())


@figures_of.register
def _(result: Population) -> Iterator[Figure]:
    yield from seed_figures(ranked_seeds(result.summary), result.evaluation_file())


@figures_of.register
def _(result: WalkForward) -> Iterator[Figure]:
    frames = {"equity.parquet": lambda: result.equity, "windows.parquet": lambda: result.windows}
    yield from walk_figures(ResultRun(Path("WalkForward"), frames), [*map(str, result.assumptions["seeds"])])


@figures_of.register
def _(result: Sweep) -> Iterator[Figure]:
    yield from sweep_figures(result.summary, result.points)


@figures_of.register
def _(result: History) -> Iterator[Figure]:
    if len(result):
        yield price_figure(result)

"""From bars to a tested agent, in one call."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.backtesting.account import account_columns, assume
from idi_fast.backtesting.backtest import Backtest, BacktestOptions, backtest, write_backtest
from idi_fast.backtesting.kpi_units import kpi_rows
from idi_fast.backtesting.symbols import SymbolBacktest, backtest_symbols, write_symbol_backtest
from idi_fast.complete.first_config import SPLIT, first_config
from idi_fast.complete.steps import Step, StepFolder, read_output
from idi_fast.complete.summary import as_markdown, figures, summarise
from idi_fast.config.arguments import check_callback, check_config, check_integer
from idi_fast.config.draft import Draft
from idi_fast.config.money import without_idle_terms
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.bar_frequency import BarTimes
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_data, versions
from idi_fast.data.panel import Panel, TrainingBars, TrainingBarsLike, check_bars, members
from idi_fast.data.spikes import bar_notes
from idi_fast.environments.splits import split_history
from idi_fast.errors import ArtifactError, ConfigError, InputError
from idi_fast.reporting import write_report
from idi_fast.storage.files import new_directory
from idi_fast.tau.contract import find_contract
from idi_fast.tau.spec_folder import write_spec
from idi_fast.training.artifact import write_training
from idi_fast.training.trainer import ProgressCallback, create_trainer

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

AGENT, BACKTEST, REPORT, SPEC = "agent", "backtest", "report.html", "spec"
WITHOUT_PLOTLY = "no report was made, for it needs plotly: pip install 'idi-fast[report]', then the same run again"


@dataclasses.dataclass(frozen=True, eq=False)
class CompleteRun(display.Plotted):
    """The results of all steps of a run; made by `run`.

    Attributes
    ----------
    summary : dict
        What came out of it, as JSON values: the content of summary.json.
    policy : Policy
        The tables of actions and communications.
    evaluation : dict
        The policy and its baselines on windows of the test bars, as in the run.json of an artifact.
    kpis : dict
        The content of the backtest's kpis.json.
    steps : dict of str to str
        Of each output "made", "there" (made before, from the same inputs) or "left out".
    history : History or Panel
        All the bars.
    folder : Path or None
        Where the outputs are.
    """

    summary: dict
    policy: Policy
    evaluation: dict
    kpis: dict
    steps: dict[str, str]
    history: TrainingBars
    folder: Path | None
    _options: BacktestOptions

    @cached_property
    def backtest(self) -> Backtest | SymbolBacktest:
        """The backtest on the test bars, of many symbols that of equal capital in each."""
        if isinstance(self.history, Panel):
            return backtest_symbols(self.policy, self.history.histories, **self._options)
        return backtest(self.policy, self.history, **self._options)

    def __repr__(self) -> str:
        return "\n  ".join([display.as_text(self._title(), figures(self.summary), _HEADS), self.summary["verdict"]])

    def _repr_html_(self) -> str:
        title = f"{self._title()}: {self.summary['verdict']}"
        tested = self.backtest
        if isinstance(tested, SymbolBacktest):
            lines = {"policy": tested.book.equity, "buy and hold": tested.book.held_equity}
        else:
            lines = {"policy": tested.account.equity, "buy and hold": tested.held_equity}
        outputs = [] if self.folder is None else [self.folder / name for name in self.summary["outputs"]]
        links = display.file_links(self.folder, *outputs)
        return display.as_html(title, figures(self.summary), _HEADS, lines, links=links)

    def plot(self, figure: str | None = None, *, dark: bool = False) -> "Figure":
        """A figure of the backtest on the test bars, see `Backtest.plot`."""
        return self.backtest.plot(figure, dark=dark)

    def summary_frame(self) -> pl.DataFrame:
        """A row for the policy and one for buying and holding on the test bars, a column per figure of docs/KPIS.md."""
        return kpi_rows(self.kpis["kpis"], self.kpis["buy_and_hold"])

    def _title(self) -> str:
        data = self.summary["data"]
        return f"CompleteRun, training bars: {data['training_bars']:,}, test bars: {data['test_bars']:,}"


_HEADS = ("", "policy", "buy and hold")


def run(
    data: TrainingBarsLike | str | Path | None = None,
    out: str | Path | None = None,
    *,
    config: TrainingConfig | Mapping[str, Any] | None = None,
    split: str | None = None,
    seed: int = 0,
    fill: str | None = None,
    size: float = 1.0,
    risk_free: float | str = 0.0,
    year_days: int | None = None,
    kind: str | Path = "v38",
    force: bool = False,
    progress: ProgressCallback | None = None,
) -> CompleteRun:
    """Split a history, plan an agent on the earlier bars, test it on the later ones, and write all there is to see.

    With `out` this writes a folder with `agent` (as `train` does), `backtest`, `report.html` (where plotly is
    installed), `spec` and a summary. A step that is there already, whole and from the same inputs, is not made again.

    Parameters
    ----------
    data
        A history, a frame, a dict of them by symbol, or the path of price files; by default what the config names.
    out
        The folder to write; None: nothing is kept but the result, and there are neither report nor specification.
    config
        The settings, or a dict of them; by default planning by value iteration on 6 × 6 buckets of the price's distance
        from its mean of 64 bars and of its return over 16, for fewer than 1,000 bars on 3 × 3 of 32 and 8 bars.
    split
        Where the test begins: a time, or a share as "70%", the default.
    seed
        Of what training draws, 0 or more; planning on a history draws nothing unless it resamples.
    fill, size, risk_free, year_days
        As for `backtest`; all else that the account assumes is the config's, as for training.
    kind
        The agent of the specification, as for `write_spec`.
    force
        Whether an earlier run is made anew.
    progress
        As for `train`.

    Returns
    -------
    CompleteRun
        `summary`, `policy`, `evaluation`, `kpis` and `backtest`.

    Raises
    ------
    ConfigError, DataError, InputError
        If an argument cannot be used, or there are too few bars on either side of the split.
    OutputError
        If `out` holds something else, or a run of other inputs and `force` is not given.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> close = 100.0 + np.sin(np.arange(600) / 5.0)
    >>> time = (np.arange(600) * 86_400 * 10**9).view("datetime64[ns]")  # a bar per day
    >>> done = idi.run({"time": time, "open": close, "close": close})
    >>> done.summary["data"]["test_bars"]
    180
    >>> done.kpis["kpis"]["total_return"] > done.kpis["buy_and_hold"]["total_return"]
    True
    """
    check_integer("seed", seed)
    check_callback("progress", progress)
    given: dict[str, Any] = {} if data is None else {"environment.kind": "history"}
    is_path = isinstance(data, str | Path)
    if is_path:
        given["environment.data.path"] = str(data)
    if split is not None:
        given["environment.data.split"] = split
    chosen = None if config is None else check_config(config, on_history=True)
    columns = account_columns(first_config() if chosen is None else chosen, None, risk_free)
    bars = None if is_path else check_bars(data, extra=columns)

    def make_config(bars: int | None) -> TrainingConfig:
        return Draft.of(first_config(bars) if chosen is None else chosen).override(given).build()

    options: BacktestOptions = {"fill": fill, "size": size, "risk_free": risk_free, "year_days": year_days}
    return complete(make_config, bars, out, seed, options, kind, force=force, progress=progress)


def complete(
    make_config: Callable[[int | None], TrainingConfig],
    bars: TrainingBars | None,
    out: str | Path | None,
    seed: int,
    options: BacktestOptions,
    kind: str | Path,
    *,
    force: bool,
    progress: ProgressCallback | None = None,
) -> CompleteRun:
    """What `run` does once its arguments are checked.

    make_config: of the number of bars, None where it is not known yet, which changes no column that is read; bars: by
    default those that the config names.
    """
    settings, bars = _settled(make_config, bars, options.get("risk_free", 0.0))
    _check(settings, bars, options, kind)
    with ExitStack() as stack:
        place = out
        if place is None:
            place = Path(stack.enter_context(TemporaryDirectory(prefix="idi-fast-"))) / "run"
        folder = StepFolder(place, force=force)
        steps = _steps(folder.place, settings, bars, seed, options, kind, force, progress)
        notes = bar_notes(bars)
        if out is None:
            steps = steps[:2]
        elif find_spec("plotly") is None:
            steps, notes = [step for step in steps if step.name != REPORT], [*notes, WITHOUT_PLOTLY]
        folder.check(steps)
        states: dict[str, str] = dict.fromkeys((AGENT, BACKTEST, REPORT, SPEC), "left out")
        for step in steps:
            try:
                states[step.name] = "made" if folder.run(step) else "there"
            except (ConfigError, InputError, ArtifactError) as error:
                if step.name != SPEC:
                    raise
                # All else is done, and features of one's own may simply have no such streams.
                notes.append(f"no specification was made: {error}")
        agent, kpis = (read_output(folder.place / name) for name in (f"{AGENT}/run.json", f"{BACKTEST}/kpis.json"))
        equity = pl.read_parquet(folder.place / BACKTEST / "equity.parquet", columns=["equity", "buy_and_hold"])
        outputs = [name for name, state in states.items() if state != "left out"]
        summary = summarise(settings, bars, agent, kpis, equity, [*notes, *kpis["notes"]], outputs)
        if out is not None:
            folder.summarise(summary, as_markdown(summary))
        policy = Policy.load(folder.place / AGENT)
    return CompleteRun(
        summary=summary,
        policy=policy,
        evaluation=agent["evaluation"],
        kpis=kpis,
        steps=states,
        history=bars,
        folder=None if out is None else Path(out),
        _options=options,
    )


def _check(config: TrainingConfig, bars: TrainingBars, options: BacktestOptions, kind: str | Path) -> None:
    """InputError for what a later step would refuse when the earlier ones are done."""
    assume(
        config,
        bars.columns,
        fill=options.get("fill"),
        size=options.get("size", 1.0),
        risk_free=options.get("risk_free", 0.0),
        **dict.fromkeys(("fee_bps", "cash_rate", "borrow_bps", "funding")),
    )
    BarTimes(options.get("year_days"))
    find_contract(kind)


def _settled(
    make_config: Callable[[int | None], TrainingConfig], bars: TrainingBars | None, risk_free: float | str
) -> tuple[TrainingConfig, TrainingBars]:
    """The config, its split a time, and all bars."""
    config = make_config(None)
    if config.environment.kind != "history":
        raise InputError(
            f"a run needs the bars of a history; found the {config.environment.kind} environment: give price data"
        )
    if bars is None:
        bars = load_config_bars(config, extra=account_columns(config, None, risk_free))
    config = make_config(max(len(history) for _, history in members(bars)))
    if config.environment.data.split is None:
        config = Draft.of(config).override({"environment.data.split": SPLIT}).build()
    return split_history(config, bars).config, bars


def _steps(
    place: Path,
    config: TrainingConfig,
    bars: TrainingBars,
    seed: int,
    options: BacktestOptions,
    kind: str | Path,
    force: bool,
    progress: ProgressCallback | None,
) -> list[Step]:
    """All steps, in order; of what only a later one reads, the inputs of the earlier are part of its own."""
    agent = {
        "versions": versions(),
        "fingerprint": config.fingerprint(),
        "seed": seed,
        "data": describe_data(bars),
        "sha256": _digest(bars),
    }
    test = {**agent, **without_idle_terms(dict(options))}
    contract = Path(kind).read_text(encoding="utf-8") if Path(kind).is_file() else str(kind)
    source = place / (BACKTEST if isinstance(bars, History) else AGENT)
    return [
        Step(AGENT, agent, partial(_train, config, bars, seed, force, progress)),
        Step(BACKTEST, test, partial(_backtest, place / AGENT, bars, options, force)),
        Step(REPORT, test, partial(write_report, place / BACKTEST, force=force)),
        Step(SPEC, {**test, "kind": contract}, partial(write_spec, source, kind=kind, force=force)),
    ]


def _train(
    config: TrainingConfig,
    bars: TrainingBars,
    seed: int,
    force: bool,
    progress: ProgressCallback | None,
    out: Path,
) -> None:
    with new_directory(out, force=force, inputs=_files(bars)) as folder:
        trainer = create_trainer(config, seed, bars)
        trainer.compile()
        policy, trace = trainer.run(progress)
        write_training(folder, trainer, policy, trace, {"training_seconds": trainer.training_seconds})


def _backtest(agent: Path, bars: TrainingBars, options: BacktestOptions, force: bool, out: Path) -> None:
    policy = Policy.load(agent)
    with new_directory(out, force=force, inputs=_files(bars)) as folder:
        if isinstance(bars, History):
            write_backtest(folder, policy, bars, **options)
        else:
            write_symbol_backtest(folder, policy, bars.histories, map(Path, bars.digests), **options)


def _files(bars: TrainingBars) -> Iterable[str]:
    return bars.digests


def _digest(bars: TrainingBars) -> str:
    """Of all values of the bars, for frames have no files whose digests tell them apart."""
    found = hashlib.sha256()
    for symbol, history in members(bars):
        found.update(repr((symbol, sorted(history.extra))).encode())
        known = [getattr(history, field.name) for field in dataclasses.fields(history)]
        for values in [*known, *(history.extra[name] for name in sorted(history.extra))]:
            found.update(np.ascontiguousarray(values).data if isinstance(values, np.ndarray) else b"\0")
    return found.hexdigest()

"""Backtest all policies of a population on one history: a table of their figures, and how these are spread."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy, check_policy
from idi_fast.backtesting.backtest import BacktestOptions, make_engine
from idi_fast.backtesting.calibration import NAMES
from idi_fast.backtesting.kpi_units import shown_row
from idi_fast.backtesting.lanes import Course, Finished, Group, group, run_lanes
from idi_fast.config.arguments import check_callback
from idi_fast.data.history import HistoryLike, required_history
from idi_fast.errors import InputError
from idi_fast.evaluation.baselines import CONFIDENCE, student_quantile
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.storage.tables import write_table
from idi_fast.training.artifact import write_backtest_run
from idi_fast.training.population import Population

SHOWN = ("total_return", "sharpe_annualised", "max_drawdown", "trades", "exposure")
QUANTILES = {"minimum": 0.0, "lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75, "maximum": 1.0}
STATISTICS = ("mean", *QUANTILES)
"""Of a figure over the policies, as conditions may name them."""


@dataclass(frozen=True)
class PopulationBacktest(display.Plotted):
    """The finished backtests of many policies over the same bars; made by `backtest`.

    Attributes
    ----------
    table : polars.DataFrame
        A row per policy, in the order given: seed (text), fingerprint of its config, fee_bps, bars, in_sample, all
        figures of docs/KPIS.md, null where one is undefined, and the total return of buy and hold.
    spread : polars.DataFrame
        A row per figure: of how many policies it is defined, its mean over them, the bounds of the mean's 95%
        interval (Student's t), minimum, quartiles and maximum.
    assumptions : dict
        As of a single backtest, and `policies`, their number; null where policies differ.
    buy_and_hold : dict of str to float
        The figures of buy and hold; NaN where policies were tested on other bars or at other fees.
    undefined : dict of str to str
        Why a figure is undefined, by its name, of the first policy of which it is.
    notes : list of str
        Reasons to doubt the figures.
    data : dict
        The bars.
    policy : Policy
        The first.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> close = 100.0 + np.sin(np.arange(300) / 5.0)
    >>> bars = idi.History.from_frame({"close": close, "open": close})
    >>> population = idi.train_population({"episodes": 4}, range(3), history=bars, keep="all")
    >>> tests = idi.backtest(population, bars)
    >>> tests.table["seed"].to_list()
    ['0', '1', '2']
    """

    table: pl.DataFrame
    assumptions: dict[str, Any]
    buy_and_hold: dict[str, float]
    undefined: dict[str, str]
    notes: list[str]
    data: dict[str, Any]
    policy: Policy

    def __len__(self) -> int:
        return self.table.height

    @property
    def spread(self) -> pl.DataFrame:
        """A row per figure, see above."""
        names = [name for name in self.table.columns if name not in IDENTITY and name != HELD_RETURN]
        return pl.DataFrame(
            [{"figure": name, **_spread(self.table[name])} for name in names],
            schema_overrides=dict.fromkeys(("mean", "low", "high", *QUANTILES), pl.Float64),
            infer_schema_length=None,
        )

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._rows(), ("", *STATISTICS))

    def _repr_html_(self) -> str:
        lines = {"total return, best to worst": self.table["total_return"].sort(descending=True).to_numpy()}
        links = display.file_links(display.saved_at(self))
        return display.as_html(self._title(), self._rows(), ("", *STATISTICS), lines, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """A row per statistic over the policies, a column per figure of docs/KPIS.md."""
        spread = self.spread
        rows = [{"of": kind, **dict(zip(spread["figure"], spread[kind], strict=True))} for kind in STATISTICS]
        return pl.DataFrame(rows, infer_schema_length=None)

    def _title(self) -> str:
        return f"Backtests of {len(self):,} policies"

    def _rows(self) -> list[tuple]:
        spread = {row["figure"]: row for row in self.spread.iter_rows(named=True)}
        return [shown_row(name, *(spread[name][kind] for kind in STATISTICS)) for name in SHOWN]

    def to_dict(self) -> dict:
        """The content of kpis.json; undefined values are null."""
        spread = {row.pop("figure"): row for row in self.spread.to_dicts()}
        return null_nan(
            {
                "schema_version": SCHEMA_VERSION,
                "assumptions": self.assumptions,
                "spread": spread,
                "undefined": self.undefined,
                "buy_and_hold": self.buy_and_hold,
                "notes": self.notes,
            }
        )

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast backtest --all` writes; `force` replaces an earlier one. Raises
        OutputError."""
        with new_directory(out, force=force) as folder:
            self.write(folder)
        display.remember_place(self, out)

    def write(self, folder: Path) -> dict:
        """Fill an empty folder; returns the content of kpis.json."""
        write_table(folder / "policies.parquet", self.table)
        result = self.to_dict()
        write_json(folder / "kpis.json", result)
        write_backtest_run(folder, "population-backtest", result["assumptions"], self.policy, self.data)
        return result


IDENTITY = ("seed", "fingerprint", "fee_bps", "bars", "in_sample")
"""Columns of the table before the figures."""
HELD_RETURN = "buy_and_hold_total_return"


def _spread(values: pl.Series) -> dict[str, float | int | None]:
    found = values.drop_nulls().cast(pl.Float64).to_numpy()
    if not found.size:
        return {"policies": 0, "mean": None, "low": None, "high": None, **dict.fromkeys(QUANTILES)}
    mean, reach = float(found.mean()), math.nan
    if found.size > 1:
        error = float(found.std(ddof=1)) / math.sqrt(found.size)
        reach = student_quantile((1.0 + CONFIDENCE) / 2.0, found.size - 1) * error
    bounds = (None, None) if math.isnan(reach) else (mean - reach, mean + reach)
    quantiles = np.quantile(found, [*QUANTILES.values()]).tolist()
    return {
        "policies": found.size,
        "mean": mean,
        "low": bounds[0],
        "high": bounds[1],
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def backtest_population(
    policies: Iterable[Policy],
    history: HistoryLike,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[BacktestOptions],
) -> PopulationBacktest:
    """Backtest many policies over the same bars, which are encoded once for all that read them alike.

    Each policy's figures are those that `backtest` has for it alone, to the last bit. Memory does not grow with the
    number of policies, but for a byte per state of each and a row of the table; a history of n bars takes some 100 n
    bytes, and 52 n more for each thread.

    Parameters
    ----------
    policies
        One or more; taken one after the other, so that a generator need not hold them all.
    history
        Bars with the columns that the policies' features read.
    jobs
        Threads, by default the usable cores.
    progress
        Called with the number of finished policies, and of all, about ten times a second.
    **options
        Those of `backtest`, the same for all policies.

    Returns
    -------
    PopulationBacktest

    Raises
    ------
    ArtifactError
        If a policy and the history do not fit.
    InputError
        For a bad option, or no policies.
    """
    history = required_history(history)
    check_callback("progress", progress)
    identities: list[dict] = []

    def noted() -> Iterable[Policy]:
        for policy in policies:
            config = check_policy(policy).config
            identities.append({"seed": str(policy.seed), "fingerprint": config.fingerprint()})
            yield policy

    groups = group(noted(), history.columns, together=not options.get("risk_free"))
    if not groups:
        raise InputError("there are no policies; expected one or more")
    # First of all, so that what fits one and not another is said before the work.
    engines = [make_engine(each.first, history, **options) for each in groups]
    rows: list[dict | None] = [None] * len(identities)
    workers = WorkerPool(jobs, len(identities))
    undefined: dict[int, dict[str, str]] = {}

    def watch() -> None:
        if progress is not None:
            progress(sum(row is not None for row in rows), len(rows))

    summaries = []
    for each, engine in zip(groups, engines, strict=True):
        course = Course(engine, history)
        summary = engine.summary()
        summaries.append(summary)

        def finished(number: int, found: Finished, summary: dict = summary) -> None:
            assumed, held = summary["assumptions"], summary["buy_and_hold"]["total_return"]
            about = {"fee_bps": assumed["fee_bps"], "bars": assumed["bars"], "in_sample": found.in_sample}
            undefined[number] = {k: why for k, why in found.undefined.items() if not k.startswith("buy_and_hold.")}
            rows[number] = {**identities[number], **about, **found.kpis, HELD_RETURN: held}

        # Lanes have no calibration, so that none has.
        kpis, reasons = ({k: of for k, of in summary[part].items() if k not in NAMES} for part in ("kpis", "undefined"))
        finished(each.numbers[0], Finished(kpis, reasons, summary["assumptions"]["in_sample"]))
        run_lanes(each, course, workers, finished, watch)
    watch()
    return _result(groups, rows, undefined, summaries, engines[0].describe_data())


def _result(
    groups: list[Group], rows: list, undefined: dict[int, dict[str, str]], summaries: list[dict], data: dict
) -> PopulationBacktest:
    table = pl.DataFrame(rows, infer_schema_length=None)
    table = table.with_columns(pl.selectors.float().fill_nan(None), pl.col("liquidated_at").cast(pl.Int64))
    first = summaries[0]
    assumed = {
        name: value if all(each["assumptions"][name] == value for each in summaries) else None
        for name, value in first["assumptions"].items()
    }
    samples = set(table["in_sample"])
    in_sample = True if True in samples else None if None in samples else False
    held = {
        name: value if all(_same(each["buy_and_hold"][name], value) for each in summaries) else math.nan
        for name, value in first["buy_and_hold"].items()
    }
    reasons = {name: why for number in sorted(undefined, reverse=True) for name, why in undefined[number].items()}
    return PopulationBacktest(
        table=table,
        assumptions={"policies": table.height, **assumed, "in_sample": in_sample},
        buy_and_hold=held,
        undefined=reasons,
        notes=list(dict.fromkeys(note for each in summaries for note in each["notes"])),
        data=data,
        policy=groups[0].first,
    )


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def members(policies: Population | Sequence[Policy]) -> list[Policy]:
    """The policies of a population that kept all, or of a list. Raises InputError."""
    if not isinstance(policies, Population):
        return [check_policy(policy) for policy in policies]
    kept, seeds = policies.policies, policies.seeds
    if len(kept) < len(seeds):
        raise InputError(
            f"the population has kept {len(kept)} of its {len(seeds):,} policies; train it with keep='all', or give "
            "the one to test, such as its .best.policy"
        )
    return [*kept.values()]

"""What a run came to, for people."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from idi_fast.backtesting import kpis
from idi_fast.backtesting.kpi_units import shown_row
from idi_fast.config.money import OF_MONEY, without_idle_terms
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.panel import TrainingBars
from idi_fast.display import format_value
from idi_fast.environments.splits import split_history
from idi_fast.evaluation.baselines import plain_verdict
from idi_fast.evaluation.verdicts import account_verdict
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION

FIGURES = ("total_return", "sharpe_annualised", "max_drawdown", "exposure", "trades", "fees")
"""KPIs of the summary; buying and holding has the first three."""


def summarise(
    config: TrainingConfig,
    bars: TrainingBars,
    agent: dict,
    of_test: dict,
    equity: pl.DataFrame,
    notes: Sequence[str],
    outputs: Sequence[str],
) -> dict:
    """The content of summary.json.

    agent: run.json of the artifact; of_test: kpis.json of the backtest; equity: on the test bars of the policy and of
    buying and holding; outputs: names of what was made.
    """
    parts = split_history(config, bars)
    own, held = (equity[name].to_numpy() for name in ("equity", "buy_and_hold"))
    returns, of_holding = kpis.bar_returns(own), kpis.bar_returns(held)
    n = min(returns.size, of_holding.size)  # a liquidated equity has no more returns
    intervals = {
        "sharpe_interval": kpis.sharpe_interval(returns),
        "excess_sharpe_interval": kpis.sharpe_interval(returns[:n] - of_holding[:n]),
    }
    compared = {"zero": intervals["sharpe_interval"], "buy_and_hold": intervals["excess_sharpe_interval"]}
    above = {name: [agent["seed"]] * (low > 0.0) for name, (low, _) in compared.items()}
    below = {name: [agent["seed"]] * (high < 0.0) for name, (_, high) in compared.items()}
    earned, by_holding = of_test["kpis"]["total_return"], of_test["buy_and_hold"]["total_return"]
    about, summary = of_test["assumptions"], agent["summary"]
    return null_nan(
        {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": agent["fingerprint"],
            "seed": str(agent["seed"]),
            "data": {
                "symbols": 1 if isinstance(bars, History) else len(bars.histories),
                "training_bars": len(parts.training),
                "test_bars": about["bars"],
                "split": config.environment.data.split,
                "last_time": about["last_time"],
            },
            "agent": {
                "algorithm": config.learning.algorithm,
                "states": summary["states"],
                "shrinkage": summary.get("plan", {}).get("shrinkage"),
            },
            "assumptions": {name: about[name] for name in ("fill", "fee_bps", "slippage_bps", *OF_MONEY)},
            "policy": {name: of_test["kpis"].get(name) for name in FIGURES},
            "buy_and_hold": {name: of_test["buy_and_hold"].get(name) for name in FIGURES[:3]},
            **{name: list(interval) for name, interval in intervals.items()},
            "verdict": account_verdict(earned, by_holding, above, below, 1),
            "advice": _advice(earned, by_holding, above, below, trades=of_test["kpis"]["trades"]),
            "evaluation": plain_verdict(agent["evaluation"]),
            "notes": list(dict.fromkeys(notes)),
            "outputs": list(outputs),
        }
    )


def _advice(earned: float, of_holding: float, above: dict[str, list], below: dict[str, list], *, trades: int) -> str:
    """What to do with such a result; trades: those that were closed."""
    if above["buy_and_hold"]:
        return "it may have found something: idi-fast walkforward tells whether it holds on other parts of the history"
    if below["buy_and_hold"]:
        return "do not use this agent: buying and holding is better; other features or bars may show more"
    if not trades and np.isclose(earned, of_holding, rtol=0.01, atol=1e-3):
        return "the bars show this agent nothing but to buy and hold; other features, or finer bars, may show more"
    return "nothing shows that this does more than buying and holding; idi-fast sweep looks for what does"


def figures(summary: dict) -> list[tuple]:
    """The rows of figures, beside those of buying and holding."""
    held = summary["buy_and_hold"]
    return [shown_row(name, value, held.get(name, "")) for name, value in summary["policy"].items()]


def facts(summary: dict) -> list[tuple[str, str]]:
    """What was done, by name."""
    data, agent, assumed = summary["data"], summary["agent"], summary["assumptions"]
    shrinkage = "" if agent["shrinkage"] is None else f", shrinkage {agent['shrinkage']:g} bars"
    symbols = f", {data['symbols']:,} symbols" if data["symbols"] > 1 else ""
    terms, fill = without_idle_terms(assumed), assumed["fill"].replace("_", " ")
    return [
        ("trained on", f"{data['training_bars']:,} bars before {data['split']}{symbols}"),
        ("tested on", f"{data['test_bars']:,} bars from there to {data['last_time']}"),
        ("agent", f"{agent['states']:,} states by {agent['algorithm']}{shrinkage}"),
        ("costs", f"{assumed['fee_bps']:g} basis points a side, filled at the {fill.removeprefix('same ')}"),
        *((name.replace("_", " "), f"{value}") for name, value in terms.items() if name in OF_MONEY),
    ]


def as_markdown(summary: dict) -> str:
    """The summary as a page."""
    lines = [f"**{summary['verdict']}**", "", f"What to do: {summary['advice']}.", "", "| | policy | buy and hold |"]
    lines.append("|---|---:|---:|")
    lines += [f"| {name} | {format_value(own)} | {format_value(held)} |" for name, own, held in figures(summary)]
    lines += ["", *(f"- {name}: {value}" for name, value in facts(summary))]
    lines += [f"- evaluation: {summary['evaluation']}"]
    lines += [f"- note: {note}" for note in summary["notes"]]
    lines += ["", "Outputs: " + ", ".join(f"[{name}]({name})" for name in summary["outputs"]), ""]
    return "\n".join(["# What came of it", "", *lines])

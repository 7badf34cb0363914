"""KPIs for people: which are shares, rows of tables, and frames of them."""

import polars as pl

from idi_fast.display import format_share

SHARES = frozenset(
    {
        "total_return",
        "cagr",
        "mean_return",
        "win_rate_per_bar",
        "alpha_per_bar",
        "alpha_annualised",
        "volatility_annualised",
        "max_drawdown",
        "value_at_risk",
        "conditional_value_at_risk",
        "win_rate",
        "expectancy",
        "average_trade",
        "average_win",
        "average_loss",
        "best_trade",
        "worst_trade",
        "exposure",
        "unvisited_states",
        "action_precision",
        "action_recall",
        "action_f1",
        "alert_precision",
        "alert_recall",
        "alert_f1",
        "buy_and_hold",
        "buy_and_hold_total_return",
        "probability_of_overfitting",
        "probability_of_loss",
    }
)
"""Names of figures that are shares, in tables and in JSON; also the return of buying and holding, and the probabilities
of a sweep."""


def shown_kpi(name: str, value: object) -> object:
    """A figure as it is printed: a share as a percentage, anything else as it is."""
    return format_share(value) if name in SHARES and isinstance(value, float | int | None) else value


def shown_row(name: str, *values: object) -> tuple:
    """A row of a printed table: the figure's name in words, and its values."""
    return (name.replace("_", " "), *(shown_kpi(name, value) for value in values))


def kpi_rows(kpis: dict, of_holding: dict) -> pl.DataFrame:
    """A row for a policy and one for buying and holding, a column per figure."""
    rows = [{"of": "policy", **kpis}, {"of": "buy and hold", **of_holding}]
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.selectors.float().fill_nan(None))

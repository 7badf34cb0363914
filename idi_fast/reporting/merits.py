"""KPIs as tables: in groups, each in its unit, with the assumptions above them."""

from collections.abc import Callable, Iterator, Sequence

from idi_fast.config.money import EARNED_AND_PAID, OF_MONEY
from idi_fast.reporting.formats import UNDEFINED, count, day, is_undefined, number, percent, setting, words
from idi_fast.reporting.parts import Beside, KeyFigures, Note, Table

Format = Callable[[float | None], str]
GROUPS: dict[str, dict[str, Format]] = {
    "Return": {
        "total_return": percent,
        "cagr": percent,
        "mean_return": percent,
        "win_rate_per_bar": percent,
        "alpha_per_bar": percent,
        "alpha_annualised": percent,
        "beta": number,
    },
    "Risk": {
        "volatility_annualised": percent,
        "max_drawdown": percent,
        "max_drawdown_bars": count,
        "longest_drawdown_bars": count,
        "value_at_risk": percent,
        "conditional_value_at_risk": percent,
        "tail_ratio": number,
        "skewness": number,
        "excess_kurtosis": number,
        "liquidated_at": count,
        "liquidated_symbols": count,
    },
    "Return for risk": {
        "sharpe_per_bar": number,
        "sharpe_annualised": number,
        "sortino_per_bar": number,
        "sortino_annualised": number,
        "calmar": number,
        "omega": number,
    },
    "Trades": {
        "trades": count,
        "open_trades": count,
        "win_rate": percent,
        "profit_factor": number,
        "expectancy": percent,
        "average_trade": percent,
        "average_win": percent,
        "average_loss": percent,
        "best_trade": percent,
        "worst_trade": percent,
        "average_trade_bars": number,
        "longest_trade_bars": count,
        "exposure": percent,
    },
    "Costs": {"turnover": number, "fees": number, "slippage": number, **dict.fromkeys(EARNED_AND_PAID, number)},
    "Decisions": {
        "mean_reward": number,
        "unvisited_states": percent,
        "calibration_error": number,
        "calibration_slope": number,
        "action_precision": percent,
        "action_recall": percent,
        "action_f1": percent,
        "alert_precision": percent,
        "alert_recall": percent,
        "alert_f1": percent,
    },
}
OTHERS = "Others"
"""The group of unknown figures, which other versions may write."""
LABELS = {
    "cagr": "CAGR",
    "mean_return": "Mean return per bar",
    "win_rate_per_bar": "Bars won",
    "win_rate": "Trades won",
    "value_at_risk": "Value at risk, 5%",
    "conditional_value_at_risk": "Conditional value at risk, 5%",
    "volatility_annualised": "Volatility, annualised",
    "alpha_annualised": "Alpha, annualised",
    "max_drawdown_bars": "Max drawdown, bars",
    "longest_drawdown_bars": "Longest drawdown, bars",
    "sharpe_per_bar": "Sharpe ratio per bar",
    "sharpe_annualised": "Sharpe ratio, annualised",
    "sortino_per_bar": "Sortino ratio per bar",
    "sortino_annualised": "Sortino ratio, annualised",
    "calmar": "Calmar ratio",
    "omega": "Omega ratio",
    "trades": "Closed trades",
    "expectancy": "Mean profit",
    "average_trade": "Mean profit, geometric",
    "average_trade_bars": "Average trade, bars",
    "longest_trade_bars": "Longest trade, bars",
    "exposure": "Bars with a position",
    "mean_reward": "Mean reward per bar",
    "turnover": "Turnover, initial equities",
    "fees": "Fees, initial equities",
    "slippage": "Slippage, initial equities",
    "interest_earned": "Interest on cash, initial equities",
    "borrow_paid": "Borrowing, initial equities",
    "funding_paid": "Funding, initial equities",
    "unvisited_states": "Bars in unvisited states",
    "action_f1": "Action F1",
    "alert_f1": "Alert F1",
    "liquidated_at": "Liquidated at bar",
}
HEADLINE = ("total_return", "sharpe_annualised", "sharpe_per_bar", "max_drawdown", "trades", "exposure")
FILLS = {"next_open": "Next open", "next_close": "Next close", "same_close": "Same close"}


class Merits:
    """The KPIs of a backtest's kpis.json."""

    def __init__(self, result: dict):
        self._assumptions, self._kpis = result["assumptions"], result["kpis"]
        self._held, self._undefined = result["buy_and_hold"], result.get("undefined") or {}

    @property
    def periods_per_year(self) -> float | None:
        """Bars per year for annualised figures, None if they are not annualised."""
        return self._assumptions.get("periods_per_year")

    @property
    def is_annual(self) -> bool:
        """Whether there is a Sharpe ratio a year."""
        return not is_undefined(self._kpis["sharpe_annualised"])

    def headline(self, is_annual: bool | None = None) -> list[tuple[str, str]]:
        """The most important figures; is_annual: whether with the Sharpe ratio a year, by default if there is one."""
        is_annual = self.is_annual if is_annual is None else is_annual
        known = [name for name in HEADLINE if name != ("sharpe_per_bar" if is_annual else "sharpe_annualised")]
        shown = [(label(name), shown_value(name, self._kpis[name])) for name in known]
        return [shown[0], ("Buy and hold", shown_value("total_return", self._held["total_return"])), *shown[1:]]

    def parts(self) -> list[KeyFigures | Beside | Note]:
        """The assumptions, the tables, and why some figures are undefined."""
        return [KeyFigures(assumption_facts(self._assumptions)), self._tables(), *self._reasons()]

    def _tables(self) -> Beside:
        return Beside([self._table(group, names) for group, names in grouped(self._kpis)])

    def _table(self, group: str, names: Sequence[str]) -> Table:
        both = [self._kpis, self._held] if any(name in self._held for name in names) else [self._kpis]
        rows = [
            (label(name), *(shown_value(name, kpis[name]) if name in kpis else "" for kpis in both)) for name in names
        ]
        return Table(group, ("", "Policy", "Buy and hold")[: 1 + len(both)], rows)

    def _reasons(self) -> Iterator[Note]:
        """The reasons for the dashes, each once."""
        for reason in dict.fromkeys(self._undefined.values()):
            names = [name for name, why in self._undefined.items() if why == reason and name in self._kpis]
            if names:
                yield Note(f"{UNDEFINED} {', '.join(map(label, names))}: {reason}.")


def label(name: str) -> str:
    """A figure's name for people."""
    return LABELS.get(name, words(name))


def shown_value(name: str, value: float | None) -> str:
    """A figure in its unit."""
    found = next((formats[name] for formats in GROUPS.values() if name in formats), number)
    return found(value)


def grouped(kpis: dict) -> Iterator[tuple[str, list[str]]]:
    """The groups and their figures in this run, ungrouped ones last."""
    known = {name: group for group, names in GROUPS.items() for name in names}
    idle = {"liquidated_at": None, **dict.fromkeys(EARNED_AND_PAID, 0.0)}
    shown = [name for name in kpis if name not in idle or kpis[name] != idle[name]]
    for group in (*GROUPS, OTHERS):
        names = [name for name in GROUPS.get(group, ()) if name in shown]
        names += [name for name in shown if group == OTHERS and name not in known]
        if names:
            yield group, names


def assumption_facts(assumptions: dict) -> Sequence[tuple[str, str]]:
    """The assumptions, the most important first; unknown ones under their own names."""
    per_year = assumptions.get("periods_per_year")
    samples = {True: "In sample", False: "Out of sample", None: "Not known"}
    known = {
        "periods_per_year": ("Periods per year", "Not annualised" if per_year is None else number(per_year, 4)),
        "fee_bps": ("Fee per side", f"{setting(assumptions.get('fee_bps'))} bps"),
        "slippage_bps": ("Slippage per side", f"{setting(assumptions.get('slippage_bps'))} bps"),
        "fill": ("Fill", FILLS.get(str(assumptions.get("fill")), str(assumptions.get("fill")))),
        "in_sample": ("Sample", samples[assumptions.get("in_sample")]),
        "first_time": ("First bar", day(assumptions.get("first_time"))),
        "last_time": ("Last bar", day(assumptions.get("last_time"))),
        "bars": ("Bars", count(assumptions.get("bars"))),
        "dropped_rows": ("Dropped rows", count(assumptions.get("dropped_rows"))),
    }
    known |= {
        "size": ("Size of a position", percent(assumptions.get("size"))),
        "cash_rate": ("Interest on cash", _a_year(assumptions.get("cash_rate"))),
        "borrow_bps": ("Borrowing", f"{setting(assumptions.get('borrow_bps'))} bps a year"),
        "funding": ("Funding", f"Column {assumptions.get('funding')}"),
        "risk_free": ("Risk-free rate", _a_year(assumptions.get("risk_free"))),
    }
    unused = {name for name, value in OF_MONEY.items() if assumptions.get(name, value) == value}
    facts = [fact for name, fact in known.items() if name in assumptions and name not in unused]
    return facts + [(words(name), _plain(value)) for name, value in assumptions.items() if name not in known]


def _a_year(rate: float | str | None) -> str:
    return f"Column {rate}" if isinstance(rate, str) else f"{percent(rate, 2)} a year"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, float):
        return setting(value)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return UNDEFINED if value is None else count(value) if isinstance(value, int) else words(str(value))

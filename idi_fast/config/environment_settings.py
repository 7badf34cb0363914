"""The settings of environments: the simulated market, and the price history with how its files are read."""

from dataclasses import dataclass
from typing import Literal

from idi_fast.config.block import ISO_DATE, NO_NUL, REQUIRED, SNAKE_CASE, SPLIT, Block, SettingError, setting
from idi_fast.config.market_rules import check_regimes
from idi_fast.config.own_functions import MARKETS, check_choice_or_own
from idi_fast.config.read_options import OPTIONS, DecimalMark, ReadOptions, Vendor
from idi_fast.errors import ConfigError

KINDS = ("synthetic", "crypto", "history")
StressScenario = Literal["normal", "panic", "extreme_shock", "fee_spike", "bear_market", "flash_crash"]
NanPolicy = Literal["refuse", "drop"]
EdgeFit = Literal["pooled", "per_symbol"]
FillPolicy = Literal["next_open", "next_close", "same_close"]
Regime = Literal["bull", "bear", "chop", "panic"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RegimeConfig(Block):
    """One of the simulated market's regimes, where these are a list of their own."""

    name: str = setting(REQUIRED, "Name of the regime.", pattern=SNAKE_CASE)
    drift: float = setting(0.0, "Mean log return per bar.")
    volatility: float = setting(REQUIRED, "Standard deviation of the log return per bar.", minimum=0)
    next: tuple[float, ...] | None = setting(
        None, "Chances of each regime of the list at the next bar; null stays for ever.", minimum=0, maximum=1
    )
    degrees: float | None = setting(
        None, "Degrees of freedom of Student's t, for fat tails; null is normal.", exclusiveMinimum=2, maximum=1000
    )
    garch_alpha: float = setting(
        0.0, "α of GARCH(1,1): weight of the last squared return.", minimum=0, exclusiveMaximum=1
    )
    garch_beta: float = setting(0.0, "β of GARCH(1,1): weight of the last variance.", minimum=0, exclusiveMaximum=1)
    counts_as: Regime = setting("chop", "What the agent, alerts and streams take it for; a panic is a risk event.")

    def _cross_check(self) -> None:
        if self.garch_alpha + self.garch_beta >= 1.0:
            problem = f"and garch_beta add up to {self.garch_alpha + self.garch_beta:g}; expected less than 1"
            raise SettingError("garch_alpha", problem, "garch_beta")
        if self.next is not None and abs(sum(self.next) - 1.0) > 1e-9:
            raise SettingError("next", f"adds up to {sum(self.next):.12g}; expected chances that add up to 1")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class MarketConfig(Block):
    """The simulated market of the crypto environment; the fee holds for a price history too, the costs of holding a
    position only for that."""

    drift_bull: float = setting(0.002, "Mean log return per bar in a bull market.")
    drift_bear: float = setting(-0.002, "Mean log return per bar in a bear market; in a panic −1.5 times its size.")
    drift_chop: float = setting(0.0, "Mean log return per bar in a sideways market.")
    vol_base: float = setting(0.01, "Volatility: standard deviation of the log return per bar.", minimum=0)
    vol_panic: float = setting(0.04, "Volatility in a panic, likewise.", minimum=0)
    shock_prob: float = setting(0.02, "Probability of a shock per bar.", minimum=0, maximum=1)
    shock_scale: float = setting(0.05, "Standard deviation of a shock's log return.", minimum=0)
    fee_bps: float = setting(5.0, "Fee per trade, in basis points of the price.", minimum=0, exclusiveMaximum=10_000)
    stress_scenario: StressScenario = setting("normal", "The stress the market is put under.")
    borrow_bps: float = setting(
        0.0, "What a short pays a year to borrow, in basis points of its notional.", since=2, minimum=0, maximum=100_000
    )
    cash_rate: float = setting(
        0.0,
        "Interest a year on cash, which a position forgoes, as 0.04 for 4%.",
        since=2,
        exclusiveMinimum=-1,
        exclusiveMaximum=1,
    )
    regimes: tuple[RegimeConfig, ...] = setting(
        (), "Regimes in place of the bull, bear, sideways and panic ones of the other settings.", since=2
    )

    def _cross_check(self) -> None:
        check_regimes(self)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class DataConfig(Block):
    """The price history of the history environment, and how orders fill on it."""

    path: str | None = setting(None, "A Parquet or CSV file, a glob or a folder.", minLength=1, pattern=NO_NUL)
    time: str | None = setting(
        None, 'Column of the bar\'s time; null finds it by its usual names, "none" reads no times.'
    )
    price: str | None = setting(None, "Column of the closing price; null finds it by its usual names.")
    open: str | None = setting(None, "Column of the opening price; null finds it by its usual names.")
    volume: str | None = setting(None, "Column of the traded volume; null finds it by its usual names.")
    nan: NanPolicy = setting("refuse", "What to do with a bar that has a missing value.")
    fill: FillPolicy = setting(
        "next_open", "Price a decision is filled at: the next bar's open or close, or its own close."
    )
    funding: str | None = setting(
        None, "Column of the funding rate that longs pay to shorts at each bar; null is none.", since=2, minLength=1
    )
    format: Vendor | None = setting(None, "A vendor's format, for what its files do not tell.", since=2)
    sep: str | None = setting(None, 'Sign between the fields of text, "tab" for a tab; null finds it out.', since=2)
    decimal: DecimalMark | None = setting(None, "Decimal mark; null finds it out.", since=2)
    thousands: str | None = setting(
        None, "Separator of thousands; null takes any but the decimal mark.", since=2, minLength=1, maxLength=1
    )
    time_format: str | None = setting(
        None, "A strptime format, the unit of epochs (s, ms, us, ns), or excel; null finds it out.", since=2
    )
    tz: str | None = setting(None, "Zone of times that name none, as America/New_York; null is UTC.", since=2)
    no_header: bool = setting(False, "Whether the first row is one of values, although it looks like names.", since=2)
    encoding: str | None = setting(None, "Encoding of text, as cp1252; null finds it out.", since=2)
    skip_rows: int | None = setting(None, "Lines before the table; null finds it out.", since=2, minimum=0)
    sort: bool = setting(False, "Whether rows are sorted by time instead of refused.", since=2)
    duplicates: NanPolicy = setting("refuse", "What to do with a row that repeats the one before.", since=2)
    start: str | None = setting(
        None, "Time of the first bar included, ISO 8601; null is that of all.", since=2, pattern=ISO_DATE
    )
    end: str | None = setting(
        None, "Time of the first bar excluded, ISO 8601; null is none.", since=2, pattern=ISO_DATE
    )
    symbol_col: str | None = setting(
        None, "Column, or key of key=value folders, with the symbol of each bar; null is a single history.", since=2
    )
    symbol_files: bool = setting(False, "Whether each file is a symbol.", since=2)
    edges: EdgeFit = setting(
        "pooled", "Whether bucket edges are fitted on all symbols together, or on each symbol's bars.", since=2
    )
    split: str | None = setting(
        None,
        "Where training ends and the test begins: a time, ISO 8601, or a share, as 70%; null trains on all bars.",
        since=2,
        pattern=SPLIT,
    )

    def _cross_check(self) -> None:
        try:
            self.reading()
        except ConfigError as error:
            name, _, problem = str(error).partition(": ")
            raise SettingError(name, problem.replace("found", "is", 1).replace(", expected", "; expected", 1)) from None
        if self.symbol_files and self.symbol_col is not None:
            raise SettingError("symbol_files", "is true; expected either this or symbol_col", "symbol_col")

    def reading(self) -> ReadOptions:
        """How the files are read."""
        return ReadOptions.of({name: getattr(self, name) for name in OPTIONS})


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EnvironmentConfig(Block):
    """The market the agent acts in."""

    kind: str = setting(
        "synthetic",
        "Random features, a simulated market, a price history, or the name of a market of your own.",
        examples=list(KINDS),
    )
    allow_short: bool = setting(True, "Whether sell goes short; else it closes the position.")
    observe_regime: bool = setting(False, "Whether the agent sees the simulated market's regime, for kind crypto.")
    market: MarketConfig = setting(MarketConfig, "The simulated market, for kind crypto, and the fee.")
    data: DataConfig = setting(DataConfig, "The price history, for kind history.")

    def _cross_check(self) -> None:
        check_choice_or_own("kind", self.kind, KINDS, MARKETS)

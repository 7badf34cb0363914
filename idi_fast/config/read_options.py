"""How price files are read where their content does not tell, and the formats of vendors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from idi_fast.errors import ConfigError, nearest

Vendor = Literal[
    "alphavantage",
    "binance",
    "bitfinex",
    "coinbase",
    "cryptodatadownload",
    "dukascopy",
    "firstratedata",
    "histdata",
    "investing",
    "kraken",
    "metatrader",
    "nasdaq",
    "stooq",
    "tradingview",
    "yfinance",
]
DecimalMark = Literal[".", ","]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of reading price files; what is None is found out.

    Attributes
    ----------
    format : str or None
        A vendor's format, see `FORMATS`: the options that its files need and do not tell.
    sep : str or None
        The sign between fields, `"tab"` for a tab.
    decimal, thousands : str or None
        The decimal mark, `"."` or `","`; what separates thousands.
    time_format : str or None
        A strptime format, the unit of epochs (`s`, `ms`, `us`, `ns`) or `excel`: a spreadsheet's serial days.
    tz : str or None
        Zone of times that name none, as `America/New_York`; None: UTC.
    no_header : bool
        Whether the first row is one of values, although it looks like names.
    encoding : str or None
        Of text, as `utf-8`, `cp1252`.
    skip_rows : int or None
        Lines of text before the header, or without one before the first row.
    sort : bool
        Whether rows are sorted by time, instead of refused where they are out of order.
    duplicates : {"refuse", "drop"}
        What to do with a row that repeats the one before it in every column that is read.
    names : tuple of str or None
        The first columns' names, in files without a header; set by `format`.
    order : str or None
        The order of day and month where the rows allow both; set by `format`.
    """

    format: Vendor | None = None
    sep: str | None = None
    decimal: DecimalMark | None = None
    thousands: str | None = None
    time_format: str | None = None
    tz: str | None = None
    no_header: bool = False
    encoding: str | None = None
    skip_rows: int | None = None
    sort: bool = False
    duplicates: Literal["refuse", "drop"] = "refuse"
    names: tuple[str, ...] | None = None
    order: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "ReadOptions":
        """Those given, checked, with what their format adds. Raises ConfigError."""
        options = cls(**{name: value for name, value in given.items() if value is not None})
        options._check()
        if options.format is not None:
            chosen = {field.name for field in fields(cls) if getattr(options, field.name) != field.default}
            added = {name: value for name, value in FORMATS[options.format].items() if name not in chosen}
            options = replace(options, **added)
        return replace(options, sep="\t") if options.sep in ("tab", "\\t") else options

    def _check(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            hint = nearest(self.format, FORMATS)
            raise ConfigError(f"format: found {self.format!r}, expected one of {', '.join(FORMATS)}.{hint}")
        if self.sep is not None and self.sep not in ("tab", "\\t") and len(self.sep.encode()) != 1:
            raise ConfigError(f"sep: found {self.sep!r}, expected one sign, or 'tab'")
        if self.decimal is not None and self.decimal not in get_args(DecimalMark):
            raise ConfigError(f"decimal: found {self.decimal!r}, expected '.' or ','")
        if self.thousands is not None and (len(self.thousands) != 1 or self.thousands.isalnum()):
            raise ConfigError(f"thousands: found {self.thousands!r}, expected one sign, such as ','")
        if self.thousands is not None and self.thousands == self.decimal:
            raise ConfigError(f"thousands: found {self.thousands!r}, which is the decimal mark; expected another sign")
        if self.duplicates not in ("refuse", "drop"):
            raise ConfigError(f"duplicates: found {self.duplicates!r}, expected 'refuse' or 'drop'")
        _check_time_format(self.time_format)
        if self.skip_rows is not None and self.skip_rows < 0:
            raise ConfigError(f"skip_rows: found {self.skip_rows}, expected 0 or more")
        if self.tz is not None:
            _check_zone(self.tz)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


OPTIONS = tuple(field.name for field in fields(ReadOptions) if field.name not in ("names", "order"))
"""The names of the options that users give."""
UNITS = ("s", "ms", "us", "ns")
SERIAL_DAYS = "excel"
"""Name of a time format: days since 1899-12-30, the time of day as a fraction."""
BARS = ("open", "high", "low", "close", "volume")
POINT = {"sep": ",", "decimal": "."}
FORMATS: dict[Vendor, dict[str, Any]] = {
    "alphavantage": POINT,
    "binance": {**POINT, "names": ("open_time", *BARS, "close_time", "quote_volume", "trades")},
    "bitfinex": {**POINT, "names": ("time", "open", "close", "high", "low", "volume")},
    "coinbase": {**POINT, "names": ("time", "low", "high", "open", "close", "volume")},
    "cryptodatadownload": POINT,
    "dukascopy": POINT,
    "firstratedata": {**POINT, "names": ("time", *BARS), "tz": "America/New_York"},
    "histdata": {"decimal": ".", "tz": "Etc/GMT+5"},  # EST the whole year
    "investing": {"order": "month first"},
    "kraken": {**POINT, "names": ("time", *BARS, "trades")},
    "metatrader": {"decimal": ".", "names": ("date", "time_of_day", *BARS)},
    "nasdaq": {**POINT, "order": "month first"},
    "stooq": POINT,
    "tradingview": POINT,
    "yfinance": POINT,
}
"""The formats of vendors by name, and the options that their files do not tell; the others are found out."""


def _check_time_format(form: str | None) -> None:
    if form is None or form in (*UNITS, SERIAL_DAYS) or "%" in form:
        return
    raise ConfigError(
        f"time_format: found {form!r}, expected a strptime format such as '%d.%m.%Y %H:%M', the unit of Unix epochs "
        f"({', '.join(UNITS)}), or '{SERIAL_DAYS}' for a spreadsheet's serial days"
    )


def _check_zone(zone: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError):  # of a folder, of a path upwards, of an unknown name
        raise ConfigError(f"tz: found {zone!r}, expected a time zone such as Europe/Berlin") from None

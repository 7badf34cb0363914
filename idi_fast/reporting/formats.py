"""How figures are formatted, the same everywhere in a report."""

import math
from datetime import date

UNDEFINED = "–"
MINUS = "−"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_undefined(value: object) -> bool:
    """Whether a value is null or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def number(value: float | None, digits: int = 4) -> str:
    """A measured value with this many significant digits, but all of those before the decimal point; a dash if
    undefined."""
    if value is None or is_undefined(value):
        return UNDEFINED
    if value == 0.0 or abs(value) >= 10 ** (digits - 1):
        return count(value)
    return f"{value:#.{digits}g}".replace("-", MINUS)


def with_error(value: float, error: float | None) -> str:
    """A mean and its standard error: two significant digits of the error, and the mean to the same place."""
    if error is None or is_undefined(error) or error == 0.0:
        return number(value)
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{places}f} ± {error:,.{places}f}".replace("-", MINUS)


def setting(value: float | None) -> str:
    """A given value: as it was written, except for commas."""
    return UNDEFINED if value is None or is_undefined(value) else f"{value:,.12g}".replace("-", MINUS)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage, with this many decimals: none from 1,000% on; below 1%, if any, enough for two
    significant digits."""
    if value is None or is_undefined(value):
        return UNDEFINED
    if abs(value) >= 10.0:
        digits = 0
    elif digits and 0.0 < abs(value) < 0.01:
        digits = 1 - math.floor(math.log10(100.0 * abs(value)))
    text = f"{100.0 * value:,.{digits}f}%"
    return text.replace("-", MINUS) if text.strip("-0.%") else text.removeprefix("-")


def count(value: float | None) -> str:
    """An integer, with commas."""
    return UNDEFINED if value is None or is_undefined(value) else f"{value:,.0f}".replace("-", MINUS)


def day(text: str | None) -> str:
    """The date of a time in ISO 8601, as 19 Aug 2004."""
    if text is None:
        return UNDEFINED
    found = date.fromisoformat(text[:10])
    return f"{found.day} {MONTHS[found.month - 1]} {found.year}"


def words(name: str) -> str:
    """An identifier as words."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def method(algorithm: str) -> str:
    """The name of a learning algorithm."""
    return words(algorithm.replace("q_learning", "Q-learning").replace("q_lambda", "Q(λ)").replace("sarsa", "SARSA"))


def sentence(text: str) -> str:
    """A phrase with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def plural(n: int, thing: str) -> str:
    """A count of a thing: 1 bar, 2 bars."""
    return f"{count(n)} {thing}" if n == 1 else f"{count(n)} {thing}s"

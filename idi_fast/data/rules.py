"""What the values of a history's columns must be."""

import numpy as np

# What the values of a column must be, and how to say it; null never holds.
NUMBER = (lambda values: values.is_finite(), "a finite number")
POSITIVE = (lambda values: values.is_finite() & (values > 0), "a finite number above 0")
PRICES = ("close", "open", "high", "low")
LEAST = {**dict.fromkeys(PRICES, np.nextafter(0.0, 1.0)), "volume": 0.0}
"""The smallest number that a column may hold."""
RULES = {
    "time": (
        lambda values: values.is_not_null(),
        "a date or date-time like 2024-01-31T09:30:00Z, years 1700 to 2199, or a Unix epoch of 1971 to 2099",
    ),
    "close": POSITIVE,
    "open": POSITIVE,
    "high": POSITIVE,
    "low": POSITIVE,
    "volume": (lambda values: values.is_finite() & (values >= 0), "a finite number, 0 or more"),
    "risk": (lambda values: values.is_in([0.0, 1.0]), "0 or 1, or false or true"),
}

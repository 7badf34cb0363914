"""What the returns of a price history are like: their moments and autocorrelations, and how far apart two are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from idi_fast import display
from idi_fast.config.arguments import check_integer
from idi_fast.data.history import required_history
from idi_fast.errors import InputError

if TYPE_CHECKING:
    from idi_fast.data.history import History

LAGS = 20
NAMES = {
    "mean": "mean",
    "volatility": "volatility",
    "skewness": "skewness",
    "kurtosis": "excess kurtosis",
    "autocorrelation": "autocorrelation of returns, lag 1",
    "absolute_autocorrelation": "autocorrelation of absolute returns, lag 1",
}
"""The figures of a row each, in words."""


@dataclass(frozen=True, eq=False)
class ReturnMoments:
    """Moments of the log returns from close to close; made by `return_moments`.

    Attributes
    ----------
    returns : int
        How many.
    mean, volatility : float
        Per bar: their mean, and their standard deviation (ddof 1).
    skewness, kurtosis : float
        Third and fourth standardised moment, the latter less 3, that of a normal distribution: g1 and g2 of Joanes &
        Gill (1998). NaN where all returns are equal.
    autocorrelation, absolute_autocorrelation : numpy.ndarray
        float64 (lags,), that of the returns and that of their absolute values at lags of 1, 2 … bars (Box & Jenkins
        1976); NaN where there are no so many returns.
    """

    returns: int
    mean: float
    volatility: float
    skewness: float
    kurtosis: float
    autocorrelation: np.ndarray
    absolute_autocorrelation: np.ndarray

    def distances(self, other: "ReturnMoments") -> dict[str, float]:
        """How far these are from others, 0 where they are equal.

        Of `mean`, `skewness` and `kurtosis` the difference; of `volatility` the logarithm of the ratio; of both
        autocorrelations the root of the mean squared difference over the lags that both have.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = float(np.log(np.float64(self.volatility)) - np.log(np.float64(other.volatility)))
        return {
            "mean": self.mean - other.mean,
            "volatility": 0.0 if self.volatility == other.volatility else ratio,
            "skewness": self.skewness - other.skewness,
            "kurtosis": self.kurtosis - other.kurtosis,
            "autocorrelation": _apart(self.autocorrelation, other.autocorrelation),
            "absolute_autocorrelation": _apart(self.absolute_autocorrelation, other.absolute_autocorrelation),
        }

    def figures(self) -> dict[str, float]:
        """A number for each of the distances: of the autocorrelations that at lag 1."""
        names = ("mean", "volatility", "skewness", "kurtosis")
        lagged = ("autocorrelation", "absolute_autocorrelation")
        return {name: getattr(self, name) for name in names} | {name: float(getattr(self, name)[0]) for name in lagged}

    def __repr__(self) -> str:
        return display.as_text(f"Moments of {self.returns:,} returns", self._rows())

    def _repr_html_(self) -> str:
        return display.as_html(f"Moments of {self.returns:,} returns", self._rows())

    def _rows(self) -> list[tuple[str, float]]:
        return [(NAMES[name], value) for name, value in self.figures().items()]


def return_moments(history: "History", *, lags: int = LAGS) -> ReturnMoments:
    """The moments of a history's log returns from close to close.

    Parameters
    ----------
    history
        A history, or a frame, of 3 bars or more.
    lags
        Of the autocorrelations, 1 or more.

    Returns
    -------
    ReturnMoments
        Its `distances` to another tell how alike two histories are.

    Raises
    ------
    DataError, InputError
        If an argument cannot be used.

    Examples
    --------
    >>> import idi_fast as idi, polars as pl
    >>> found = idi.return_moments(pl.DataFrame({"close": [100.0, 101.0, 100.0, 101.0, 100.0]}))
    >>> found.returns, round(found.volatility, 4), round(float(found.autocorrelation[0]), 2)
    (4, 0.0115, -0.75)
    """
    return moments_of(np.log(required_history(history).close), check_integer("lags", lags, least=1))


def moments_of(log_close: np.ndarray, lags: int = LAGS) -> ReturnMoments:
    """The same of log closes, float64 (bars,). Raises InputError for fewer than 3."""
    if log_close.size < 3:
        raise InputError(f"the history has {log_close.size} bars; its returns have moments from 3 bars on")
    returns = np.diff(log_close)
    mean = float(returns.mean())
    deviations = returns - mean
    squares = deviations * deviations
    variance = float(squares.mean())
    is_flat = _is_flat(returns, float(squares.sum()))
    return ReturnMoments(
        returns=returns.size,
        mean=mean,
        volatility=float(np.sqrt(squares.sum() / (returns.size - 1))),
        skewness=np.nan if is_flat else float((squares * deviations).mean() / variance**1.5),
        kurtosis=np.nan if is_flat else float((squares * squares).mean() / variance**2 - 3.0),
        autocorrelation=_autocorrelation(returns, lags),
        absolute_autocorrelation=_autocorrelation(np.abs(returns), lags),
    )


def mean_moments(found: Sequence[ReturnMoments]) -> ReturnMoments:
    """The mean of the moments of several paths of the same market."""
    if len(found) == 1:
        return found[0]
    names = ("mean", "volatility", "skewness", "kurtosis")
    lagged = ("autocorrelation", "absolute_autocorrelation")
    return ReturnMoments(
        returns=sum(of.returns for of in found),
        **{name: float(np.mean([getattr(of, name) for of in found])) for name in names},
        **{name: np.mean([getattr(of, name) for of in found], axis=0) for name in lagged},
    )


def _autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    deviations = values - values.mean()
    total, found = float(deviations @ deviations), np.full(lags, np.nan)
    if not _is_flat(values, total):
        for lag in range(1, min(lags, values.size - 1) + 1):
            found[lag - 1] = float(deviations[lag:] @ deviations[:-lag]) / total
    return found


def _is_flat(values: np.ndarray, squares: float) -> bool:
    """Whether squared deviations from the mean add up to no more than its rounding makes of equal values."""
    return squares <= values.size * (1e-13 * float(np.abs(values).max())) ** 2


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    n = min(one.size, other.size)
    squares = (one[:n] - other[:n]) ** 2
    known = squares[~np.isnan(squares)]
    return float(np.sqrt(known.mean())) if known.size else np.nan

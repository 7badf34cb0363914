"""Figures of a market: paths of its price, their returns, volatility and autocorrelation, beside a real history."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import polars as pl

from idi_fast.data.moments import NAMES, ReturnMoments, mean_moments, moments_of
from idi_fast.kernels.crypto import REGIMES
from idi_fast.reporting import theme
from idi_fast.reporting.course import bucket_size, extreme_rows
from idi_fast.reporting.formats import count, number, percent, plural
from idi_fast.reporting.parts import Figure, Table

REGIME_COLOURS = (theme.role("teal"), theme.role("purple"), None, theme.ORANGE)
"""Of bull, bear, chop (which is not shaded) and panic."""
VEIL = 0.26
"""Opacity of the area of a regime."""
WINDOW = 64
"""Bars of a rolling volatility."""
REACH, BINS = 6.0, 120
"""Of a histogram: standard deviations to either side of the mean, and bins over them."""
FEWER = 5
"""Times fewer points of a line that is one of many."""
LEAST_SHARE = 1e-6
"""The lowest share of bars drawn of a tail."""


@dataclass(frozen=True)
class MarketPath:
    """One course of a market's price.

    name: for people; close float64 (n,), 3 bars or more; regime uint8 (n,), 0 to 3, None where it is not known.
    """

    name: str
    close: np.ndarray
    regime: np.ndarray | None = None

    @cached_property
    def log_close(self) -> np.ndarray:
        """Natural logarithms of the closes, float64 (n,)."""
        return np.log(self.close)

    @cached_property
    def moments(self) -> ReturnMoments:
        """The moments of its returns."""
        return moments_of(self.log_close)


def market_figures(paths: Sequence[MarketPath], history: MarketPath | None = None) -> list[Figure]:
    """The figures of one path or several of the same market, beside a history if there is one."""
    return [price_figure(paths, history), *return_figures(paths, history)]


def return_figures(paths: Sequence[MarketPath], history: MarketPath | None = None) -> list[Figure]:
    """Those of the returns."""
    return [
        histogram_figure(paths, history),
        tail_figure(paths, history),
        volatility_figure(paths, history),
        autocorrelation_figure(paths, history),
    ]


def moments_table(paths: Sequence[MarketPath], history: MarketPath | None = None) -> Table:
    """The moments of the paths' returns, their mean over several, and how far they are from a history's."""
    own = mean_moments([path.moments for path in paths])
    title = "Moments of the returns"
    told = "Log returns per bar." if len(paths) == 1 else f"Log returns per bar, the mean of {len(paths)} paths."
    if history is None:
        rows = [(_words(name), _moment(name, value)) for name, value in own.figures().items()]
        return Table(title, ("", "Market"), rows, told)
    real, apart = history.moments.figures(), own.distances(history.moments)
    rows = [
        (_words(name), _moment(name, value), _moment(name, real[name]), _distance(name, apart[name]))
        for name, value in own.figures().items()
    ]
    told += (
        " Distance: the difference; of volatilities the logarithm of their ratio; of autocorrelations the root mean "
    )
    return Table(title, ("", "Market", history.name, "Distance"), rows, f"{told}squared difference over 20 lags.")


def price_figure(paths: Sequence[MarketPath], history: MarketPath | None = None) -> Figure:
    """Prices over bars; behind a single path its regimes, and a history as if it began at the same price."""
    bars = max(path.close.size for path in paths)
    data = [_price_line(path, path.close, theme.BLUE, len(paths) > 1) for path in paths]
    areas, legend = [], []
    if len(paths) == 1 and paths[0].regime is not None:
        areas = _regime_areas(paths[0].regime)
        legend = [_square(name, colour) for name, colour in zip(REGIMES, REGIME_COLOURS, strict=True) if colour]
    if history is not None:
        data.append(_price_line(history, history.close * (paths[0].close[0] / history.close[0]), theme.ORANGE, False))
    first, last = paths[0].close[0], paths[0].close[-1]
    behind = " Behind it the regime of each bar; chop is not shaded." if legend else ""
    beside = "" if history is None else f" {history.name} is drawn as if it began at the same price."
    return Figure(
        name="prices",
        title="Price",
        caption=f"{plural(len(paths), 'path')} of {plural(bars, 'bar')}.{behind}{beside}",
        alt=f"A line over {plural(bars, 'bar')}: the price begins at {number(first)} and ends at {number(last)}.",
        data=[*data, *legend],
        layout=theme.layout(380, xaxis=theme.titled("Bar", showgrid=False), yaxis=theme.axis(), shapes=areas),
        has_log=True,
    )


def _price_line(path: MarketPath, close: np.ndarray, colour: str, is_one_of_many: bool) -> dict:
    rows = _thinned(close, is_one_of_many)
    rows = np.unique(np.concatenate([[0], rows, [close.size - 1]]))
    return theme.line(theme.plain(path.name), rows, close[rows], colour, **_style(is_one_of_many))


def _thinned(values: np.ndarray, is_one_of_many: bool) -> np.ndarray:
    """The places that are drawn: of each bucket those of the lowest and the highest value; fewer where lines are many,
    since a browser has to draw them all in a moment."""
    return extreme_rows(values, bucket_size(values.size * (FEWER if is_one_of_many else 1)))


def _style(is_one_of_many: bool) -> dict:
    if is_one_of_many:
        return {"line": {"width": 1.0}, "opacity": 0.6, "hoverinfo": "skip", "showlegend": False}
    return {"line": {"width": 1.3}, "hovertemplate": "%{y:,.5~r}"}


def _regime_areas(regime: np.ndarray) -> list[dict]:
    """The bars of each regime but chop, as one shape behind the price: a browser draws three faster than hundreds."""
    starts = np.flatnonzero(np.diff(regime, prepend=regime[0] + 1))
    ends, found = np.append(starts[1:], regime.size), []
    for k, colour in enumerate(REGIME_COLOURS):
        spans = [(a - 0.5, b - 0.5) for a, b in zip(starts, ends, strict=True) if regime[a] == k]
        if colour is not None and spans:
            path = "".join(f"M{a:.6g},0V1H{b:.6g}V0Z" for a, b in spans)
            area = {"type": "path", "path": path, "xref": "x", "yref": "paper", "layer": "below"}
            found.append({**area, "fillcolor": colour, "opacity": VEIL, "line": {"width": 0}})
    return found


def _square(name: str, colour: str) -> dict:
    marker = {
        "symbol": "square",
        "size": 11,
        "color": colour,
        "opacity": 0.45,
        "line": {"width": 1, "color": theme.GREY},
    }
    return {"type": "scatter", "mode": "markers", "name": name.title(), "x": [None], "y": [None], "marker": marker}


def _returns(paths: Sequence[MarketPath]) -> np.ndarray:
    return np.concatenate([np.diff(path.log_close) for path in paths])


def _standardised(returns: np.ndarray) -> np.ndarray:
    deviation = returns.std()
    return (returns - returns.mean()) / deviation if deviation > 0.0 else np.zeros(returns.size)


def histogram_figure(paths: Sequence[MarketPath], history: MarketPath | None = None) -> Figure:
    """The density of all returns, in standard deviations, beside the normal one."""
    edges = np.linspace(-REACH, REACH, BINS + 1)
    middle, width = (edges[1:] + edges[:-1]) / 2.0, edges[1] - edges[0]

    def density(returns: np.ndarray) -> np.ndarray:
        # By arithmetic: a twentieth of the time of a search among edges.
        place = np.floor((_standardised(returns) + REACH) / width)
        inside = place[(place >= 0) & (place < BINS)].astype(np.int64)
        return np.bincount(inside, minlength=BINS) / (returns.size * width)

    normal = np.exp(-0.5 * middle**2) / np.sqrt(2.0 * np.pi)
    own = _returns(paths)
    data = [
        theme.line("Normal", middle, normal, theme.GREY, line={"dash": "dot"}),
        theme.line("Market", middle, density(own), theme.BLUE, line={"shape": "hvh"}),
    ]
    if history is not None:
        of_history = density(_returns([history]))
        data.append(theme.line(theme.plain(history.name), middle, of_history, theme.ORANGE, line={"shape": "hvh"}))
    return Figure(
        name="returns",
        title="Returns",
        caption=f"Density of {plural(own.size, 'log return')}, in standard deviations from their mean, and that of a "
        "normal distribution.",
        alt=f"A histogram of returns within {REACH:g} standard deviations of their mean.",
        data=data,
        layout=theme.layout(280, xaxis=theme.titled("Standard deviations"), yaxis=theme.axis(rangemode="tozero")),
    )


def tail_figure(paths: Sequence[MarketPath], history: MarketPath | None = None) -> Figure:
    """The share of returns at least so far from the mean, both axes logarithmic."""
    x = np.geomspace(0.1, 30.0, 80)

    def share(returns: np.ndarray) -> np.ndarray:
        far = np.sort(np.abs(_standardised(returns)))
        found = 1.0 - np.searchsorted(far, x) / far.size
        return np.where(found > 0.0, found, np.nan)

    normal = np.array([2.0 * NormalDist().cdf(-value) for value in x])
    normal[normal < LEAST_SHARE] = np.nan
    own = share(_returns(paths))
    data = [theme.line("Normal", x, normal, theme.GREY, line={"dash": "dot"}), theme.line("Market", x, own, theme.BLUE)]
    if history is not None:
        data.append(theme.line(theme.plain(history.name), x, share(_returns([history])), theme.ORANGE))
    shares = [10.0**-k for k in range(6)]
    beyond = float(np.mean(np.abs(_standardised(_returns(paths))) >= 3.0))
    told = f"{percent(beyond, 2)} of the returns are 3 standard deviations or more from their mean"
    return Figure(
        name="tails",
        title="Tails",
        caption=f"Share of returns at least so far from their mean, on two logarithmic axes. {told}; of a normal "
        "distribution 0.27%.",
        alt=f"A falling line. {told}.",
        data=data,
        layout=theme.layout(
            280,
            xaxis=theme.titled("Standard deviations", type="log", tickvals=[0.1, 0.3, 1, 3, 10, 30]),
            yaxis=theme.axis(type="log", tickvals=shares, ticktext=[f"{100.0 * part:.5g}%" for part in shares]),
        ),
    )


def volatility_figure(paths: Sequence[MarketPath], history: MarketPath | None = None) -> Figure:
    """The standard deviation of the last returns, bar by bar."""
    data = [_volatility_line(path, theme.BLUE, len(paths) > 1) for path in paths]
    if history is not None:
        data.append(_volatility_line(history, theme.ORANGE, False))
    own = mean_moments([path.moments for path in paths])
    return Figure(
        name="volatility",
        title="Volatility",
        caption=f"Standard deviation of the last {WINDOW} log returns, per bar; over all {percent(own.volatility, 2)}.",
        alt=f"A line: the volatility of {WINDOW} bars, over all {percent(own.volatility, 2)} per bar.",
        data=data,
        layout=theme.layout(
            260,
            xaxis=theme.titled("Bar", showgrid=False),
            yaxis=theme.axis(tickformat=".1~%", hoverformat=".2%", rangemode="tozero"),
        ),
    )


def _volatility_line(path: MarketPath, colour: str, is_one_of_many: bool) -> dict:
    rolled = pl.Series(np.diff(path.log_close)).rolling_std(min(WINDOW, path.close.size - 1)).to_numpy()
    known = np.flatnonzero(np.isfinite(rolled))
    if not known.size:
        return theme.line(theme.plain(path.name), [], [], colour)
    rows = known[_thinned(rolled[known], is_one_of_many)]
    own = _style(is_one_of_many) | ({} if is_one_of_many else {"hovertemplate": "%{y:.2%}"})
    return theme.line(theme.plain(path.name), rows + 1, rolled[rows], colour, **own)


def autocorrelation_figure(paths: Sequence[MarketPath], history: MarketPath | None = None) -> Figure:
    """How returns and their absolute values follow from those some bars before; of several paths the mean."""
    own = mean_moments([path.moments for path in paths])
    lags = np.arange(1, own.autocorrelation.size + 1)
    data = _lag_lines("", lags, own, theme.BLUE)
    if history is not None:
        data += _lag_lines(f", {theme.plain(history.name)}", lags, history.moments, theme.ORANGE)
    chance = 1.96 / np.sqrt(own.returns)
    band = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": -chance, "y1": chance, "layer": "below"}
    band |= {"fillcolor": theme.QUIET, "opacity": 0.5, "line": {"width": 0}}
    first, absolute = number(own.autocorrelation[0], 2), number(own.absolute_autocorrelation[0], 2)
    return Figure(
        name="autocorrelation",
        title="Autocorrelation",
        caption="Of returns and of absolute returns, which tells whether calm and wild bars cluster. Within the band "
        f"({count(own.returns)} returns, 95%) it may be chance.",
        alt=f"Dots by lag: at lag 1 returns have {first}, absolute returns {absolute}.",
        data=data,
        layout=theme.layout(260, xaxis=theme.titled("Lag in bars"), yaxis=theme.axis(), shapes=[band]),
    )


def _lag_lines(name: str, lags: np.ndarray, moments: ReturnMoments, colour: str) -> list[dict]:
    dots = {"mode": "lines+markers", "line": {"width": 1.0}}
    filled, hollow = (
        {"size": 6, "color": colour},
        {"size": 6, "color": theme.PAGE, "line": {"width": 1.4, "color": colour}},
    )
    return [
        theme.line(f"Absolute returns{name}", lags, moments.absolute_autocorrelation, colour, marker=filled, **dots),
        theme.line(f"Returns{name}", lags, moments.autocorrelation, colour, marker=hollow, **dots),
    ]


def _words(name: str) -> str:
    words = NAMES[name]
    return words[0].upper() + words[1:]


def _moment(name: str, value: float) -> str:
    return percent(value, 3) if name in ("mean", "volatility") else number(value, 3)


def _distance(name: str, value: float) -> str:
    return percent(value, 3) if name == "mean" else number(value, 3)

"""The simulated crypto market: its bars, and price histories made of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from idi_fast.config.arguments import check_config, check_integer, check_path
from idi_fast.config.environment_settings import RegimeConfig
from idi_fast.config.own_functions import MARKETS
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.timestamps import parse_time, time_series
from idi_fast.environments.buffers import Buffers
from idi_fast.environments.rng import Generator, make_generators
from idi_fast.errors import InputError, NumericalError
from idi_fast.kernels import tape_words
from idi_fast.kernels.crypto import REGIME_BEAR, REGIME_PANIC, START_PRICE, Market, Stress
from idi_fast.kernels.regimes import Regimes, regime_bars
from idi_fast.storage.failures import explained
from idi_fast.storage.files import check_place, check_replaceable_file
from idi_fast.storage.staging import Staging
from idi_fast.storage.tables import TableWriter

STRESS = {
    "normal": Stress(),
    "panic": Stress(drift=-0.01, volatility_multiplier=4.0, shock_probability=0.2, regime=float(REGIME_PANIC)),
    "extreme_shock": Stress(volatility_multiplier=2.0, shock_probability=0.5),
    "fee_spike": Stress(fee_multiplier=10.0),
    "bear_market": Stress(drift=-0.005, volatility_multiplier=1.5, regime=float(REGIME_BEAR)),
    "flash_crash": Stress(drift=-0.02, volatility_multiplier=5.0, shock_probability=0.8, regime=float(REGIME_PANIC)),
}
CHUNK_BARS = 262_144
LOG_VOLUME_LEVEL = 10.0
"""Mean log(1 + volume) of a history; the market's own log volume has mean 0 and is never below −2.5."""
REGIMES = ("bull", "bear", "chop", "panic")
LARGEST_LOG = 1e100
"""Beyond this the squares in a log price's volatility come near the largest numbers."""
OVERFLOWED = "the simulated prices overflowed; use smaller drifts, volatilities or shocks"
NANOSECONDS = {"s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}


class SimulatedBars(NamedTuple):
    """Bars of the market: log_close, log_volume float64 (n,); regime uint8 (n,), 0 to 3; risk uint8 (n,), 0 or 1."""

    log_close: np.ndarray
    log_volume: np.ndarray
    regime: np.ndarray
    risk: np.ndarray


class CryptoMarket:
    """One endless path of regimes, fat-tailed returns and volume, from log price 0 in a sideways market or, where the
    config has a list of regimes, in the first of these.

    state float64 (3,) or, with regimes of the config, (4,): log close, regime, log volume, variance factor: everything
    it resumes from besides the generator.
    """

    def __init__(self, config: TrainingConfig):
        self._parameters, self._stress = market_parameters(config)
        self._regimes = regime_parameters(config.environment.market.regimes)
        self.state = np.array([0.0, 2.0, 0.0]) if self._regimes is None else np.array([0.0, 0.0, 0.0, 1.0])

    def bars(self, generator: Generator, n: int, buffers: Buffers | None = None) -> SimulatedBars:
        """The next n bars, the same however they are divided among calls; NumericalError if a price overflows.

        buffers: arrays that they are made in, see `simulation_buffers`; by default they get arrays of their own.
        """
        arrays = (simulation_buffers() if buffers is None else buffers).rows(n)
        words = arrays.pop("words")
        generator.words64(words)
        bars = SimulatedBars(**arrays)
        if self._regimes is None:
            tape_words.crypto_bars(words, self._parameters, self._stress, self.state, *bars)
        else:
            regime_bars(words, self._regimes, self.state, *bars)
        if n and not max(bars.log_close.max(), -bars.log_close.min()) <= LARGEST_LOG:
            raise NumericalError(OVERFLOWED)
        return bars


def simulation_buffers() -> Buffers:
    """Arrays for the bars of a `CryptoMarket`, and the words that they are drawn from."""
    return Buffers(
        words=(np.uint64, 4),
        log_close=(np.float64, 1),
        log_volume=(np.float64, 1),
        regime=(np.uint8, 1),
        risk=(np.uint8, 1),
    )


def market_parameters(config: TrainingConfig) -> tuple[Market, Stress]:
    """The market's parameters and its stress scenario, as the kernels take them."""
    m = config.environment.market
    market = Market(
        drift_bull=m.drift_bull,
        drift_bear=m.drift_bear,
        drift_chop=m.drift_chop,
        volatility=m.vol_base,
        panic_volatility=m.vol_panic,
        shock_probability=m.shock_prob,
        shock_scale=m.shock_scale,
        fee_bps=m.fee_bps,
    )
    return market, STRESS[m.stress_scenario]


def regime_parameters(regimes: Sequence[RegimeConfig]) -> Regimes | None:
    """The regimes of a config as the kernel takes them, None if there are none."""
    if not regimes:
        return None
    chain = np.eye(len(regimes))
    for place, regime in enumerate(regimes):
        if regime.next is not None:
            chain[place] = np.cumsum(regime.next)
            # Whatever the sum rounds to: nothing is drawn beyond the last regime that has a chance.
            chain[place, np.flatnonzero(regime.next)[-1] :] = 1.0
        else:
            chain[place] = np.cumsum(chain[place])
    volatility = np.array([regime.volatility for regime in regimes])
    typical = float(volatility.mean())
    return Regimes(
        chain=chain,
        drift=np.array([regime.drift for regime in regimes]),
        volatility=volatility,
        tail=np.array([regime.degrees or 0.0 for regime in regimes]),
        arch=np.array([regime.garch_alpha for regime in regimes]),
        garch=np.array([regime.garch_beta for regime in regimes]),
        counts_as=np.array([REGIMES.index(regime.counts_as) for regime in regimes]),
        share=0.2 / typical if typical > 0.0 else 0.0,
    )


def finite(prices: np.ndarray) -> np.ndarray:
    """The prices; NumericalError if one is infinite or NaN."""
    if not np.isfinite(prices).all():
        raise NumericalError(OVERFLOWED)
    return prices


def simulated_frames(
    config: TrainingConfig, bars: int, seed: int, start: int, interval: int, *, chunk_bars: int = CHUNK_BARS
) -> Iterator[pl.DataFrame]:
    """A price history of the simulated market, chunk by chunk.

    The bars are those that the crypto environment of the same config and seed shows an agent.

    Parameters
    ----------
    config
        Its environment.market and engine.rng count.
    bars
        How many, 1 or more.
    seed
        An integer, 0 or more.
    start, interval
        Time of the first bar, nanoseconds since 1970 UTC, and nanoseconds from one bar to the next.

    Yields
    ------
    polars.DataFrame
        time (Datetime ns UTC), open (the close before), close, volume (float64), regime (0 bull, 1 bear, 2 chop,
        3 panic) and risk (0 or 1), both UInt8.

    Raises
    ------
    InputError
        Under compat, whose market begins anew with each episode, and for times beyond the year 2262.
    NumericalError
        Where a price overflows or underflows.
    """
    if config.engine.compat is not None:
        raise InputError("compat has a market that begins anew with each episode; simulate without it")
    if bars < 1:
        raise InputError(f"bars is {bars}; expected 1 or more")
    if not -(2**63) <= start <= start + (bars - 1) * interval < 2**63:
        raise InputError("the last bar lies beyond the year 2262; use fewer bars or a shorter interval")
    market, generator, last = CryptoMarket(config), make_generators(config.engine, seed).environment, START_PRICE
    for first in range(0, bars, chunk_bars):
        n = min(chunk_bars, bars - first)
        made = market.bars(generator, n)
        with np.errstate(over="ignore", under="ignore"):
            close = finite(START_PRICE * np.exp(made.log_close))
        if not close.all():
            raise NumericalError("the simulated prices fell to 0; use drifts nearer to 0, or fewer bars")
        opens = np.concatenate([[last], close[:-1]])
        last = close[-1]
        yield pl.DataFrame(
            {
                "time": time_series(start + np.arange(first, first + n) * interval),
                "open": opens,
                "close": close,
                "volume": np.expm1(made.log_volume + LOG_VOLUME_LEVEL),
                "regime": made.regime,
                "risk": made.risk,
            }
        )


def simulate_history(
    config: TrainingConfig | Mapping[str, Any] | None,
    bars: int,
    out: str | Path,
    *,
    seed: int = 0,
    paths: int = 1,
    start: str | date = "2020-01-01",
    interval: str = "1h",
    force: bool = False,
) -> dict:
    """Write a price history of the simulated market to a Parquet or CSV file; it appears whole or not at all.

    The bars are those that the crypto environment of the same config and seed shows an agent.

    Parameters
    ----------
    config
        The settings, or a dict of them, of which `environment.market` and `engine.rng` count; None: the default.
    bars
        How many, 1 or more.
    out
        A file whose name ends in .parquet or .csv. Its columns: time (UTC), open (the close before), close, volume,
        regime (0 bull, 1 bear, 2 chop, 3 panic) and risk (0 or 1).
    seed
        An integer, 0 or more.
    paths
        Histories in the file, 1 or more, from `seed` and the seeds after it. Of several each row has its seed in a
        first column `path`, by which they are read as symbols (`data.symbol_col`), and all have the same times.
    start, interval
        Time of the first bar, ISO 8601 text or a date, UTC, and from one bar to the next: 30s, 5m, 2h, 1d.
    force
        Whether a file of that name is replaced.

    Returns
    -------
    dict
        file, bars, seed, first and last time (ISO 8601), last close, bars by regime, and how many risk events; of
        several paths bars and last_close are those of the first, regimes and risk events those of all; paths and
        last_closes are added.

    Raises
    ------
    OutputError
        If `out` exists and `force` is not given, or no file may be there.
    InputError
        If another argument cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import idi_fast as idi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "bars.parquet"
    ...     about = idi.simulate_history(idi.TrainingConfig(), 1_000, file, seed=1)
    ...     bars = idi.load_history(file)
    >>> len(bars), about["last"]
    (1000, '2020-02-11T15:00:00+00:00')
    """
    out, config = check_path("out", out), check_config(config)
    bars, seed = check_integer("bars", bars, least=1), check_integer("seed", seed)
    paths = check_integer("paths", paths, least=1)
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"the output {out} ends in neither .parquet nor .csv")
    check_place(out)
    if config.environment.kind in MARKETS:
        kind = config.environment.kind
        raise InputError(f"environment.kind is {kind!r}, a market of your own; this writes bars of the built-in one")
    about = {
        "kind": "bars",
        "seed": str(seed),
        "rng": config.engine.rng,
        "market": config.environment.market.canonical(),
    }
    begin, step = parse_time(start, "start"), parse_interval(interval)
    counts, risks, first, tails = np.zeros(4, np.int64), 0, None, []
    with Staging() as staging:
        staging.watch(out)
        check_replaceable_file(out, force)
        with explained(out), _writer(staging.reserve(out), about) as write:
            for path in range(seed, seed + paths):
                tail = {}
                for frame in simulated_frames(config, bars, path, begin, step):
                    write(frame if paths == 1 else frame.insert_column(0, pl.lit(str(path)).alias("path")))
                    first = frame["time"][0] if first is None else first
                    counts += np.bincount(frame["regime"].to_numpy(), minlength=4)
                    risks += int(frame["risk"].sum())
                    tail = frame.row(-1, named=True)
                tails.append(tail)
        staging.swap([out])
    assert first is not None  # there is at least one frame
    closes = [tail["close"] for tail in tails]
    return {
        "file": str(out),
        "bars": bars,
        "seed": str(seed),
        "first": first.isoformat(),
        "last": tails[-1]["time"].isoformat(),
        "last_close": closes[0],
        "regimes": dict(zip(REGIMES, counts.tolist(), strict=True)),
        "risk_events": risks,
        **({} if paths == 1 else {"paths": paths, "last_closes": closes}),
    }


def parse_interval(text: str) -> int:
    """Nanoseconds of a text such as 30s, 5m, 2h or 1d; InputError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"interval is {text!r}; expected a time such as 30s, 5m, 2h or 1d")
    return int(match[1]) * NANOSECONDS[match[2]]


@contextmanager
def _writer(path: Path, about: dict) -> Iterator[Callable[[pl.DataFrame], None]]:
    """A writer that appends frames to a new Parquet or CSV file."""
    if path.suffix.lower() == ".parquet":
        with TableWriter(path, about) as table:
            yield table.write
        return
    with open(path, "xb") as file:
        yield lambda frame: frame.write_csv(file, include_header=file.tell() == 0)

"""The kernels that make random words, tapes and exploration draws, to be timed one by one."""

import random

import numpy as np

from idi_fast.bench.kernel import Kernel, Prepared, columns
from idi_fast.bench.oracle import engine
from idi_fast.bench.oracle import regimes as regimes_oracle
from idi_fast.bench.oracle import rng as rng_oracle
from idi_fast.bench.oracle import tape_mt19937 as mt_oracle
from idi_fast.bench.oracle import tape_words as words_oracle
from idi_fast.bench.yardsticks import EPISODE_LENGTH, SEED
from idi_fast.config.environment_settings import RegimeConfig
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.rewards import reward_weights
from idi_fast.environments.rng import MersenneTwister, Sfc64
from idi_fast.environments.simulation import market_parameters, regime_parameters
from idi_fast.kernels import regimes, rng, tape_mt19937, tape_words

CONFIG = TrainingConfig()
MARKET = CONFIG.to_dict()["environment"]["market"]
BUCKETS = np.array([4, 4, 4, 8])
WEIGHTS = reward_weights(CONFIG)
COMM_COLUMN = np.arange(4)
DECAY = 0.995
FLOOR = CONFIG.learning.exploration_floor


def drawn(rows: int, width: int) -> np.ndarray:
    """Rows of random words."""
    return np.random.SFC64(SEED).random_raw(rows * width).reshape(rows, width)


def _sfc64_words64(n: int) -> Prepared:
    generator, out = Sfc64(np.random.SeedSequence(SEED)), np.empty(2 * n, np.uint64)

    def expected() -> list:
        return [rng_oracle.sfc64_words64(engine.generators(np.random.SeedSequence(SEED)), out.size)]

    return Prepared(lambda: rng.sfc64_words64(generator.stream.sfc, out), lambda: [out], expected)


def _mt_words64(n: int) -> Prepared:
    generator, out = MersenneTwister(SEED), np.empty(2 * n, np.uint64)
    return Prepared(
        lambda: rng.mt_words64(generator.stream.mt, out),
        lambda: [out],
        lambda: [rng_oracle.mt_words64(random.Random(SEED), out.size)],
    )


def _mt_extend(n: int) -> Prepared:
    mt = MersenneTwister(SEED, ahead=-(-n // rng.MT_SIZE) * rng.MT_SIZE).stream.mt
    key = mt.key.copy()

    def call() -> None:
        mt.cursor[:] = 0  # all words read
        rng.mt_extend(mt)

    return Prepared(call, lambda: [mt.key, mt.words[:-1]], lambda: rng_oracle.mt_extend(key, [], mt.words.size - 1))


def _synthetic_rows(n: int) -> Prepared:
    words, out = drawn(n, 2), synthetic_out(n)
    return Prepared(
        lambda: tape_words.synthetic_rows(words, BUCKETS, WEIGHTS, *out),
        lambda: out,
        lambda: columns(words_oracle.synthetic_rows(words, BUCKETS, WEIGHTS)),
    )


def synthetic_out(n: int) -> tuple[np.ndarray, ...]:
    """Base, code, alert and drift of a tape to be."""
    return np.empty((n, 3)), np.empty(n, np.int32), np.empty(n, np.uint8), np.empty(n)


def _synthetic_tape(n: int) -> Prepared:
    generator, out, phase = MersenneTwister(SEED), synthetic_out(n), np.zeros(1, np.int64)
    accepted = np.zeros((4, generator.stream.mt.words.size + 1), np.int32)
    given = generator.stream.mt, accepted, phase, EPISODE_LENGTH, BUCKETS, WEIGHTS
    return Prepared(
        lambda: tape_mt19937.synthetic_tape(*given, *out),
        lambda: out,
        lambda: columns(mt_oracle.synthetic_tape(random.Random(SEED), n, EPISODE_LENGTH, BUCKETS, WEIGHTS)),
    )


def _crypto_tape(n: int) -> Prepared:
    generator, phase, price_state = MersenneTwister(SEED), np.zeros(1, np.int64), np.zeros(2)
    alert, regime, risk = np.empty((3, n), np.uint8)
    out = np.empty((n, 9)), np.empty(n, np.int32), alert, regime, risk, np.empty(n)
    market, stress = market_parameters(CONFIG)
    given = generator.stream.mt, phase, EPISODE_LENGTH, market, stress, price_state
    return Prepared(
        lambda: tape_mt19937.crypto_tape(*given, *out),
        lambda: out,
        lambda: columns(mt_oracle.crypto_tape(random.Random(SEED), n, EPISODE_LENGTH, MARKET)),
    )


def _crypto_bars(n: int) -> Prepared:
    words, state = drawn(n, 4), np.array([0.0, 2.0, 0.0])
    out = np.empty(n), np.empty(n), np.empty(n, np.uint8), np.empty(n, np.uint8)
    return Prepared(
        lambda: tape_words.crypto_bars(words, *market_parameters(CONFIG), state, *out),
        lambda: out,
        lambda: columns(words_oracle.crypto_bars(words, MARKET, 0.0, 2, 0.0)),
    )


REGIMES = (
    {"name": "calm", "volatility": 0.01, "next": [0.98, 0.02], "garch_alpha": 0.1, "garch_beta": 0.85, "degrees": 4},
    {"name": "wild", "volatility": 0.03, "next": [0.05, 0.95], "counts_as": "panic"},
)


def _regime_bars(n: int) -> Prepared:
    given = regime_parameters([RegimeConfig.from_dict(regime) for regime in REGIMES])
    assert given is not None
    words, state = drawn(n, 4), np.array([0.0, 0.0, 0.0, 1.0])
    out = np.empty(n), np.empty(n), np.empty(n, np.uint8), np.empty(n, np.uint8)
    names = [name for name in given._fields if name != "share"]
    listed = [{name: getattr(given, name)[k].tolist() for name in names} for k in range(len(REGIMES))]
    return Prepared(
        lambda: regimes.regime_bars(words, given, state, *out),
        lambda: out,
        lambda: columns(regimes_oracle.regime_bars(words, listed, given.share, (0.0, 0, 0.0, 1.0))[0]),
    )


def _normal_pairs(n: int) -> Prepared:
    words, first, second = drawn(n, 4), np.empty(n), np.empty(n)
    return Prepared(
        lambda: tape_words.normal_pairs(words, first, second),
        lambda: (first, second),
        lambda: columns(words_oracle.normal_pairs(words)),
    )


def _window_bars(n: int) -> Prepared:
    words, bar, cursor = drawn(n, 1).reshape(-1), np.empty(n, np.int64), np.zeros(2, np.int64)
    stops, shifts = np.array([20_000]), np.zeros(1, np.int64)
    return Prepared(
        lambda: tape_words.window_bars(words, cursor, EPISODE_LENGTH, stops, shifts, bar),
        lambda: [bar],
        lambda: [words_oracle.window_bars(words, EPISODE_LENGTH, [20_000 + EPISODE_LENGTH])],
    )


def _schedule(n: int) -> tuple:
    """Phase, episode length, exploration rate, its decay and floor, the communication's columns, and both outputs."""
    out = np.empty(n, np.int8), np.empty(n, np.int16)
    return np.zeros(1, np.int64), EPISODE_LENGTH, np.ones(1), DECAY, FLOOR, COMM_COLUMN, *out


def _exploration_rows(n: int) -> Prepared:
    words, schedule = drawn(n, 2), _schedule(n)
    twin = EPISODE_LENGTH, 1.0, DECAY, FLOOR, COMM_COLUMN
    return Prepared(
        lambda: tape_words.exploration_rows(words, *schedule),
        lambda: schedule[-2:],
        lambda: columns(words_oracle.exploration_rows(words, *twin)[0]),
    )


def _exploration_draws(n: int) -> Prepared:
    generator, schedule = MersenneTwister(SEED), _schedule(n)
    twin = n, EPISODE_LENGTH, 1.0, DECAY, FLOOR, COMM_COLUMN
    return Prepared(
        lambda: tape_mt19937.exploration_draws(generator.stream.mt, *schedule),
        lambda: schedule[-2:],
        lambda: columns(mt_oracle.exploration_draws(random.Random(SEED), *twin)[0]),
    )


KERNELS = (
    Kernel("rng.sfc64_words64", _sfc64_words64, "word", 2),
    Kernel("rng.mt_words64", _mt_words64, "word", 2),
    Kernel("rng.mt_extend", _mt_extend, "word"),
    Kernel("tape_words.synthetic_rows", _synthetic_rows),
    Kernel("tape_mt19937.synthetic_tape", _synthetic_tape),
    Kernel("tape_words.exploration_rows", _exploration_rows),
    Kernel("tape_mt19937.exploration_draws", _exploration_draws),
    Kernel("tape_mt19937.crypto_tape", _crypto_tape),
    Kernel("tape_words.crypto_bars", _crypto_bars),
    Kernel("regimes.regime_bars", _regime_bars),
    Kernel("tape_words.normal_pairs", _normal_pairs),
    Kernel("tape_words.window_bars", _window_bars),
)

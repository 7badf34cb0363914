"""Seeds and generators: the random streams of a run, as arrays that kernels advance."""

import random
import secrets
from dataclasses import dataclass, replace

import numpy as np

from idi_fast.config.arguments import check_integer
from idi_fast.config.settings import EngineConfig
from idi_fast.errors import InputError
from idi_fast.kernels import rng as kernels

WORDS_AHEAD = kernels.MT_SIZE * 64
_SFC_WARM_UP = 12  # words that a freshly seeded SFC64 discards


_NO_MT = kernels.Mt(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(2, np.int64), np.zeros(2))
_NO_SFC = kernels.Sfc(np.zeros((4, 0), np.uint64), np.zeros(0, np.uint64), np.zeros(1, np.int64))


class Generator:
    """A stream of random words: `stream` holds its arrays as the kernels take them, which advance them."""

    stream: kernels.Stream

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays that it goes on from."""
        raise NotImplementedError

    def words64(self, out: np.ndarray) -> None:
        """Fill `out` uint64 with the next 64-bit words."""
        raise NotImplementedError


class MersenneTwister(Generator):
    """CPython's generator: the state of `random.Random(seed)`, whose words are made in bulk."""

    def __init__(self, seed: int, ahead: int = WORDS_AHEAD):
        _, state, _ = random.Random(seed).getstate()
        mt = kernels.Mt(
            key=np.array(state[:-1], np.uint32),
            words=np.zeros(ahead + 1, np.uint32),
            cursor=np.array([0, kernels.MT_SIZE - state[-1]], np.int64),
            spare=np.zeros(2),
        )
        kernels.mt_temper(mt.key[state[-1] :], mt.words)
        self.stream = kernels.Stream(mt, _NO_SFC)

    @property
    def state(self) -> dict[str, np.ndarray]:
        return self.stream.mt._asdict()

    def words64(self, out: np.ndarray) -> None:
        kernels.mt_words64(self.stream.mt, out.reshape(-1))


class Sfc64(Generator):
    """Sixteen SFC64 that take turns at giving a word, so that vectors make sixteen words in the time of four.

    Each is seeded as NumPy seeds one, with three of the first 48 numbers of the sequence.
    """

    def __init__(self, sequence: np.random.SeedSequence):
        n = kernels.SFC_LANES
        state = np.ones((4, n), np.uint64)
        state[:3] = sequence.generate_state(3 * n, np.uint64).reshape(n, 3).T
        sfc = kernels.Sfc(state, spare=np.zeros(n, np.uint64), left=np.zeros(1, np.int64))
        kernels.sfc64_words64(sfc, np.empty(n * _SFC_WARM_UP, np.uint64))
        self.stream = kernels.Stream(_NO_MT, sfc)

    @property
    def state(self) -> dict[str, np.ndarray]:
        return self.stream.sfc._asdict()

    def words64(self, out: np.ndarray) -> None:
        kernels.sfc64_words64(self.stream.sfc, out.reshape(-1))


@dataclass(frozen=True)
class Generators:
    """The independent streams of one run; under compat all but `evaluation` are copies of one stream."""

    environment: Generator
    agent: Generator
    evaluation: Generator
    calibration: Generator


def draw_seed() -> int:
    """A fresh seed from the operating system, below 2**32."""
    return secrets.randbelow(2**32)


def make_generators(engine: EngineConfig, seed: int) -> Generators:
    """The streams of `seed`, any Python integer ≥ 0 (under compat of any sign, as for `random.Random`)."""
    seed = check_integer("seed", seed)
    if engine.compat == "idi_iann":
        # Not another copy, or an evaluation would repeat the training episodes. random.Random ignores a seed's sign.
        evaluation = MersenneTwister(_as_integer(np.random.SeedSequence(abs(seed)).spawn(4)[2]))
        return replace(Generators(*(MersenneTwister(seed) for _ in range(4))), evaluation=evaluation)
    if seed < 0:
        raise InputError(f"the seed is {seed}; expected an integer >= 0 (only compat 'idi_iann' takes negative ones)")
    children = np.random.SeedSequence(seed).spawn(4)
    if engine.rng == "sfc64":
        return Generators(*map(Sfc64, children))
    return Generators(*(MersenneTwister(_as_integer(child)) for child in children))


def _as_integer(sequence: np.random.SeedSequence) -> int:
    return int.from_bytes(sequence.generate_state(8, np.uint32).tobytes(), "little")

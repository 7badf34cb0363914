"""Seeds and generators: which streams of random numbers a run has, as arrays that kernels advance."""

import random
import secrets
from dataclasses import dataclass

import numpy as np

from idi_fast.config import EngineConfig
from idi_fast.errors import InputError
from idi_fast.kernels import rng as kernels

WORDS_AHEAD = kernels.MT_SIZE * 64


class MersenneTwister:
    """CPython's generator: the state of `random.Random(seed)`.

    Its arrays are those of `idi_fast.kernels.rng.Mt`, which `mt` is.
    """

    def __init__(self, seed: int):
        _, state, _ = random.Random(seed).getstate()
        self.key = np.array(state[:-1], np.uint32)
        self.words = np.zeros(WORDS_AHEAD + 1, np.uint32)
        self.cursor = np.array([0, kernels.MT_SIZE - state[-1]], np.int64)
        self.spare = np.zeros(2)
        kernels.mt_temper(self.key[state[-1] :], self.words)

    @property
    def mt(self) -> kernels.Mt:
        """The arrays as the kernels take them."""
        return kernels.Mt(self.key, self.words, self.cursor, self.spare)

    def words64(self, out: np.ndarray) -> None:
        """Fill `out` uint64 with the next 64-bit words."""
        kernels.mt_words64(self.mt, out.reshape(-1))


class Sfc64:
    """NumPy's SFC64 seeded by a SeedSequence: `state` uint64 (4,)."""

    def __init__(self, sequence: np.random.SeedSequence):
        self.state = np.random.SFC64(sequence).state["state"]["state"].copy()

    def words64(self, out: np.ndarray) -> None:
        """Fill `out` uint64 with the next 64-bit words."""
        kernels.sfc64_words64(self.state, out.reshape(-1))


Generator = MersenneTwister | Sfc64


@dataclass(frozen=True)
class Generators:
    """The independent streams of one run; under compat environment and agent are copies of one stream.

    `evaluation` is not drawn from yet; it keeps its place, so that a later use changes no seed's other streams.
    """

    environment: Generator
    agent: Generator
    evaluation: Generator
    calibration: Generator


def draw_seed() -> int:
    """A fresh seed from the operating system, below 2**32."""
    return secrets.randbelow(2**32)


def make_generators(engine: EngineConfig, seed: int) -> Generators:
    """The streams of `seed`, any Python integer ≥ 0 (under compat of any sign, as `random.Random` takes it)."""
    if engine.compat == "idi_iann":
        return Generators(*(MersenneTwister(seed) for _ in range(4)))
    if seed < 0:
        raise InputError(f"the seed is {seed}; expected an integer >= 0 (only compat 'idi_iann' takes negative ones)")
    children = np.random.SeedSequence(seed).spawn(4)
    if engine.rng == "sfc64":
        return Generators(*map(Sfc64, children))
    return Generators(*(MersenneTwister(_as_integer(child)) for child in children))


def _as_integer(sequence: np.random.SeedSequence) -> int:
    return int.from_bytes(sequence.generate_state(8, np.uint32).tobytes(), "little")

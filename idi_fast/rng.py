"""Seeds and generators: which streams of random numbers a run has, as arrays that kernels advance."""

import random
import secrets
from dataclasses import dataclass, replace

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
    def state(self) -> dict[str, np.ndarray]:
        """The arrays that it goes on from."""
        return self.mt._asdict()

    @property
    def mt(self) -> kernels.Mt:
        """The arrays as the kernels take them."""
        return kernels.Mt(self.key, self.words, self.cursor, self.spare)

    def words64(self, out: np.ndarray) -> None:
        """Fill `out` uint64 with the next 64-bit words."""
        kernels.mt_words64(self.mt, out.reshape(-1))


class Sfc64:
    """16 of NumPy's SFC64, seeded by children of a SeedSequence, that take turns at giving a word.

    Its arrays are those of `idi_fast.kernels.rng.Sfc`, which `sfc` is. Sixteen run as fast as four words of one.
    """

    def __init__(self, sequence: np.random.SeedSequence):
        children = sequence.spawn(kernels.SFC_LANES)
        states = [np.random.SFC64(child).state["state"]["state"] for child in children]
        self.sfc = kernels.Sfc(
            state=np.stack(states, axis=1), spare=np.zeros(kernels.SFC_LANES, np.uint64), left=np.zeros(1, np.int64)
        )

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays that it goes on from."""
        return self.sfc._asdict()

    def words64(self, out: np.ndarray) -> None:
        """Fill `out` uint64 with the next 64-bit words."""
        kernels.sfc64_words64(self.sfc, out.reshape(-1))


Generator = MersenneTwister | Sfc64


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
    """The streams of `seed`, any Python integer ≥ 0 (under compat of any sign, as `random.Random` takes it)."""
    if engine.compat == "idi_iann":
        # Not another copy, or an evaluation would repeat the episodes of training. random.Random ignores a seed's sign.
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

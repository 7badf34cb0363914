"""The generators as CPython and NumPy have them: their own code is run, from a state made to measure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from . import Column

Drawn = TypeVar("Drawn")

SIZE = 624


def generator(words: Sequence[int], spare: float | None = None) -> random.Random:
    """A generator whose next outputs are `words` (at most 624), `spare` being the kept half of a normal pair."""
    key = [_untemper(int(word)) for word in words]
    rng = random.Random()
    rng.setstate((3, (*[0] * (SIZE - len(key)), *key, SIZE - len(key)), spare))
    return rng


def _untemper(word: int) -> int:
    """The state word whose output is `word`: tempering undone, step by step from its end."""
    for shifted in (
        lambda y: y >> 18,
        lambda y: y << 15 & 0xEFC60000,
        lambda y: y << 7 & 0x9D2C5680,
        lambda y: y >> 11,
    ):
        y = word
        for _ in range(5):  # each pass makes at least 7 more bits right
            y = word ^ shifted(y)
        word = y
    return word


def _drawn(words: Sequence[int], index: int, draw: Callable[[random.Random], Drawn]) -> tuple[Drawn, int]:
    """What is drawn from words[index:], and the index after it."""
    rng = generator(words[index:])
    value = draw(rng)
    return value, len(words) - (SIZE - rng.getstate()[1][-1])


def mt_generation(key: Sequence[int]) -> list[int]:
    """The state one generation on: a generator at its end makes the next when it is asked for a word."""
    rng = random.Random()
    rng.setstate((3, (*map(int, key), SIZE), None))
    rng.getrandbits(32)
    return list(rng.getstate()[1][:-1])


def mt_temper(key: Sequence[int]) -> list[int]:
    """The outputs of at most 624 state words."""
    rng = random.Random()
    rng.setstate((3, (*[0] * (SIZE - len(key)), *map(int, key), SIZE - len(key)), None))
    return [rng.getrandbits(32) for _ in key]


def mt_extend(key: Column, unread: Sequence[int], capacity: int) -> tuple[list[int], list[int]]:
    """The state after, and the unread words with as many whole generations after them as `capacity` holds."""
    words = list(map(int, unread))
    state = list(map(int, key))
    while len(words) <= capacity - SIZE:
        state = mt_generation(state)
        words += mt_temper(state)
    return state, words


def mt_random(words: Sequence[int], index: int) -> tuple[float, int]:
    """`random.Random.random`."""
    return _drawn(words, index, lambda rng: rng.random())


def mt_shift(n: int) -> int:
    """How many of a word's 32 bits are not needed to write n in binary."""
    return 32 - len(f"{n:b}")


def mt_below(words: Sequence[int], index: int, n: int) -> tuple[int, int]:
    """`random.Random.randrange`."""
    return _drawn(words, index, lambda rng: rng.randrange(n))


def mt_accepted(words: Sequence[int], end: int, n: int) -> list[int]:
    """The word at which `random.Random.randrange` ends, by the word it begins with; an accepted one follows the end."""
    padded = [*words[:end], 0]
    return [mt_below(padded, begin, n)[1] - 1 for begin in range(end + 1)]


def mt_gauss(
    words: Sequence[int], index: int, spare: float | None, mean: float, deviation: float
) -> tuple[float, int, float | None]:
    """`random.Random.gauss`, the index after it and the variate kept for the next call."""

    def draw(rng: random.Random) -> tuple[float, float | None]:
        version, key, _ = rng.getstate()
        rng.setstate((version, key, spare))
        return rng.gauss(mean, deviation), rng.getstate()[2]

    (value, kept), index = _drawn(words, index, draw)
    return value, index, kept


def mt_words64(rng: random.Random, n: int) -> list[int]:
    """`random.Random.getrandbits(64)`, n times."""
    return [rng.getrandbits(64) for _ in range(n)]


def sfc64(state: Sequence[int]) -> np.random.SFC64:
    """NumPy's SFC64 in a state."""
    generator = np.random.SFC64()
    generator.state = {
        "bit_generator": "SFC64",
        "state": {"state": np.array(state, np.uint64)},
        "has_uint32": 0,
        "uinteger": 0,
    }
    return generator


def sfc64_words64(generators: Sequence[np.random.SFC64], n: int) -> list[int]:
    """The first n words of generators that take turns."""
    rounds = -(-n // len(generators))
    return np.stack([generator.random_raw(rounds) for generator in generators], axis=1).reshape(-1)[:n].tolist()


def words64(stream: random.Random | Sequence[np.random.SFC64], n: int) -> list[int]:
    """The first n words of a generator, or of several that take turns."""
    return mt_words64(stream, n) if isinstance(stream, random.Random) else sfc64_words64(stream, n)

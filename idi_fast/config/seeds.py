"""The seeds of a population: parsing and checking."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from idi_fast.errors import InputError

if TYPE_CHECKING:
    from idi_fast.config.settings import TrainingConfig

MOST_SEEDS = 1_000_000


def parse_seeds(text: str) -> list[int]:
    """The seeds that a text lists: numbers and half-open ranges first:stop or first:stop:step, separated by commas.

    Raises InputError for anything else, for an empty range, and for more than a million seeds.
    """
    ranges = [_parse_range(part.strip(), text) for part in text.split(",")]
    if sum(map(_length, ranges)) > MOST_SEEDS:
        raise InputError(f"`seeds={text!r}` are more than {MOST_SEEDS:,} seeds")
    return [seed for part in ranges for seed in part]


def _parse_range(part: str, text: str) -> range:
    # At most 100 digits, because Python refuses to parse very long ones.
    if not re.fullmatch(r"-?[0-9]{1,100}(:-?[0-9]{1,100}){0,2}", part):
        raise InputError(
            f"`seeds={text!r}`: {part!r} is neither a seed nor a range; expected for example 0:64 or 1,5,9"
        )
    first, *rest = map(int, part.split(":"))
    stop, step = (*rest, 1)[:2] if rest else (first + 1, 1)
    if step < 1:
        raise InputError(f"`seeds={text!r}`: the step of {part} is {step}; expected 1 or more")
    if stop <= first:
        raise InputError(
            f"`seeds={text!r}`: the range {part} is empty; it runs from its first seed up to before its end"
        )
    return range(first, stop, step)


def _length(seeds: range) -> int:
    # len() refuses ranges beyond the machine's integers.
    return -(-(seeds.stop - seeds.start) // seeds.step)


def _meant(seeds: object) -> str:
    """What may have been meant by something that lists no seeds."""
    is_one = isinstance(seeds, int | np.integer) and not isinstance(seeds, bool)
    return f"[{seeds}] or range({seeds})" if is_one else "range(5)"


def refuse_equal_seeds(config: "TrainingConfig", seeds: tuple[int, ...]) -> None:
    """InputError where all of several seeds give the same table: plans on a history have nothing to draw."""
    if (
        config.learning.plans
        and config.environment.kind == "history"
        and not config.learning.bootstrap
        and len(seeds) > 1
    ):
        raise InputError(
            f"{len(seeds)} seeds were given, but value_iteration plans the same table on a history with all; give one, "
            "or resample the bars with learning.bootstrap"
        )


def check_seeds(seeds: Iterable[int], *, negative: bool) -> tuple[int, ...]:
    """The seeds of a population: distinct integers, at least one; otherwise InputError.

    negative: whether they may be below 0. Their sign then makes no difference, because random.Random ignores it.
    """
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        found = repr(seeds) if isinstance(seeds, str | bool | int | float | None) else type(seeds).__name__
        raise InputError(f"seeds is {found}; expected a list of integers, such as {_meant(seeds)}")
    seeds = tuple(seeds)
    if not seeds:
        raise InputError("there are no seeds; a population needs at least one")
    seen: dict[int, int] = {}
    for seed in seeds:
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
            raise InputError(f"the seed {seed!r} is not an integer")
        if seed < 0 and not negative:
            raise InputError(f"the seed is {seed}; expected 0 or more (only compat 'idi_iann' takes negative ones)")
        size = abs(int(seed))
        if seed == seen.get(size):
            raise InputError(f"the seed {seed} is listed twice; each lane needs a seed of its own")
        if size in seen:
            raise InputError(f"the seeds {seen[size]} and {seed} give the same run: the sign of a seed does not count")
        seen[size] = int(seed)
    return tuple(map(int, seeds))

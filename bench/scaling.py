"""The suite `scaling`: the default config's speed against the number of states, episodes, lanes and threads."""

from dataclasses import replace
from time import perf_counter

from idi_fast.bench.case import Case, Context, Timed
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import Kind, default_twin, population_case, train_seconds
from idi_fast.bench.yardsticks import EPISODE_LENGTH
from idi_fast.parallel.worker_pool import usable_cores

# Buckets of price, volume, trend, scarcity and mood, whose product is the power of 10.
BUCKETS = {
    2: (5, 1, 5, 1, 4),
    3: (5, 5, 5, 2, 4),
    4: (10, 10, 5, 5, 4),
    5: (25, 10, 10, 10, 4),
    6: (25, 25, 20, 20, 4),
    7: (50, 50, 50, 20, 4),
}
NAMES = ("price_buckets", "volume_buckets", "trend_buckets", "scarcity_buckets", "mood_buckets")


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases of the suite."""
    cores = usable_cores()
    threads = list(dict.fromkeys([*(2**k for k in range(cores.bit_length())), cores]))
    return [
        *(_states(exponent, sizes) for exponent in sizes.scaling_states),
        *(_episodes(episodes, sizes) for episodes in sizes.scaling_lengths),
        *(_population("lanes", lanes, cores, sizes) for lanes in sizes.scaling_lanes),
        *(_population("threads", sizes.lanes, jobs, sizes) for jobs in threads),
    ]


def _states(exponent: int, sizes: Sizes) -> Case:
    quantizer = dict(zip(NAMES, BUCKETS[exponent], strict=True))
    kind = Kind("", {"quantizer": quantizer}, "engine.train", default_twin)
    units = sizes.scaling_episodes * EPISODE_LENGTH

    def run() -> float:
        # At the speed of the second half: in the first the system also allocates the tables' pages, one at a time.
        trainer = kind.trainer(sizes.scaling_episodes)
        trainer.compile()
        blocks = [(0, perf_counter())]
        trainer.train(lambda progress: blocks.append((progress.steps, perf_counter())))
        (steps, started), (_, ended) = blocks[(len(blocks) - 1) // 2], blocks[-1]
        return (ended - started) * units / (units - steps)

    return _case(kind, "states", 10**exponent, Timed(units, run), sizes)


def _episodes(episodes: int, sizes: Sizes) -> Case:
    kind = Kind("", {}, "engine.train", default_twin)
    timed = Timed(episodes * EPISODE_LENGTH, lambda: train_seconds(kind.trainer(episodes)))
    return _case(kind, "episodes", episodes, timed, sizes)


def _case(kind: Kind, axis: str, x: int, timed: Timed, sizes: Sizes) -> Case:
    return Case(
        "scaling",
        f"{x:,} {axis}",
        "step",
        kind.oracle,
        lambda: kind.check(sizes.check_episodes),
        timed,
        compiles=False,
        details={"axis": axis, "x": x},
    )


def _population(axis: str, lanes: int, jobs: int, sizes: Sizes) -> Case:
    x = {"lanes": lanes, "threads": jobs}[axis]
    case = population_case("scaling", lanes, jobs, sizes, {})
    name = f"{x:,} {axis if x > 1 else axis[:-1]}"
    return replace(case, name=name, compiles=False, details={**case.details, "axis": axis, "x": x})

"""The suite `kernels`: each hot kernel alone, on a block of rows as in training."""

from functools import cache

from idi_fast.bench.case import Case, Context, Timed, elapsed, expect_equal
from idi_fast.bench.kernel import Kernel
from idi_fast.bench.learning_kernels import KERNELS as LEARNING
from idi_fast.bench.market_kernels import KERNELS as MARKET
from idi_fast.bench.method_kernels import KERNELS as METHODS
from idi_fast.bench.method_kernels import PLAIN_KERNEL as PLAIN
from idi_fast.bench.planning_kernels import KERNELS as PLANNING
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.tape_kernels import KERNELS as TAPES
from idi_fast.bench.transform_kernels import KERNELS as TRANSFORMS


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases of the suite."""
    plain = _case(PLAIN, sizes)
    others = [_case(kernel, sizes) for kernel in (*TAPES, *MARKET, *TRANSFORMS, *LEARNING, *PLANNING)]
    return [*others, plain, *(_case(kernel, sizes, {"plain": plain.subject}) for kernel in METHODS)]


def _case(kernel: Kernel, sizes: Sizes, yardsticks: dict[str, Timed] | None = None) -> Case:
    prepared = cache(lambda: kernel.prepare(sizes.rows))

    def check() -> None:
        small = kernel.prepare(sizes.check_rows)
        small.call()
        for number, (made, expected) in enumerate(zip(small.made(), small.expected(), strict=True)):
            expect_equal(f"result {number}", made, expected, kernel.rtol, kernel.atol)

    def run() -> float:
        call = prepared().call

        def calls() -> None:
            for _ in range(sizes.calls):
                call()

        return elapsed(calls)

    units = sizes.rows * sizes.calls * kernel.per_row
    return Case("kernels", kernel.name, kernel.unit, kernel.oracle, check, Timed(units, run), yardsticks or {})

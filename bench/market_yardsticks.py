"""The training of the default mode on market bars by plain C, for the suite `train`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from idi_fast.bench.case import Differs
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import Kind, compare_learnt, kinds
from idi_fast.bench.yardsticks import SEED, Yardsticks, read_dump, run_c
from idi_fast.data.history import History
from idi_fast.environments.charges import charged_fee_bps
from idi_fast.environments.features import Encoder
from idi_fast.environments.history_bars import log_columns, log_fill

SFC_SEEDS = 48
"""Numbers that seed the sixteen generators of a stream."""


def add(yardsticks: Yardsticks, folder: Path, sizes: Sizes) -> None:
    """Build the C program into a folder, and check it by the oracle on each kind of run of the default mode."""
    program = yardsticks.build("market", folder)
    if program is None:
        return
    for kind in kinds(sizes):
        if kind.c is None or not kind.c.startswith("market"):
            continue
        given = folder / f"{kind.c}.txt"
        given.write_text("\n".join(_inputs(kind)) + "\n", encoding="ascii")
        try:
            _, lines = run_c(program, sizes.check_episodes, given, "dump")
            tables, rewards = read_dump(lines)
            compare_learnt(tables["q"], tables["comm"], rewards, kind.twin(kind.config(sizes.check_episodes))())
        except Differs:
            yardsticks.refused.append(f"C program {kind.c!r}")
        else:
            yardsticks.c[kind.c] = lambda episodes, given=given: run_c(program, episodes, given)[0]


def _inputs(kind: Kind) -> Iterator[str]:
    """The lines of the program's input: see `yardstick/market.c`."""
    environment, agent, _, _ = np.random.SeedSequence(SEED).spawn(4)
    for sequence in (environment, agent):
        yield " ".join(map(str, sequence.generate_state(SFC_SEEDS, np.uint64)))
    config = kind.config(1)
    policy, _ = kind.trainer(1).run()
    encoder = policy.encoder
    assert isinstance(encoder, Encoder)  # as in every market
    yield " ".join(map(str, encoder.sizes))
    yield from (" ".join(map(repr, edges.tolist())) for edges in encoder.edges)
    yield repr(encoder.typical_volatility)
    yield repr(charged_fee_bps(config) / 1e4)
    history = None if kind.history is None else kind.history()
    yield str(0 if history is None else len(history))
    if isinstance(history, History):
        columns = log_columns(history)
        fill = log_fill(columns, config.environment.data.fill)
        yield from (" ".join(map(repr, each.tolist())) for each in (columns["close"], fill, columns["volume"]))

"""The kernels of learning by other methods than plain Q-learning, to be timed one by one on the synthetic state."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from idi_fast.agents.learner import Agent, exploration_step, make_method, make_progress
from idi_fast.bench.kernel import Kernel, Prepared
from idi_fast.bench.learning_kernels import Scene
from idi_fast.bench.oracle import methods as oracle
from idi_fast.bench.yardsticks import EPISODE_LENGTH, SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.rng import make_generators
from idi_fast.environments.state_space import comm_columns
from idi_fast.kernels import blocks, methods

PLAIN: dict[str, Any] = {}
METHODS: dict[str, dict[str, Any]] = {
    "double Q-learning": {"algorithm": "double_q_learning"},
    "expected SARSA": {"algorithm": "expected_sarsa"},
    "Q(λ)": {"algorithm": "q_lambda"},
    "falling exploration": {"exploration_schedule": "linear"},
    "rate by episodes": {"rate_schedule": "episodes"},
    "rate by visits": {"rate_schedule": "visits"},
    "exploration by visits": {"exploration_schedule": "visits"},
}


def _learn_by_method(learning: dict[str, Any]) -> Callable[[int], Prepared]:
    def prepare(n: int) -> Prepared:
        scene = Scene("synthetic", n)
        # After the first episode there is next to no exploration, as at the end of a training.
        config = TrainingConfig.from_dict({"learning": learning, "exploration_decay": 1e-9, "episodes": n})
        agent = Agent(config, scene.space, scene.rules, make_generators(config.engine, SEED).agent)
        method, words = make_method(config), np.random.default_rng(SEED).integers(0, 2**64, (n, 2), np.uint64)
        progress, rows = make_progress(config, method, agent.tables), np.empty((n, 1), np.int32)
        agent.layout.rows(scene.tape.observation, rows)
        given = scene.tape, rows, agent.layout.places, agent.explorer, agent.learner, method, progress, words
        space = blocks.Workspace(words, scene.rows)

        def expected() -> list:
            learner, about = scene.learner(), config.learning.to_dict()
            settings = oracle.Settings(
                **{field.name: about[field.name] for field in fields(oracle.Settings) if field.name in about},
                exploration_step=exploration_step(config),
                exploration_decay=config.exploration_decay,
                trace=method.trace_decay,
            )
            drawn = comm_columns(config)[1].tolist()
            totals = oracle.learn_by_method(
                learner, settings, oracle.LearningState(), scene.tape_rows(), words.tolist(), drawn, EPISODE_LENGTH
            )
            return [scene.table(learner.q, agent.tables.q), scene.table(learner.comm_q, agent.tables.comm_q), totals]

        def learn() -> None:
            if agent.is_plain:
                blocks.learn_block(scene.tape, agent.explorer, agent.learner, space, scene.totals)
            else:
                methods.learn_by_method(*given, scene.totals)

        ended = n // (EPISODE_LENGTH + 1)
        return Prepared(
            learn,
            lambda: [agent.tables.q, agent.tables.comm_q, scene.totals[:ended]],
            expected,
        )

    return prepare


PLAIN_KERNEL = Kernel("blocks.learn_block, plain Q-learning", _learn_by_method(PLAIN))
"""What the others are compared with: both tables, with the draws of what to explore."""
KERNELS = tuple(Kernel(f"methods.learn_by_method, {name}", _learn_by_method(each)) for name, each in METHODS.items())

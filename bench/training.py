"""The suite `train`: whole training runs on one core, and populations on one core and on all."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.bench.case import Case, Context, Differs, Timed, elapsed, expect_equal
from idi_fast.bench.oracle import engine, market_engine, reference
from idi_fast.bench.oracle.learn import Learner
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.yardsticks import EPISODE_LENGTH, SEED, Run
from idi_fast.config.settings import QuantizerConfig, TrainingConfig
from idi_fast.data.history import History
from idi_fast.parallel.worker_pool import usable_cores
from idi_fast.training.population import Population, train_population
from idi_fast.training.trainer import Trainer, create_trainer

COMPAT = {"compat": "idi_iann"}
Market = market_engine.CryptoMarket | market_engine.HistoryMarket
MARKET_TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}
"""The kernels slide their windows along and the twin sums each afresh, which rounds otherwise. Every digit of a state
is compared exactly by the visits, which no difference in the last digits of a feature changes."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a twin has learnt: state digits to rows of q and comm_q, rewards, and visits where it counts them."""

    q: dict
    comm_q: dict
    rewards: Sequence[float]
    visits: dict | None = None


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of training run. twin: makes, for a number of episodes, the oracle's run, everything before it included.

    c, reference: the yardstick's environment, or None where there is nothing of the kind; tolerance: of the numbers.
    """

    name: str
    fields: dict
    oracle: str
    twin: Callable[[TrainingConfig], Callable[[], Learnt]]
    history: Callable[[], History] | None = None
    c: str | None = None
    reference: str | None = None
    tolerance: dict[str, float] = field(default_factory=dict)

    def config(self, episodes: int) -> TrainingConfig:
        """Its config with so many episodes."""
        return TrainingConfig.from_dict({**self.fields, "episodes": episodes})

    def trainer(self, episodes: int) -> Trainer:
        """A trainer for so many episodes."""
        return create_trainer(self.config(episodes), SEED, None if self.history is None else self.history())

    def check(self, episodes: int) -> None:
        """Raise Differs unless a short run equals the twin's."""
        trainer = self.trainer(episodes)
        policy, _ = trainer.run()
        compare(policy, trainer.episode_rewards, self.twin(self.config(episodes))(), self.tolerance)


def compare(policy: Policy, rewards: Sequence[float] | np.ndarray, learnt: Learnt, tolerance: dict[str, float]) -> None:
    """Raise Differs unless tables, rewards and, where they are known, visits are those of a twin."""
    expect_equal("reward", rewards, learnt.rewards, **tolerance)
    for name, table, rows in (("q", policy.q, learnt.q), ("comm_q", policy.comm_q, learnt.comm_q)):
        keys = list(rows)
        states = policy.space.index(np.array(keys))
        expect_equal(name, table[states], [rows[key] for key in keys], **tolerance)
        others = np.delete(table, states, axis=0)
        if others.any():
            raise Differs(f"{name} holds values for states that the oracle never came to")
    if learnt.visits is not None:
        expected = np.zeros_like(policy.visits)
        expected[policy.space.index(np.array(list(learnt.visits)))] = list(learnt.visits.values())
        expect_equal("visits", policy.visits, expected)


def compare_learnt(q: dict, comm_q: dict, rewards: Sequence[float], learnt: Learnt) -> None:
    """Raise Differs unless what another program has learnt on market bars, tables with a row for every state, is what
    the twin has; those that it never came to hold zeros."""
    expect_equal("reward", rewards, learnt.rewards, **MARKET_TOLERANCE)
    for name, table, rows in (("q", q, learnt.q), ("comm_q", comm_q, learnt.comm_q)):
        if not rows.keys() <= table.keys():
            raise Differs(f"{name} lacks states that the oracle came to")
        for key, row in table.items():
            expect_equal(f"{name}{list(key)}", row, rows.get(key, [0.0] * len(row)), **MARKET_TOLERANCE)


def _reference_twin(config: TrainingConfig) -> Callable[[], Learnt]:
    fields = config.to_dict()
    own = ("engine", "environment", "features", "learning")
    plain = {name: value for name, value in fields.items() if name not in own}
    environment = fields["environment"]

    def train() -> Learnt:
        run = reference.train(plain, env=environment["kind"], market=environment["market"], seed=SEED)
        return Learnt(run.q, run.comm_q, run.episode_rewards)

    return train


def default_twin(config: TrainingConfig, seed: int = SEED) -> Callable[[], Learnt]:
    """The twin of the default mode's synthetic run."""
    return lambda: Learnt(*engine.train(config.to_dict(), seed))


def _market_twin(make: Callable[[dict], Market]) -> Callable[[TrainingConfig], Callable[[], Learnt]]:
    market = cache(lambda text: make(json.loads(text)))  # the same for any number of episodes

    def twin(config: TrainingConfig) -> Callable[[], Learnt]:
        bars = market(json.dumps({**config.to_dict(), "episodes": 0}))

        def train() -> Learnt:
            agent, rewards = market_engine.train(bars, config.episodes)
            return market_learnt(agent, config.quantizer, rewards)

        return train

    return twin


def market_learnt(agent: Learner, quantizer: QuantizerConfig, rewards: Sequence[float]) -> Learnt:
    """What a twin on a market tape has learnt, by the digits of the package's state."""
    sizes = [getattr(quantizer, f"{name}_buckets") for name in ("price", "volume", "trend", "scarcity")]

    def digits(state: tuple[int, ...]) -> tuple[int, ...]:
        code, mood, position = state
        return (*map(int, np.unravel_index(code, sizes)), mood, position + 1)

    tables = agent.q, agent.comm_q, agent.visits
    q, comm_q, visits = ({digits(state): row for state, row in table.items()} for table in tables)
    return Learnt(q, comm_q, rewards, visits)


def random_walk(bars: int) -> History:
    """A random walk with open, volume and a bar per minute; its volatility is small enough for any number of bars."""
    rng = np.random.default_rng(SEED)
    steps = rng.normal(0.0, 5e-4, bars)
    close = 100.0 * np.exp(np.cumsum(steps))
    open_ = close * np.exp(rng.normal(0.0, 1e-4, bars))
    return History(
        close=close,
        open=open_,
        volume=rng.lognormal(8.0, 0.5, bars),
        time=np.arange(bars) * 60 * 10**9,
        risk=None,
        extra={},
        after_gap=np.zeros(bars, bool),
        dropped=0,
        columns={name: name for name in ("close", "open", "volume", "time")},
    )


@cache  # with what the twins have worked out
def kinds(sizes: Sizes) -> tuple[Kind, ...]:
    """The kinds of training run that are timed on one core."""
    history = cache(lambda: random_walk(sizes.history_bars))

    def history_market(config: dict) -> market_engine.HistoryMarket:
        bars = history()
        close, open_, volume = (bars.column(name).tolist() for name in ("close", "open", "volume"))
        return market_engine.HistoryMarket(config, SEED, close, open_, volume)

    crypto, on_history = ({"environment": {"kind": kind}} for kind in ("crypto", "history"))
    return (
        Kind("default, synthetic", {}, "engine.train", default_twin, c="synthetic", reference="synthetic"),
        Kind(
            "compat, synthetic",
            {"engine": COMPAT},
            "reference.train",
            _reference_twin,
            c="synthetic",
            reference="synthetic",
        ),
        Kind(
            "default, crypto",
            crypto,
            "market_engine.train",
            _market_twin(lambda config: market_engine.CryptoMarket(config, SEED)),
            c="market, simulated",
            reference="crypto",
            tolerance=MARKET_TOLERANCE,
        ),
        Kind(
            "compat, crypto",
            {"engine": COMPAT, **crypto},
            "reference.train",
            _reference_twin,
            c="crypto",
            reference="crypto",
        ),
        Kind(
            "default, history",
            on_history,
            "market_engine.train",
            _market_twin(history_market),
            history=history,
            c="market, history",
            tolerance=MARKET_TOLERANCE,
        ),
    )


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases of the suite."""
    # A yardstick that two cases have in common is timed once a round.
    c = _others(context.yardsticks.c, sizes.episodes)
    references = _others(context.yardsticks.reference, sizes.reference_episodes)
    cases = [
        _case(kind, sizes, {"c": c.get(kind.c or ""), "reference": references.get(kind.reference or "")})
        for kind in kinds(sizes)
    ]
    alone = population_case("train", sizes.lanes, 1, sizes, {"c": c["synthetic"]} if "synthetic" in c else {})
    cores = usable_cores()
    together = population_case("train", sizes.lanes, cores, sizes, {"one_job": alone.subject})
    return [*cases, alone, together] if cores > 1 else [*cases, alone]


def _others(runs: dict[str, Run], episodes: int) -> dict[str, Timed]:
    return {env: Timed(episodes * EPISODE_LENGTH, lambda run=run: run(episodes)) for env, run in runs.items()}


def _case(kind: Kind, sizes: Sizes, others: dict[str, Timed | None]) -> Case:
    twin = cache(lambda: kind.twin(kind.config(sizes.twin_episodes)))
    plain_python = Timed(sizes.twin_episodes * EPISODE_LENGTH, lambda: elapsed(twin()))
    return Case(
        "train",
        kind.name,
        "step",
        kind.oracle,
        lambda: kind.check(sizes.check_episodes),
        Timed(sizes.episodes * EPISODE_LENGTH, lambda: train_seconds(kind.trainer(sizes.episodes))),
        {"plain_python": plain_python, **{name: timed for name, timed in others.items() if timed is not None}},
    )


def train_seconds(trainer: Trainer) -> float:
    """Seconds of a training run without its preparation and rollout."""
    trainer.compile()
    trainer.train()
    return trainer.training_seconds


def population_case(suite: str, lanes: int, jobs: int, sizes: Sizes, yardsticks: dict[str, Timed]) -> Case:
    """A population of the default config, timed whole: set-up, training, rollout and evaluation of every lane."""

    def run(episodes: int, keep: str = "best") -> Population:
        config = TrainingConfig(episodes=episodes)
        return train_population(config, range(SEED, SEED + lanes), jobs=jobs, keep=keep)

    def check() -> None:
        population = run(sizes.check_episodes, "all")
        for seed in {SEED, SEED + lanes // 2, SEED + lanes - 1}:
            lane = population.lanes[seed]
            compare(lane.policy, lane.trainer.episode_rewards, default_twin(population.config, seed)(), {})

    name = f"default, synthetic, {lanes} lanes, {jobs} job{'' if jobs == 1 else 's'}"
    return Case(
        suite,
        name,
        "step",
        "engine.train",
        check,
        Timed(lanes * sizes.lane_episodes * EPISODE_LENGTH, lambda: run(sizes.lane_episodes).seconds),
        yardsticks,
        details={"lanes": lanes, "jobs": jobs},
    )

"""What a trader who knows the rules of the simulated crypto market could earn: with its regime, or with prices
alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.config.environment_settings import MarketConfig
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.environment import CryptoEnvironment
from idi_fast.environments.rng import make_generators
from idi_fast.evaluation.evaluator import Evaluator
from idi_fast.kernels.crypto import REGIME_PANIC

SWITCHES = 0.05
"""Probability that a bar redraws its regime, uniformly from all four."""
DISCOUNT = 0.99
SWEEPS = 2_000
POSITIONS = (-1, 0, 1)


@dataclass(frozen=True)
class Chain:
    """The regime chain: transitions float64 (4, 4), drift and volatility of a bar's log return by its regime (4,)."""

    transitions: np.ndarray
    drift: np.ndarray
    volatility: np.ndarray
    market: MarketConfig

    @classmethod
    def of(cls, market: MarketConfig) -> "Chain":
        """The chain of a market without stress."""
        drift = np.array([market.drift_bull, market.drift_bear, market.drift_chop, -1.5 * abs(market.drift_bear)])
        volatility = np.full(4, market.vol_base)
        volatility[REGIME_PANIC] = market.vol_panic
        transitions = np.full((4, 4), SWITCHES / 4.0) + np.eye(4) * (1.0 - SWITCHES)
        return cls(transitions, drift, volatility, market)

    def expected_returns(self) -> np.ndarray:
        """Expected returns of the next bar, by the regime of this one, float64 (4,): simple returns, shocks
        included."""
        market = self.market
        shocks = 1.0 + market.shock_prob * (math.exp(market.shock_scale**2 / 2.0) - 1.0)
        return self.transitions @ (np.exp(self.drift + self.volatility**2 / 2.0) * shocks - 1.0)

    def action_values(self) -> np.ndarray:
        """Q of regime, position (short, flat, long) and action (hold, buy, sell), float64 (4, 3, 3): value iteration
        (Bellman 1957) on profits after fees."""
        earned, fee = self.expected_returns(), self.market.fee_bps / 1e4
        after = np.array([[position, 2, 0] for position in range(3)])
        reward = np.empty((4, 3, 3))
        for position in range(3):
            for action in range(3):
                new = after[position, action]
                reward[:, position, action] = (new - 1) * earned - abs(new - position) * fee
        q = np.zeros((4, 3, 3))
        for _ in range(SWEEPS):
            best = self.transitions @ q.max(axis=2)
            q = reward + DISCOUNT * best[:, after]
        return q

    def beliefs(self, log_close: np.ndarray) -> np.ndarray:
        """Probability of each regime after each bar, float64 (n, 4), by the forward algorithm (Rabiner 1989) on the
        returns, with and without a shock."""
        market, variance = self.market, self.volatility**2
        belief, made = np.full(4, 0.25), np.full((log_close.size, 4), 0.25)
        shocked = variance + market.shock_scale**2
        for t, value in enumerate(np.diff(log_close), start=1):
            squared = (value - self.drift) ** 2
            likely = (1.0 - market.shock_prob) * np.exp(-squared / (2.0 * variance)) / np.sqrt(variance)
            likely += market.shock_prob * np.exp(-squared / (2.0 * shocked)) / np.sqrt(shocked)
            belief = (belief @ self.transitions) * likely
            belief /= belief.sum()
            made[t] = belief
        return made


def optimal_values(policy: Policy) -> Callable[[np.ndarray], np.ndarray]:
    """The chain's optimal values for the states of a policy that sees the regime; see `Evaluator.rewards`."""
    q, space = Chain.of(policy.config.environment.market).action_values(), policy.space
    return lambda states: q[space.digit(states, "regime"), space.digit(states, "position")]


@dataclass(frozen=True)
class Paths:
    """The episodes that an evaluator draws: log close and regime of each row, beliefs in the regime by the closes."""

    log_close: np.ndarray
    regime: np.ndarray
    beliefs: np.ndarray


def fresh_market(policy: Policy, seed: int) -> CryptoEnvironment:
    """The market of an evaluator of this seed, seen with the policy's edges."""
    generators = make_generators(policy.config.engine, seed)
    environment = CryptoEnvironment(policy.config, generators, policy.encoder)
    environment._generator = generators.evaluation
    return environment


def draw_paths(policy: Policy, evaluator: Evaluator) -> Paths:
    """The paths of an evaluator's episodes."""
    rows = evaluator.episodes * (policy.config.episode_length + 1)
    _, facts = fresh_market(policy, evaluator.seed).facts(rows)
    chain = Chain.of(policy.config.environment.market)
    assert facts.value is not None  # as of every simulated market
    assert facts.regime is not None
    return Paths(facts.value, facts.regime, chain.beliefs(facts.value))


def rewards_of_knowing(policy: Policy, evaluator: Evaluator, weights: np.ndarray) -> np.ndarray:
    """Rewards of the episodes, float64 (episodes,), of a trader who weights the chain's values by `weights` float64 (n,
    4): its beliefs (QMDP, Littman, Cassandra & Kaelbling 1995), or certainty about the regime."""
    config: TrainingConfig = policy.config
    length = config.episode_length
    rewards_of = fresh_market(policy, evaluator.seed).fill(weights.shape[0]).reward_by_position
    choice = np.einsum("tg,gpa->tpa", weights, Chain.of(config.environment.market).action_values()).argmax(axis=2)
    target = np.stack([np.array([position, 2, 0])[choice[:, position]] for position in range(3)], axis=1).tolist()
    rewards, rows = np.zeros(evaluator.episodes), rewards_of.tolist()
    for episode in range(evaluator.episodes):
        position, total = 1, 0.0
        first = episode * (length + 1)
        for t in range(first, first + length):
            new = target[t][position]
            total += rows[t + 1][position * 3 + new]
            position = new
        rewards[episode] = total
    return rewards

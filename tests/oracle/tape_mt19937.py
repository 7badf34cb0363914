"""The reference's tapes: its own environments are stepped, each row once with every action that tells rewards apart."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np

from . import Column
from .reference import ACTIONS, CryptoEnv, SyntheticEnv

POSITIONS = (-1, 0, 1)


class SyntheticRow(NamedTuple):
    """reward_by_position: the reward before the mood term with position −1, 0, 1; observation: index of the features
    but the mood."""

    reward_by_position: tuple[float, ...]
    observation: int
    alert: bool
    drift: float


class CryptoRow(NamedTuple):
    """reward_by_position: the PnL by old and new position, row-major; observation: index of regime and big move."""

    reward_by_position: tuple[float, ...]
    observation: int
    alert: bool
    regime: int
    risk: bool
    close: float


def first_alike(buckets: Sequence[int]) -> list[int]:
    """By the share of all words that a draw below each count accepts."""
    shares = [Fraction(count, 2 ** len(f"{count:b}")) for count in buckets]
    return [shares.index(share) for share in shares]


def synthetic_env(buckets: Column, weights: Column) -> SyntheticEnv:
    """The reference's environment without its mood term."""
    names = ("price_buckets", "volume_buckets", "trend_buckets", "scarcity_buckets", "mood_buckets")
    rewards = dict(zip(("pnl", "scarcity_alignment", "ethics_bonus"), map(float, weights), strict=True))
    quantizer = dict(zip(names, (*map(int, buckets), 1), strict=True))
    return SyntheticEnv({"quantizer": quantizer, "rewards": {**rewards, "communication_clarity": 0.0}}, seed=0)


def tries(env: SyntheticEnv | CryptoEnv, ways: Iterable[tuple[int, str]]) -> Iterator[tuple]:
    """What the same step brings from each (position before, action); the environment goes on from the last."""
    before, generator_before = dict(vars(env)), env.rng.getstate()
    for position, action in ways:
        vars(env).update(before, position=position)
        env.rng.setstate(generator_before)
        yield env.step(action)


def synthetic_tape(
    rng: random.Random, n: int, episode_length: int, buckets: Column, weights: Column
) -> list[SyntheticRow]:
    """The first n rows, drawn from `rng`."""
    env = synthetic_env(buckets, weights)
    env.rng = rng
    ethics = float(weights[2])
    rows = []
    for t in range(n):
        if t % (episode_length + 1) == 0:
            features, drift = env.reset(), 0.0
            base = (-ethics, ethics, ethics)  # nothing moves
        else:
            state = rng.getstate()
            drift = rng.uniform(-1, 1)
            rng.setstate(state)
            steps = list(tries(env, ((0, "sell"), (0, "hold"), (0, "buy"))))
            base = tuple(reward for _, reward, _ in steps)
            features = steps[-1][0]
        code = int(np.ravel_multi_index(features[:4], tuple(buckets)))
        rows.append(SyntheticRow(base, code, features[2] > 0, drift))
    return rows


def crypto_tape(rng: random.Random, n: int, episode_length: int, market: dict) -> list[CryptoRow]:
    """The first n rows, drawn from `rng`; `market` as `reference.MARKET_DEFAULTS`."""
    env = CryptoEnv(market, seed=0)
    env.rng = rng
    fee_rate = (env.market["fee_bps"] * env.stress.fee_multiplier) / 1e4
    # The reference never goes back to flat; here that is a trade like any other, tried as "hold" and its fee added.
    actions = {-1: "sell", 0: "hold", 1: "buy"}
    ways = [(old, "hold" if old == new else actions[new]) for old, new in product(POSITIONS, repeat=2)]
    rows = []
    for t in range(n):
        if t % (episode_length + 1) == 0:
            features, base, risk = env.reset(), (0.0,) * 9, False
        else:
            steps = list(tries(env, ways))
            base = tuple(
                -(env.price * fee_rate) if new == 0 and old != 0 else reward
                for (old, new), (_, reward, _) in zip(product(POSITIONS, repeat=2), steps, strict=True)
            )
            features, _, aux = steps[-1]
            risk = bool(aux["risk_event"])
        _, regime, big_move, _ = features
        rows.append(CryptoRow(base, regime * 2 + big_move, risk or big_move > 0, regime, risk, env.price))
    return rows


def exploration_draws(
    rng: random.Random,
    n: int,
    episode_length: int,
    exploration: float,
    decay: float,
    floor: float,
    comm_column: Column,
) -> tuple[list[tuple[int, int]], float]:
    """Explored action and communication column of each row (−1: greedy), and the exploration rate after them."""
    rows: list[tuple[int, int]] = []
    while len(rows) < n:
        epsilon = max(floor, exploration)
        rows.append((-1, -1))
        for _ in range(min(episode_length, n - len(rows))):
            action = ACTIONS.index(rng.choice(ACTIONS)) if rng.random() < epsilon else -1
            comm = rng.choice(list(comm_column)) if rng.random() < epsilon else -1
            rows.append((action, int(comm)))
        if len(rows) % (episode_length + 1) == 0:
            exploration *= decay
    return rows, exploration

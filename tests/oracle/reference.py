"""The reference trainer (idi_iann) in plain Python: what ``compat="idi_iann"`` is checked against.

Dicts keyed by tuples, ``random.Random`` for both generators, no cleverness: each paragraph of the
specification is one function or class here. Quirks of the reference are kept and marked.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections import defaultdict, deque, namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Features = tuple[int, ...]
Key = tuple[int, ...]  # a table's key: the features, then the tile codes if there is a tile coder
Table = dict[Key, list[float]]

ACTIONS = ("hold", "buy", "sell")
MOOD_RISES_ABOVE, MOOD_FALLS_BELOW = 0.5, -0.2
REGIMES = ("bull", "bear", "chop", "panic")
STREAMS = (
    *("q_buy", "q_sell", "risk_budget_ok", "q_emote_positive", "q_emote_alert", "q_emote_persistence"),
    *("q_regime", "price_up", "price_down", "weight_momentum", "weight_contra", "weight_trend"),
    "risk_event",
)

# fmt: off
DEFAULTS: dict = {
    "episodes": 128, "episode_length": 64,
    "discount": 0.92, "learning_rate": 0.2, "exploration_decay": 0.995,
    "quantizer": {
        "price_buckets": 4, "volume_buckets": 4, "trend_buckets": 4, "scarcity_buckets": 8, "mood_buckets": 4,
    },
    "rewards": {"pnl": 1.0, "scarcity_alignment": 0.5, "ethics_bonus": 0.75, "communication_clarity": 0.2},
    "emote": {
        "palette": {0: "🙂 steady", 1: "🚀 optimistic", 2: "😐 cautious", 3: "⚠️ alert"}, "linger_ticks": 2,
    },
    "layers": {
        "emit_weight_streams": True,
        "momentum_threshold": 0.6, "contrarian_threshold": 0.3, "trend_favors_even": True,
    },
    "communication": {"actions": ["silent", "positive", "alert", "persist"]},
    "tile_coder": None, "episodic": None,
}
TILE_CODER_DEFAULTS: dict = {"num_tilings": 3, "tile_sizes": [4, 4, 4, 4, 4], "offsets": [0, 1, 2, 3, 4]}
EPISODIC_DEFAULTS: dict = {"enabled": False, "capacity": 1024, "k": 8, "decay": 0.99, "blend_alpha": 0.5}
MARKET_DEFAULTS: dict = {
    "drift_bull": 0.002, "drift_bear": -0.002, "drift_chop": 0.0, "vol_base": 0.01, "vol_panic": 0.04,
    "shock_prob": 0.02, "shock_scale": 0.05, "fee_bps": 5.0, "stress_scenario": "normal",
}
# fmt: on

# A scenario, where None leaves the market's own value.
Stress = namedtuple("Stress", "drift vol_multiplier shock_prob fee_multiplier regime")
STRESS = {
    "normal": Stress(None, 1.0, None, 1.0, None),
    "panic": Stress(-0.01, 4.0, 0.2, 1.0, "panic"),
    "extreme_shock": Stress(None, 2.0, 0.5, 1.0, None),
    "fee_spike": Stress(None, 1.0, None, 10.0, None),
    "bear_market": Stress(-0.005, 1.5, None, 1.0, "bear"),
    "flash_crash": Stress(-0.02, 5.0, 0.8, 1.0, "panic"),
}


def complete(config: dict) -> dict:
    """The whole config of a partial one: a block replaces only the fields it names, a palette everything."""
    blocks = {**DEFAULTS, "tile_coder": TILE_CODER_DEFAULTS, "episodic": EPISODIC_DEFAULTS}
    full = copy.deepcopy(DEFAULTS)
    for name, value in config.items():
        full[name] = {**blocks[name], **value} if isinstance(value, dict) else value
    full["emote"]["palette"] = {int(mood): text for mood, text in full["emote"]["palette"].items()}
    return copy.deepcopy(full)


class SyntheticEnv:
    """Features (price, volume, trend, scarcity, mood), the first four drawn afresh at every observation."""

    def __init__(self, config: dict, seed: int) -> None:
        self.buckets = config["quantizer"]
        self.weights = config["rewards"]
        self.rng: Any = random.Random(seed)  # or what answers in its place

    def reset(self) -> Features:
        self.position = 0
        self.mood = 0
        return self.observe()

    def observe(self) -> Features:
        names = ("price_buckets", "volume_buckets", "trend_buckets", "scarcity_buckets")
        drawn = [self.rng.randint(0, self.buckets[name] - 1) for name in names]
        return (*drawn, self.mood)

    def step(self, action: str) -> tuple[Features, float, dict[str, int]]:
        w = self.weights
        self.position = max(-1, min(1, self.position + {"hold": 0, "buy": 1, "sell": -1}[action]))
        drift = self.rng.uniform(-1, 1)
        scarcity = self.rng.uniform(-0.5, 0.5)
        ethics = w["ethics_bonus"] if self.position >= 0 else -w["ethics_bonus"]
        base = self.position * drift * w["pnl"] + scarcity * w["scarcity_alignment"] + ethics
        if base > MOOD_RISES_ABOVE:
            self.mood = min(self.buckets["mood_buckets"] - 1, self.mood + 1)
        elif base < MOOD_FALLS_BELOW:
            self.mood = max(0, self.mood - 1)
        features = self.observe()
        return features, base + w["communication_clarity"] * self.mood, {}


class CryptoEnv:
    """Features (position + 1, regime index, large-return flag, pnl flag); no quantizer (quirk)."""

    def __init__(self, market: dict, seed: int) -> None:
        self.market = {**MARKET_DEFAULTS, **market}
        self.stress = STRESS[self.market["stress_scenario"]]
        self.rng = random.Random(seed)

    def reset(self) -> Features:
        self.price = 1000.0
        self.regime = "chop"
        self.position = 0
        self.pnl = 0.0
        self.last_return = 0.0
        return self.observe()

    def observe(self) -> Features:
        large = 1 if abs(self.last_return) > 0.01 else 0
        return (self.position + 1, REGIMES.index(self.regime), large, 1 if self.pnl >= 0 else 0)

    def drift(self) -> float:
        if self.stress.drift is not None:
            return self.stress.drift
        if self.regime == "panic":
            return -abs(self.market["drift_bear"]) * 1.5
        return self.market[f"drift_{self.regime}"]

    def step(self, action: str) -> tuple[Features, float, dict[str, int]]:
        market, stress = self.market, self.stress
        if stress.regime is not None:
            self.regime = stress.regime
        elif self.rng.random() < 0.05:
            self.regime = self.rng.choice(REGIMES)
        vol = market["vol_panic" if self.regime == "panic" else "vol_base"] * stress.vol_multiplier
        noise = self.rng.gauss(0, vol)
        shock_prob = market["shock_prob"] if stress.shock_prob is None else stress.shock_prob
        if self.rng.random() < shock_prob:
            noise += self.rng.gauss(0, market["shock_scale"] * stress.vol_multiplier)
        old_price = self.price
        self.price *= math.exp(self.drift() + noise)
        fee = 0.0
        if (action == "buy" and self.position <= 0) or (action == "sell" and self.position >= 0):
            self.position = 1 if action == "buy" else -1
            fee = self.price * ((market["fee_bps"] * stress.fee_multiplier) / 1e4)
        pnl_step = (self.price - old_price) * self.position - fee
        self.pnl += pnl_step
        self.last_return = (self.price - old_price) / old_price
        risk_event = abs(self.last_return) > vol * 2.5 or self.regime == "panic"
        return self.observe(), pnl_step, {"risk_event": int(risk_event)}


def table_key(features: Features, tile_coder: dict | None) -> Key:
    """The features plus one code per tiling, so that nothing is compressed (quirk)."""
    if tile_coder is None:
        return features
    sizes, codes = tile_coder["tile_sizes"], []
    for tiling in range(tile_coder["num_tilings"]):
        code, stride = 0, 1
        for value, size, offset in zip(features, sizes, tile_coder["offsets"], strict=True):
            code += ((value + (offset + tiling) % size) % size) * stride
            stride *= size
        codes.append(code)
    return (*features, *codes)


class EpisodicMemory:
    """The last k TD targets per (state, action). Capacity has no effect (quirk), so it is not modelled."""

    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.targets: dict[tuple[Key, int], deque[float]] = {}

    def blend(self, state: Key, action: int, target: float) -> float:
        """The target blended with what is remembered; it is then remembered itself."""
        remembered = self.targets.setdefault((state, action), deque(maxlen=self.settings["k"]))
        if remembered:
            values, weights = 0.0, 0.0
            for age, value in enumerate(reversed(remembered)):
                weight = self.settings["decay"] ** age
                values += weight * value
                weights += weight
            alpha = self.settings["blend_alpha"]
            target = alpha * (values / weights) + (1 - alpha) * target
        remembered.append(target)
        return target


def greedy(values: list[float], names: Sequence[str]) -> str:
    """The name of the first maximum."""
    return names[values.index(max(values))]


def shape(reward: float, comm: str, features: Features, aux: dict[str, int]) -> float:
    """The communication table's reward."""
    if comm == "alert":
        return reward + (0.1 if aux.get("risk_event", 0) or features[2] > 0 else -0.1)
    return reward + (0.05 if comm in ("positive", "persist") else 0.0)


class EmotionEngine:
    """The three emote bits of a tick, with the lingering of the last one."""

    def __init__(self, emote: dict) -> None:
        self.palette = emote["palette"]
        self.linger_ticks = emote["linger_ticks"]
        self.linger = 0

    def emit(self, mood: int, comm: str) -> tuple[int, int, int]:
        """The positive, alert and persistence bits."""
        text = self.palette.get(mood, "🙂 steady")
        positive, alert, persistence = "🙂" in text or "🚀" in text, "⚠️" in text or "😐" in text, False
        if comm in ("positive", "alert", "persist"):
            positive, alert, persistence = comm != "alert", comm == "alert", comm == "persist"
        self.linger = self.linger_ticks if alert or positive else max(0, self.linger - 1)
        return int(positive), int(alert), int(persistence or self.linger > 0)


def gates(features: Features, config: dict) -> tuple[int, int, int]:
    """The momentum, contrarian and trend weights."""
    layers = config["layers"]
    if not layers["emit_weight_streams"]:
        return 1, 1, 1
    ratio = features[2] / max(1, config["quantizer"]["trend_buckets"] - 1)
    momentum = int(ratio >= layers["momentum_threshold"])
    contra = int(ratio <= layers["contrarian_threshold"])
    trend = int((features[0] % 2 == 0) == layers["trend_favors_even"])
    return (momentum, contra, trend) if momentum or contra or trend else (1, 0, 0)


class Learner:
    """The two tables and what learns them. Looking a state up in a table makes its row, of zeros."""

    def __init__(self, config: dict, seed: int) -> None:
        self.config = config
        self.rng = random.Random(seed)  # the same stream as the environment's (quirk)
        self.comm_actions = list(dict.fromkeys(config["communication"]["actions"]))
        self.q: Table = defaultdict(lambda: [0.0] * len(ACTIONS))
        self.comm_q: Table = defaultdict(lambda: [0.0] * len(self.comm_actions))
        self.comm_action_counts = dict.fromkeys(self.comm_actions, 0)
        episodic = config["episodic"]
        self.memory = EpisodicMemory(episodic) if episodic is not None and episodic["enabled"] else None

    def episode(self, env: SyntheticEnv | CryptoEnv, exploration: float) -> float:
        """One training episode; its reward."""
        config, rng = self.config, self.rng
        discount, learning_rate = config["discount"], config["learning_rate"]
        epsilon = max(0.05, exploration)
        total = 0.0
        state = table_key(env.reset(), config["tile_coder"])
        for _ in range(config["episode_length"]):
            action = rng.choice(ACTIONS) if rng.random() < epsilon else greedy(self.q[state], ACTIONS)
            if rng.random() < epsilon:
                comm = rng.choice(config["communication"]["actions"])  # with its duplicates
            else:
                comm = greedy(self.comm_q[state], self.comm_actions)
            features, reward, aux = env.step(action)
            following = table_key(features, config["tile_coder"])
            comm_reward = shape(reward, comm, features, aux)

            target = reward + discount * max(self.q[following])
            column = ACTIONS.index(action)
            if self.memory is not None:
                target = self.memory.blend(state, column, target)
            self.q[state][column] += learning_rate * (target - self.q[state][column])

            target = comm_reward + discount * max(self.comm_q[following])
            column = self.comm_actions.index(comm)
            self.comm_q[state][column] += learning_rate * (target - self.comm_q[state][column])

            self.comm_action_counts[comm] += 1
            total += reward
            state = following
        return total

    def roll_out(self, env: SyntheticEnv | CryptoEnv) -> tuple[list[dict[str, int]], list[dict]]:
        """The trace and the rollout of one greedy episode; the environment's generator goes on."""
        trace, rollout = [], []
        engine = EmotionEngine(self.config["emote"])
        moves = isinstance(env, SyntheticEnv)  # the crypto environment never reports a price move (quirk)
        before = env.reset()
        for _ in range(self.config["episode_length"]):
            state = table_key(before, self.config["tile_coder"])
            action = greedy(self.q[state], ACTIONS)
            comm = greedy(self.comm_q[state], self.comm_actions)
            after, reward, aux = env.step(action)
            tick = (
                int(action == "buy"),
                int(action == "sell"),
                1,
                *engine.emit(after[-1], comm),  # mood is the last feature; crypto: the pnl flag (quirk)
                after[3],  # the scarcity bucket; crypto: the pnl flag (quirk)
                int(moves and after[0] > before[0]),
                int(moves and after[0] < before[0]),
                *gates(after, self.config),
                aux.get("risk_event", 0),
            )
            trace.append(dict(zip(STREAMS, tick, strict=True)))
            rollout.append({"state": state, "action": ACTIONS.index(action), "comm": comm, "reward": reward})
            before = after
        return trace, rollout


@dataclass
class ReferenceRun:
    """What a run leaves behind. The tables hold the states ever looked up in them, the rollout's included."""

    q: Table
    comm_q: Table
    episode_rewards: list[float]
    mean_reward: float
    comm_action_counts: dict[str, int]  # of the training alone
    trace: list[dict[str, int]]
    rollout: list[dict]  # per tick: state (the table key acted from), action (index), comm (name), reward


def train(config: dict, *, env: str = "synthetic", market: dict | None = None, seed: int = 0) -> ReferenceRun:
    """Trains, then rolls out greedily; `market` holds what differs from the crypto environment's defaults."""
    config = complete(config)
    environment = {"synthetic": SyntheticEnv(config, seed), "crypto": CryptoEnv(market or {}, seed)}[env]
    learner = Learner(config, seed)
    exploration, total = 1.0, 0.0
    rewards = []
    for _ in range(config["episodes"]):
        rewards.append(learner.episode(environment, exploration))
        total += rewards[-1]  # plain additions: `sum` compensates from Python 3.12 on
        exploration *= config["exploration_decay"]
    trace, rollout = learner.roll_out(environment)
    mean = total / len(rewards) if rewards else 0.0
    tables = dict(learner.q), dict(learner.comm_q)
    return ReferenceRun(*tables, rewards, mean, learner.comm_action_counts, trace, rollout)


def stream_files(run: ReferenceRun) -> dict[str, bytes]:
    """The stream files of a run, byte for byte, by file name."""
    files = {f"{name}.in": "\n".join(str(tick[name]) for tick in run.trace).encode("ascii") for name in STREAMS}
    manifest = {"streams": {name: f"{name}.in" for name in STREAMS}}
    files["streams.json"] = json.dumps(manifest, indent=2, sort_keys=True).encode("ascii")
    return files

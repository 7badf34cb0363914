"""A training run of the default mode on market bars in plain Python: each feature from the slice of its window.

The market is made of features with their default transforms; everything is a list of floats. The kernels slide their
windows along, so their features differ from these in the last digits, and with them the rewards; states are the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from .engine import word_rows
from .learn import Learner, TapeRow, learn_actions, learn_communication
from .reference import STRESS
from .rollout import Tick, rollout_rows
from .tape_words import crypto_bars, exploration_rows, window_bars

CALIBRATION_BARS = 65_536
SCALE_WINDOW = 32
ALERT, POSITIVE, PERSIST = "alert", "positive", "persist"


class Bars(NamedTuple):
    """Logarithms of close, of the fill (None: the last close) and of volume, and the risk flags (None: big moves)."""

    close: list[float]
    fill: list[float] | None
    volume: list[float]
    risk: list[bool] | None


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 below two values."""
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def zscore(values: list[float], window: int) -> list[float]:
    """Deviations from the mean of the last `window` values, as many as there are at the start."""
    scores = []
    for t, value in enumerate(values):
        around = values[max(0, t - window + 1) : t + 1]
        spread = deviation(around)
        scores.append((value - sum(around) / len(around)) / spread if spread else 0.0)
    return scores


def ema_ratio(values: list[float], window: int) -> list[float]:
    """Distance from the exponential average with weight 2 / (window + 1)."""
    weight = 2.0 / (window + 1)
    averages = accumulate(values, lambda average, value: (1.0 - weight) * average + weight * value)
    return [value - average for value, average in zip(values, averages, strict=True)]


def drawdown(values: list[float], window: int) -> list[float]:
    """Distance from the highest of the last `window` values."""
    return [value - max(values[max(0, t - window + 1) : t + 1]) for t, value in enumerate(values)]


def volatility(values: list[float], window: int) -> list[float]:
    """Deviation of the last `window` changes."""
    changes = [after - before for before, after in pairwise(values)]
    return [deviation(changes[max(0, t - window) : t]) for t in range(len(values))]


def features(bars: Bars) -> list[list[float]]:
    """Price, volume, trend and scarcity by their default transforms."""
    return [zscore(bars.close, 16), zscore(bars.volume, 32), ema_ratio(bars.close, 32), drawdown(bars.close, 64)]


class Encoder:
    """Inner edges of each feature's buckets at equal shares of the bars fitted on, and their median volatility."""

    def __init__(self, bars: Bars, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.edges = [
            statistics.quantiles(values, n=size, method="inclusive")
            for values, size in zip(features(bars), sizes, strict=True)
        ]
        self.typical = statistics.median(filter(None, volatility(bars.close, SCALE_WINDOW)))


class Rewards:
    """A bar's reward before the mood term by (old, new) position."""

    def __init__(self, gap: float, change: float, cost: float, scarcity: float, weights: dict) -> None:
        self.gap, self.change, self.cost, self.scarcity, self.weights = gap, change, cost, scarcity, weights

    def __getitem__(self, positions: tuple[int, int]) -> float:
        old, new = positions
        earned = old * self.gap + new * self.change - abs(new - old) * self.cost
        ethics = self.weights["ethics_bonus"] if new >= 0 else -self.weights["ethics_bonus"]
        return earned * self.weights["pnl"] + self.scarcity * self.weights["scarcity_alignment"] + ethics


def market_rows(bars: Bars, encoder: Encoder, fee_rate: float, weights: dict) -> list[TapeRow]:
    """What each bar shows, and what it pays in units of the volatility known before it."""
    buckets = [
        [sum(edge <= value for edge in edges) for value in values]
        for values, edges in zip(features(bars), encoder.edges, strict=True)
    ]
    spread = volatility(bars.close, SCALE_WINDOW)
    spread[:SCALE_WINDOW] = [max(value, encoder.typical) for value in spread[:SCALE_WINDOW]]
    rows = []
    for t, digits in enumerate(zip(*buckets, strict=True)):
        code = 0
        for digit, size in zip(digits, encoder.sizes, strict=True):
            code = code * size + digit
        if t == 0:
            rows.append(TapeRow(Rewards(0.0, 0.0, 0.0, 0.0, weights), code, bars.risk is not None and bars.risk[0]))
            continue
        before, after = bars.close[t - 1], bars.close[t]
        fill = before if bars.fill is None else bars.fill[t]
        scale = max(spread[t - 1], 0.1 * encoder.typical)
        scarcity = (digits[3] - buckets[3][t - 1]) / max(1, encoder.sizes[3] - 1)
        pays = Rewards(
            (math.exp(fill - before) - 1.0) / scale,
            (math.exp(after - fill) - 1.0) / scale,
            fee_rate / scale,
            scarcity,
            weights,
        )
        rows.append(TapeRow(pays, code, abs(after - before) > 2.5 * scale if bars.risk is None else bars.risk[t]))
    return rows


def feature_sizes(config: dict) -> list[int]:
    """Buckets of each feature."""
    return [config["quantizer"][f"{name}_buckets"] for name in ("price", "volume", "trend", "scarcity")]


class CryptoMarket:
    """The simulated market: one endless path, of which each episode is the next stretch."""

    def __init__(self, config: dict, seed: int) -> None:
        self.config, self.market = config, config["environment"]["market"]
        self.words, self.agent_words, _, calibration = np.random.SeedSequence(seed).spawn(4)
        self.encoder = Encoder(self._bars(calibration, CALIBRATION_BARS), feature_sizes(config))
        self.fee_rate = self.market["fee_bps"] * STRESS[self.market["stress_scenario"]].fee_multiplier / 1e4

    def _bars(self, sequence: np.random.SeedSequence, n: int) -> Bars:
        made = crypto_bars(word_rows(sequence, n, 4), self.market, 0.0, 2, 0.0)
        close, log_volume, _, risk = map(list, zip(*made, strict=True))
        return Bars(close, None, log_volume, risk)

    def rows(self, n: int) -> list[TapeRow]:
        """The first n rows."""
        bars = self._bars(self.words, n)
        return market_rows(bars, self.encoder, self.fee_rate, self.config["rewards"])


class HistoryMarket:
    """Real bars: an episode is a window of them that begins anywhere."""

    def __init__(self, config: dict, seed: int, close: Sequence, open_: Sequence, volume: Sequence) -> None:
        self.config = config
        self.words, self.agent_words, _, _ = np.random.SeedSequence(seed).spawn(4)
        bars = Bars([*map(math.log, close)], [*map(math.log, open_)], [*map(math.log1p, volume)], None)
        fee_rate = config["environment"]["market"]["fee_bps"] / 1e4
        self.bars = market_rows(bars, Encoder(bars, feature_sizes(config)), fee_rate, config["rewards"])

    def rows(self, n: int) -> list[TapeRow]:
        """The first n rows."""
        length = self.config["episode_length"]
        starts = [word for (word,) in word_rows(self.words, n, 1)]
        return [self.bars[bar] for bar in window_bars(starts, length, [len(self.bars)])]


def learner(config: dict) -> Learner:
    """An agent that knows nothing."""
    names = list(dict.fromkeys(config["communication"]["actions"]))
    liked = {POSITIVE: 0.05, PERSIST: 0.05}
    return Learner(
        market=True,
        allow_short=config["environment"]["allow_short"],
        n_moods=config["quantizer"]["mood_buckets"],
        clarity=config["rewards"]["communication_clarity"],
        bonus={
            right: [(0.1 if right else -0.1) if name == ALERT else liked.get(name, 0.0) for name in names]
            for right in (False, True)
        },
        learning_rate=config["learning_rate"],
        discount=config["discount"],
    )


def train(market: CryptoMarket | HistoryMarket, episodes: int) -> tuple[Learner, list[float]]:
    """The agent after a run, its tables keyed by (code, mood, position), and the reward of each episode."""
    config = market.config
    length, listed = config["episode_length"], config["communication"]["actions"]
    n = episodes * (length + 1)
    names = list(dict.fromkeys(listed))
    columns = [names.index(name) for name in listed]
    words = word_rows(market.agent_words, n, 2)
    explored, _ = exploration_rows(words, length, 1.0, config["exploration_decay"], 0.05, columns)
    agent, rows = learner(config), market.rows(n)
    walk = learn_actions(agent, rows, [action for action, _ in explored], length)
    learn_communication(agent, rows, walk, [comm for _, comm in explored])
    return agent, walk.totals


def follow(agent: Learner, rows: list[TapeRow]) -> list[Tick]:
    """The greedy decision on each bar but the last, and what came of it."""
    return rollout_rows(agent, rows)[0]

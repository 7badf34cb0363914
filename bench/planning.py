"""What planned tables earn on new bars: a seeded study with its tables in docs/PLANNING.md.

    python -m idi_fast.bench.planning

Rewards are profits after fees in units of volatility, as in `idi_fast.bench.study`.
"""

import sys
from dataclasses import dataclass

import numpy as np

from idi_fast.backtesting.account import TradingAssumptions, keep_account
from idi_fast.backtesting.backtest import Backtest, backtest
from idi_fast.bench.known_market import draw_paths, rewards_of_knowing
from idi_fast.bench.study import FEE_BPS, ONE, PROFIT, feature, history, shown, split, table
from idi_fast.config.settings import TrainingConfig
from idi_fast.evaluation.evaluator import Evaluation, Evaluator
from idi_fast.training.trainer import create_trainer

FRESH_SEED = 1_000_003
FEATURES = {"price": feature("ema_ratio", 8), "trend": feature("ema_ratio", 24), "volume": feature("volatility", 12)}
TABLES = ((6, 6, 1), (4, 3, 4), (8, 6, 8), (16, 12, 16))
"""Buckets of these three features."""
FIXED = (0.0, 20.0, 100.0, 400.0)


@dataclass(frozen=True)
class Sizes:
    """How large the study is; `smallest` is for tests, and its figures mean nothing."""

    repetitions: int = 12
    fresh: int = 4_000
    bars: tuple[int, ...] = (1_000, 4_000, 20_000)
    tables: tuple[tuple[int, int, int], ...] = TABLES
    history: int = 24_000

    @classmethod
    def smallest(cls) -> "Sizes":
        """Sizes at which everything runs but no figure means anything."""
        return cls(repetitions=2, fresh=20, bars=(300,), tables=((2, 2, 2),), history=900)


def config(kind: str, quantizer: dict, features: dict, **learning) -> TrainingConfig:
    """A config that plans profits."""
    return TrainingConfig.from_dict(
        {
            "discount": 0.95,
            "rewards": PROFIT,
            "quantizer": {**ONE, **quantizer},
            "learning": {"algorithm": "value_iteration", **learning},
            "features": features,
            "environment": {"kind": kind},
        }
    )


def simulated(sizes: Sizes) -> str:
    """The simulated market, its regime hidden: reward per episode of 64 fresh bars, the same for all, over repetitions
    on other bars each; ± is the standard error of the mean over these, and of auto less the best of the fixed ones,
    paired."""
    rows, filtered = [], None
    for bars in sizes.bars:
        for buckets in sizes.tables:
            quantizer = dict(zip(("price_buckets", "trend_buckets", "volume_buckets"), buckets, strict=True))
            earned = {}
            for shrinkage in (*FIXED, "auto"):
                setup = config("crypto", quantizer, FEATURES, shrinkage=shrinkage, bars=bars)
                evaluator = Evaluator(setup, FRESH_SEED, episodes=sizes.fresh)
                policies = [create_trainer(setup, seed).run()[0] for seed in range(sizes.repetitions)]
                earned[shrinkage] = np.array([evaluator.evaluate(policy).mean for policy in policies])
                if filtered is None:
                    filtered = rewards_of_knowing(policies[0], evaluator, draw_paths(policies[0], evaluator).beliefs)
            best = max(FIXED, key=lambda shrinkage: earned[shrinkage].mean())
            shown_each = [shown(Evaluation.of(values)) for values in earned.values()]
            difference = shown(Evaluation.of(earned["auto"] - earned[best]))
            rows.append((f"{bars:,}", " × ".join(map(str, buckets)), *shown_each, difference))
    heads = ("bars", "table", *(f"{shrinkage:g}" for shrinkage in FIXED), "auto", "auto less the best fixed")
    assert filtered is not None  # of the first table
    return f"{table(heads, rows)}\n\nA filter that knows the chain earns {shown(Evaluation.of(filtered))}."


def planned(log_close: np.ndarray, fill: str) -> Backtest:
    """The backtest, on the last third of a history, of a policy planned on the rest."""
    train, test = split(log_close)
    features = {"price": feature("zscore", 64), "trend": feature("log_return", 8)}
    setup = config("history", {"price_buckets": 8, "trend_buckets": 8}, features)
    policy, _ = create_trainer(setup, 0, history(train)).run()
    return backtest(policy, history(test), fee_bps=FEE_BPS, fill=fill)


def sine(sizes: Sizes) -> str:
    """The price is a noisy sine of 64 bars: out-of-sample log return beside that of a trader who knows the phase."""
    time, rows = np.arange(sizes.history), []
    for seed in range(min(5, sizes.repetitions)):
        noise = np.random.default_rng(seed).normal(0.0, 0.003, time.size)
        log_close = 0.05 * np.sin(2.0 * np.pi * time / 64) + noise
        train, test = split(log_close)
        rises = np.diff(np.sin(2.0 * np.pi * (time[train.size :, None] + np.array([1, 2])) / 64))[:, 0]
        knows = keep_account(np.sign(rises).astype(np.int8), history(test), TradingAssumptions("next_close", FEE_BPS))
        best, result = np.log(knows.equity[-1]), planned(log_close, "next-close")
        earned = np.log(result.account.equity[-1])
        rows.append((seed, earned, best, f"{earned / best:.1%}", result.kpis["trades"]))
    return table(("seed", "log return", "phase known", "share", "trades"), rows)


def walk(sizes: Sizes) -> str:
    """A random walk: the share of the bars on which the policy trades."""
    rows = []
    for seed in range(min(5, sizes.repetitions)):
        result = planned(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.01, sizes.history)), "next-close")
        changes = np.count_nonzero(np.diff(result.account.position, prepend=0))
        rows.append((seed, float(np.log(result.account.equity[-1])), f"{changes / result.account.position.size:.2%}"))
    return table(("seed", "log return", "bars traded on"), rows)


PARTS = {"Simulated bars": simulated, "A noisy sine": sine, "A random walk": walk}


def main(sizes: Sizes) -> None:
    """Print every part."""
    for title, part in PARTS.items():
        sys.stdout.write(f"## {title}\n\n{part.__doc__}\n\n{part(sizes)}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Sizes())

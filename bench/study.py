"""What is learnt on markets whose optimum is known: a seeded study with its tables in docs/STUDY.md.

    python -m idi_fast.bench.study

Every figure is out of sample. All rewards are profits after fees in units of volatility: the weights of scarcity,
ethics and mood are 0.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.backtesting.account import TradingAssumptions, keep_account
from idi_fast.backtesting.backtest import backtest
from idi_fast.bench.known_market import draw_paths, optimal_values, rewards_of_knowing
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.environments.rng import make_generators
from idi_fast.environments.simulation import CryptoMarket
from idi_fast.evaluation.baselines import evaluate
from idi_fast.evaluation.evaluator import Evaluation, Evaluator
from idi_fast.training.trainer import create_trainer

HELD_OUT_SEED = 1_000_003
PROFIT = {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}
LEARNING = {"algorithm": "double_q_learning", "rate_schedule": "visits", "exploration_schedule": "linear"}
SINGLE = {"rate_schedule": "visits", "exploration_schedule": "linear", "exploration_floor": 0.2}
ONE = {f"{name}_buckets": 1 for name in ("price", "volume", "trend", "scarcity", "mood")}
FEE_BPS = 5.0


@dataclass(frozen=True)
class Sizes:
    """How large the study is; `smallest` is for tests, and its figures mean nothing."""

    seeds: int = 5
    episodes: int = 20_000
    held_out: int = 2_000
    bars: int = 24_000
    history_episodes: int = 4_000
    tile_buckets: int = 32
    repetitions: int = 12
    known_bars: tuple[int, ...] = (1_000, 4_000, 20_000)
    fresh_bars: int = 400_000
    learnt_episodes: tuple[int, int] = (4_000, 60_000)

    @classmethod
    def smallest(cls) -> "Sizes":
        """Sizes at which everything runs but no figure means anything."""
        few = {"repetitions": 2, "known_bars": (300,), "fresh_bars": 400, "learnt_episodes": (4, 8)}
        return cls(seeds=2, episodes=40, held_out=20, bars=900, history_episodes=20, tile_buckets=8, **few)


def config(kind: str, episodes: int, quantizer: dict, features: dict | None = None, **environment) -> TrainingConfig:
    """A config that learns profits."""
    return TrainingConfig.from_dict(
        {
            "episodes": episodes,
            "discount": 0.95,
            "rewards": PROFIT,
            "quantizer": {**ONE, **quantizer},
            "learning": {**LEARNING, "exploration_floor": 0.2},
            "features": features or {},
            "environment": {"kind": kind, **environment},
        }
    )


def feature(transform: str, window: int) -> dict:
    """A feature of the close."""
    return {"transform": transform, "window": window}


def observed(sizes: Sizes) -> str:
    """The simulated market with its regime in the state: how close training comes to the optimum."""
    rows = []
    for seed in range(sizes.seeds):
        policy, more = (
            create_trainer(config("crypto", times * sizes.episodes, {}, observe_regime=True), seed).run()[0]
            for times in (1, 4)
        )
        evaluator = Evaluator(policy.config, HELD_OUT_SEED, episodes=sizes.held_out)
        report = evaluate(policy, episodes=sizes.held_out, seed=HELD_OUT_SEED)
        earned = evaluator.rewards(policy)
        optimum = evaluator.rewards(policy, optimal_values(policy)).mean()
        best = max(float(optimum), report.baselines["regime rule"].evaluation.mean)
        rows.append(
            (
                seed,
                earned.mean(),
                report.baselines["regime rule"].evaluation.mean,
                optimum,
                f"{earned.mean() / best:.1%}",
                shown(Evaluation.of(evaluator.rewards(more) - earned)),
            )
        )
    heads = "seed", "policy", "regime rule", "optimum", "of the best", "after four times the training"
    return table(heads, rows)


def hidden(sizes: Sizes) -> str:
    """The same market seen through prices, compared with the baselines and with a filter that knows its rules."""
    features = {"price": feature("ema_ratio", 32), "volume": feature("volatility", 16)}
    buckets = {"price_buckets": 8, "volume_buckets": 3}
    rows, paths = [], None
    for seed in range(sizes.seeds):
        policy, _ = create_trainer(config("crypto", 2 * sizes.episodes, buckets, features), seed).run()
        report = evaluate(policy, episodes=sizes.held_out, seed=HELD_OUT_SEED)
        evaluator = Evaluator(policy.config, HELD_OUT_SEED, episodes=sizes.held_out)
        # The prices are the same for all seeds; only the bucket edges differ.
        paths = paths or draw_paths(policy, evaluator)
        best = report.baselines[report.best_baseline]
        rows.append(
            (
                seed,
                report.evaluation.mean,
                f"{report.best_baseline} {best.evaluation.mean:.3g}",
                shown(best.difference),
                "yes" if report.has_learnt else "no",
                rewards_of_knowing(policy, evaluator, paths.beliefs).mean(),
                rewards_of_knowing(policy, evaluator, np.eye(4)[paths.regime]).mean(),
            )
        )
    heads = (
        "seed",
        "policy",
        "best baseline",
        "policy exceeds it by",
        "beats all",
        "filter that knows the chain",
        "regime known",
    )
    return table(heads, rows)


def tiles(sizes: Sizes) -> str:
    """The hidden regime in 34.6 million states (32⁴ · 11 moods · 3 positions), with and without tiles."""
    features = {
        "price": feature("ema_ratio", 32),
        "volume": feature("volatility", 16),
        "trend": feature("zscore", 32),
        "scarcity": feature("drawdown", 64),
    }
    buckets = {**dict.fromkeys((f"{name}_buckets" for name in features), sizes.tile_buckets), "mood_buckets": 11}
    coder = {"num_tilings": 2, "tile_sizes": [6, 3, 4, 1, 1], "tiling": "displaced", "table_size": 2**20}
    rows = []
    for seed in range(sizes.seeds):
        setup = config("crypto", sizes.episodes, buckets, features).to_dict() | {"learning": SINGLE}
        fine, plain = (
            create_trainer(TrainingConfig.from_dict({**setup, "tile_coder": layout}), seed).run()[0]
            for layout in (coder, None)
        )
        report, other = (evaluate(policy, episodes=sizes.held_out, seed=HELD_OUT_SEED) for policy in (fine, plain))
        best = report.baselines[report.best_baseline]
        rows.append(
            (
                seed,
                fine.layout.n_rows,
                report.evaluation.mean,
                shown(best.difference),
                other.evaluation.mean,
            )
        )
    heads = (
        "seed",
        "rows of the tiles",
        "with tiles",
        "above the best baseline",
        "plain table",
    )
    ratio = (
        f"A step over 32⁵ synthetic states in two tilings takes {time_ratio(sizes):.1f} times as long as one over the "
        "default's 2,048 states in a plain table."
    )
    return f"{table(heads, rows)}\n\n{ratio}"


def time_ratio(sizes: Sizes) -> float:
    """Time per step over 32⁵ synthetic states in tiles over that of the default config, the median of runs in turns."""
    names = ("price", "volume", "trend", "scarcity", "mood")
    coder = {"num_tilings": 2, "tile_sizes": [4, 4, 4, 4, 2], "tiling": "displaced", "table_size": 2**20}
    fields = {"quantizer": {f"{name}_buckets": 32 for name in names}, "tile_coder": coder}

    def seconds(more: dict) -> float:
        trainer = create_trainer(TrainingConfig.from_dict({"episodes": 2 * sizes.episodes, **more}), 0)
        trainer.compile()
        trainer.train()
        return trainer.training_seconds

    return float(np.median([seconds(fields) / seconds({}) for _ in range(7)]))


def sine(sizes: Sizes) -> str:
    """The price is a noisy sine: out-of-sample log return, and that of a trader who knows the phase."""
    period = 64
    time = np.arange(sizes.bars)
    noise = np.random.default_rng(7).normal(0.0, 0.003, sizes.bars)
    log_close = 0.05 * np.sin(2.0 * np.pi * time / period) + noise
    train, test = split(log_close)
    # A position decided at a close is filled at the next one, and earns from there on.
    rises = np.diff(np.sin(2.0 * np.pi * (time[train.size :, None] + np.array([1, 2])) / period))[:, 0]
    knows = keep_account(np.sign(rises).astype(np.int8), history(test), TradingAssumptions("next_close", FEE_BPS))
    best = np.log(knows.equity[-1])
    rows = []
    for seed in range(sizes.seeds):
        result = backtest(learnt(train, seed, sizes), history(test), fee_bps=FEE_BPS)
        earned = np.log(result.account.equity[-1])
        rows.append((seed, earned, best, f"{earned / best:.1%}", result.kpis["trades"]))
    return table(("seed", "log return", "phase known", "share", "trades"), rows)


def walk(sizes: Sizes) -> str:
    """A random walk has nothing to learn, and `evaluate` must say so."""
    rows = []
    for seed in range(sizes.seeds):
        steps = np.random.default_rng(seed).normal(0.0, 0.01, sizes.bars)
        train, test = split(np.cumsum(steps))
        policy = learnt(train, seed, sizes)
        report = evaluate(policy, history=history(test))
        result = backtest(policy, history(test), fee_bps=FEE_BPS)
        rows.append(
            (
                seed,
                np.log(result.account.equity[-1]),
                shown(report.evaluation),
                "yes" if report.has_learnt else "no",
            )
        )
    return table(("seed", "log return", "reward per episode", "called learnt"), rows)


def learnt(log_close: np.ndarray, seed: int, sizes: Sizes) -> Policy:
    """A policy trained on a history, seen through its z-score over 64 bars and its return over 8."""
    features = {"price": feature("zscore", 64), "trend": feature("log_return", 8)}
    setup = config("history", sizes.history_episodes, {"price_buckets": 8, "trend_buckets": 8}, features)
    return create_trainer(setup, seed, history(log_close)).run()[0]


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two thirds, and the rest."""
    return values[: values.size * 2 // 3], values[values.size * 2 // 3 :]


TABLES = {
    "6 × 6": ({"price_buckets": 6, "trend_buckets": 6}, {"price": ("zscore", 64), "trend": ("log_return", 16)}),
    "8 × 6 × 8": (
        {"price_buckets": 8, "trend_buckets": 6, "volume_buckets": 8},
        {"price": ("ema_ratio", 8), "trend": ("ema_ratio", 24), "volume": ("volatility", 12)},
    ),
}
"""Buckets and features by which the same bars are planned on and learnt from."""


def at_equal_data(sizes: Sizes) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """What planned and learnt tables of the same bars earn per 64 fresh bars, float64 (repetitions,) by name of the
    method, by table and number of bars.

    Each repetition has simulated bars of its own, known by their closes alone, so that orders are filled at the next
    close; the fresh bars are the same for all.
    """
    fresh, found = history(simulated(sizes.fresh_bars, HELD_OUT_SEED)), {}
    paths = [history(simulated(max(sizes.known_bars), seed)) for seed in range(sizes.repetitions)]
    for (name, (buckets, chosen)), bars in product(TABLES.items(), sizes.known_bars):
        features = {slot: feature(*transform) for slot, transform in chosen.items()}
        learnt = {f"learnt, {n:,} episodes": config("history", n, buckets, features) for n in sizes.learnt_episodes}
        plans = {"algorithm": "value_iteration"}
        planned = {**config("history", 0, buckets, features).to_dict(), "learning": plans}
        del planned["episodes"]
        methods = {"planned": TrainingConfig.from_dict(planned), **learnt}
        found[name, bars] = {
            method: np.array([earned(setup, path.slice(0, bars), seed, fresh) for seed, path in enumerate(paths)])
            for method, setup in methods.items()
        }
    return found


def earned(setup: TrainingConfig, known: History, seed: int, fresh: History) -> float:
    """Reward per 64 fresh bars of a policy of known ones."""
    return 64.0 * backtest(create_trainer(setup, seed, known).run()[0], fresh).kpis["mean_reward"]


def planning(sizes: Sizes) -> str:
    """Planned and learnt tables of the same simulated bars, the regime hidden: reward per 64 fresh bars, over
    repetitions on other bars each; ± is the standard error of the mean over these, and of differences, paired."""
    rows, heads = [], ()
    for (name, bars), methods in at_equal_data(sizes).items():
        best = max([*methods][1:], key=lambda method: methods[method].mean())
        more = Evaluation.of(methods["planned"] - methods[best])
        rows.append((f"{bars:,}", name, *(shown(Evaluation.of(values)) for values in methods.values()), shown(more)))
        heads = "bars", "table", *methods, "planned less the better learnt"
    return table(heads, rows)


def simulated(n: int, seed: int) -> np.ndarray:
    """Log closes of the default market, float64 (n,)."""
    setup = config("crypto", 1, {})
    return CryptoMarket(setup).bars(make_generators(setup.engine, seed).environment, n).log_close


def history(log_close: np.ndarray) -> History:
    """Minute bars with these closes."""
    n = log_close.size
    return History(
        close=np.exp(log_close),
        open=None,
        volume=None,
        time=np.arange(n) * 60 * 10**9,
        risk=None,
        extra={},
        after_gap=np.zeros(n, bool),
        dropped=0,
        columns={"close": "close", "time": "time"},
    )


def shown(evaluation: Evaluation) -> str:
    """A mean and its standard error."""
    return f"{evaluation.mean:.3g} ± {evaluation.standard_error:.2g}"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---", *("---:" for _ in heads[1:])]]
    lines += [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


PARTS = {
    "The regime observed": observed,
    "The regime hidden": hidden,
    "Tiles": tiles,
    "A noisy sine": sine,
    "A random walk": walk,
    "Planned and learnt": planning,
}


def main(sizes: Sizes) -> None:
    """Print every part."""
    for title, part in PARTS.items():
        sys.stdout.write(f"## {title}\n\n{part.__doc__}\n\n{part(sizes)}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Sizes())

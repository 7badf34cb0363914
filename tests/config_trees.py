"""The whole config as a tree, as the tests of the config know it."""

import jsonschema

from idi_fast.config.block import json_schema
from idi_fast.config.draft import Draft, assigned

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
TRANSFORMS = ["zscore", "log_return", "drawdown", "ema_ratio", "volatility", "level"]

MARKET = {
    "drift_bull": 0.002,
    "drift_bear": -0.002,
    "drift_chop": 0.0,
    "vol_base": 0.01,
    "vol_panic": 0.04,
    "shock_prob": 0.02,
    "shock_scale": 0.05,
    "fee_bps": 5.0,
    "stress_scenario": "normal",
    "borrow_bps": 0.0,
    "cash_rate": 0.0,
    "regimes": [],
}
HELD = ("borrow_bps", "cash_rate", "regimes")
"""Settings of the market of the second format."""
READING = {
    "funding": None,
    "format": None,
    "sep": None,
    "decimal": None,
    "thousands": None,
    "time_format": None,
    "tz": None,
    "no_header": False,
    "encoding": None,
    "skip_rows": None,
    "sort": False,
    "duplicates": "refuse",
    "start": None,
    "end": None,
    "symbol_col": None,
    "symbol_files": False,
    "edges": "pooled",
    "split": None,
}
"""Settings of the second format of configs, which no fingerprint holds at their defaults."""
PLANNING = {
    "bars": 65_536,
    "tolerance": 1e-10,
    "shrinkage": "auto",
    "confidence": 0.0,
    "bootstrap": 0,
    "min_agreement": 0.0,
}
"""Likewise, of learning: the settings of value iteration."""
DATA = dict.fromkeys(("path", "time", "price", "open", "volume")) | {
    "nan": "refuse",
    "fill": "next_open",
    **READING,
}
DEFAULTS = {
    "episodes": 128,
    "episode_length": 64,
    "discount": 0.92,
    "learning_rate": 0.2,
    "exploration_decay": 0.995,
    "quantizer": {
        "price_buckets": 4,
        "volume_buckets": 4,
        "trend_buckets": 4,
        "scarcity_buckets": 8,
        "mood_buckets": 4,
    },
    "rewards": {
        "pnl": 1.0,
        "scarcity_alignment": 0.5,
        "ethics_bonus": 0.75,
        "communication_clarity": 0.2,
        "objective": "volatility_units",
        "risk_aversion": 1.0,
        "turnover_penalty": 0.0,
    },
    "emote": {
        "palette": {"0": "🙂 steady", "1": "🚀 optimistic", "2": "😐 cautious", "3": "⚠️ alert"},
        "linger_ticks": 2,
    },
    "layers": {
        "emit_weight_streams": True,
        "momentum_threshold": 0.6,
        "contrarian_threshold": 0.3,
        "trend_favors_even": True,
    },
    "tile_coder": None,
    "communication": {
        "actions": ["silent", "positive", "alert", "persist"],
        "alert_bonus": 0.1,
        "positive_bonus": 0.05,
        "persist_bonus": 0.05,
    },
    "episodic": None,
    "learning": {
        "algorithm": "q_learning",
        "trace_decay": 0.9,
        "initial_value": 0.0,
        "rate_schedule": "constant",
        "rate_delay": 100.0,
        "rate_power": 0.8,
        "exploration_schedule": "decay",
        "exploration_floor": 0.05,
        "exploration_share": 0.8,
        "exploration_episodes": None,
        "exploration_visits": 100.0,
        **PLANNING,
    },
    "engine": {"compat": None, "rng": "sfc64"},
    "environment": {
        "kind": "synthetic",
        "allow_short": True,
        "observe_regime": False,
        "market": MARKET,
        "data": DATA,
    },
    "features": {"price": None, "volume": None, "trend": None, "scarcity": None},
}
NEWER = {
    *(f"environment.data.{name}" for name in READING),
    *(f"environment.market.{name}" for name in HELD),
    *(f"rewards.{name}" for name in ("objective", "risk_aversion", "turnover_penalty")),
    *(f"learning.{name}" for name in PLANNING),
    "learning.exploration_episodes",
}
"""Keys of the second format."""


def without_newer(tree: dict, path: str = "") -> dict:
    """The tree without those."""
    return {
        key: without_newer(value, f"{path}{key}.") if isinstance(value, dict) else value
        for key, value in tree.items()
        if f"{path}{key}" not in NEWER
    }


WHEN_GIVEN = {
    "tile_coder": {
        "num_tilings": 3,
        "tile_sizes": [4, 4, 4, 4, 4],
        "offsets": [0, 1, 2, 3, 4],
        "tiling": "reference",
        "table_size": 65_536,
    },
    "episodic": {"enabled": False, "capacity": 1024, "k": 8, "decay": 0.99, "blend_alpha": 0.5},
} | {f"features.{x}": {"column": "close", "transform": "zscore", "window": 32} for x in DEFAULTS["features"]}


def nest(values):
    """{"a": {"b": 1}} of {"a.b": 1}."""
    tree = {}
    for key, value in values.items():
        *blocks, name = key.split(".")
        inner = tree
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[name] = value
    return tree


def with_value(key, value):
    """A tree with this value, and what else the key needs to be valid."""
    if key.startswith("features."):
        transform = f"{key.rpartition('.')[0]}.transform"
        return nest({"environment.kind": "crypto", transform: "zscore", key: value})
    if key.removeprefix("environment.market.") in HELD:
        return nest({"environment.kind": "history", key: value})
    if key in ("environment.observe_regime", "rewards.objective", "rewards.risk_aversion", "rewards.turnover_penalty"):
        return nest({"environment.kind": "crypto", key: value})
    if key.removeprefix("learning.") in PLANNING:
        plans = {"environment.kind": "crypto", "learning.algorithm": "value_iteration", "learning.bootstrap": 2}
        return nest({**plans, key: value})
    return nest({key: value})


def leaves(tree, prefix=""):
    """Dotted keys and values of all that is no block; a block that is null by default as it is when given."""
    for name, value in tree.items():
        key = prefix + name
        value = WHEN_GIVEN.get(key, value)
        if isinstance(value, dict) and name != "palette":
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


LEAVES = dict(leaves(DEFAULTS))

COMPAT = {"engine.compat": "idi_iann"}
CRYPTO = {"environment.kind": "crypto"}
HISTORY = {"environment.kind": "history"}
OLD_CRYPTO = {**COMPAT, **CRYPTO}
FOUR = {"tile_coder.tile_sizes": [4] * 4, "tile_coder.offsets": [0] * 4}


def with_overrides(config, assignments):
    """The config with `a.b.c=value` assignments applied and checked together."""
    return Draft.of(config).override(assigned(assignments)).build()

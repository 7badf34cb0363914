"""The config of a run for which none is given."""

from collections.abc import Mapping
from typing import Any

from idi_fast.config.settings import TrainingConfig

SPLIT = "70%"
MANY_BARS = 1000
"""Of a history: from so many on, windows and buckets are those that docs/STUDY.md tests."""


def first_config(bars: int | None = None) -> TrainingConfig:
    """A planned agent that sees how far the price is from its recent mean, and how far it has come of late.

    bars: of the history, or of the longest of many; None: not yet known, many. A shorter history has shorter windows,
    since the longest of them is lost between training and test, and fewer buckets, since each needs bars behind it.
    With shrinkage chosen on the training bars, it comes down to buying and holding where these support nothing else.
    """
    is_long = bars is None or bars >= MANY_BARS
    window, buckets = (64, 6) if is_long else (32, 3)
    settings: Mapping[str, Any] = {
        "episode_length": 64 if is_long else 16,
        "discount": 0.95,
        "quantizer": {
            "price_buckets": buckets,
            "trend_buckets": buckets,
            "volume_buckets": 1,
            "scarcity_buckets": 1,
            "mood_buckets": 1,
        },
        "rewards": {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0},
        "learning": {"algorithm": "value_iteration"},
        "environment": {"kind": "history"},
        "features": {
            "price": {"transform": "zscore", "window": window},
            "trend": {"transform": "log_return", "window": window // 4},
        },
    }
    return TrainingConfig.from_dict(settings)

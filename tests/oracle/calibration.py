"""Expected against realised advantages: both agents followed bar by bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .planning import Bar, Setting, mood_after, reward


def realised_advantages(bars: Sequence[Bar], moods: Sequence[int], q: np.ndarray, setting: Setting) -> list[float]:
    """What going long rather than short after each bar but the last earned; q by observation, mood, position, action;
    moods: of the agent on each bar."""

    def followed(first: int, action: int) -> float:
        mood, position, total, weight = moods[first], 1, 0.0, 1.0
        for bar in bars[first + 1 :]:
            new = setting.next_position[position * 3 + action]
            earned = reward(bar, position, new, setting.weights)
            mood, position = mood_after(mood, earned, setting.n_moods), new
            total += weight * (earned + setting.clarity * mood)
            weight *= setting.discount
            action = int(q[bar.observation, mood, position].argmax())
        return total + weight * float(q[bars[-1].observation, mood, position].max())

    return [followed(first, 1) - followed(first, 2) for first in range(len(bars) - 1)]

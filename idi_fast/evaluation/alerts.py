"""Whether an agent's alerts preceded risk events, and how many of them."""

import math
from typing import Self

import numpy as np

from idi_fast.agents.trace import Trace
from idi_fast.environments.state_space import StateSpace
from idi_fast.kernels.backtest import count_alerts
from idi_fast.kernels.crypto import N_REGIMES, REGIMES
from idi_fast.storage.json_files import null_nan

FEW_STATES = 2**20


class AlertCounts:
    """Counts alerts and the risk events that follow on the next bar, over consecutive chunks of bars of any size."""

    def __init__(self, space: StateSpace, comm_names: tuple[str, ...]):
        self._space = space
        # In a small space the mood of every state is computed beforehand, which saves two divisions per bar.
        states = np.arange(space.n_states) if space.n_states <= FEW_STATES else None
        self._moods = None if states is None else space.digit(states, "mood").astype(np.uint8)
        self.alert = comm_names.index("alert") if "alert" in comm_names else -1
        # By mood and regime: bars, alerts, risk events, alerts that were right.
        self._counts = np.zeros((space.size("mood"), N_REGIMES, 4), np.int64)
        self._last = np.full(3, -1)

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """The counts of a trace whose ticks say what was known, so not of one under compat."""
        counts = cls(trace.space, trace.comm_names)
        counts.push(trace.state, trace.comm_action, trace.streams["q_regime"], trace.streams["risk_event"])
        return counts

    def push(self, state: np.ndarray, comm: np.ndarray, regime: np.ndarray, risk: np.ndarray) -> None:
        """State int64, communication action int16, regime uint8 and risk uint8 of each of the next bars, (n,)."""
        moods = self._moods
        if moods is None:
            moods, state = self._space.digit(state, "mood").astype(np.uint8), np.arange(state.size)
        count_alerts(state, moods, comm, regime, risk, self.alert, self._last, self._counts)

    def shares(self) -> dict[str, float]:
        """Precision: the share of alerts that a risk event follows on the next bar; recall: the share of risk events
        that an alert preceded; NaN if there are none."""
        return _shares(self._counts.sum(axis=(0, 1)))

    def by(self) -> dict[str, list[dict]]:
        """The same, with counts, by mood and by regime at the decision, a row each."""
        moods, regimes = self._counts.sum(axis=1), self._counts.sum(axis=0)
        return {
            "mood": [{"mood": mood, **_counted(row)} for mood, row in enumerate(moods)],
            "regime": [{"regime": name, **_counted(row)} for name, row in zip(REGIMES, regimes, strict=True)],
        }

    def to_dict(self) -> dict:
        """Counts and shares over all bars, and those of `by`, as JSON values."""
        return {**_counted(self._counts.sum(axis=(0, 1))), **self.by()}


def _counted(row: np.ndarray) -> dict:
    bars, alerts, events, _ = row.tolist()
    return {"bars": bars, "alerts": alerts, "risk_events": events, **null_nan(_shares(row))}


def _shares(row: np.ndarray) -> dict[str, float]:
    _, alerts, events, right = row.tolist()
    return {
        "alert_precision": right / alerts if alerts else math.nan,
        "alert_recall": right / events if events else math.nan,
    }

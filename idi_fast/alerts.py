"""Whether an agent's alerts came before risk events, and before how many of them."""

import math

import numpy as np

from idi_fast.kernels.crypto import REGIMES
from idi_fast.kpis import null_nan
from idi_fast.space import StateSpace
from idi_fast.trace import Trace


def alert_kpis(trace: Trace) -> dict[str, float]:
    """Precision: the share of alerts that a risk event follows on the next bar; recall: the share of risk events that
    an alert preceded; NaN where there are none. Of a trace whose ticks say what was known, so not of one under compat.
    """
    return _shares(*_said_and_risk(trace))


def alerts_by(trace: Trace) -> dict[str, list[dict]]:
    """The same by the mood and by the regime in which an alert was or was not said, a row each, with the counts."""
    said, risk = _said_and_risk(trace)
    space: StateSpace = trace.space
    digits = {
        "mood": (space.digit(trace.state, "mood")[:-1], range(space.size("mood"))),
        "regime": (trace.streams["q_regime"][:-1], REGIMES),
    }
    return {
        name: [
            {name: label, **_counted(said[digit == value], risk[digit == value])} for value, label in enumerate(labels)
        ]
        for name, (digit, labels) in digits.items()
    }


def count_alerts(trace: Trace) -> dict:
    """The counts and shares of the whole trace, and those of `alerts_by`, as JSON values."""
    return {**_counted(*_said_and_risk(trace)), **alerts_by(trace)}


def _said_and_risk(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Of each bar but the last, whether the agent said alert, and whether the next bar is a risk event."""
    alert = trace.comm_names.index("alert") if "alert" in trace.comm_names else -1
    return trace.comm_action[:-1] == alert, trace.streams["risk_event"][1:] > 0


def _counted(said: np.ndarray, risk: np.ndarray) -> dict:
    counts = {"bars": said.size, "alerts": int(np.count_nonzero(said)), "risk_events": int(np.count_nonzero(risk))}
    return {**counts, **null_nan(_shares(said, risk))}


def _shares(said: np.ndarray, risk: np.ndarray) -> dict[str, float]:
    right, alerts, events = (int(np.count_nonzero(which)) for which in (said & risk, said, risk))
    return {
        "alert_precision": right / alerts if alerts else math.nan,
        "alert_recall": right / events if events else math.nan,
    }

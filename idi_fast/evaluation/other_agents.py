"""Agents of other kinds, which are evaluated on the same episodes as a policy: functions, models of other libraries."""

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.config.arguments import described, refuse
from idi_fast.errors import InputError

Act = Callable[[np.ndarray], np.ndarray]
"""The actions int64 (n,) of an agent that sees n states, int64 (n, digits)."""


@runtime_checkable
class Model(Protocol):
    """A model as of stable-baselines3: its `predict` gives the actions, and a state of its own that is not kept."""

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, Any]:
        """The actions of observations."""
        ...


OtherAgent = Callable[[np.ndarray], Any] | Model


@runtime_checkable
class Market(Protocol):
    """What an agent was trained in: an `idi_fast.gym.MarketEnv`."""

    def as_policy(self) -> Policy:
        """A policy of the same states and bucket edges, whose tables hold nothing."""
        ...


def is_other_agent(value: object) -> TypeGuard[OtherAgent]:
    """Whether a value is an agent that is no Policy."""
    return (
        not isinstance(value, Policy)
        and not isinstance(getattr(value, "policy", None), Policy)
        and (callable(value) or isinstance(value, Model))
    )


def as_market(market: object) -> Policy:
    """The states that another agent sees, as of a Policy. Raises InputError."""
    market = getattr(market, "unwrapped", market)
    if isinstance(market, Policy):
        return market
    if isinstance(market, Market):
        return market.as_policy()
    raise refuse("market", market, "the MarketEnv that the agent was trained in, or a Policy of the same states")


def actions_of(agent: OtherAgent) -> Act:
    """What an agent does, checked. Raises InputError."""

    def act(states: np.ndarray) -> np.ndarray:
        answer = agent.predict(states, deterministic=True)[0] if isinstance(agent, Model) else agent(states)
        return checked_actions(answer, (states.shape[0],))

    return act


def checked_actions(answer: object, shape: tuple[int, ...]) -> np.ndarray:
    """Actions as int64 of a shape, () for a single one. Raises InputError for what are none."""
    actions = np.asarray(answer)
    if actions.shape != shape or actions.dtype.kind not in "iu":
        wanted = "an action" if not shape else f"{shape[0]} actions"
        raise InputError(
            f"{_shape(answer, actions)} was given for {wanted}; expected whole numbers of the shape {shape}: 0 hold, 1 "
            "buy, 2 sell"
        )
    if actions.size and not 0 <= actions.min() <= actions.max() <= 2:
        wrong = actions[(actions < 0) | (actions > 2)].flat[0]
        raise InputError(f"the action {wrong} was given; expected 0 (hold), 1 (buy) or 2 (sell)")
    return actions.astype(np.int64)


def _shape(answer: object, actions: np.ndarray) -> str:
    if actions.dtype.kind == "O" or actions.ndim == 0:
        return described(answer)
    return f"an array of {actions.dtype} of the shape {actions.shape}"

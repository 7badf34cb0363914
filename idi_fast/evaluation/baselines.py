"""How good a policy is on unseen episodes, compared with baselines that need no learning: `idi-fast evaluate`."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from idi_fast import display
from idi_fast.agents.certainty import of_chance
from idi_fast.agents.policy import Policy, check_policy
from idi_fast.config.arguments import check_integer
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import is_in_sample
from idi_fast.data.panel import TrainingBars, TrainingBarsLike, check_bars
from idi_fast.environments.actions import BUY, HOLD, SELL
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.splits import load_test_bars
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import InputError
from idi_fast.evaluation.alerts import AlertCounts
from idi_fast.evaluation.evaluator import EVALUATION_EPISODES, Evaluation, Evaluator
from idi_fast.evaluation.other_agents import OtherAgent, actions_of, as_market, is_other_agent
from idi_fast.evaluation.verdicts import beside, beyond_chance, plain_number
from idi_fast.kernels.crypto import REGIME_BEAR, REGIME_BULL, REGIME_PANIC

if TYPE_CHECKING:
    import polars as pl

IN_WORDS = {
    "random": "acting at random",
    "hold": "doing nothing",
    "buy": "always buying",
    "sell": "always selling",
    "regime rule": "following the regime",
}
"""What the baselines do."""
CONFIDENCE = 0.95
QUICK_ROWS = 131_072
"""Rows of the evaluation that ends a training, once more for each baseline: some milliseconds."""
ABOVE = 2.0
"""Standard errors by which a policy must at least exceed a baseline to be called better; more with few episodes."""
ALERT_BARS = 65_536
"""Simulated bars to count alerts over, in 16 ms: precision and recall vary by 0.01 between seeds."""


@dataclass(frozen=True)
class Compared:
    """A baseline's evaluation, and by how much the policy exceeds it, episode by episode."""

    evaluation: Evaluation
    difference: Evaluation

    @property
    def is_beaten(self) -> bool:
        """Whether the policy earns more by over two standard errors, and by more than the half-width of the
        difference's 95% interval (Student's t)."""
        return self._exceeds(self.difference.mean)

    @property
    def is_better(self) -> bool:
        """Whether the baseline earns more than the policy by as much."""
        return self._exceeds(-self.difference.mean)

    def _exceeds(self, mean: float) -> bool:
        error = self.difference.standard_error
        return error is not None and mean > max(ABOVE, _reach(self.difference)) * error


_HEADS = ("", "mean reward", "standard error")


@dataclass(frozen=True)
class Comparison(display.Plotted):
    """A policy's evaluation compared with its baselines; made by `evaluate`.

    Attributes
    ----------
    evaluation : Evaluation
        The policy's mean reward of an episode, and its standard error.
    baselines : dict of str to Compared
        The same for each baseline, and by how much the policy exceeds it, episode by episode.
    in_sample : bool or None
        Whether on bars of its own training; None if that cannot be told.
    seed : int or None
        The seed whose stream the episodes come from; None on a history.
    alerts : dict or None
        See `AlertCounts`; only on the simulated crypto market of the default mode.
    by_symbol : dict of str to Compared
        Of many symbols, the policy's evaluation on the episodes of each that has some, and by how much it exceeds the
        best baseline of all.
    optimism : float or None
        In sample, of a planned table if bars were left out in turn: the share of chance in what it earns there.
    """

    evaluation: Evaluation
    baselines: dict[str, Compared]
    in_sample: bool | None
    seed: int | None
    alerts: dict | None
    by_symbol: dict[str, Compared] = field(default_factory=dict)
    optimism: float | None = None

    @property
    def best_baseline(self) -> str:
        """The baseline that earns the most."""
        return max(self.baselines, key=lambda name: self.baselines[name].evaluation.mean)

    @property
    def has_learnt(self) -> bool | None:
        """Whether the policy beats every baseline, see `Compared.is_beaten`; None in sample, where that proves
        nothing."""
        return None if self.in_sample else all(compared.is_beaten for compared in self.baselines.values())

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._rows(), _HEADS) + f"\n  {self.sentence()}"

    def _repr_html_(self) -> str:
        rows = self._rows()
        return display.as_html(f"{self._title()}: {self.sentence()}", rows, _HEADS, chart=display.interval_chart(rows))

    def summary_frame(self) -> "pl.DataFrame":
        """A row for the policy and one per baseline: mean reward of an episode, its standard error, by how much the
        policy exceeds it with the standard error of that, and whether it is beaten."""
        import polars as pl

        rows = [self.evaluation.row("policy")]
        for name, found in self.baselines.items():
            above = {"exceeded_by": found.difference.mean, "exceeded_by_error": found.difference.standard_error}
            rows.append({**found.evaluation.row(name), **above, "is_beaten": found.is_beaten})
        return pl.DataFrame(rows, infer_schema_length=None)

    def _title(self) -> str:
        return f"Comparison over {self.evaluation.episodes:,} episodes{', in sample' if self.in_sample else ''}"

    def _rows(self) -> list[tuple[str, float, float | None]]:
        others = (("policy", self.evaluation), *((name, of.evaluation) for name, of in self.baselines.items()))
        return [(name, of.mean, of.standard_error) for name, of in others]

    def sentence(self) -> str:
        """Whether the policy earns more or less than the best baseline, with both figures, and the verdict."""
        return plain_verdict(self.to_dict())

    def verdict(self) -> str:
        """In one sentence, whether anything was learnt."""
        if self.in_sample:
            nothing = "evaluated in sample, on bars of its training: nothing is shown of what it earns on new ones"
            return nothing + of_chance(self.optimism)
        if self.has_learnt:
            return f"better than every baseline; the best of them is {self.best_baseline!r}"
        if self.baselines[self.best_baseline].is_better:
            return f"significantly worse than {self.best_baseline!r}: nothing is shown to have been learnt"
        kept = [name for name, compared in self.baselines.items() if not compared.is_beaten]
        return f"not significantly better than {' and '.join(map(repr, kept))}: nothing is shown to have been learnt"

    def to_dict(self) -> dict:
        """As JSON values."""
        return {
            **_figures(self.evaluation),
            "in_sample": self.in_sample,
            **({} if self.optimism is None else {"optimism": self.optimism}),
            "seed": None if self.seed is None else str(self.seed),
            "baselines": {
                name: {
                    **_figures(compared.evaluation),
                    "difference": _figures(compared.difference),
                    "is_beaten": compared.is_beaten,
                }
                for name, compared in self.baselines.items()
            },
            "best_baseline": self.best_baseline,
            "has_learnt": self.has_learnt,
            "verdict": self.verdict(),
            "alerts": self.alerts,
            **({} if not self.by_symbol else {"by_symbol": self._by_symbol()}),
        }

    def _by_symbol(self) -> dict:
        return {
            symbol: {**_figures(compared.evaluation), "difference": _figures(compared.difference)}
            for symbol, compared in self.by_symbol.items()
        }


def evaluate(
    policy: Policy | OtherAgent,
    history: TrainingBarsLike | None = None,
    *,
    market: object | None = None,
    episodes: int = EVALUATION_EPISODES,
    seed: int | None = None,
) -> Comparison:
    """Evaluate a policy and its baselines on the same episodes.

    On simulated markets these are fresh episodes; on a history they are windows of the bars, spread evenly over them.
    Baselines are "random" actions, always "hold", "buy" or "sell" and, where the state has the regime, the "regime
    rule": long in a bull market, short in a bear market and a panic. On the simulated crypto market of the default mode
    the policy's alerts are counted too, over 65,536 bars from the same stream.

    Parameters
    ----------
    policy
        What is evaluated: a Policy, or an agent of another kind: a function of states, int64 (n, digits), to actions,
        integers (n,) of 0 (hold), 1 (buy) and 2 (sell), or a model with such a `predict`, as of stable-baselines3.
    market
        Of an agent that is no Policy: the `idi_fast.gym.MarketEnv` it was trained in, or a Policy of the same states.
    history
        Held-out bars, by default those it was trained on.
    episodes
        How many, 1 or more; on a history at most the number of windows.
    seed
        The seed whose evaluation stream fresh episodes come from, by default the policy's or that of the market's last
        seeded reset.

    Returns
    -------
    Comparison
        Mean episode rewards with their standard errors, no unit, and the verdict.

    Raises
    ------
    InputError
        If an argument cannot be used, or the history is too short.

    Examples
    --------
    >>> import idi_fast as idi
    >>> run = idi.train(idi.TrainingConfig(episodes=16), seed=7)
    >>> sorted(idi.evaluate(run.policy, episodes=50).baselines)
    ['buy', 'hold', 'random', 'sell']
    """
    agent = policy if is_other_agent(policy) else None
    if agent is not None and market is None:
        raise InputError("an agent that is no Policy was given without its market: a MarketEnv, or a Policy")
    if agent is None and market is not None:
        raise InputError("a market goes with an agent that is no Policy; a Policy knows its market")
    policy, history = check_policy(policy if agent is None else as_market(market)), check_bars(history)
    episodes, seed = check_integer("episodes", episodes, least=1), check_integer("seed", seed, optional=True)
    config, of_history = policy.config, policy.config.environment.kind == "history"
    if history is not None and not of_history:
        raise InputError(f"a history was given, but the policy is of the {config.environment.kind} environment")
    if of_history and seed is not None:
        raise InputError("a seed was given, but a history's windows are not drawn")
    if of_history and history is None:
        own = getattr(getattr(market, "unwrapped", market), "history", None)
        history = load_test_bars(config) if own is None else check_bars(own)
    return evaluate_on(policy, history, policy.seed if seed is None else seed, episodes, agent=agent)


def evaluate_on(
    policy: Policy,
    history: TrainingBars | None,
    seed: int,
    episodes: int,
    encoded: HistoryBars | None = None,
    agent: OtherAgent | None = None,
) -> Comparison:
    """What `evaluate` does once its arguments are checked; encoded: the history as the policy sees it, if that is
    already there; agent: one of another kind, evaluated in its place. Raises InputError if the history is too short."""
    config = policy.config
    evaluator = Evaluator(config, seed, history, encoded, episodes=episodes)
    if history is not None and evaluator.episodes < 1:
        raise InputError(
            f"the history has {len(history)} bars; an evaluation needs at least episode_length + 1 = "
            f"{config.episode_length + 1}"
        )
    in_sample = False if history is None else is_in_sample(policy.trained_on, history)
    alerts = None
    if config.environment.kind == "crypto" and config.engine.compat is None and agent is None:
        alerts = AlertCounts.of(evaluator.follow(policy, ALERT_BARS + 1)).to_dict()  # no bar follows the last
    rewards = None if agent is None else evaluator.agent_rewards(policy, actions_of(agent))
    optimism = policy.certainty.optimism if in_sample and policy.certainty is not None and agent is None else None
    found = compare_to_baselines(evaluator, policy, rewards)
    return replace(found, in_sample=in_sample, alerts=alerts, optimism=optimism)


def compare_to_baselines(evaluator: Evaluator, policy: Policy, rewards: np.ndarray | None = None) -> Comparison:
    """A policy and its baselines on an evaluator's episodes; in sample if these are windows of its history.

    rewards: those of another agent of the same states, float64 (episodes,).
    """
    rewards = evaluator.rewards(policy) if rewards is None else rewards
    others = baseline_rewards(evaluator, policy)
    baselines = {name: Compared(Evaluation.of(other), Evaluation.of(rewards - other)) for name, other in others.items()}
    seed = None if evaluator.in_sample else evaluator.seed
    found = Comparison(Evaluation.of(rewards), baselines, evaluator.in_sample, seed, None)
    above = evaluator.by_symbol(rewards - others[found.best_baseline])
    by_symbol = {
        symbol: Compared(Evaluation.of(own), Evaluation.of(above[symbol]))
        for symbol, own in evaluator.by_symbol(rewards).items()
        if own.size
    }
    return replace(found, by_symbol=by_symbol)


def beside_best_baseline(evaluation: dict) -> str:
    """Whether a policy earns more or less than the best baseline, with both means; from `Comparison.to_dict`."""
    best = evaluation["best_baseline"]
    return beside(evaluation["mean"], evaluation["baselines"][best]["mean"], repr(best), plain_number)


def plain_verdict(evaluation: dict, subject: str = "") -> str:
    """What a policy is worth beside the baselines, in a sentence; of `Comparison.to_dict`. subject: its beginning."""
    found = subject + beside_best_baseline(evaluation)
    if is_harmful(evaluation):
        where = ", even on the bars of its training" if evaluation["in_sample"] else ""
        return (
            f"{found}, beyond chance: do not use this table, {IN_WORDS[evaluation['best_baseline']]} earns more{where}"
        )
    if evaluation["in_sample"]:
        chance = of_chance(evaluation.get("optimism"))
        return f"{found}, in sample: nothing is shown of what it earns on new bars{chance}"
    if evaluation["has_learnt"]:
        return f"{found}, and than every baseline beyond chance"
    return f"{found}, {beyond_chance(0, 1)}: nothing is shown to have been learnt"


def is_harmful(evaluation: dict) -> bool:
    """Whether a baseline earns significantly more than the policy; of `Comparison.to_dict`."""
    difference = evaluation["baselines"][evaluation["best_baseline"]]["difference"]
    of_best = Evaluation(difference["mean"], difference["standard_error"], difference["episodes"])
    return Compared(of_best, of_best).is_better


BESIDE_PROFIT = ("scarcity_alignment", "ethics_bonus", "communication_clarity")
"""The weights of what is rewarded besides profit."""


def remedy(evaluation: dict, config: TrainingConfig) -> str | None:
    """What to do about a policy that is significantly worse than a baseline, None about any other; of
    `Comparison.to_dict`."""
    if not is_harmful(evaluation):
        return None
    if config.environment.kind == "synthetic":
        return "this market is noise with nothing to learn: train on prices of your own, or in the crypto environment"
    if any(getattr(config.rewards, name) for name in BESIDE_PROFIT) and not config.engine.compat:
        return "these rewards are not profit alone: set every weight of rewards but pnl to 0 to see what it earns"
    if config.learning.plans:
        return "what it sees does not tell what pays: other features, fewer buckets or more bars"
    if config.engine.compat or config.tile_coder or config.episodic:
        return "more episodes, fewer buckets or other features"
    return "let the table be computed (learning.algorithm 'value_iteration'), or more episodes and fewer buckets"


def quick_episodes(config: TrainingConfig) -> int:
    """A number of episodes that is evaluated in a moment, whatever their length; at least two."""
    return max(2, min(EVALUATION_EPISODES, QUICK_ROWS // (config.episode_length + 1)))


def baseline_rewards(
    evaluator: Evaluator, policy: Policy, cancelled: threading.Event | None = None
) -> dict[str, np.ndarray]:
    """The rewards of an evaluator's episodes, float64 (episodes,), for each baseline of a policy: see `evaluate`.

    Raises Cancelled soon after `cancelled` was set.
    """
    options = _baselines(policy.space, evaluator.seed)
    return {name: evaluator.rewards(policy, cancelled=cancelled, **how) for name, how in options.items()}


def _baselines(space: StateSpace, seed: int) -> dict[str, dict]:
    # A child of its own: the streams of training and evaluation are the first four.
    dice = np.random.Generator(np.random.SFC64(np.random.SeedSequence(abs(seed)).spawn(5)[4]))
    named: dict[str, dict] = {
        "random": {"action": lambda n: dice.integers(0, 3, n, np.int8)},
        "hold": {"action": _always(HOLD)},
        "buy": {"action": _always(BUY)},
        "sell": {"action": _always(SELL)},
    }
    if "regime" in space.names and not space.is_compat_crypto:
        named["regime rule"] = {"values": partial(_regime_rule, space)}
    return named


def _regime_rule(space: StateSpace, states: np.ndarray) -> np.ndarray:
    regime, values = space.digit(states, "regime"), np.zeros((states.size, 3))
    values[regime == REGIME_BULL, BUY] = 1.0
    values[(regime == REGIME_BEAR) | (regime == REGIME_PANIC), SELL] = 1.0
    return values


def _always(action: int) -> Callable[[int], np.ndarray]:
    return lambda n: np.full(n, action, np.int8)


def confidence_interval(evaluation: Evaluation) -> tuple[float, float] | None:
    """The 95% interval of the mean by Student's t, None for a single episode."""
    error = evaluation.standard_error
    if error is None:
        return None
    reach = _reach(evaluation) * error
    return evaluation.mean - reach, evaluation.mean + reach


def _reach(evaluation: Evaluation) -> float:
    """Half-width, in standard errors, of the interval of a mean of several episodes."""
    return student_quantile((1.0 + CONFIDENCE) / 2.0, evaluation.episodes - 1)


def student_quantile(p: float, degrees: int) -> float:
    """Quantile of Student's t, p above 0.5: exact for one and two degrees of freedom, else within 0.2% (Abramowitz &
    Stegun 1964, 26.7.5)."""
    if degrees == 1:
        return math.tan(math.pi * (p - 0.5))
    if degrees == 2:
        return (2.0 * p - 1.0) * math.sqrt(2.0 / (4.0 * p * (1.0 - p)))
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
        (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0,
    )
    return z + sum(term / degrees ** (k + 1) for k, term in enumerate(terms))


def _figures(evaluation: Evaluation) -> dict:
    interval = confidence_interval(evaluation)
    return {
        "mean": evaluation.mean,
        "standard_error": evaluation.standard_error,
        "interval": None if interval is None else list(interval),
        "episodes": evaluation.episodes,
    }

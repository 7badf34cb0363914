"""What a sweep's policies are worth: on bars, or on episodes, kept apart for choosing and for reporting."""

import threading
from collections.abc import Sequence

import numpy as np

from idi_fast import kpis
from idi_fast.account import Account, Terms, hold, resolve_fill
from idi_fast.backtest import account_after
from idi_fast.baselines import baseline_rewards, evaluate
from idi_fast.config import TrainingConfig
from idi_fast.environments import HistoryBars
from idi_fast.errors import InputError
from idi_fast.evaluation import EVALUATION_EPISODES, Evaluator
from idi_fast.features import longest_window, resolve_features
from idi_fast.history import History
from idi_fast.policy import Policy

BLIND = ("random", "hold", "buy", "sell")
"""Baselines that look at nothing, so that they earn the same whatever a config lets its agent see."""


class HistoryJudge:
    """Judges by the returns per bar of an account, on bars after those of the training, an embargo between them."""

    SCORE = "Sharpe ratio per bar of equal capital in each seed's account"
    UNDEFINED = "the chosen config never traded on validation data"

    def __init__(
        self, configs: Sequence[TrainingConfig], history: History, validation_bars: int | None, test_bars: int | None,
        fill: str | None, fee_bps: float,
    ):  # fmt: skip
        self._history, self._terms = history, Terms(resolve_fill(fill, history.open is not None), fee_bps)
        bars = len(history)
        chosen = {
            "validation_bars": bars // 5 if validation_bars is None else validation_bars,
            "test_bars": bars // 5 if test_bars is None else test_bars,
        }
        for name, value in chosen.items():
            if value < 2:
                raise InputError(f"{name} is {value}; expected 2 or more")
        self._embargo = max(longest_window(config, resolve_features(config, history.columns)) for config in configs)
        self._test = bars - chosen["test_bars"], bars
        validated = self._test[0] - self._embargo
        self._validation = validated - chosen["validation_bars"], validated
        self._trained = self._validation[0] - self._embargo
        longest = max(config.episode_length for config in configs)
        if self._trained <= longest:
            raise InputError(
                f"the history has {bars} bars: {chosen['validation_bars']} for validation, {chosen['test_bars']} for "
                f"the test and an embargo of {self._embargo} before each leave {max(0, self._trained)} for training; "
                f"expected more than episode_length ({longest})"
            )

    def assumptions(self) -> dict:
        """Which bars are for what, [first, stop), and how accounts are kept."""
        return {
            "bars": len(self._history), "training": [0, self._trained], "validation": list(self._validation),
            "test": list(self._test), "embargo": self._embargo,
            "fill": self._terms.fill, "fee_bps": self._terms.fee_bps,
        }  # fmt: skip

    def training_bars(self, config: TrainingConfig) -> HistoryBars:
        """What a config's policies are trained on."""
        return HistoryBars(config, self._history.slice(0, self._trained))

    def validation(self, policy: Policy, cancelled: threading.Event) -> np.ndarray:
        """The account's return of each bar of the validation, float64 (n,)."""
        return _returns(self._account(policy, self._validation))

    @staticmethod
    def score(earned: np.ndarray) -> float:
        """The Sharpe ratio per bar; 0 where nothing was traded, which is better than to lose."""
        sharpe = kpis.sharpe_ratio(earned)
        return 0.0 if np.isnan(sharpe) else sharpe

    def test(self, policies: dict[int, Policy]) -> dict:
        """KPIs on the test bars of each seed, of equal capital in each, and of buying and holding."""
        accounts = {seed: self._account(policy, self._test) for seed, policy in policies.items()}
        tested = self._history.slice(*self._test)
        per_year = kpis.periods_per_year(tested.time)
        book = np.mean([_returns(account) for account in accounts.values()], axis=0)
        return {
            "by_seed": {
                str(seed): {
                    **kpis.equity_kpis(account.equity, per_year), **kpis.trade_kpis(account.trades),
                    "turnover": account.traded, "fees": account.fees,
                }
                for seed, account in accounts.items()
            },
            "book": {
                **kpis.equity_kpis(np.cumprod(1.0 + book), per_year),
                "sharpe_interval": list(kpis.sharpe_interval(book)),
                "probabilistic_sharpe_ratio": kpis.probabilistic_sharpe_ratio(book),
            },
            "buy_and_hold": kpis.equity_kpis(hold(tested, self._terms).equity, per_year),
        }  # fmt: skip

    @staticmethod
    def verdict(test: dict) -> str:
        """What the test came to."""
        low, high = test["book"]["sharpe_interval"]
        what = "a profit" if low > 0.0 else "a loss" if high < 0.0 else "neither a profit nor a loss"
        return f"on test data {what} that is significant"

    def _account(self, policy: Policy, bars: tuple[int, int]) -> Account:
        return account_after(policy, self._history, *bars, self._embargo, self._terms)


class EpisodeJudge:
    """Judges by what an episode earns above the best baseline on the same one, on two further seeds' fresh episodes."""

    SCORE = f"mean reward of an episode above the best of {', '.join(BLIND)}, over the seeds"
    UNDEFINED = "on validation data the chosen config does what the best baseline does"

    def __init__(self, seeds: Sequence[int], episodes: int | None):
        self._episodes = EVALUATION_EPISODES if episodes is None else episodes
        if self._episodes < 2:
            raise InputError(f"evaluation_episodes is {episodes}; expected 2 or more")
        self._validation_seed = max(map(abs, seeds)) + 1
        self._test_seed = self._validation_seed + 1

    def assumptions(self) -> dict:
        """Whose evaluation streams are for what."""
        seeds = {"validation_seed": self._validation_seed, "test_seed": self._test_seed}
        return {"evaluation_episodes": self._episodes, **seeds}

    def training_bars(self, config: TrainingConfig) -> None:
        """None: simulated markets are drawn as training goes."""
        return None

    def validation(self, policy: Policy, cancelled: threading.Event) -> np.ndarray:
        """What each validation episode earns above the best of the blind baselines, float64 (n,). Raises Cancelled."""
        evaluator = Evaluator(policy.config, self._validation_seed, episodes=self._episodes)
        baselines = baseline_rewards(evaluator, policy, cancelled)
        return evaluator.rewards(policy, cancelled=cancelled) - max((baselines[name] for name in BLIND), key=np.mean)

    @staticmethod
    def score(earned: np.ndarray) -> float:
        """The mean."""
        return float(earned.mean())

    def test(self, policies: dict[int, Policy]) -> dict:
        """The evaluation of each seed's policy on the test episodes."""
        reports = {
            str(seed): evaluate(policy, episodes=self._episodes, seed=self._test_seed).to_dict()
            for seed, policy in policies.items()
        }
        return {"by_seed": reports}

    @staticmethod
    def verdict(test: dict) -> str:
        """What the test came to."""
        better = sum(report["has_learnt"] for report in test["by_seed"].values())
        seeds = len(test["by_seed"])
        counted = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
        return f"on test data {better} of {counted} significantly better than every baseline"


def _returns(account: Account) -> np.ndarray:
    """Of every bar; 0 after a liquidation."""
    returns = kpis.bar_returns(account.equity)
    return np.append(returns, np.zeros(account.equity.size - returns.size))

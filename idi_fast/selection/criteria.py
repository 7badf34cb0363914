"""How a sweep scores its policies: on bars or on episodes, separate ones for choosing and for reporting."""

import threading
from collections.abc import Sequence

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import Observations
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import Account, TradingAssumptions, hold, keep_account
from idi_fast.backtesting.risk_free import RiskFree
from idi_fast.config.arguments import check_integer
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.bar_frequency import BarFrequency
from idi_fast.data.history import History
from idi_fast.data.panel import TrainingBars
from idi_fast.data.spikes import notes_on
from idi_fast.environments.features import longest_window, resolve_features
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.shared_bars import SHARED_BYTES, Shared, encoding_key
from idi_fast.errors import InputError
from idi_fast.evaluation.baselines import baseline_rewards, evaluate
from idi_fast.evaluation.evaluator import EVALUATION_EPISODES, Evaluator
from idi_fast.evaluation.verdicts import beside, beyond_chance, plain_number, short_tests, signed_percent
from idi_fast.selection.timeline import Timeline

MANY_SERIES = 16
"""Of features at once, for which there must be room if they are to be kept."""
BLIND = ("random", "hold", "buy", "sell")
"""Baselines that observe nothing, so that they earn the same whatever a config shows its agent."""


class HistoryCriterion:
    """Scores by the returns per bar of accounts, on bars after those of the training, separated by an embargo.

    Agent and account begin flat at the first bar of the validation, and at that of the test. Several seeds are pooled
    as a book: each account begins with an equal share of the capital, and nothing is moved between them afterwards.
    Many symbols are pooled likewise, an account each, at the same dates: see `Timeline`.
    """

    SCORE = "Sharpe ratio per bar of equal capital in each seed's account"
    UNDEFINED = "the chosen config never traded on validation data"

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        history: TrainingBars,
        validation_bars: int | None,
        test_bars: int | None,
        assumed: TradingAssumptions,
        year_days: int | None = None,
    ):
        self._embargo = max(longest_window(config, resolve_features(config, history.columns)) for config in configs)
        self._timeline, self._assumed = Timeline(history, self._embargo), assumed
        self._year_days, bars = year_days, len(self._timeline)
        chosen = {
            "validation_bars": bars // 5 if validation_bars is None else validation_bars,
            "test_bars": bars // 5 if test_bars is None else test_bars,
        }
        for name, value in chosen.items():
            check_integer(name, value, least=2)
        self._test = bars - chosen["test_bars"], bars
        validated = self._test[0] - self._embargo
        self._validation = validated - chosen["validation_bars"], validated
        self._trained = self._validation[0] - self._embargo
        self._series: Shared[np.ndarray] = Shared(SHARED_BYTES, lambda values: values.nbytes)
        self._seen: Shared[Observations] = Shared(SHARED_BYTES, lambda seen: seen.nbytes)
        longest = max(config.episode_length for config in configs)
        if self._trained <= longest:
            raise InputError(
                f"the history has {bars} bars: {chosen['validation_bars']} for validation, {chosen['test_bars']} for "
                f"the test and an embargo of {self._embargo} before each leave {max(0, self._trained)} for training; "
                f"expected more than episode_length ({longest})"
            )
        # The same symbols for every config: those with bars for the longest episode.
        self._training = self._timeline.training(0, self._trained, self._validation[0], longest)

    def assumptions(self) -> dict:
        """The use of the bars, [first, stop), and the assumptions of the accounts."""
        return {
            **({} if isinstance(self._timeline.bars, History) else {"symbols": len(self._timeline.histories)}),
            "bars": len(self._timeline),
            "training": [0, self._trained],
            "validation": list(self._validation),
            "test": list(self._test),
            "embargo": self._embargo,
            "fill": self._assumed.fill,
            "fee_bps": self._assumed.fee_bps,
            **self._assumed.of_money(),
        }

    def training_bars(self, config: TrainingConfig) -> HistoryBars:
        """The bars that a config's policies are trained on."""
        fits = 8 * len(self._training) * MANY_SERIES <= SHARED_BYTES
        return HistoryBars(config, self._training, series=self._series if fits else None)

    def notes(self) -> list[str]:
        """What a reader of the result should know about the bars."""
        parts = {"the validation": self._validation, "the test": self._test}
        short = short_tests({name: stop - start for name, (start, stop) in parts.items()}, self._embargo)
        return [*short, *notes_on(self._timeline.bars, self._frequency())]

    def validation(self, policy: Policy, cancelled: threading.Event) -> np.ndarray:
        """The account's equity at each close of the validation, float64 (n,), from 1."""
        return self._book(self._accounts(policy, self._validation), self._validation)

    @staticmethod
    def pool(validations: Sequence[np.ndarray]) -> np.ndarray:
        """The returns per bar, float64 (n,), of equal capital in each of these accounts."""
        return _returns(_book(validations))

    def excess(self, pooled: np.ndarray) -> np.ndarray:
        """The pooled returns less the riskless ones."""
        riskless = self._riskless(self._validation)
        return pooled if riskless is None else pooled - riskless

    def _riskless(self, bars: tuple[int, int]) -> np.ndarray | None:
        return self._timeline.riskless(RiskFree(self._assumed.risk_free), *bars)

    @staticmethod
    def score(earned: np.ndarray) -> float:
        """The Sharpe ratio per bar; 0 if nothing was traded, which is better than losing."""
        sharpe = kpis.sharpe_ratio(earned)
        return 0.0 if np.isnan(sharpe) else sharpe

    def test(self, policies: dict[int, Policy]) -> dict:
        """KPIs on the test bars for each seed, the pooled accounts and buy and hold; of many symbols for each too."""
        by_seed = {seed: self._accounts(policy, self._test) for seed, policy in policies.items()}
        equities = {seed: self._book(accounts, self._test) for seed, accounts in by_seed.items()}
        places = self._timeline.places(*self._test)
        holding = {
            symbol: hold(self._timeline.histories[symbol].slice(*place), self._assumed)
            for symbol, place in places.items()
        }
        per_year = self._frequency().periods_per_year
        book, riskless = _book(list(equities.values())), self._riskless(self._test)
        returns = kpis.excess_returns(book, riskless)
        returns = np.append(returns, np.zeros(book.size - returns.size))
        return {
            "by_seed": {
                str(seed): {
                    **kpis.equity_kpis(equities[seed], per_year, riskless),
                    **kpis.trade_kpis(np.concatenate([account.trades for account in accounts.values()])),
                    "turnover": float(np.mean([account.traded for account in accounts.values()])),
                    "fees": float(np.mean([account.fees for account in accounts.values()])),
                }
                for seed, accounts in by_seed.items()
            },
            **({} if isinstance(self._timeline.bars, History) else {"by_symbol": self._by_symbol(by_seed, holding)}),
            "book": {
                **kpis.equity_kpis(book, per_year, riskless),
                "sharpe_interval": list(kpis.sharpe_interval(returns)),
                "probabilistic_sharpe_ratio": kpis.probabilistic_sharpe_ratio(returns),
            },
            "buy_and_hold": kpis.equity_kpis(self._book(holding, self._test), per_year, riskless),
        }

    def _frequency(self) -> BarFrequency:
        time = self._timeline.time
        return kpis.frequency_of(None if time is None else time[slice(*self._test)], self._year_days)

    @staticmethod
    def verdict(test: dict) -> str:
        """The result of the test in words."""
        own, held = (test[name]["total_return"] for name in ("book", "buy_and_hold"))
        low, high = test["book"]["sharpe_interval"]
        if np.isnan(low):  # all returns are 0
            what = "nothing was earned or lost"
        elif low > 0.0 or high < 0.0:
            what = f"a {'profit' if low > 0.0 else 'loss'} beyond chance"
        else:
            what = f"a {'profit' if own > 0.0 else 'loss'} not beyond chance"
        return f"on test data {beside(own, held, 'buy and hold', signed_percent)}; {what}"

    def _by_symbol(self, by_seed: dict[int, dict], holding: dict) -> dict:
        """KPIs of equal capital in each seed's account of a symbol, and what holding it earned."""
        found = {}
        for symbol, held in holding.items():
            first, stop = self._timeline.places(*self._test)[symbol]
            time = self._timeline.histories[symbol].time
            per_year = kpis.frequency_of(None if time is None else time[first:stop], self._year_days).periods_per_year
            equity = _book([accounts[symbol].equity for accounts in by_seed.values()])
            of_holding = float(held.equity[-1]) - 1.0
            riskless = None if time is None else RiskFree(self._assumed.risk_free).push_times(time[first:stop])
            found[symbol] = {
                **kpis.equity_kpis(equity, per_year, riskless),
                "bars": stop - first,
                "buy_and_hold": of_holding,
            }
        return found

    def _accounts(self, policy: Policy, bars: tuple[int, int]) -> dict[str | None, Account]:
        """The account of each symbol in bars [start, stop)."""
        # Policies of equal keys have the same edges, which they were fitted to on the same bars.
        places, key = self._timeline.places(*bars), (bars, encoding_key(policy.config))
        return {
            symbol: keep_account(target, self._timeline.histories[symbol].slice(*places[symbol]), self._assumed)
            for symbol, target in self._timeline.decide(policy, places, self._seen, key).items()
        }

    def _book(self, accounts: dict[str | None, Account], bars: tuple[int, int]) -> np.ndarray:
        """The equity float64 (n,), from 1, of equal capital in each of these accounts."""
        own = {symbol: np.arange(*place) for symbol, place in self._timeline.places(*bars).items()}
        return self._timeline.book({symbol: account.equity for symbol, account in accounts.items()}, own)[1]


class EpisodeCriterion:
    """Scores by an episode's reward above that of the best baseline, on fresh episodes of two further seeds."""

    SCORE = f"mean reward of an episode above the best of {', '.join(BLIND)}, over the seeds"
    UNDEFINED = "on validation data the chosen config does what the best baseline does"

    def __init__(self, seeds: Sequence[int], episodes: int | None):
        self._episodes = EVALUATION_EPISODES if episodes is None else episodes
        check_integer("evaluation_episodes", self._episodes, least=2)
        self._validation_seed = max(map(abs, seeds)) + 1
        self._test_seed = self._validation_seed + 1

    def assumptions(self) -> dict:
        """The seeds whose evaluation streams are used."""
        seeds = {"validation_seed": self._validation_seed, "test_seed": self._test_seed}
        return {"evaluation_episodes": self._episodes, **seeds}

    def notes(self) -> list[str]:
        """None: as many episodes are drawn as are needed."""
        return []

    def training_bars(self, config: TrainingConfig) -> None:
        """None: simulated markets are drawn during training."""
        return None

    def validation(self, policy: Policy, cancelled: threading.Event) -> np.ndarray:
        """Each validation episode's reward above the best of the blind baselines, float64 (n,). Raises Cancelled."""
        evaluator = Evaluator(policy.config, self._validation_seed, episodes=self._episodes)
        baselines = baseline_rewards(evaluator, policy, cancelled)
        return evaluator.rewards(policy, cancelled=cancelled) - max((baselines[name] for name in BLIND), key=np.mean)

    @staticmethod
    def pool(validations: Sequence[np.ndarray]) -> np.ndarray:
        """The mean over these policies, float64 (n,), episode by episode."""
        return np.mean(validations, axis=0)

    @staticmethod
    def excess(pooled: np.ndarray) -> np.ndarray:
        """The same: there is nothing without a risk to compare with."""
        return pooled

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
        """The result of the test in words."""
        reports = list(test["by_seed"].values())
        own = float(np.median([report["mean"] for report in reports]))
        # Each seed's bucket edges may change what a baseline earns.
        baselines = {
            name: float(np.median([report["baselines"][name]["mean"] for report in reports]))
            for name in reports[0]["baselines"]
        }
        best = max(baselines, key=baselines.__getitem__)
        more = f", medians of {len(reports)} seeds" if len(reports) > 1 else ""
        found = beside(own, baselines[best], repr(best), plain_number, more)
        shown = beyond_chance(sum(report["has_learnt"] for report in reports), len(reports))
        return f"on test data {found}; better than every baseline {shown}"


def _book(equities: Sequence[np.ndarray]) -> np.ndarray:
    """The equity float64 (n,), from 1, of equal capital in each of these accounts at the beginning."""
    return np.mean(equities, axis=0)


def _returns(equity: np.ndarray) -> np.ndarray:
    """The return of every bar; 0 after a liquidation."""
    returns = kpis.bar_returns(equity)
    return np.append(returns, np.zeros(equity.size - returns.size))

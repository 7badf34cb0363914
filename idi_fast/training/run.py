"""A training run in a notebook: what `idi-fast train` does, without a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace
from idi_fast.config.plugins import MarketFunction
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.panel import TrainingBarsLike
from idi_fast.environments.splits import check_given
from idi_fast.evaluation.baselines import Comparison, remedy
from idi_fast.training.artifact import episode_frames, quick_evaluation, save_training
from idi_fast.training.trainer import ProgressCallback, Trainer, create_trainer


@dataclass(frozen=True, eq=False)
class TrainingRun(display.Plotted):
    """The result of a training; made by `train`.

    Attributes
    ----------
    policy : Policy
        The tables of actions and communications.
    trace : Trace
        A row per tick of the greedy rollout at the end, and its streams.
    trainer : Trainer
        Config, seed and history of the run.
    episodes : polars.DataFrame
        A row per episode: episode, reward, exploration.
    evaluation : Comparison
        The policy compared with its baselines on the same episodes; in sample if it was trained on all of a history.
    """

    policy: Policy
    trace: Trace
    trainer: Trainer

    @cached_property
    def episodes(self) -> pl.DataFrame:
        """A row per episode: episode, reward, exploration."""
        return pl.concat(episode_frames(self.trainer))

    @cached_property
    def evaluation(self) -> Comparison:
        """The policy compared with its baselines on the same episodes; in sample if it was trained on a history."""
        return quick_evaluation(self.trainer, self.policy)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the artifact that `idi-fast train` writes; `force` replaces an earlier one. Raises OutputError."""
        save_training(path, self.trainer, self.policy, self.trace, force=force)
        display.remember_place(self, path)

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._rows())

    def _repr_html_(self) -> str:
        lines, links = (
            {"reward of an episode": self.trainer.episode_rewards},
            display.file_links(display.saved_at(self)),
        )
        return display.as_html(self._title(), self._rows(), lines=lines, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """A row for the policy and one per baseline, see `Comparison.summary_frame`."""
        return self.evaluation.summary_frame()

    def _title(self) -> str:
        trainer = self.trainer
        return f"TrainingRun of the {trainer.config.environment.kind} environment, seed {trainer.seed}"

    def _trained(self) -> list[tuple[str, object]]:
        plan = self.trainer.plan
        if plan is not None:
            return [("bars", f"{plan.about['bars']:,}"), ("shrinkage", plan.about["shrinkage"])]
        return [("episodes", self.trainer.config.episodes), ("mean reward", self.trainer.stats()["mean_reward"])]

    def _rows(self) -> list[tuple[str, object]]:
        evaluation = self.evaluation
        to_do = remedy(evaluation.to_dict(), self.trainer.config)
        return [
            *self._trained(),
            ("evaluation", evaluation.evaluation.mean),
            ("verdict", evaluation.sentence()),
            *([] if to_do is None else [("what to do", to_do)]),
        ]


def train(
    config: TrainingConfig | Mapping[str, Any] | None = None,
    history: TrainingBarsLike | None = None,
    *,
    market: MarketFunction | str | None = None,
    seed: int | None = 0,
    initial: Policy | None = None,
    progress: ProgressCallback | None = None,
    patience: int | None = None,
) -> TrainingRun:
    """Train an agent.

    Parameters
    ----------
    config
        The settings, or a dict of them, by default `TrainingConfig()`. A history or a market makes the synthetic
        environment, the default, its own.
    history
        Bars to train on: a history, a frame, or a dict of them by symbol; by default those that the config names.
    market
        A market of your own to train on, a function as `register_market` takes it, or the name of a registered one.
    seed
        Any integer of 0 or more (under compat of any sign); None: drawn, and recorded in the policy.
    initial
        A policy of the same states, whose values training starts from.
    progress
        Called about fifty times a second with the progress of the training, as a `ProgressLog` is. If it returns False,
        training ends after the current episode: the run is then one of as many episodes, as its config says.
    patience
        Episodes without a new highest mean reward, of windows of a tenth of them, after which training ends.

    Returns
    -------
    TrainingRun
        With `policy`, `trace`, `episodes`, `evaluation`, and `save`.

    Raises
    ------
    ConfigError, DataError, InputError
        If an argument cannot be used, or config, history, market and initial policy do not fit.
    IdiFastError
        If values overflow.

    Examples
    --------
    >>> import idi_fast as idi
    >>> run = idi.train(idi.TrainingConfig(episodes=16), seed=7)
    >>> run.episodes.height
    16
    >>> run.trace.frame().height
    64
    """
    config, bars = check_given(config, history, market)
    trainer = create_trainer(config, seed, bars, initial=initial)
    policy, trace = trainer.run(progress, patience=patience)
    return TrainingRun(policy, trace, trainer)

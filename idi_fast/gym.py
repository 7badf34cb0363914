"""The markets as Gymnasium environments, for other reinforcement-learning libraries; needs the extra `gym`.

Importing this module registers `idi_fast/Market-v0`; `gymnasium.make("idi_fast.gym:idi_fast/Market-v0")` imports it by
itself. (Gymnasium 1.0 took away the entry points by which a package could register without being named.)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from idi_fast.agents.episodes import Episodes
from idi_fast.agents.learner import make_tables
from idi_fast.agents.policy import Policy
from idi_fast.agents.table_layout import Layout
from idi_fast.config.arguments import check_integer
from idi_fast.config.plugins import MarketFunction
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import describe_bars
from idi_fast.data.panel import TrainingBars, TrainingBarsLike
from idi_fast.environments.environment import Environment, make_environment
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rng import draw_seed, make_generators
from idi_fast.environments.splits import check_given, training_bars
from idi_fast.environments.state_space import StateSpace, comm_columns
from idi_fast.errors import InputError
from idi_fast.evaluation.other_agents import checked_actions

try:
    import gymnasium
    from gymnasium.spaces import Discrete, MultiDiscrete
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError:
    raise InputError("idi_fast.gym needs gymnasium; install it with: pip install 'idi-fast[gym]'") from None

ID = "idi_fast/Market-v0"


class _Market:
    """A config's market, seeded anew or going on: what both kinds of environment are made of."""

    def __init__(
        self,
        config: TrainingConfig | Mapping[str, Any] | None,
        history: TrainingBarsLike | None,
        market: MarketFunction | str | None,
        n: int,
    ):
        config, bars, _ = training_bars(*check_given(config, history, market))
        self._encoded = None if bars is None else HistoryBars(config, bars)
        self.config = config
        self.space = StateSpace.of(config)
        self.episodes = Episodes(config, self.space, n)
        self._rows = n * (config.episode_length + 1)
        self._environment: Environment | None = None
        self._seed: int | None = None

    def begin(self, seed: int | None) -> None:
        """The next n episodes; with a seed, the first that training with it sees."""
        if seed is not None or self._environment is None:
            self._seed = draw_seed() if seed is None else check_integer("seed", seed)
            generators = make_generators(self.config.engine, self._seed)
            self._environment = make_environment(self.config, generators, self._encoded)
        self.episodes.reset(self._environment.fill(self._rows))

    @property
    def history(self) -> TrainingBars | None:
        return None if self._encoded is None else self._encoded.history

    def running(self) -> Episodes:
        """The episodes; InputError before `begin`."""
        self._begun()
        return self.episodes

    def _begun(self) -> tuple[Environment, int]:
        """The environment and its seed; InputError before `begin`."""
        if self._environment is None or self._seed is None:
            raise InputError("the market has not been reset yet; call reset(seed=…)")
        return self._environment, self._seed

    def as_policy(self) -> Policy:
        """A policy of these states and bucket edges, whose tables hold nothing. Raises InputError before `begin`."""
        environment, seed = self._begun()
        rows = Layout.of(self.config, self.space).n_rows
        tables = make_tables(rows, len(comm_columns(self.config)[0]))
        return Policy(
            config=self.config,
            seed=seed,
            space=self.space,
            encoder=environment.encoder,
            q=tables.q,
            comm_q=tables.comm_q,
            visits=tables.visits,
            trained_on=[] if self._encoded is None else describe_bars(self._encoded.history),
        )

    @property
    def observation_space(self) -> MultiDiscrete:
        return MultiDiscrete(np.array(self.space.sizes, np.int64))


class MarketEnv(gymnasium.Env[np.ndarray, np.int64]):
    """The market of a config, a tick a step.

    Observations are the digits of the state, int64 (digits,), named by `names`: buckets of the features, the mood, the
    position (0 short, 1 flat, 2 long). Actions are 0 hold, 1 buy, 2 sell. Rewards are those that training learns from.
    Episodes are truncated after `config.episode_length` steps. `reset(seed=s)` begins with the episodes that training
    with the seed s sees; without a seed the next follow. `info` has the state's number, `state`, and the `position`
    (−1, 0, 1).

    Parameters
    ----------
    config
        The settings, or a dict of them, by default `TrainingConfig()`.
    history, market
        Bars, or a market of your own, as `train` takes them.

    Attributes
    ----------
    config : TrainingConfig
    names : tuple of str
        The names of the digits.

    Raises
    ------
    ConfigError, DataError, InputError
        If an argument cannot be used, or config and history do not fit.

    Examples
    --------
    >>> import gymnasium
    >>> env = gymnasium.make("idi_fast.gym:idi_fast/Market-v0", config={"environment": {"kind": "crypto"}})
    >>> observation, info = env.reset(seed=7)
    >>> observation, reward, terminated, truncated, info = env.step(1)
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, as Gymnasium declares it

    def __init__(
        self,
        config: TrainingConfig | Mapping[str, Any] | None = None,
        history: TrainingBarsLike | None = None,
        render_mode: None = None,
        *,
        market: MarketFunction | str | None = None,
    ):
        self._market = _Market(config, history, market, 1)
        self.config = self._market.config
        self.names = self._market.space.names
        self.observation_space = self._market.observation_space
        self.action_space = Discrete(3)
        self.render_mode = render_mode

    @property
    def history(self) -> TrainingBars | None:
        """The bars of its episodes; None on a simulated market."""
        return self._market.history

    def as_policy(self) -> Policy:
        """A policy of the same states and bucket edges, whose tables hold nothing: see `evaluate`."""
        return self._market.as_policy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._market.begin(seed)
        return self._seen()

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Act, and come to the next tick."""
        episodes = self._market.running()
        reward = episodes.step(checked_actions(action, ()).reshape(1))
        observation, info = self._seen()
        return observation, float(reward[0]), False, episodes.has_ended, info

    def _seen(self) -> tuple[np.ndarray, dict]:
        episodes = self._market.episodes
        return episodes.digits()[0], {"state": int(episodes.state[0]), "position": int(episodes.position[0])}


class MarketVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`num_envs` episodes of `MarketEnv` side by side: those that one environment would show one after the other.

    They end together; the step after begins the next ones (`AutoresetMode.NEXT_STEP`).

    Parameters
    ----------
    num_envs
        How many.
    config, history
        As of `MarketEnv`.

    Attributes
    ----------
    config : TrainingConfig
    names : tuple of str
        The names of the digits.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        config: TrainingConfig | Mapping[str, Any] | None = None,
        history: TrainingBarsLike | None = None,
        render_mode: None = None,
        *,
        market: MarketFunction | str | None = None,
    ):
        self.num_envs = check_integer("num_envs", num_envs, least=1)
        self._market = _Market(config, history, market, self.num_envs)
        self.config = self._market.config
        self.names = self._market.space.names
        self.single_observation_space, self.single_action_space = self._market.observation_space, Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.render_mode = render_mode

    def as_policy(self) -> Policy:
        """A policy of the same states and bucket edges, whose tables hold nothing: see `evaluate`."""
        return self._market.as_policy()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode each. A list of seeds is refused: the episodes are consecutive ones of a single seed."""
        if isinstance(seed, list):
            raise InputError("the episodes side by side are of one seed; give a single integer")
        super().reset(seed=seed)
        self._market.begin(seed)
        return self._seen()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act in each, and come to the next tick; after the last one, to the first of the next episodes."""
        episodes, never = self._market.running(), np.zeros(self.num_envs, np.bool_)
        if episodes.has_ended:
            self._market.begin(None)
            observation, info = self._seen()
            return observation, np.zeros(self.num_envs), never, never.copy(), info
        reward = episodes.step(checked_actions(actions, (self.num_envs,)))
        observation, info = self._seen()
        return observation, reward, never, np.full(self.num_envs, episodes.has_ended), info

    def _seen(self) -> tuple[np.ndarray, dict[str, Any]]:
        episodes = self._market.episodes
        return episodes.digits(), {"state": episodes.state.copy(), "position": episodes.position}


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point="idi_fast.gym:MarketEnv", vector_entry_point="idi_fast.gym:MarketVectorEnv")

"""The configuration of a training run: frozen blocks of settings, checked however they are built."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from idi_fast.config.block import Block, FrozenMapping, SettingError, setting
from idi_fast.config.consistency import MAX_STATES, check_together
from idi_fast.config.draft import Draft, is_schema, schema_defaults
from idi_fast.config.environment_settings import EnvironmentConfig
from idi_fast.config.feature_settings import FeaturesConfig, NamedFeature
from idi_fast.config.own_functions import REWARDS, check_choice_or_own
from idi_fast.errors import ConfigError
from idi_fast.storage.json_files import json_text, read_json

Compat = Literal["idi_iann"]
Rng = Literal["sfc64", "mt19937"]
Algorithm = Literal["q_learning", "double_q_learning", "expected_sarsa", "q_lambda", "value_iteration"]
Auto = Literal["auto"]
Tiling = Literal["reference", "displaced"]
OBJECTIVES = ("volatility_units", "simple", "log", "mean_variance", "downside")
RateSchedule = Literal["constant", "visits", "episodes"]
ExplorationSchedule = Literal["decay", "linear", "visits"]

Note = Callable[[str], object]

MAX_COMM_ACTIONS = 2**15 - 1  # int16 in tapes and traces


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class QuantizerConfig(Block):
    """How many buckets each feature of the state is quantized into."""

    price_buckets: int = setting(4, "Buckets of the price feature.", minimum=1)
    volume_buckets: int = setting(4, "Buckets of the volume feature.", minimum=1)
    trend_buckets: int = setting(4, "Buckets of the trend feature.", minimum=1)
    scarcity_buckets: int = setting(8, "Buckets of the scarcity feature.", minimum=1)
    mood_buckets: int = setting(4, "Levels of the mood, which follows the reward.", minimum=1)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RewardWeights(Block):
    """Weights of the parts of the reward; no unit."""

    pnl: float = setting(1.0, "Weight of the profit or loss.")
    scarcity_alignment: float = setting(0.5, "Weight of the change in scarcity.")
    ethics_bonus: float = setting(0.75, "Added while not short, subtracted while short.")
    communication_clarity: float = setting(0.2, "Weight of the mood level.")
    objective: str = setting(
        "volatility_units",
        "What profits and losses are measured by: a bar's own volatility, or as returns that are added, compounded, or "
        "weighed against their variance or that of losses; or the name of a reward of your own.",
        since=2,
        examples=list(OBJECTIVES),
    )
    risk_aversion: float = setting(
        1.0, "A in return − A return² / 2, for mean_variance and downside.", since=2, minimum=0
    )
    turnover_penalty: float = setting(
        0.0, "Taken off for each unit of exposure traded, in volatilities.", since=2, minimum=0
    )

    def _cross_check(self) -> None:
        check_choice_or_own("objective", self.objective, OBJECTIVES, REWARDS)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EmoteConfig(Block):
    """Which emotion the agent shows, and for how long."""

    palette: Mapping[int, str] = setting(
        FrozenMapping({0: "🙂 steady", 1: "🚀 optimistic", 2: "😐 cautious", 3: "⚠️ alert"}),
        "Text by mood level (in JSON a decimal string); 🙂 or 🚀 in it is positive, 😐 or ⚠️ an alert.",
    )
    linger_ticks: int = setting(2, "Ticks an emotion persists after the tick that caused it.", minimum=0)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class LayerConfig(Block):
    """When the momentum, contrarian and trend layers are given weight."""

    emit_weight_streams: bool = setting(True, "Whether the weight streams follow the gates; else all are 1.")
    momentum_threshold: float = setting(
        0.6, "Momentum gate: least trend bucket, as a share of the highest.", minimum=0, maximum=1
    )
    contrarian_threshold: float = setting(
        0.3, "Contrarian gate: greatest trend bucket, as a share of the highest.", minimum=0, maximum=1
    )
    trend_favors_even: bool = setting(True, "Whether the trend gate opens on even price buckets; else on odd ones.")

    def _cross_check(self) -> None:
        if self.contrarian_threshold > self.momentum_threshold:
            problem = f"is {self.contrarian_threshold}; expected at most momentum_threshold ({self.momentum_threshold})"
            raise SettingError("contrarian_threshold", problem, "momentum_threshold")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class TileCoderConfig(Block):
    """Tile coding of the state; one tile size and one offset for each of its features."""

    num_tilings: int = setting(3, "Overlapping tilings.", minimum=1)
    tile_sizes: tuple[int, ...] = setting((4, 4, 4, 4, 4), "Tiles along each feature.", minimum=1)
    offsets: tuple[int, ...] = setting((0, 1, 2, 3, 4), "Shift of the first tiling along each feature, in buckets.")
    tiling: Tiling = setting(
        "reference", "Tiles: the reference's, a bucket each that recurs, or displaced ones of neighbouring buckets."
    )
    table_size: int = setting(
        65_536, "Most rows of the table; tiles that do not fit are hashed.", minimum=1, maximum=MAX_STATES - 1
    )


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class CommunicationConfig(Block):
    """What the agent can say; a value table of its own learns when."""

    actions: tuple[str, ...] = setting(
        ("silent", "positive", "alert", "persist"),
        "Names of the communication actions; in a tie the first wins. A name may stand twice.",
        minItems=1,
    )
    alert_bonus: float = setting(
        0.1, "Added to the reward of an alert that is right, subtracted from that of a wrong one."
    )
    positive_bonus: float = setting(0.05, "Added to the reward of saying positive.")
    persist_bonus: float = setting(0.05, "Added to the reward of saying persist.")

    def _cross_check(self) -> None:
        if len(self.actions) > MAX_COMM_ACTIONS:
            raise SettingError("actions", f"names {len(self.actions)}; expected at most {MAX_COMM_ACTIONS}")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EpisodicConfig(Block):
    """Episodic memory: TD targets are blended with those last seen for the same state and action."""

    enabled: bool = setting(False, "Whether targets are blended.")
    capacity: int = setting(1024, "Targets remembered in all; without effect under compat.", minimum=1)
    k: int = setting(8, "Targets kept for each state and action.", minimum=1)
    decay: float = setting(0.99, "Weight of a target relative to the next newer one.", minimum=0, maximum=1)
    blend_alpha: float = setting(0.5, "Share of the remembered estimate in the target.", minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class LearningConfig(Block):
    """How the tables are learnt: the method, and how its rates fall."""

    algorithm: Algorithm = setting("q_learning", "Method that learns the actions' values.")
    trace_decay: float = setting(
        0.9, "λ of q_lambda: weight of a step's error for the step before it.", minimum=0, exclusiveMaximum=1
    )
    initial_value: float = setting(0.0, "Value of every action before training; a high one makes the agent explore.")
    rate_schedule: RateSchedule = setting(
        "constant", "What the learning rate falls with: nothing, updates of a value, or episodes."
    )
    rate_delay: float = setting(
        100.0,
        "Updates or episodes n by which the rate, · (1 + n / delay)^−power, begins to fall.",
        exclusiveMinimum=0,
    )
    rate_power: float = setting(
        0.8, "How fast it then falls; the values converge above 0.5.", exclusiveMinimum=0, maximum=1
    )
    exploration_schedule: ExplorationSchedule = setting(
        "decay", "How the exploration rate falls: exponentially, linearly to the floor, or with the visits of a state."
    )
    exploration_floor: float = setting(0.05, "Least exploration rate.", minimum=0, maximum=1)
    exploration_share: float = setting(
        0.8, "Share of the episodes after which a linear schedule is at its floor.", exclusiveMinimum=0, maximum=1
    )
    exploration_episodes: float | None = setting(
        None,
        "Episodes after which a linear schedule is at its floor; null is exploration_share of all.",
        since=2,
        exclusiveMinimum=0,
    )
    exploration_visits: float = setting(
        100.0, "c in the exploration rate c / (c + n) of a state with n visits.", exclusiveMinimum=0
    )
    bars: int = setting(
        65_536,
        "Bars of the simulated market that value_iteration plans on.",
        since=2,
        minimum=2,
        maximum=2**31 - 1,
    )
    tolerance: float = setting(1e-10, "Error up to which value_iteration computes values.", since=2, exclusiveMinimum=0)
    shrinkage: float | Auto = setting(
        "auto",
        "Bars that the mean of a coarser group of observations counts as in value_iteration; auto chooses the number.",
        since=2,
        minimum=0,
    )
    confidence: float = setting(
        0.0, "Standard errors by which value_iteration asks an action to be better than holding.", since=2, minimum=0
    )
    bootstrap: int = setting(
        0, "Resampled bars whose tables value_iteration averages; 0 plans on the bars as they are.", since=2, minimum=0
    )
    min_agreement: float = setting(
        0.0,
        "Least share of the resamples' tables that agree on an action, else it is hold.",
        since=2,
        minimum=0,
        maximum=1,
    )

    @property
    def is_plain(self) -> bool:
        """Whether this is Q-learning at a constant rate, with an exploration rate that falls from episode to
        episode."""
        return (self.algorithm, self.rate_schedule, self.exploration_schedule) == ("q_learning", "constant", "decay")

    @property
    def plans(self) -> bool:
        """Whether the table is computed from the bars, without episodes."""
        return self.algorithm == "value_iteration"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EngineConfig(Block):
    """The rules and random numbers of the trainer."""

    compat: Compat | None = setting(None, "The trainer to reproduce bit for bit, or null for this package's own rules.")
    rng: Rng | None = setting(
        None,
        "Random number generator; null is sfc64, or mt19937 under compat, and is stored as such.",
        derive=lambda engine: "mt19937" if engine.compat else "sfc64",
    )

    def _cross_check(self) -> None:
        if self.compat and self.rng != "mt19937":
            reason = f"but compat {self.compat!r} reproduces CPython's generator"
            problem = f"is {self.rng!r}, {reason}; remove engine.rng or set it to 'mt19937'"
            raise SettingError("rng", problem, "compat")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class TrainingConfig(Block):
    """Everything that determines a training run, except its seed."""

    episodes: int = setting(128, "Training episodes; 0 leaves the tables untrained.", minimum=0)
    episode_length: int = setting(
        64, "Ticks per episode, and of the rollout that makes the trace.", minimum=1, maximum=2**31 - 1
    )
    discount: float = setting(0.92, "Discount of the next state's value, per tick.", exclusiveMinimum=0, maximum=1)
    learning_rate: float = setting(0.2, "Share of the TD error added per update.", exclusiveMinimum=0, maximum=1)
    exploration_decay: float = setting(
        0.995, "Factor on the exploration rate after each episode.", exclusiveMinimum=0, maximum=1
    )
    quantizer: QuantizerConfig = setting(QuantizerConfig, "Buckets of the state's features.")
    rewards: RewardWeights = setting(RewardWeights, "Weights of the parts of the reward.")
    emote: EmoteConfig = setting(EmoteConfig, "Emotions shown.")
    layers: LayerConfig = setting(LayerConfig, "Gates of the weight streams.")
    tile_coder: TileCoderConfig | None = setting(None, "Tile coding of the state; null is none.")
    communication: CommunicationConfig = setting(CommunicationConfig, "Communication actions.")
    episodic: EpisodicConfig | None = setting(None, "Episodic memory; null is none.")
    learning: LearningConfig = setting(LearningConfig, "Method and schedules of learning.")
    engine: EngineConfig = setting(EngineConfig, "Rules and random numbers.")
    environment: EnvironmentConfig = setting(EnvironmentConfig, "The market the agent acts in.")
    features: FeaturesConfig | tuple[NamedFeature, ...] = setting(
        FeaturesConfig, "Market features: of the four names of the reference, or a list of any.", minItems=1
    )

    _ignored: ClassVar[tuple[str, ...]] = ("$schema",)

    @property
    def drawn_episodes(self) -> int:
        """Episodes that training draws: none where it plans."""
        return 0 if self.learning.plans else self.episodes

    @classmethod
    def from_json(
        cls, path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None, *, note: Note = warnings.warn
    ) -> Self:
        """Read a config from a JSON file; see `draft` for what may be in it.

        overrides: values by dotted key, merged with the file's before the check; note: called with what the user should
        know. Raises ConfigError, which names the file and the key, or the line and column.
        """
        return cls.draft(path, note=note).override(overrides or {}).build()

    @classmethod
    def draft(cls, path: str | os.PathLike[str] | None = None, *, note: Note = warnings.warn) -> Draft[Self]:
        """The values of a JSON file, or none, to be overridden and then checked by `Draft.build`.

        A JSON Schema of the config is read for its defaults, and `note` is called to say so. Raises ConfigError.
        """
        if path is None:
            return Draft(cls, {})
        if not isinstance(path, str | os.PathLike):
            raise ConfigError(f"the config's path is of the type {type(path).__name__}; expected a path")
        tree, name = read_json(path), os.fspath(path)
        if is_schema(cls, tree):
            note(f"{name} is a JSON Schema; the config is made of its defaults")
            try:
                tree = schema_defaults(cls, tree)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None
        return Draft(cls, tree, name)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write every field to a JSON file, whole or not at all; OutputError and WriteError leave the old file."""
        from idi_fast.storage.files import output_path
        from idi_fast.storage.staging import install

        install({output_path(path): json_text(self.to_dict()).encode()})

    def fingerprint(self) -> str:
        """Return the SHA-256, in hexadecimal, of `canonical` as JSON: sorted keys, no spaces, UTF-8."""
        canonical = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _cross_check(self) -> None:
        check_together(self)

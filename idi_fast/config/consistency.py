"""The rules between the blocks of a config."""

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from idi_fast.config.block import SettingError
from idi_fast.config.transforms import TRANSFORMS

if TYPE_CHECKING:
    from idi_fast.config.settings import TileCoderConfig, TrainingConfig

MAX_REGIMES = 32  # what the stream q_regime, a bv[5], can carry
MAX_STATES = 2**31  # exclusive; rows of a table are int32 too
SUMMED = ("volatility_units", "simple")
"""Objectives under which a reward is a sum of what each position earns; that of one's own may be no such sum."""
MAX_PLANNED = 2**24  # states of a table that is filled, whether the bars show them or not
OF_EPISODES = ("episodes", "learning_rate", "exploration_decay")
"""The settings outside of learning that value_iteration has no use for."""
OF_PLANNING = ("bars", "tolerance", "shrinkage", "confidence", "bootstrap", "min_agreement")
"""The settings of learning for value_iteration; of the others it has no use."""


def check_together(config: "TrainingConfig") -> None:
    """Raise SettingError for settings of several blocks that are valid alone but not together."""
    if config.engine.compat:
        _check_compat(config, config.engine.compat)
    else:
        _check_default_mode(config)
    _check_learning(config)
    _check_planning(config)
    _check_features(config)
    _check_holding(config)
    _check_objective(config)
    _check_regimes(config)
    _check_states(config)


def _check_learning(config: "TrainingConfig") -> None:
    compat, learning = config.engine.compat, config.learning
    default = type(learning)()
    if compat and learning != default:
        changed = next(name for name, value in learning.to_dict().items() if value != getattr(default, name))
        problem = f"is {getattr(learning, changed)!r}, but compat {compat!r} supports only its default"
        raise SettingError(f"learning.{changed}", f"{problem}; remove it or engine.compat", "engine.compat")
    bonuses = replace(type(config.communication)(), actions=config.communication.actions)
    if compat and config.communication != bonuses:
        problem = f"has other bonuses, but compat {compat!r} supports only the default ones"
        raise SettingError("communication", f"{problem}; remove them or engine.compat", "engine.compat")
    if config.episodic and config.episodic.enabled and not learning.is_plain:
        problem = "is true, but episodic memory works with plain Q-learning only"
        remedy = "learning's algorithm 'q_learning', rate_schedule 'constant' and exploration_schedule 'decay'"
        others = (f"learning.{name}" for name in ("algorithm", "rate_schedule", "exploration_schedule"))
        raise SettingError("episodic.enabled", f"{problem}; expected {remedy}", *others)
    if config.environment.observe_regime and (compat or config.environment.kind != "crypto"):
        maker = f"compat {compat!r}" if compat else f"the {config.environment.kind} environment"
        problem = f"is true, but {maker} has no regime that could be added to the state"
        other = "engine.compat" if compat else "environment.kind"
        raise SettingError("environment.observe_regime", f"{problem}; set it to false", other)


def _check_planning(config: "TrainingConfig") -> None:
    learning, kind = config.learning, config.environment.kind
    default = type(learning)().to_dict()
    changed = [name for name, value in learning.to_dict().items() if value != default[name]]
    algorithm = "learning.algorithm"
    if not learning.plans:
        idle = next((name for name in changed if name in OF_PLANNING), None)
        if idle is not None:
            problem = f"is {getattr(learning, idle)!r}, but {algorithm} {learning.algorithm!r} has no use for it"
            raise SettingError(
                f"learning.{idle}", f"{problem}; remove it or set {algorithm} to 'value_iteration'", algorithm
            )
        return
    if kind == "synthetic":
        reason = "hides its position, so that no table tells what a move would earn"
        remedy = "set environment.kind to 'history' or 'crypto', or learn"
        raise SettingError(
            algorithm, f"is 'value_iteration', but the synthetic environment {reason}; {remedy}", "environment.kind"
        )
    for name, value in (("tile_coder", config.tile_coder), ("episodic", config.episodic)):
        if value is not None and getattr(value, "enabled", True):
            raise SettingError(
                name, f"is given, but {algorithm} 'value_iteration' fills a plain table; remove it", algorithm
            )
    if config.discount == 1.0:
        raise SettingError(
            "discount", f"is 1; expected less for {algorithm} 'value_iteration', whose sums must end", algorithm
        )
    default = type(config)()
    idle = [name for name in OF_EPISODES if getattr(config, name) != getattr(default, name)]
    idle += [f"learning.{name}" for name in changed if name not in ("algorithm", *OF_PLANNING)]
    if kind == "history" and "bars" in changed:
        idle.append("learning.bars")
    if learning.bootstrap == 0 and "min_agreement" in changed:
        raise SettingError(
            "learning.min_agreement", "is given, but there are no resamples; set learning.bootstrap to 50, say"
        )
    if idle:
        reason = "plans on all bars of the history" if idle[0] == "learning.bars" else "plans without episodes"
        problem = f"is given, but {algorithm} 'value_iteration' {reason}, so that it would have no effect"
        raise SettingError(idle[0], f"{problem}; remove it", algorithm)


def _check_compat(config: "TrainingConfig", compat: str) -> None:
    kind = config.environment.kind
    if kind not in ("synthetic", "crypto"):
        problem = f"is {kind!r}, but compat {compat!r} has no such environment"
        remedy = "expected 'synthetic' or 'crypto', or no engine.compat"
        raise SettingError("environment.kind", f"{problem}; {remedy}", "engine.compat")
    if not config.environment.allow_short:
        problem = f"is false, but under compat {compat!r} sell always goes short"
        remedy = "set it to true or remove engine.compat"
        raise SettingError("environment.allow_short", f"{problem}; {remedy}", "engine.compat")
    if config.tile_coder and (config.tile_coder.tiling, config.tile_coder.table_size) != ("reference", 65_536):
        problem = f"is given, but compat {compat!r} keeps a row for every state it visits"
        remedy = "remove its tiling and table_size, or engine.compat"
        raise SettingError("tile_coder", f"{problem}; {remedy}", "engine.compat")
    if config.tile_coder:
        features = f"feature of the {kind} environment's state"
        _check_tiles(config.tile_coder, 4 if kind == "crypto" else 5, features)


def _check_default_mode(config: "TrainingConfig") -> None:
    coder = config.tile_coder
    if coder is None:
        return
    n_features = len(config.features) if isinstance(config.features, tuple) else 4
    number = "four" if n_features == 4 else str(n_features)
    _check_tiles(coder, n_features + 1, f"of the {number} feature{'s' * (n_features > 1)} and the mood")
    if coder.tiling == "displaced" and coder.offsets != type(coder)().offsets:
        problem = "is given, but displaced tilings have displacements of their own"
        remedy = "remove it or set tile_coder.tiling to 'reference'"
        raise SettingError("tile_coder.offsets", f"{problem}; {remedy}", "tile_coder.tiling")
    if config.episodic and config.episodic.enabled:
        problem = "is true, but episodic memory works with a plain table only"
        raise SettingError("episodic.enabled", f"{problem}; expected no tile_coder", "tile_coder")


def _check_tiles(coder: "TileCoderConfig", wanted: int, features: str) -> None:
    # Here and not in the block: what it belongs to tells which of the two lengths is wrong.
    if len(coder.tile_sizes) != wanted:
        problem = f"has length {len(coder.tile_sizes)}; expected {wanted}, one for each {features}"
        raise SettingError("tile_coder.tile_sizes", problem, "environment.kind", "engine.compat")
    if len(coder.offsets) != wanted:
        problem = f"has length {len(coder.offsets)}; expected the length of tile_sizes ({wanted})"
        raise SettingError("tile_coder.offsets", problem, "environment.kind", "engine.compat")
    # Of a few only: the product of thousands has more digits than Python prints.
    if math.prod(coder.tile_sizes) > 2**63:
        problem = f"make {math.prod(coder.tile_sizes)} tiles; expected a product of at most 2**63"
        raise SettingError("tile_coder.tile_sizes", problem)


def _check_features(config: "TrainingConfig") -> None:
    kind, compat, features = config.environment.kind, config.engine.compat, config.features
    if isinstance(features, tuple):
        given = {f"features[{place}]": feature for place, feature in enumerate(features)}
    else:
        given = {f"features.{field.name}": getattr(features, field.name) for field in fields(features)}
        given = {key: feature for key, feature in given.items() if feature is not None}
    for key, feature in given.items():
        if compat or kind == "synthetic":
            maker = f"compat {compat!r}" if compat else "the synthetic environment"
            problem = f"is given, but {maker} makes its features itself, so that it would have no effect"
            raise SettingError(key, f"{problem}; remove it", "engine.compat" if compat else "environment.kind")
        if isinstance(features, tuple):
            reads = TRANSFORMS[feature.transform].reads(feature.column, feature.other)
            if kind == "crypto" and not {*reads} <= {"close", "volume", feature.column}:
                problem = f"is {feature.transform!r}, which reads {' and '.join(reads)}"
                problem += "; expected one of 'close' and 'volume', all that the crypto market has"
                raise SettingError(f"{key}.transform", problem, "environment.kind")
        if kind == "crypto" and feature.column not in ("close", "volume"):
            problem = f"is {feature.column!r}; expected 'close' or 'volume', all that the crypto market has"
            raise SettingError(f"{key}.column", problem, "environment.kind")
    if isinstance(features, tuple):
        _check_list(config, [feature.name for feature in features])


def _check_list(config: "TrainingConfig", names: list[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            problem = f"is {name!r} as that of features[{names.index(name)}]; expected each name once"
            raise SettingError(f"features[{place}].name", problem)
    default = type(config.quantizer)(mood_buckets=config.quantizer.mood_buckets)
    for name, value in config.quantizer.to_dict().items():
        if value != getattr(default, name):
            problem = f"is {value}, but features is a list, each of which has its own buckets"
            raise SettingError(f"quantizer.{name}", f"{problem}; remove it", "features")


def _check_regimes(config: "TrainingConfig") -> None:
    if config.engine.compat and config.environment.market.regimes:
        problem = f"are given, but compat {config.engine.compat!r} reproduces a market of four"
        raise SettingError("environment.market.regimes", f"{problem}; remove them", "engine.compat")


def _check_objective(config: "TrainingConfig") -> None:
    rewards, default = config.rewards, type(config.rewards)()
    kind, compat = config.environment.kind, config.engine.compat
    for name in ("objective", "risk_aversion", "turnover_penalty"):
        value = getattr(rewards, name)
        if value != getattr(default, name) and (compat or kind == "synthetic"):
            whose = f"compat {compat!r}" if compat else "the synthetic environment"
            problem = f"is {value!r}, but {whose} has rewards of its own"
            other = "engine.compat" if compat else "environment.kind"
            raise SettingError(f"rewards.{name}", f"{problem}; remove it", other)


def _check_holding(config: "TrainingConfig") -> None:
    kind, market = config.environment.kind, config.environment.market
    for name in ("borrow_bps", "cash_rate"):
        if getattr(market, name) and kind in ("synthetic", "crypto"):
            problem = f"is {getattr(market, name)} a year, but bars of the {kind} environment have no times"
            raise SettingError(f"environment.market.{name}", f"{problem}; set it to 0", "environment.kind")


def _check_states(config: "TrainingConfig") -> None:
    kind, buckets, features = config.environment.kind, config.quantizer, config.features
    if kind == "synthetic" and buckets.scarcity_buckets > MAX_REGIMES:
        problem = f"is {buckets.scarcity_buckets}; expected at most {MAX_REGIMES} in the synthetic environment"
        reason = "whose stream q_regime carries the scarcity bucket as bv[5]"
        raise SettingError("quantizer.scarcity_buckets", f"{problem}, {reason}", "environment.kind")
    if config.engine.compat and kind == "crypto":
        return  # its state has no quantized features
    listed = [feature.buckets or 1 for feature in features] if isinstance(features, tuple) else None
    key = "quantizer" if listed is None else "features"
    sizes = [*listed, buckets.mood_buckets] if listed is not None else list(buckets.to_dict().values())
    positions = 1 if kind == "synthetic" else 3
    regimes = 4 if config.environment.observe_regime else 1
    observations, n_states = regimes * math.prod(sizes[:-1]), positions * regimes * math.prod(sizes)
    is_tiled = config.tile_coder is not None and not config.engine.compat
    if config.learning.plans and n_states > MAX_PLANNED:
        problem = f"gives {n_states} states; expected at most {MAX_PLANNED} (2**24)"
        raise SettingError(key, f"{problem}, for value_iteration fills all of them", "learning.algorithm")
    if (observations if is_tiled else n_states) < MAX_STATES:
        return
    product = "the product of all buckets" if not is_tiled else "the product of the features' buckets"
    product += f" times {positions} positions" if positions > 1 and not is_tiled else ""
    product += f" times {regimes} regimes" if regimes > 1 else ""
    if is_tiled:
        problem = f"gives {observations} observations; expected {product} below {MAX_STATES} (2**31)"
        raise SettingError(key, f"{problem}, for an observation's number has 32 bits", "tile_coder")
    # As `agents.learner.make_tables` has them: values, the greedy choices and visits.
    memory = n_states * (8 * (3 + len(set(config.communication.actions)) + 1) + 3) / 1e9
    problem = f"gives {n_states} states; expected {product} below {MAX_STATES} (2**31)"
    remedy = f"for a table has a row for each, here of {memory:,.0f} GB; give fewer buckets, or a tile_coder"
    raise SettingError(key, f"{problem}, {remedy}, whose table has table_size rows")

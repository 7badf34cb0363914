"""A trained policy: two lookup tables, the meaning of their states, and their file."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.certainty import Certainty, certainty_columns
from idi_fast.agents.maps import average_values
from idi_fast.agents.table_layout import Layout
from idi_fast.config.arguments import check_integer, check_path, described
from idi_fast.config.plugin_hashes import PluginError, own_hashes, read_hashes, require_plugins
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import DESCRIPTION_KEYS
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.features import Encoder, read_sketches
from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
from idi_fast.errors import ArtifactError, ConfigError, InputError, nearest
from idi_fast.kernels.backtest import count_marked
from idi_fast.kernels.tiles import tile_codes
from idi_fast.storage.failures import explained
from idi_fast.storage.files import COMBINED, output_path, refuse_population
from idi_fast.storage.json_files import load_json
from idi_fast.storage.reader.client import ANY, Limits
from idi_fast.storage.tables import open_table, write_table

FORMATS = ("idi-fast-policy-1", "idi-fast-policy-2")
"""Of the file. The second adds sketches of the training features, counts, certainty, the hashes of plugins and the
symbols with edges of their own; a policy with none of them is written in the first, and read for ever."""


@dataclass(frozen=True)
class Policy(display.Plotted):
    """Lookup tables and all that is needed to apply them; made by training, or by `load`.

    A row of a table is a state or, with a tile coder, a tile: see `layout`.

    Attributes
    ----------
    q : numpy.ndarray
        float64 (n_rows, 3), expected discounted reward of hold, buy and sell.
    comm_q : numpy.ndarray
        float64 (n_rows, n_comm), that of each communication action, named by `comm_actions`.
    visits : numpy.ndarray
        int64 (n_rows,), how often training came to each row.
    config : TrainingConfig
        That of its training.
    seed : int
        That of its training.
    space : StateSpace
        Names and sizes of the state's digits.
    encoder : Encoder or None
        Features and bucket edges of a market policy.
    trained_on : list of dict
        The bars it has seen: those of its own training, then those of the policies that its values started from.
    counts : numpy.ndarray or None
        int64 (n_rows, 3), how many updates are behind each value, where that was counted.
    certainty : Certainty or None
        Standard errors and counts of a planned table (`learning.algorithm` "value_iteration").

    Examples
    --------
    >>> import idi_fast as idi
    >>> policy = idi.train(idi.TrainingConfig(episodes=16), seed=7).policy
    >>> policy.q.shape
    (2048, 3)
    >>> policy.best_action((0, 0, 0, 0, 0)) in ("hold", "buy", "sell")
    True
    """

    config: TrainingConfig
    seed: int
    space: StateSpace
    encoder: Encoder | None
    q: np.ndarray
    comm_q: np.ndarray
    visits: np.ndarray
    trained_on: list[dict] = field(default_factory=list)
    counts: np.ndarray | None = None
    certainty: Certainty | None = None

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._rows())

    def _repr_html_(self) -> str:
        maps = average_values(self)
        panels = dict(zip((name.lower() for name in maps.facets), maps.greedy, strict=True))
        names = [*ACTIONS[:-1], f"{ACTIONS[-1]}: by {maps.x}, to the right, and {maps.y}"]
        chart, links = display.map_chart(panels, names), display.file_links(display.saved_at(self))
        return display.as_html(self._title(), self._rows(), chart=chart, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """One row: how many states and rows of the table there are, and how many of these were visited."""
        visited = int(np.count_nonzero(self.visits))
        row = {"states": self.space.n_states, "rows": self.visits.size, "visited_rows": visited}
        return pl.DataFrame([{"of": "policy", "seed": str(self.seed), **row}])

    def _title(self) -> str:
        return f"Policy of the {self.config.environment.kind} environment, seed {self.seed}"

    def _rows(self) -> list[tuple[str, object]]:
        visited, rows = int(np.count_nonzero(self.visits)), self.visits.size
        state = " × ".join(f"{name} {size}" for name, size in zip(self.space.names, self.space.sizes, strict=True))
        return [
            ("state", state),
            ("visited", f"{visited:,} of {rows:,} {'states' if self.layout.tiling is None else 'rows'}"),
            ("trained on", self._bars()),
            *([] if self.certainty is None else [("sure moves", shown_share(self.sure_moves()))]),
        ]

    def _bars(self) -> str:
        if not self.trained_on:
            learning = self.config.learning
            return f"{learning.bars:,} simulated bars" if learning.plans else "simulated episodes"
        # Those of an initial policy come behind the own ones, of which only symbols are several.
        symbols = {about["symbol"]: about["bars"] for about in reversed(self.trained_on) if "symbol" in about}
        if "symbol" not in self.trained_on[0]:
            return f"{self.trained_on[0]['bars']:,} bars"
        return f"{sum(symbols.values()):,} bars of {len(symbols):,} symbols"

    @property
    def comm_actions(self) -> tuple[str, ...]:
        """Names of the columns of `comm_q`."""
        return comm_columns(self.config)[0]

    @cached_property
    def layout(self) -> Layout:
        """Which rows of the tables a state uses."""
        return Layout.of(self.config, self.space)

    def values(self, states: np.ndarray) -> np.ndarray:
        """Expected discounted reward of each action in states int64 (n,), float64 (n, 3)."""
        return self.layout.values(self.q, states)

    def visited(self, states: np.ndarray) -> np.ndarray:
        """Whether training visited each state int64 (n,), with a tile coder all its tiles; bool (n,)."""
        return np.all(self.visits[self.layout.state_rows(states)] > 0, axis=1)

    @cached_property
    def _is_new(self) -> np.ndarray:
        return self.visits == 0

    def count_unvisited(self, states: np.ndarray) -> int:
        """How many of the states int64 (n,) training never visited."""
        if self.layout.tiling is None:
            return int(count_marked(states, self._is_new))
        return states.size - int(np.count_nonzero(self.visited(states)))

    def sure_moves(self, errors: float = 2.0) -> float | None:
        """Of the bars planned on in whose states the table moves, the share where that beats holding by so many
        standard errors; None for a table that was learnt, or that nowhere moves."""
        if self.certainty is None:
            return None
        best = np.argmax(self.q, axis=1)
        after = make_rules(self.config, self.space).next_position[np.arange(best.size) % 3 * 3 + best]
        moves = np.flatnonzero((after != np.arange(best.size) % 3) & (self.visits > 0))
        if not moves.size:
            return None
        gain = self.q[moves, best[moves]] - self.q[moves, 0]
        sure = gain > errors * self.certainty.errors[moves, best[moves] - 1]
        return float(self.visits[moves[sure]].sum() / self.visits[moves].sum())

    def identity(self) -> dict:
        """What identifies this policy: its config's fingerprint, seed, training bars, a digest of its tables."""
        tables = hashlib.sha256(self.q.tobytes() + self.comm_q.tobytes()).hexdigest()
        config = self.config.fingerprint()
        return {"fingerprint": config, "seed": self.seed, "tables_sha256": tables, "trained_on": self.trained_on}

    def state_index(self, state: Sequence[int]) -> int:
        """Index of a state given by its digits, in the order of `space.names`."""
        if isinstance(state, str) or not isinstance(state, Sequence | np.ndarray):
            raise InputError(f"state is {described(state)}; expected its digits: {', '.join(self.space.names)}")
        shown = ",".join(map(str, state))
        if len(state) != len(self.space.names):
            ranges = (f"{name} 0 to {n - 1}" for name, n in zip(self.space.names, self.space.sizes, strict=True))
            n = len(self.space.names)
            raise ArtifactError(f"the state {shown} has {len(state)} digits; expected {n}: {', '.join(ranges)}")
        for digit, size, name in zip(state, self.space.sizes, self.space.names, strict=True):
            if not 0 <= check_integer(f"{name} of the state", digit) < size:
                raise ArtifactError(f"{name} is {digit} in the state {shown}; expected 0 to {size - 1}")
        return int(self.space.index(np.array([state]))[0])

    def q_value(self, state: Sequence[int], action: str) -> float:
        """Expected discounted reward of an action in a state given by its digits."""
        if not isinstance(action, str) or action not in ACTIONS:
            guess = nearest(action, ACTIONS) if isinstance(action, str) else ""
            raise ArtifactError(f"no action {action!r}; expected one of {', '.join(ACTIONS)}.{guess}")
        return float(self.values(np.array([self.state_index(state)]))[0, ACTIONS.index(action)])

    def best_action(self, state: Sequence[int]) -> str:
        """The greedy action in a state given by its digits; ties go to the first of hold, buy, sell."""
        return ACTIONS[int(np.argmax(self.values(np.array([self.state_index(state)]))[0]))]

    def frame(self) -> pl.DataFrame:
        """A row per known state: its digits, q_hold, q_buy, q_sell, comm_<action> …, visits, where they were counted
        q_hold_count …, and of a planned table se_buy, se_sell, n and, with resamples, agreement. With a tile coder (but
        not under compat) a row per known row of the table, with its number in place of the digits.

        Known is what was visited or has other values than before training; all else has the config's initial value
        for every action, and 0 for every communication. Under compat with a tile coder the tiles follow the digits, as
        they do in the reference's table keys.
        """
        is_known = self.visits > 0
        # Column by column, for tables of many million rows.
        for table, untrained in ((self.q, self.layout.per_row(self.config.learning.initial_value)), (self.comm_q, 0.0)):
            for column in table.T:
                is_known |= column != untrained
        states = np.flatnonzero(is_known)
        columns: dict[str, np.ndarray] = {"row": states}
        if self.layout.tiling is None:
            digits = self.space.digits(states)
            columns = dict(zip(self.space.names, digits.T, strict=True))
            if (tiles := self.config.tile_coder) is not None:
                codes = np.empty((states.size, tiles.num_tilings), np.int64)
                sizes, offsets = np.array(tiles.tile_sizes, np.int64), np.array(tiles.offsets, np.int64)
                tile_codes(digits, sizes, offsets, codes)
                columns |= {f"tile_{k}": codes[:, k] for k in range(tiles.num_tilings)}
        columns |= {f"q_{name}": self.q[states, k] for k, name in enumerate(ACTIONS)}
        columns |= {f"comm_{name}": self.comm_q[states, k] for k, name in enumerate(self.comm_actions)}
        columns["visits"] = self.visits[states]
        if self.counts is not None:
            columns |= {name: self.counts[states, k] for k, name in enumerate(COUNTS)}
        more = {} if self.certainty is None else self.certainty.columns(states)
        return pl.DataFrame({**columns, **more})

    def save(self, path: str | Path) -> None:
        """Write the table as one Parquet file; config, seed and encoder travel in its metadata. Raises OutputError."""
        path = output_path(path)
        sketches = {} if self.encoder is None else self.encoder.sketches
        symbols = [] if self.encoder is None else [*self.encoder.by_symbol]
        shown = {name: sketch.tolist() for name, sketch in sketches.items()}
        plugins = {} if self.encoder is None else self.encoder.plugins
        optimism = None if self.certainty is None else self.certainty.optimism
        more = {"sketches": shown, "symbols": symbols, "plugins": plugins}
        more |= {} if optimism is None else {"optimism": optimism}
        has_tables = self.counts is not None or self.certainty is not None
        is_first = not (sketches or symbols or plugins or has_tables or isinstance(self.config.features, tuple))
        about = {
            "format": FORMATS[0] if is_first else FORMATS[1],
            "config": self.config.canonical(),
            "seed": str(self.seed),  # as text: seeds of any size survive readers that store numbers as doubles
            "encoder": None if self.encoder is None else self.encoder.to_dict(),
            "trained_on": self.trained_on,
            **({} if is_first else more),
        }
        with explained(path):
            write_table(path, self.frame(), about)
        display.remember_place(self, path)

    @classmethod
    def load(cls, path: str | Path, limits: Limits = ANY) -> "Policy":
        """Read a policy from the folder of a training run, or its policy.parquet.

        Parameters
        ----------
        path
            The folder or file. A sweep's folder with a single policy works too, and that of a population whose policies
            were combined.
        limits
            Limits of reading the table.

        Raises
        ------
        ArtifactError
            If there is no policy, or several, or it is damaged, or needs functions (`register_feature`, `load_plugin`)
            that are not known or have another source than those it was made with.
        """
        path = check_path("path", path)
        # os.path, since a Path's own tests raise where a name is too long.
        if os.path.isdir(path):
            path = _policy_in(path)
        if not os.path.isfile(path):
            raise ArtifactError(f"no policy at {path}; `idi-fast train --out DIR` makes one, give DIR here")
        table, about = open_table(path, FORMATS, "policy", limits)
        try:
            _check_known(about, path)
            config = TrainingConfig.from_dict(about["config"])
            known = [*table_columns(config), *COUNTS]
            frame = table.frame([name for name in known if name in table.columns])
            return cls._from_frame(config, about, frame)
        except (
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
            OverflowError,
            ConfigError,
            pl.exceptions.PolarsError,
        ) as error:
            raise ArtifactError(f"the policy {path} is damaged: {error}") from error

    @classmethod
    def _from_frame(cls, config: TrainingConfig, about: dict, frame: pl.DataFrame) -> "Policy":
        space = StateSpace.of(config)
        names, _ = comm_columns(config)
        layout = Layout.of(config, space)
        if layout.tiling is None:
            digits = _integers(frame, space.names)
            if ((digits < 0) | (digits >= np.array(space.sizes))).any():
                raise ValueError("a state lies outside the config's buckets")
            states = space.index(digits)
        else:
            states = _integers(frame, ["row"])[:, 0]
            if ((states < 0) | (states >= layout.n_rows)).any():
                raise ValueError(f"a row lies outside the table of {layout.n_rows}")
        policy = cls(
            config=config,
            seed=int(about["seed"]),
            space=space,
            encoder=_encoder(about),
            q=np.full((layout.n_rows, 3), layout.per_row(config.learning.initial_value)),
            comm_q=np.zeros((layout.n_rows, len(names))),
            visits=np.zeros(layout.n_rows, np.int64),
            trained_on=_descriptions(about["trained_on"]),
            certainty=Certainty.of(frame, states, layout.n_rows, about.get("optimism")),
        )
        policy.q[states] = frame.select(f"q_{name}" for name in ACTIONS).to_numpy()
        policy.comm_q[states] = frame.select(f"comm_{name}" for name in names).to_numpy()
        policy.visits[states] = _integers(frame, ["visits"])[:, 0]
        policy = replace(policy, counts=_read_counts(frame, states, layout.n_rows))
        if policy.encoder is not None and policy.encoder.sizes != space.feature_sizes:
            raise ValueError(f"its edges make {policy.encoder.sizes} buckets; expected {space.feature_sizes}")
        hashes = {} if policy.encoder is None else policy.encoder.plugins
        if not own_hashes(config).keys() <= hashes.keys():
            raise ValueError("it does not say of what source its market or reward is")
        if not (np.isfinite(policy.q).all() and np.isfinite(policy.comm_q).all()):
            raise ValueError("a Q-value is not a finite number")
        return policy


def _policy_in(folder: Path) -> Path:
    """The policy's file in a folder; ArtifactError where it is another output of ours, which says what to give."""
    file = folder / "policy.parquet"
    if os.path.isfile(file):
        return file
    if os.path.isfile(combined := folder / COMBINED / "policy.parquet"):
        return combined
    refuse_population(folder)
    kind = _kind_of(folder)
    if kind == "sweep":
        chosen = sorted((folder / "policies").glob("*.parquet"))
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            raise ArtifactError(
                f"{folder} is a sweep with {len(chosen)} policies of the chosen config, one per seed; give one, "
                f"such as {chosen[0]}"
            )
    if kind == "walkforward":
        raise ArtifactError(f"{folder} is a walk-forward, which keeps no policy; train one on the bars before its use")
    if kind in ("backtest", "symbol-backtest", "population-backtest"):
        raise ArtifactError(f"{folder} is a backtest, which holds no policy; give the one that was tested")
    inside = sorted(path.parent for path in folder.glob("*/policy.parquet"))
    if inside:
        raise ArtifactError(f"no policy in {folder} itself; give a folder in it that has one, such as {inside[0]}")
    return file


def _kind_of(folder: Path) -> str | None:
    """What the run.json of a folder calls it; None where there is none that says so."""
    try:
        run = load_json(folder / "run.json")
    except (OSError, ValueError):
        return None
    return run.get("kind") if isinstance(run, dict) else None


def check_policy(policy: object) -> Policy:
    """A policy that was given as an argument; InputError for anything else, which says where one comes from."""
    if isinstance(policy, Policy):
        return policy
    how = f"Policy.load({str(policy)!r})" if isinstance(policy, str | Path) else "Policy.load(…)"
    inside = "; give its .policy" if isinstance(getattr(policy, "policy", None), Policy) else f", as of {how}"
    raise InputError(f"policy is {described(policy)}; expected a Policy{inside}")


def shown_share(sure: float | None) -> str:
    """`Policy.sure_moves` for people."""
    return "none, it only holds" if sure is None else f"{sure:.0%} by two standard errors"


def table_columns(config: TrainingConfig) -> list[str]:
    """The columns of a policy's table that its values are read from; see `Policy.frame`."""
    space = StateSpace.of(config)
    place = space.names if Layout.of(config, space).tiling is None else ("row",)
    names, _ = comm_columns(config)
    values = [*(f"q_{name}" for name in ACTIONS), *(f"comm_{name}" for name in names)]
    return [*place, *values, "visits", *certainty_columns(config.learning)]


COUNTS = tuple(f"q_{name}_count" for name in ACTIONS)
"""The columns of a policy's table with `Policy.counts`, which may be missing."""


def _read_counts(frame: pl.DataFrame, states: np.ndarray, n_rows: int) -> np.ndarray | None:
    """The counts that a frame has. Raises ValueError."""
    if COUNTS[0] not in frame.columns:
        return None
    counts = np.zeros((n_rows, len(ACTIONS)), np.int64)
    counts[states] = _integers(frame, COUNTS)
    if (counts < 0).any():
        raise ValueError("a count is below 0")
    return counts


def _check_known(about: dict, path: Path) -> None:
    """Raise ArtifactError unless the user has loaded the functions that a policy needs, ValueError if it says none."""
    plugins = read_hashes(about.get("plugins", {}))
    try:
        require_plugins(plugins)
    except PluginError as error:
        raise PluginError(f"the policy {path} cannot be applied: {error}") from None


def _encoder(about: dict) -> Encoder | None:
    """The encoder that a policy's metadata describes, with its sketches."""
    if about["encoder"] is None:
        return None
    encoder = Encoder.from_dict(about["encoder"])
    return replace(encoder, sketches=read_sketches(about.get("sketches", {}), encoder.features))


def _descriptions(trained_on: object) -> list[dict]:
    if not isinstance(trained_on, list) or not all(set(about) >= DESCRIPTION_KEYS for about in trained_on):
        raise ValueError("trained_on does not say which bars it means")
    return trained_on


def _integers(frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Columns as int64 (rows, columns); ValueError if one does not hold integers only."""
    for name in names:
        if not frame[name].dtype.is_integer() or frame[name].null_count():
            raise ValueError(f"{name} is {frame[name].dtype}, or null in places; expected whole numbers")
    return frame.select(pl.col(names).cast(pl.Int64)).to_numpy()

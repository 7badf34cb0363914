"""What a trace was made from: config, bucket edges, data. A folder with a zero-knowledge proof publishes it, bound by
the proof; in one that holds its policy, run.json and the policy say the same."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from idi_fast.agents.policy import Policy
from idi_fast.config.plugin_hashes import PluginError
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Encoder
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import ArtifactError, ConfigError, EvidenceError
from idi_fast.evidence.claims import CannotCheck
from idi_fast.evidence.manifest import Digests, Manifest
from idi_fast.evidence.strict_json import integer, parse_object, take
from idi_fast.storage.json_files import json_text

STATEMENT = "proof/statement.json"
FORMAT = "idi-fast-statement-3"
TRAIN, BACKTEST = "train", "backtest"
KEYS = ("schema_version", "format", "kind", "fingerprint", "config", "encoder", "data", "initial_position")
MAX_BARS = 2**40


@dataclass(frozen=True, eq=False)
class Statement:
    """What a trace was made from.

    kind: "train", whose trace is the rollout after training, or "backtest"; fingerprint: the config's in manifest and
    trace, salted if a proof hides the table; config: without the path of the data; encoder: bucket edges, None if
    nothing is fitted; data: `bars`, `first_time`, `last_time` and the digests of `files` of the trace's bars, None if
    they are simulated; initial_position: −1, 0 or 1, held before the first tick.
    """

    kind: str
    fingerprint: str
    config: TrainingConfig
    encoder: Encoder | None
    data: Mapping[str, Any] | None
    initial_position: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statement) and self.text() == other.text()

    @classmethod
    def of(cls, run: Mapping[str, Any], policy: Policy) -> "Statement":
        """The statement of a run.json and its policy. Raises EvidenceError if they lack it."""
        kind, config = run["kind"], policy.config
        if kind not in (TRAIN, BACKTEST):
            raise EvidenceError(f"run.json is of the kind {str(kind)[:80]!r}; expected {TRAIN} or {BACKTEST}")
        described, position = None, 0
        if kind == BACKTEST:
            described = take(run, "data", dict, "run.json")
            assumptions = take(run, "assumptions", dict, "run.json")
            position = integer(assumptions.get("initial_position"), -1, 1, "run.json: initial_position")
        elif config.environment.kind == "history":
            described = _pooled(policy.trained_on)
        return cls(kind, config.fingerprint(), public(config), policy.encoder, _described(described), position)

    @classmethod
    def read(cls, text: bytes) -> "Statement":
        """The inverse of `text`; EvidenceError for anything else."""
        fields = parse_object(text, STATEMENT)
        if set(fields) != set(KEYS) or fields["schema_version"] != 3 or fields["format"] != FORMAT:
            raise EvidenceError(f"{STATEMENT} must be of the format {FORMAT!r}, with the keys {', '.join(KEYS)}")
        kind, fingerprint = (take(fields, key, str, STATEMENT) for key in ("kind", "fingerprint"))
        if kind not in (TRAIN, BACKTEST):
            raise EvidenceError(f"{STATEMENT}: kind is {kind[:80]!r}; expected {TRAIN} or {BACKTEST}")
        try:
            # First, since it says which functions of the user's the config needs.
            encoder = None if fields["encoder"] is None else Encoder.from_dict(take(fields, "encoder", dict, STATEMENT))
            config = TrainingConfig.from_dict(take(fields, "config", dict, STATEMENT))
        except PluginError as error:
            raise CannotCheck(f"{STATEMENT}: {error}") from None
        except (ArtifactError, ConfigError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise EvidenceError(f"{STATEMENT}: {str(error)[:300]}") from None
        data = None if fields["data"] is None else _described(take(fields, "data", dict, STATEMENT), listed=True)
        position = integer(fields["initial_position"], -1, 1, f"{STATEMENT}: initial_position")
        made = cls(kind, fingerprint, config, encoder, data, position)
        made._check()
        # A unique text for each statement, so that nothing can be smuggled in.
        if made.text() != text:
            raise EvidenceError(f"{STATEMENT} is not written as this version writes it")
        return made

    def _check(self) -> None:
        """EvidenceError unless data, edges and position are present exactly if such a run has them."""
        on_bars = self.kind == BACKTEST or self.config.environment.kind == "history"
        fitted = self.config.environment.kind != "synthetic" and not self.config.engine.compat
        if on_bars != (self.data is not None) or fitted != (self.encoder is not None):
            raise EvidenceError(f"{STATEMENT}: data and encoder are not those of a {self.kind} by this config")
        if self.kind == TRAIN and self.initial_position != 0:
            raise EvidenceError(f"{STATEMENT}: initial_position is {self.initial_position}; a rollout begins with 0")
        if self.encoder is not None and self.encoder.sizes != StateSpace.of(self.config).feature_sizes:
            raise EvidenceError(f"{STATEMENT}: the edges make other buckets than the config has")

    def text(self) -> bytes:
        """As JSON."""
        values = (
            3,
            FORMAT,
            self.kind,
            self.fingerprint,
            self.config.canonical(),
            None if self.encoder is None else self.encoder.to_dict(),
            self.data,
            self.initial_position,
        )
        return json_text(dict(zip(KEYS, values, strict=True))).encode()

    def salted(self, seed: bytes, trace: bytes) -> "Statement":
        """With a fingerprint that does not confirm a guessed config: HMAC-SHA-256 (RFC 2104) of it and the SHA-256 of
        the owner's own trace, with the secret seed."""
        own = b"idi-fast fingerprint 3" + bytes.fromhex(self.fingerprint) + hashlib.sha256(trace).digest()
        return replace(self, fingerprint=hmac.digest(seed, own, "sha256").hex())


def public(config: TrainingConfig) -> TrainingConfig:
    """A config without the path of the data, which is the owner's own."""
    return replace(config, environment=replace(config.environment, data=replace(config.environment.data, path=None)))


def _pooled(trained_on: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The description of the bars of a training: of its history, or of its symbols together."""
    symbols = [about for about in trained_on if "symbol" in about]
    if not symbols:
        return trained_on[0] if trained_on else {}
    times = [about[key] for about in symbols for key in ("first_time", "last_time") if about[key] is not None]
    return {
        "bars": sum(about["bars"] for about in symbols),
        "first_time": min(times, default=None),
        "last_time": max(times, default=None),
        "files": {name: file for about in symbols for name, file in about["files"].items()},
    }


def _described(history: Mapping[str, Any] | None, *, listed: bool = False) -> dict[str, Any] | None:
    """The publishable part of `in_sample.describe_history`: no sample, no paths; EvidenceError if it is invalid."""
    if history is None:
        return None
    where = "the description of the data"
    files = history.get("files")
    files = files if listed else list(files.values()) if isinstance(files, dict) else None
    times = [history.get(key) for key in ("first_time", "last_time")]
    is_timed = all(isinstance(time, str | None) for time in times)
    if (
        not is_timed
        or not isinstance(files, list)
        or not all(isinstance(file, dict) and set(file) == {"sha256", "bytes"} for file in files)
    ):
        raise EvidenceError(f"{where} must hold bars, first_time, last_time and files")
    return {
        "bars": integer(history.get("bars"), 0, MAX_BARS, f"{where}: bars"),
        **dict(zip(("first_time", "last_time"), times, strict=True)),
        "files": files,
    }


def context(manifest: Manifest, files: Digests) -> bytes:
    """What a proof binds besides commitment and decisions, 64 bytes: the content of a manifest except its list of
    files, and name, SHA-256 and length of each of the `files`."""
    about = {
        "config_sha256": manifest.config_sha256,
        "inputs": manifest.inputs,
        "training": manifest.training,
        "metadata": manifest.metadata,
        "files": dict(files),
    }
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha512(b"idi-fast context 3" + text.encode()).digest()

"""The files of evidence that the reference, idi_iann, reads and writes, byte for byte.

They show that files belong together, and nothing more: whoever has the files can make them anew. The reference's tree
pairs an odd last node with itself, so that two tables may share a root (as in CVE-2012-2459), and does not tell leaves
from nodes; `merkle` has neither fault.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from idi_fast.errors import EvidenceError, nearest
from idi_fast.evidence.fixed_point import SCALE
from idi_fast.evidence.strict_json import integer, parse_object, take
from idi_fast.tau.sources import MANIFEST_FILE, MANIFEST_VERSION, STREAMS_FOLDER

COMMIT_FILE, PATHS_FILE = "qtable.commit.json", "qtable.proofs.json"
LEAF_ENCODING = "qtable_entry_v1"
LEAF_TAG = b"qtable_entry"
STUB, EXTERNAL = "stub", "external"
EXTRAS = ("tx_hash", "config_fingerprint", "spec_hash", "policy_root")
"""What a receipt may also bind, in its order; hexadecimal there, bytes in the digest."""
MAX_RECEIPT = 512 * 1024
MAX_ENTRIES = 2**18
"""Most states of a commitment; their paths take some 400 MB of JSON."""

Siblings = list[tuple[bytes, bool]]


def artifact_digest(manifest: bytes, streams: Mapping[str, bytes], extras: Mapping[str, bytes] | None = None) -> str:
    """The reference's digest of an artifact, 64 hexadecimal characters; it is the whole of its "stub" proof.

    manifest: the bytes of its manifest; streams: those of the `.in` files by name; extras: further bound data. Each
    goes into a SHA-256 as name, length (u64-LE) and data, in the order of the names; the names have no length before
    them, so that name and data could be split elsewhere.
    """
    records = [("manifest", manifest)]
    records += [(f"{STREAMS_FOLDER}/{name}", streams[name]) for name in sorted(streams)]
    records += [(f"extra/{key}", data) for key, data in sorted((extras or {}).items())]
    sha256 = hashlib.sha256()
    for name, data in records:
        sha256.update(name.encode() + len(data).to_bytes(8, "little"))
        sha256.update(data)
    return sha256.hexdigest()


def manifest_text(
    config_path: str, config: bytes, streams: Mapping[str, bytes], metadata: Mapping[str, str], generated_at: float
) -> bytes:
    """`artifact_manifest.json`.

    config_path: the name of the config file for the manifest, and its bytes; streams: the `.in` files; generated_at:
    seconds since 1970.
    """
    listed = [
        {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "length": sum(map(bool, data.splitlines()))}
        for name, data in sorted(streams.items())
    ]
    about = {
        "schema_version": MANIFEST_VERSION,
        "generated_at": generated_at,
        "config_path": config_path,
        "config_sha256": hashlib.sha256(config).hexdigest(),
        "streams": listed,
        "metadata": dict(metadata),
    }
    return json.dumps(about, indent=2).encode()


def check_manifest(text: bytes, config_path: str, config: bytes, streams: Mapping[str, bytes]) -> None:
    """Raise EvidenceError unless `artifact_manifest.json` is what `manifest_text` writes for these files."""
    fields = parse_object(text, MANIFEST_FILE)
    generated_at, metadata = fields.get("generated_at"), fields.get("metadata")
    if isinstance(generated_at, bool) or not isinstance(generated_at, int | float):
        raise EvidenceError(f"{MANIFEST_FILE}: generated_at is {generated_at!r}; expected seconds since 1970")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise EvidenceError(f"{MANIFEST_FILE}: metadata must hold texts")
    expected = manifest_text(config_path, config, streams, metadata, generated_at)
    if text != expected:
        wanted = json.loads(expected)
        key = next((key for key in wanted if fields.get(key) != wanted[key]), None)
        what = "it is not written as the reference writes it" if key is None else f"its {key} is not that of the files"
        raise EvidenceError(f"{MANIFEST_FILE}: {what}")


@dataclass(frozen=True)
class Receipt:
    """`receipt.json`: what was hashed when, by whom; extras: bytes by their names, of `EXTRAS`; meta: an outside
    prover's message, None if there is none."""

    timestamp: float
    digest: str
    prover: str
    manifest: str
    streams: str
    proof: str
    extras: Mapping[str, bytes]
    meta: dict | None = None

    def text(self) -> bytes:
        """As JSON, as the reference writes it."""
        fields = {
            "timestamp": self.timestamp,
            "manifest": self.manifest,
            "streams": self.streams,
            "proof": self.proof,
            "digest": self.digest,
            "prover": self.prover,
        }
        fields |= {name: self.extras[name].hex() for name in EXTRAS if name in self.extras}
        if self.meta is not None:
            fields["prover_meta"] = self.meta
        return json.dumps(fields, indent=2).encode()

    @classmethod
    def read(cls, text: bytes) -> "Receipt":
        """The inverse of `text`; EvidenceError for anything else, or more than `MAX_RECEIPT` bytes."""
        fields = parse_object(text, "the receipt", MAX_RECEIPT)
        timestamp = take(fields, "timestamp", (int, float), "the receipt")
        texts = {
            name: take(fields, name, str, "the receipt")
            for name in ("manifest", "streams", "proof", "digest", "prover")
        }
        extras = {name: from_hex(take(fields, name, str, "the receipt"), name) for name in EXTRAS if name in fields}
        meta = take(fields, "prover_meta", dict, "the receipt") if "prover_meta" in fields else None
        known = ("timestamp", *texts, *EXTRAS, "prover_meta")
        for name in fields:
            if name not in known:
                raise EvidenceError(f"the receipt's key {name!r} is none of a receipt.{nearest(name, known)}")
        receipt = cls(timestamp, extras=extras, meta=meta, **texts)
        if receipt.text() != text:
            raise EvidenceError("the receipt is not written as the reference writes it")
        return receipt


def from_hex(text: str, name: str) -> bytes:
    """Bytes from lower-case hexadecimal, optionally with 0x. Raises EvidenceError."""
    digits = text.removeprefix("0x")
    if not digits or len(digits) % 2 or set(digits) - set("0123456789abcdef"):
        raise EvidenceError(f"{name} is {text[:80]!r}; expected bytes as lower-case hexadecimal digits")
    return bytes.fromhex(digits)


def state_key(digits: Iterable[int]) -> str:
    """The reference's key of a state: its digits as Python writes a tuple, ``(1, 2, 0, 3, 1)``."""
    return str(tuple(int(digit) for digit in digits))


def leaf(key: str, values: Iterable[int]) -> bytes:
    """The hash of a state and its three fixed-point values (hold, buy, sell), in 1/65536."""
    data = b"".join(int(value).to_bytes(4, "little", signed=True) for value in values)
    return hashlib.sha256(LEAF_TAG + key.encode() + data).digest()


class PolicyTree:
    """The reference's commitment to a table of fixed-point values.

    entries: the values of each state, int32 (3,) or three integers, by its key. Raises EvidenceError for more than
    MAX_ENTRIES.
    """

    def __init__(self, entries: Mapping[str, Iterable[int] | np.ndarray]):
        if len(entries) > MAX_ENTRIES:
            raise EvidenceError(f"the table has {len(entries):,} states; the reference's form takes {MAX_ENTRIES:,}")
        self.keys = sorted(entries)
        if len(set(self.keys)) != len(self.keys):
            raise EvidenceError("the table has a state twice; a commitment that opens to two rows binds neither")
        self._places = {key: place for place, key in enumerate(self.keys)}
        self._levels = [[leaf(key, entries[key]) for key in self.keys]]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            pairs = zip(below[::2], [*below[1::2], below[-1]], strict=False)
            self._levels.append([hashlib.sha256(left + right).digest() for left, right in pairs])

    @property
    def root(self) -> bytes:
        """The root, 32 bytes; of no states the hash of nothing."""
        return self._levels[-1][0] if self.keys else hashlib.sha256(b"").digest()

    def path(self, key: str) -> Siblings:
        """What leads from a state to the root: at each level the sibling and whether it is on the right."""
        if key not in self._places:
            raise EvidenceError(f"the commitment has no state {key}.{nearest(key, self.keys)}")
        place, path = self._places[key], []
        for level in self._levels[:-1]:
            sibling = place ^ 1
            path.append((level[min(sibling, len(level) - 1)], place % 2 == 0))
            place //= 2
        return path

    def commit_text(self) -> bytes:
        """`qtable.commit.json`."""
        about = {"root": self.root.hex(), "leaf_encoding": LEAF_ENCODING, "q_scale": SCALE, "size": len(self.keys)}
        return json.dumps(about, indent=2).encode()

    def paths_text(self) -> bytes:
        """`qtable.proofs.json`: the path of every state."""
        paths = {key: [[node.hex(), right] for node, right in self.path(key)] for key in self.keys}
        return json.dumps(paths, indent=2).encode()


def read_commit(text: bytes) -> tuple[bytes, int]:
    """Root and number of states of a `qtable.commit.json`; EvidenceError for anything else."""
    fields = parse_object(text, COMMIT_FILE)
    if set(fields) != {"root", "leaf_encoding", "q_scale", "size"}:
        raise EvidenceError(f"{COMMIT_FILE} must have the keys root, leaf_encoding, q_scale, size")
    if fields["leaf_encoding"] != LEAF_ENCODING or fields["q_scale"] != SCALE:
        raise EvidenceError(f"{COMMIT_FILE}: expected the leaf_encoding {LEAF_ENCODING!r} and the q_scale {SCALE}")
    root = from_hex(take(fields, "root", str, COMMIT_FILE), "the root")
    if len(root) != 32:
        raise EvidenceError(f"{COMMIT_FILE}: the root has {len(root)} bytes; expected 32")
    return root, integer(fields["size"], 0, MAX_ENTRIES, f"{COMMIT_FILE}: size")


def read_paths(text: bytes, size: int) -> dict[str, Siblings]:
    """The path of each state in a `qtable.proofs.json`, by its key; EvidenceError unless it fits a commitment to this
    many states.

    A tree may hold two rows of one state, and opens to either; a file that names each state once has one path too few.
    """
    fields = parse_object(text, PATHS_FILE)
    if len(fields) != size:
        raise EvidenceError(f"{PATHS_FILE} has {len(fields):,} states; {COMMIT_FILE} is to {size:,}, each once")
    levels = path_length(size)
    paths: dict[str, Siblings] = {}
    for place, key in enumerate(sorted(fields)):
        path = read_path(fields[key], levels, PATHS_FILE)
        # Rows are in the order of their keys, and the sides of a path give the place.
        if [is_right for _, is_right in path] != [place >> level & 1 == 0 for level in range(levels)]:
            raise EvidenceError(f"{PATHS_FILE}: the path of {key[:80]!r} is not that of row {place}, where it belongs")
        paths[key] = path
    return paths


def path_length(size: int) -> int:
    """The number of hashes from a row to the root of a table of this many states."""
    return max(size - 1, 0).bit_length()


def read_path(steps: object, levels: int, name: str) -> Siblings:
    """A path of a length from its JSON value; EvidenceError for anything else."""
    path = []
    for step in steps if isinstance(steps, list) else ():
        if not (isinstance(step, list) and len(step) == 2 and isinstance(step[0], str) and isinstance(step[1], bool)):
            raise EvidenceError(f"{name}: a step of a path must be a hash and whether it stands on the right")
        path.append((from_hex(step[0], f"{name}: a hash of a path"), step[1]))
    # This form does not distinguish leaves from nodes: a path of another length might begin with a node.
    if not isinstance(steps, list) or len(path) != levels or any(len(node) != 32 for node, _ in path):
        raise EvidenceError(f"{name}: the path has {len(path)} hashes; expected {levels} of 32 bytes each")
    return path


def verify_path(root: bytes, key: str, values: Iterable[int], path: Siblings) -> None:
    """Raise EvidenceError unless a state with these values leads to a root."""
    node = leaf(key, values)
    for sibling, is_right in path:
        node = hashlib.sha256(node + sibling if is_right else sibling + node).digest()
    if node != root:
        raise EvidenceError(f"the path of the state {key} does not lead to the commitment's root")

"""Commitments to tables as SHA-256 Merkle trees, as in RFC 9162, section 2.1.

A leaf is hashed after a byte 0x00, a node after 0x01, and the last of an odd number of nodes moves up unchanged: unlike
when it is paired with itself, no two lists of leaves have the same root. A verifier who is shown a few leaves sees
only paths, though, and in trees of two sizes these may lead to one root. So what is published is not the tree's root
but a hash of it with form, size, actions and scale (`bound_root`). Not audited, not constant time.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idi_fast.errors import EvidenceError
from idi_fast.evidence.fixed_point import SCALE
from idi_fast.evidence.strict_json import parse_json
from idi_fast.kernels.sha256 import sha256_rows

HASH = 32
SALT = 32
SEED = 32
VERSION = 3
"""Version of new commitments and proofs. Version 2, whose root is that of the tree, is still read."""
PLAIN, SALTED, PEDERSEN, REFERENCE = "plain", "salted", "pedersen", "reference"
FORMS = (PLAIN, SALTED, PEDERSEN)
"""Content of the leaves; `REFERENCE` is not a tree of ours, but has a bound root too."""
FORMAT = "idi-fast-commitment-3"
FORMATS_2 = {"idi-fast-table-1": PLAIN, "idi-fast-salted-table-1": SALTED, "idi-fast-pedersen-table-1": PEDERSEN}
"""Names of the forms in version 2."""
ROOT_TAG = b"idi-fast commitment".ljust(32, b"\0")
OPENING = "idi-fast-opening-1"
MAX_SIZE, MAX_ACTIONS = 2**40, 64
MAX_JSON = 16384
"""Limit of characters of a commitment or an opening: the longest possible opening has some 4,000."""
LEAF_TAG = b"idi-fast q row 1"
ROWS_AT_ONCE = 65536


@dataclass(frozen=True)
class Commitment:
    """The published commitment to a table: root (32 bytes, see `bound_root`), size (number of states), actions, and the
    content of the leaves.

    form: `PLAIN` and `SALTED` leaves hold fixed-point values (`leaf_bytes`), `PEDERSEN` ones hiding commitments (`zk`).
    version: 3, or 2, whose root binds neither size nor form. Raises EvidenceError for invalid fields.
    """

    root: bytes
    size: int
    actions: int
    form: str
    version: int = VERSION

    def __post_init__(self):
        if self.form not in FORMS:
            raise EvidenceError(f"no form of commitment {self.form!r}; expected one of {', '.join(FORMS)}")
        if self.version not in (2, VERSION):
            raise EvidenceError(f"no version of commitment {self.version!r}; expected 2 or {VERSION}")
        if len(self.root) != HASH:
            raise EvidenceError(f"a root has {HASH} bytes; found {len(self.root)}")
        _check_range("the size of a commitment", self.size, 1, MAX_SIZE)
        _check_range("its number of actions", self.actions, 1, MAX_ACTIONS)

    @classmethod
    def of(cls, tree_root: bytes, size: int, actions: int, form: str, version: int = VERSION) -> "Commitment":
        """The commitment to a tree."""
        root = tree_root if version == 2 else bound_root(tree_root, size, actions, form)
        return cls(root, size, actions, form, version)

    def binds(self, tree_root: bytes) -> bool:
        """Whether the root of a tree is the one committed to."""
        return Commitment.of(tree_root, self.size, self.actions, self.form, self.version).root == self.root

    def to_json(self) -> str:
        """As JSON with the keys format, form, root (hex), size, actions, q_scale; version 2 had no form."""
        fields = {"format": FORMAT, "form": self.form}
        if self.version == 2:
            fields = {"format": next(name for name, form in FORMATS_2.items() if form == self.form)}
        fields |= {"root": self.root.hex(), "size": self.size, "actions": self.actions}
        return json.dumps({**fields, "q_scale": SCALE}, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Commitment":
        """The inverse of `to_json`; EvidenceError for anything else, even an additional key."""
        kinds = {"format": str, "form": str, "root": str, "size": int, "actions": int, "q_scale": int}
        fields = _parse(text, "commitment")
        version = VERSION
        named = fields.get("format")
        if isinstance(named, str) and named in FORMATS_2 and "form" not in fields:
            version, fields = 2, {**fields, "format": FORMAT, "form": FORMATS_2[named]}
        _check_kinds(fields, "commitment", kinds)
        if fields["format"] != FORMAT:
            raise EvidenceError(f"the commitment's format is {fields['format'][:80]!r}; expected {FORMAT!r}")
        if fields["q_scale"] != SCALE:
            raise EvidenceError(f"the commitment's q_scale is {fields['q_scale']}; expected {SCALE}")
        root = _from_hex(fields["root"], HASH, "the commitment's root")
        return cls(root, fields["size"], fields["actions"], fields["form"], version)


def is_root(given: str, root: str) -> bool:
    """Whether a reader's root, in hexadecimal of any case and optionally with 0x, is this one."""
    return given.lower().removeprefix("0x") == root


def bound_root(tree_root: bytes, size: int, actions: int, form: str) -> bytes:
    """The published root of a tree, which binds its form and size.

    SHA-256 of, in order: 32 bytes `idi-fast commitment` and zeros; as u64-LE each the version 3, the length of the
    form's name, size, actions and scale 65536; the name; the root of the tree. It is the hash of no leaf and no node,
    which begin with other bytes.
    """
    numbers = (VERSION, len(form), size, actions, SCALE)
    data = b"".join(number.to_bytes(8, "little") for number in numbers)
    return hashlib.sha256(ROOT_TAG + data + form.encode() + tree_root).digest()


@dataclass(frozen=True)
class Opening:
    """One row of a committed table: its state, its fixed-point values, its salt (empty if unsalted), and the hashes
    that lead from its leaf to the root (the inclusion proof of RFC 9162, section 2.1.3), those nearest the leaf first.

    Raises EvidenceError for impossible fields.
    """

    state: int
    values: tuple[int, ...]
    salt: bytes
    path: tuple[bytes, ...]

    def __post_init__(self):
        _check_range("the opening's state", self.state, 0, MAX_SIZE - 1)
        for value in self.values:
            _check_range("a value of the opening", value, -(2**31), 2**31 - 1)
        if len(self.salt) not in (0, SALT):
            raise EvidenceError(f"the opening has {len(self.salt)} bytes of salt; expected {SALT} or none")

    def to_json(self) -> str:
        """As JSON with the keys format, state, values (of each action, in 1/65536), salt and path (hex)."""
        fields = {"format": OPENING, "state": self.state, "values": list(self.values), "salt": self.salt.hex()}
        return json.dumps({**fields, "path": [node.hex() for node in self.path]}, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Opening":
        """The inverse of `to_json`; EvidenceError for anything else. `verify_opening` tells whether it holds."""
        fields = _parse(text, "opening")
        kinds = {"format": str, "state": int, "values": list, "salt": str, "path": list}
        _check_kinds(fields, "opening", kinds)
        if fields["format"] != OPENING:
            raise EvidenceError(f"the opening's format is {fields['format']!r}; expected {OPENING!r}")
        salt = _from_hex(fields["salt"], SALT if fields["salt"] else 0, "the opening's salt")
        path = tuple(_from_hex(node, HASH, "a hash of the opening's path") for node in fields["path"])
        return cls(fields["state"], tuple(fields["values"]), salt, path)


class CommittedTable:
    """A table, its tree and its commitment; whoever has this can open any state."""

    def __init__(self, table: np.ndarray, salt_key: bytes | None, version: int):
        self._table, self._salt_key = table, salt_key
        leaves = np.empty((table.shape[0], HASH), np.uint8)
        for start in range(0, table.shape[0], ROWS_AT_ONCE):
            states = np.arange(start, min(start + ROWS_AT_ONCE, table.shape[0]))
            leaves[states] = hash_leaves(leaf_bytes(states, table[states], self._salts(states)))
        self._levels = tree(leaves)
        form = PLAIN if salt_key is None else SALTED
        self.commitment = Commitment.of(root_of(self._levels), table.shape[0], table.shape[1], form, version)

    def _salts(self, states: np.ndarray) -> np.ndarray:
        """The salts of states, uint8 (n, 32) or (n, 0)."""
        if self._salt_key is None:
            return np.empty((states.size, 0), np.uint8)
        key = np.broadcast_to(np.frombuffer(self._salt_key, np.uint8), (states.size, HASH))
        # A hash with a secret prefix is a pseudo-random function here, since all messages have one length.
        return _sha256(np.hstack([key, _bytes_of(states, "<u8")]))

    def open(self, state: int) -> Opening:
        """The opening of a state. It reveals the state's salt, but nothing about other rows. Raises EvidenceError."""
        _check_range("the state", state, 0, self.commitment.size - 1)
        states = np.array([state])
        path = audit_nodes(self._levels, states)
        return Opening(state, tuple(self._table[state].tolist()), self._salts(states).tobytes(), tuple(path))


def commit(table: np.ndarray, seed: bytes | None = None, version: int = VERSION) -> CommittedTable:
    """Commit to a fixed-point table.

    table int32 (n_states, n_actions), in 1/65536. seed: at least 32 secret random bytes, which salt each leaf; without
    them whoever guesses a row can tell that the guess is right, as with rows that training never visited. The salts
    also depend on the whole table, so using a seed twice reveals nothing. version: 2 for comparison with commitments of
    that version. Raises EvidenceError.
    """
    table = checked_table(table)
    key = None if seed is None else secret_key(seed, b"idi-fast merkle salt 1", table)[:HASH]
    return CommittedTable(table, key, version)


def verify_opening(commitment: Commitment, opening: Opening) -> None:
    """Raise EvidenceError, with the reason, unless the committed table has the row of the opening."""
    salt = {PLAIN: 0, SALTED: SALT}.get(commitment.form)
    if salt is None:
        raise EvidenceError(f"a commitment of the form {commitment.form} is not opened but proven of")
    _check_range("the opening's state", opening.state, 0, commitment.size - 1)
    if len(opening.values) != commitment.actions:
        raise EvidenceError(f"the opening has {len(opening.values)} values; expected {commitment.actions}")
    if len(opening.salt) != salt:
        raise EvidenceError(f"the opening has {len(opening.salt)} bytes of salt; expected {salt}")
    states = np.array([opening.state])
    row = np.array([opening.values], np.int32)
    leaf = hash_leaves(leaf_bytes(states, row, np.frombuffer(opening.salt, np.uint8)[None]))
    if not commitment.binds(root_from(commitment.size, states, leaf, opening.path)):
        raise EvidenceError(f"the opening of state {opening.state} does not lead to the commitment's root")


def leaf_bytes(states: np.ndarray, rows: np.ndarray, salts: np.ndarray) -> np.ndarray:
    """The data of leaves, uint8 (n, 32 + 4 * n_actions + salt length).

    In order: 16 bytes `idi-fast q row 1`; the number of actions u32-LE; the length of the salt u32-LE, 0 or 32; the
    state index u64-LE; the values i32-LE of each action; the salt. states int64 (n,); rows int32 (n, n_actions); salts
    uint8 (n, 0 or 32).
    """
    lengths = np.array([rows.shape[1], salts.shape[1]], "<u4").tobytes()
    head = np.frombuffer(LEAF_TAG + lengths, np.uint8)
    head = np.broadcast_to(head, (states.size, head.size))
    return np.hstack([head, _bytes_of(states, "<u8"), _bytes_of(rows, "<i4"), salts])


def hash_leaves(data: np.ndarray) -> np.ndarray:
    """The hashes uint8 (n, 32) of leaves whose data are uint8 (n, length): SHA-256 after a byte 0x00."""
    return _sha256(np.hstack([np.zeros((data.shape[0], 1), np.uint8), data]))


def tree(leaves: np.ndarray) -> list[np.ndarray]:
    """All levels of the tree over leaf hashes uint8 (n, 32), from these up to the root."""
    levels = [leaves]
    while levels[-1].shape[0] > 1:
        levels.append(_next_level(levels[-1]))
    return levels


def root_of(levels: list[np.ndarray]) -> bytes:
    """The root of a tree; that of no leaves is the hash of nothing (RFC 9162, section 2.1.1)."""
    return levels[-1][0].tobytes() if levels[-1].size else hashlib.sha256(b"").digest()


def audit_nodes(levels: list[np.ndarray], indices: np.ndarray) -> list[bytes]:
    """The hashes that lead from leaves to the root: only those needed, level by level, from left to right.

    indices int64 (n,), ascending, distinct. For one leaf it is the inclusion proof of RFC 9162, section 2.1.3.
    """
    needed = _needed(levels[0].shape[0], indices)
    return [levels[level][i].tobytes() for level, places in enumerate(needed) for i in places]


def count_audit_nodes(size: int, indices: np.ndarray) -> int:
    """The number of hashes of `audit_nodes` for leaves of a tree of a size."""
    return sum(places.size for places in _needed(size, indices))


def root_from(size: int, indices: np.ndarray, leaves: np.ndarray, nodes: Sequence[bytes]) -> bytes:
    """The root that leaf hashes lead to at their places in a tree of a size.

    indices int64 (n,), ascending, distinct, below size; leaves uint8 (n, 32); nodes as from `audit_nodes`. Raises
    EvidenceError unless there are as many as needed, of 32 bytes each.
    """
    needed = _needed(size, indices)
    expected = sum(places.size for places in needed)
    if len(nodes) != expected or any(len(node) != HASH for node in nodes):
        raise EvidenceError(f"the path to the root has {len(nodes)} hashes; expected {expected} of {HASH} bytes each")
    rest = np.frombuffer(b"".join(nodes), np.uint8).reshape(-1, HASH)
    known = indices
    for places in needed:
        given, rest = rest[: places.size], rest[places.size :]
        # With their siblings all are complete pairs, except the last node of an odd level, as in the tree itself.
        order = np.argsort(np.concatenate([known, places]))
        leaves = _next_level(np.concatenate([leaves, given])[order])
        known = np.unique(known >> 1)
    return leaves[0].tobytes()


def checked_table(table: np.ndarray) -> np.ndarray:
    """A fixed-point table int32 (n_states, n_actions), contiguous; EvidenceError for anything else."""
    if table.dtype != np.int32 or table.ndim != 2 or not table.size:
        raise EvidenceError(f"a fixed-point table is int32 (states, actions); found {table.dtype} {table.shape}")
    return np.ascontiguousarray(table)


def secret_key(seed: bytes, purpose: bytes, table: np.ndarray) -> bytes:
    """64 bytes for one purpose and one table, by HMAC-SHA-512 (RFC 2104); EvidenceError if the seed is short."""
    if len(seed) < SEED:
        raise EvidenceError(f"a secret seed has at least {SEED} bytes, all random; found {len(seed)}")
    shape = np.array(table.shape, "<u8").tobytes()
    return hmac.digest(seed, purpose + hashlib.sha512(shape + table.astype("<i4").tobytes()).digest(), "sha512")


def _needed(size: int, indices: np.ndarray) -> list[np.ndarray]:
    """For each level below the root, the places of the hashes that are neither known nor computable."""
    needed = []
    while size > 1:
        siblings = indices ^ 1
        needed.append(siblings[(siblings < size) & ~np.isin(siblings, indices)])
        indices, size = np.unique(indices >> 1), (size + 1) // 2
    return needed


def _next_level(nodes: np.ndarray) -> np.ndarray:
    pairs = nodes.shape[0] // 2
    above = np.empty((nodes.shape[0] - pairs, HASH), np.uint8)
    above[pairs:] = nodes[2 * pairs :]
    for start in range(0, pairs, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, pairs)
        children = nodes[2 * start : 2 * stop].reshape(-1, 2 * HASH)
        above[start:stop] = _sha256(np.hstack([np.ones((stop - start, 1), np.uint8), children]))
    return above


def _sha256(messages: np.ndarray) -> np.ndarray:
    out = np.empty((messages.shape[0], HASH), np.uint8)
    if messages.shape[0]:
        sha256_rows(np.ascontiguousarray(messages), out)
    return out


def _bytes_of(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers (n,) or (n, k) as rows of bytes."""
    return np.ascontiguousarray(numbers.astype(dtype)).reshape(numbers.shape[0], -1).view(np.uint8)


def _check_range(name: str, value: object, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not lowest <= value <= highest:
        raise EvidenceError(f"{name} is {value!r}; expected a whole number from {lowest} to {highest}")


def _from_hex(text: object, size: int, name: str) -> bytes:
    """Bytes of a size from lower-case hex without spaces: a unique text for any bytes."""
    if not isinstance(text, str) or len(text) != 2 * size or set(text) - set("0123456789abcdef"):
        raise EvidenceError(f"{name} is not {2 * size} lower-case hexadecimal digits")
    return bytes.fromhex(text)


def _parse(text: str | bytes, name: str) -> dict:
    """A JSON object; EvidenceError for anything else."""
    if len(text) > MAX_JSON:
        raise EvidenceError(f"the {name} has {len(text)} characters; none has more than {MAX_JSON}")
    try:
        fields = parse_json(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    except EvidenceError as error:
        raise EvidenceError(f"the {name} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise EvidenceError(f"the {name} must be an object of certain keys; found {type(fields).__name__}")
    return fields


def _check_kinds(fields: dict, name: str, kinds: dict[str, type]) -> None:
    """EvidenceError unless an object has these keys, of these types."""
    if set(fields) != set(kinds):
        found = ", ".join(sorted(fields))
        raise EvidenceError(f"the {name} must have the keys {', '.join(kinds)}; found {found[:200]}")
    for key, kind in kinds.items():
        if not isinstance(fields[key], kind):
            raise EvidenceError(f"the {name}'s {key} is {str(fields[key])[:80]!r}; expected {kind.__name__}")

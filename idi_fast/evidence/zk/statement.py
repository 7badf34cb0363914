"""The proven statement as numbers: which committed values are compared for a stream, and how a table is committed to.

In a state where the chosen action has the value c and another one the value o, c − o − s lies in [0, 2³²), where s is 1
for an action before the chosen one, to which a tie would have gone, else 0. Values of Q16.16 never differ by
more. Whatever numbers a cheating prover commits to, at most one of two actions in a state can be proven.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idi_fast.errors import EvidenceError
from idi_fast.evidence.merkle import PEDERSEN, Commitment, checked_table, hash_leaves, secret_key
from idi_fast.evidence.zk.curve import POINT, FixedBase, Scalar, generators, wide_scalar
from idi_fast.evidence.zk.range_proof import MAX_NUMBERS

N_ACTIONS = 3
MAX_STATES = 2**16
LEAF_TAG = b"idi-fast zk leaf"
ROW = N_ACTIONS * POINT
STATES_AT_ONCE = MAX_NUMBERS // (N_ACTIONS - 1)
"""Distinct states of one range proof. More would make proofs a tenth smaller, and take more memory."""


@dataclass(frozen=True)
class Claims:
    """A stream (states and actions, one per tick) and its distinct claims: each state once, ascending, with its
    action."""

    states: np.ndarray
    actions: np.ndarray
    distinct: np.ndarray
    chosen: np.ndarray

    @classmethod
    def of(cls, states: np.ndarray, actions: np.ndarray, size: int) -> "Claims":
        """The claims of a stream on a table of a size: two integer arrays (n,). Raises EvidenceError."""
        states, actions = np.asarray(states), np.asarray(actions)
        for name, values, limit in (("state", states, size), ("action", actions, N_ACTIONS)):
            if values.ndim != 1 or values.dtype.kind not in "iu" or not values.size:
                raise EvidenceError(f"the stream's {name}s are {values.dtype} {values.shape}; expected integers (n,)")
            if wrong := np.flatnonzero((values < 0) | (values >= limit)).tolist():
                found = values[wrong[0]]
                raise EvidenceError(f"the {name} of tick {wrong[0]} is {found}; expected 0 to {limit - 1}")
        if states.size != actions.size:
            raise EvidenceError(f"the stream has {states.size} states, but {actions.size} actions")
        states, actions = states.astype(np.int64), actions.astype(np.int64)
        distinct, first, place = np.unique(states, return_index=True, return_inverse=True)
        chosen = actions[first]
        if other := np.flatnonzero(chosen[place] != actions).tolist():
            tick, before = other[0], first[place[other[0]]]
            raise EvidenceError(
                f"the stream takes two actions in state {states[tick]}: {actions[before]} in tick {before}, "
                f"{actions[tick]} in tick {tick}; a greedy policy takes one"
            )
        return cls(states, actions, distinct, chosen)

    def chunks(self) -> list[slice]:
        """The distinct states of each range proof."""
        return [slice(at, at + STATES_AT_ONCE) for at in range(0, self.distinct.size, STATES_AT_ONCE)]

    def part(self, chunk: slice) -> bytes:
        """The states of a range proof and their actions."""
        return self.distinct[chunk].astype("<u8").tobytes() + self.chosen[chunk].astype("<u8").tobytes()

    def check_greedy(self, table: np.ndarray) -> None:
        """EvidenceError unless each chosen action is the first best of its row of the table int32 (n_states, 3)."""
        best = table[self.distinct].argmax(axis=1)
        if wrong := np.flatnonzero(best != self.chosen).tolist():
            k = wrong[0]
            raise EvidenceError(
                f"the stream takes action {self.chosen[k]} in state {self.distinct[k]}; "
                f"the table's greedy action there is {best[k]}"
            )


def comparisons(chosen: Sequence[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Which committed values are compared for the chosen actions of successive states, two pairs per state.

    Returns the places (of the chosen value, of the other), three values per state, and the least difference: 1 if the
    tie would go to the other, else 0.
    """
    pairs = [(k, action, other) for k, action in enumerate(chosen) for other in range(N_ACTIONS) if other != action]
    places = [(N_ACTIONS * k + action, N_ACTIONS * k + other) for k, action, other in pairs]
    return places, [int(other < action) for _, action, other in pairs]


class CommittedValues:
    """The hiding commitments of a table's values: value · G + blinding · H (Pedersen 1991).

    rows uint8 (n_states, 144): the three commitments of each state in compressed form, hold, buy, sell. The blindings
    are derived from the seed and the whole table, so using a seed for two tables does not reveal how they differ.
    """

    def __init__(self, table: np.ndarray, seed: bytes):
        table = checked_table(table)
        if table.shape[1] != N_ACTIONS or table.shape[0] > MAX_STATES:
            raise EvidenceError(
                f"nothing can be proven of a table of shape {table.shape}; expected up to {MAX_STATES} states "
                f"of {N_ACTIONS} actions"
            )
        self._key = secret_key(seed, b"idi-fast zk blinding 1", table)
        bases = generators()
        value_base, blinding_base = FixedBase(bases.value), FixedBase(bases.blinding)
        encoded = bytearray()
        for state, row in enumerate(table.tolist()):
            for action, value in enumerate(row):
                blinded = blinding_base.times(int(self.blinding(state, action)))
                point = value_base.times(abs(value))
                encoded += (blinded + point if value >= 0 else blinded - point).to_compressed_bytes()
        self.rows = np.frombuffer(bytes(encoded), np.uint8).reshape(-1, ROW)

    def blinding(self, state: int, action: int) -> Scalar:
        """The secret number that hides a value."""
        name = state.to_bytes(8, "little") + bytes([action])
        return wide_scalar(hmac.digest(self._key, name, "sha512"))

    def differences(self, table: np.ndarray, states: np.ndarray, chosen: np.ndarray) -> tuple[list[int], list[Scalar]]:
        """The numbers to be proven for successive states, and the blindings of their commitments."""
        places, least = comparisons(chosen.tolist())
        values = table[states].ravel().tolist()
        blindings = [self.blinding(state, action) for state in states.tolist() for action in range(N_ACTIONS)]
        numbers = [values[i] - values[j] - offset for (i, j), offset in zip(places, least, strict=True)]
        return numbers, [blindings[i] - blindings[j] for i, j in places]


def hashed_rows(states: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The leaf hashes uint8 (n, 32) of states int64 (n,) with commitments uint8 (n, 144).

    A leaf holds 16 bytes `idi-fast zk leaf`, the state index u64-LE, and the three commitments.
    """
    tag = np.broadcast_to(np.frombuffer(LEAF_TAG, np.uint8), (states.size, len(LEAF_TAG)))
    numbers = states.astype("<u8")[:, None].view(np.uint8)
    return hash_leaves(np.hstack([tag, numbers, rows]))


def check_commitment(commitment: Commitment) -> None:
    """EvidenceError unless proofs can be made for a commitment."""
    if commitment.form != PEDERSEN or commitment.actions != N_ACTIONS or commitment.size > MAX_STATES:
        raise EvidenceError(
            f"nothing can be proven of a commitment {commitment.form} to {commitment.size} states of "
            f"{commitment.actions} actions; expected {PEDERSEN}, up to {MAX_STATES} states of {N_ACTIONS} actions"
        )

"""Proofs that a published stream of actions is greedy on a hidden table, and their encoding.

A proof is 16 bytes `idi-fast zk 3` and zeros; for each distinct state of the stream, ascending, its three commitments;
the hashes that lead from there to the root (`merkle.audit_nodes`); a range proof for every 64 of these states. The
length of each part follows from what is public, so nothing can be left over. Proofs of version 2, which began with
`idi-fast zk 1` and bound less, are verified with commitments of that version. Not audited, not constant time.
"""

import hashlib
from collections.abc import Callable

import numpy as np

from idi_fast.errors import EvidenceError
from idi_fast.evidence.fixed_point import SCALE
from idi_fast.evidence.merkle import (
    HASH,
    PEDERSEN,
    VERSION,
    Commitment,
    audit_nodes,
    checked_table,
    count_audit_nodes,
    root_from,
    root_of,
    tree,
)
from idi_fast.evidence.zk import statement as numbers_of
from idi_fast.evidence.zk.curve import GENERATORS_SHA256, POINT, Point, read_point
from idi_fast.evidence.zk.range_proof import BITS, Batch, RangeProof, proof_size, prove_range
from idi_fast.evidence.zk.statement import (
    N_ACTIONS,
    ROW,
    Claims,
    CommittedValues,
    check_commitment,
    comparisons,
    hashed_rows,
)
from idi_fast.evidence.zk.transcript import Secrets, Transcript
from idi_fast.parallel.worker_pool import WorkerPool

MAGIC = {2: b"idi-fast zk 1".ljust(16, b"\0"), VERSION: b"idi-fast zk 3".ljust(16, b"\0")}
PROTOCOL = {
    2: b"idi-fast zk: greedy actions of a committed table, version 1",
    VERSION: b"idi-fast zk: greedy actions of a committed table, format 3",
}
PROOFS_AT_ONCE = 16
"""Range proofs that are checked as one sum: enough that its 8,000 generators cost little beside their own points, and
few enough that an invalid proof of many thousand states is refused early."""


def commit_table(table: np.ndarray, seed: bytes, version: int = VERSION) -> Commitment:
    """The commitment to publish for a table of which proofs will be made.

    table int32 (n_states, 3), in 1/65536, at most 65,536 states; seed: at least 32 secret random bytes, to be kept for
    `prove`; version: 2 for comparison with commitments of that version. Raises EvidenceError. Takes 0.1 ms a state.
    """
    return _commitment(_tree(CommittedValues(table, seed).rows), version)


def prove(
    table: np.ndarray,
    seed: bytes,
    states: np.ndarray,
    actions: np.ndarray,
    *,
    context: bytes = b"",
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bytes:
    """The proof that in each of the states the action is the greedy one of the table; ties go to the first.

    table and seed as in `commit_table`; states, actions: integers (n,), one per tick. context: further data that the
    proof is bound to. jobs: threads, by default the usable cores; progress is called now and then with
    the number of distinct states that are proven, and of all. Raises EvidenceError if an action is not greedy.
    """
    table = checked_table(table)
    claims = Claims.of(states, actions, table.shape[0])
    claims.check_greedy(table)
    values = CommittedValues(table, seed)
    levels = _tree(values.rows)
    rows = values.rows[claims.distinct].tobytes()
    nodes = b"".join(audit_nodes(levels, claims.distinct))
    statement = _statement(_commitment(levels), claims, context, rows, nodes)
    chunks = claims.chunks()
    proofs = [b""] * len(chunks)

    def work(number: int) -> None:
        chunk = chunks[number]
        transcript = _chunk_transcript(statement, claims, number, VERSION)
        numbers, blindings = values.differences(table, claims.distinct[chunk], claims.chosen[chunk])
        proofs[number] = prove_range(transcript, Secrets(seed, transcript.digest()), numbers, blindings)

    def watch() -> None:
        done = sum(claims.distinct[chunk].size for chunk, proof in zip(chunks, proofs, strict=True) if proof)
        progress(done, claims.distinct.size)

    WorkerPool(jobs, len(chunks)).each(work, range(len(chunks)), watch)
    watch()
    return MAGIC[VERSION] + rows + nodes + b"".join(proofs)


def verify(commitment: Commitment, states: np.ndarray, actions: np.ndarray, proof: bytes, context: bytes = b"") -> None:
    """Raise EvidenceError, with what does not hold, unless the proof shows its claim.

    That is: in each of the states the action is the greedy one of the table which the commitment binds, ties going to
    the first, and the proof was made for this context. states, actions: integers (n,), one per tick. Version
    2 binds no context. `idi_fast.evidence.zk` says what else must be trusted.
    """
    check_commitment(commitment)
    claims = Claims.of(states, actions, commitment.size)
    rows, nodes, proofs = _parts(commitment, claims, proof)
    leaves = hashed_rows(claims.distinct, np.frombuffer(rows, np.uint8).reshape(-1, ROW))
    path = [nodes[at : at + HASH] for at in range(0, len(nodes), HASH)]
    if not commitment.binds(root_from(commitment.size, claims.distinct, leaves, path)):
        raise EvidenceError("the proof's commitments to the published states do not lead to the committed root")

    statement = _statement(commitment, claims, context, rows, nodes)
    # The hash of the proof determines the weights: one that hides an error can only be found by trial.
    lots = statement.fork(b"weights", hashlib.sha512(proof).digest())
    weights = [(lots.challenge(b"first"), lots.challenge(b"second")) for _ in proofs]
    chunks = claims.chunks()
    # Everything is parsed before anything is multiplied: garbage is refused at once.
    read = []
    for number, data in enumerate(proofs):
        transcript = _chunk_transcript(statement, claims, number, commitment.version)
        read.append(RangeProof.read(transcript, data, f"range proof {number + 1} of {len(proofs)}"))
    points = [_points(claims.distinct[chunk], rows, chunk) for chunk in chunks]

    def holds(first: int, stop: int) -> bool:
        batch = Batch()
        for number in range(first, stop):
            places, least = comparisons(claims.chosen[chunks[number]].tolist())
            batch.add(read[number], points[number], places, least, weights[number])
        return batch.holds()

    for begin in range(0, len(proofs), PROOFS_AT_ONCE):
        first, stop = begin, min(begin + PROOFS_AT_ONCE, len(proofs))
        if holds(first, stop):
            continue
        # Bisection finds the first that fails in no more time than all of them took.
        while stop - first > 1:
            middle = (first + stop) // 2
            first, stop = (middle, stop) if holds(first, middle) else (first, middle)
        failed = claims.distinct[chunks[first]]
        raise EvidenceError(
            f"range proof {first + 1} of {len(proofs)} does not hold: nothing shows that the actions in the states "
            f"{failed[0]} to {failed[-1]} are greedy, or it was made for other files"
        )


def _parts(commitment: Commitment, claims: Claims, proof: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """The commitments, the hashes and the range proofs of a proof, whose length is known beforehand."""
    rows = claims.distinct.size * ROW
    nodes = count_audit_nodes(commitment.size, claims.distinct) * HASH
    sizes = [proof_size((N_ACTIONS - 1) * claims.distinct[chunk].size) for chunk in claims.chunks()]
    magic = MAGIC[commitment.version]
    expected = len(magic) + rows + nodes + sum(sizes)
    if len(proof) != expected:
        raise EvidenceError(f"the proof has {len(proof)} bytes; for this stream and this commitment it has {expected}")
    if proof[: len(magic)] != magic:
        raise EvidenceError(f"the proof begins with {proof[: len(magic)]!r}; expected {magic!r}")
    parts, at = [], len(magic)
    for size in (rows, nodes, *sizes):
        parts.append(proof[at : at + size])
        at += size
    return parts[0], parts[1], parts[2:]


def _points(states: np.ndarray, rows: bytes, chunk: slice) -> list[Point]:
    encoded = rows[chunk.start * ROW : chunk.stop * ROW]
    return [
        read_point(encoded[k * POINT : (k + 1) * POINT], f"the commitment of action {k % N_ACTIONS} in state {state}")
        for k, state in enumerate(np.repeat(states, N_ACTIONS).tolist())
    ]


def _tree(rows: np.ndarray) -> list[np.ndarray]:
    return tree(hashed_rows(np.arange(rows.shape[0]), rows))


def _commitment(levels: list[np.ndarray], version: int = VERSION) -> Commitment:
    return Commitment.of(root_of(levels), levels[0].shape[0], N_ACTIONS, PEDERSEN, version)


def _statement(commitment: Commitment, claims: Claims, context: bytes, rows: bytes, nodes: bytes) -> Transcript:
    """Everything public, as the first part of every range proof's transcript."""
    transcript = Transcript(PROTOCOL[commitment.version])
    transcript.absorb(b"generators", bytes.fromhex(GENERATORS_SHA256))
    if commitment.version > 2:
        constants = (commitment.version, BITS, numbers_of.STATES_AT_ONCE, SCALE)
        transcript.absorb(b"version, bits, states at once, scale", np.array(constants, "<u8").tobytes())
        transcript.absorb(b"form", commitment.form.encode())
        transcript.absorb(b"context", context)
    transcript.absorb(b"root", commitment.root)
    transcript.absorb(b"size, actions", np.array([commitment.size, commitment.actions], "<u8").tobytes())
    transcript.absorb(b"states", claims.states.astype("<u8").tobytes())
    transcript.absorb(b"actions", claims.actions.astype("<u8").tobytes())
    transcript.absorb(b"commitments", rows)
    transcript.absorb(b"path", nodes)
    return transcript


def _chunk_transcript(statement: Transcript, claims: Claims, number: int, version: int) -> Transcript:
    chunks = claims.chunks()
    transcript = statement.fork(b"range proof", np.array([number, len(chunks)], "<u8").tobytes())
    if version > 2:
        transcript.absorb(b"states, actions", claims.part(chunks[number]))
    return transcript

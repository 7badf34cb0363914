"""The commitments of a folder, checked against their policy and the root that a reader knows."""

from pathlib import Path

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.errors import EvidenceError
from idi_fast.evidence.claims import FAILS, Claim, Unchecked, attempt
from idi_fast.evidence.fixed_point import differing_states, to_fixed_point
from idi_fast.evidence.merkle import PEDERSEN, PLAIN, REFERENCE, Commitment, bound_root, commit, is_root
from idi_fast.evidence.private import BLINDING, SALT, secret_seed
from idi_fast.evidence.provers import COMMITMENT, PROOF, UNBOUND_2, ProverOptions
from idi_fast.evidence.published import Published, fixed_table, reference_tree, state_values, visited_values
from idi_fast.evidence.reference import COMMIT_FILE, PATHS_FILE, read_commit, read_paths
from idi_fast.storage.json_files import MAX_JSON

SALTED_TRUST = "that the policy is the one meant"


def check_commitments(published: Published, options: ProverOptions) -> list[Claim]:
    """The claims about a folder's commitments, none if it has none."""
    claims, policy = [], published.policy
    if COMMITMENT in published.files:
        # With a proof, a commitment to a hidden table claims no policy.
        if policy is not None or PROOF not in published.files:
            claims.append(attempt("commitment", "the policy", lambda: _ours(published, policy, options), SALTED_TRUST))
        claims.append(attempt("root", "the root given", lambda: _root(published, options.root)))
    if COMMIT_FILE in published.files:
        claims.append(attempt("commitment", "the policy", lambda: _theirs(published, policy), SALTED_TRUST))
        if COMMITMENT not in published.files:
            claims.append(attempt("root", "the root given", lambda: _their_root(published, options.root)))
    elif COMMITMENT not in published.files and options.root is not None:
        claims.append(Claim("root", "the root given", FAILS, f"the folder has no {COMMITMENT}"))
    return claims


def _ours(published: Published, policy: Policy | None, options: ProverOptions) -> str:
    commitment = Commitment.from_json(published.data(COMMITMENT))
    about = f"root {commitment.root.hex()[:16]}… of {commitment.size:,} states"
    if policy is None:
        return Unchecked(f"{about}; there is no policy to compare it with")
    if commitment.size != policy.space.n_states:
        raise EvidenceError(
            f"it is to {commitment.size:,} states; the policy in the folder has {policy.space.n_states:,}"
        )
    if commitment.form != PLAIN and options.private is None:
        return Unchecked(f"{about}; only who has its secret seed can compare it with the policy (`private`)")
    if committed_again(policy, commitment, options.private) != commitment:
        raise EvidenceError("it is not that of the policy in the folder")
    return about + _unlike(state_values(policy))


def committed_again(policy: Policy, commitment: Commitment, private: Path | None) -> Commitment:
    """The commitment to a policy in the form and version of another one; private: folder of its secret seed."""
    table = fixed_table(policy)
    if commitment.form == PLAIN:
        return commit(table, None, commitment.version).commitment
    assert private is not None  # without the seed there is nothing to compare with
    if commitment.form == PEDERSEN:
        from idi_fast.evidence import zk

        return zk.commit_table(table, secret_seed(private, BLINDING, make=False), commitment.version)
    return commit(table, secret_seed(private, SALT, make=False), commitment.version).commitment


def _root(published: Published, root: str | None) -> str:
    commitment = Commitment.from_json(published.data(COMMITMENT))
    if root is None:
        return Unchecked(f"it is {commitment.root.hex()}; say which one was published before: `root`")
    if not is_root(root, commitment.root.hex()):
        raise EvidenceError(f"its root is {commitment.root.hex()}; expected {root}")
    if commitment.version == 2:
        return Unchecked(f"it is the one given, but {UNBOUND_2}")
    return f"it is, and {commitment.size:,} states with it"


def _theirs(published: Published, policy: Policy | None) -> str:
    root, size = read_commit(published.data(COMMIT_FILE))
    if policy is None:
        # Nothing binds the size to the root; a longer file is not read.
        if published.files.get(PATHS_FILE, MAX_JSON + 1) <= MAX_JSON:
            read_paths(published.data(PATHS_FILE), size)
        return Unchecked("there is no policy to compare it with")
    visited, tree = visited_values(policy)[1], reference_tree(policy)
    for name, text in ((COMMIT_FILE, tree.commit_text()), (PATHS_FILE, tree.paths_text())):
        if published.files.get(name) != len(text) or published.data(name, len(text)) != text:
            raise EvidenceError(f"{name} is not that of the policy in the folder")
    return f"root {root.hex()[:16]}… of {size:,} states{_unlike(visited)}"


def _unlike(values: np.ndarray) -> str:
    # Values closer than a step can be exchanged under the same root.
    count = differing_states(values, to_fixed_point(values)).size
    return f"; the greedy action of {count:,} of them is another one than the policy's" if count else ""


def _their_root(published: Published, root: str | None) -> str:
    tree_root, size = read_commit(published.data(COMMIT_FILE))
    bound = bound_root(tree_root, size, 3, REFERENCE).hex()
    if root is None:
        return Unchecked(f"it is {bound}; say which one was published before: `root`")
    if is_root(root, tree_root.hex()):
        return Unchecked(
            "it is the one given, but the reference's root binds neither size nor states; give the bound one"
        )
    if not is_root(root, bound):
        raise EvidenceError(f"its root is {bound}; expected {root}")
    return f"it is, and {size:,} states with it"

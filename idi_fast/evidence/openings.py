"""Committing to a policy and opening single states of it, in our form and in the reference's."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.errors import ArtifactError, EvidenceError, InputError, OutputError, nearest
from idi_fast.evidence import reference
from idi_fast.evidence.fixed_point import differing_states, to_fixed_point
from idi_fast.evidence.folder import put_files, read_file
from idi_fast.evidence.manifest import Manifest
from idi_fast.evidence.merkle import REFERENCE, Commitment, Opening, bound_root, is_root, verify_opening
from idi_fast.evidence.provers import COMMITMENT, UNBOUND_2
from idi_fast.evidence.publish import committed
from idi_fast.evidence.published import reference_tree, state_values
from idi_fast.evidence.reference import COMMIT_FILE, PATHS_FILE
from idi_fast.evidence.strict_json import integer, parse_object, take
from idi_fast.storage.failures import explained
from idi_fast.storage.files import MANIFEST, check_place, digest, new_directory
from idi_fast.storage.json_files import MAX_JSON
from idi_fast.storage.staging import Staging

OURS, IDI = "idi-fast", "idi"
FORMS = (OURS, IDI)
IDI_OPENING = "qtable_entry_opening_v1"
MAX_OPENING = 64 * 1024


def write_commitment(
    artifact: Path, out: Path, form: str = OURS, *, private: Path | None = None, force: bool = False
) -> dict[str, Any]:
    """Commit to the policy of an artifact, in a new folder for publication.

    form: "idi-fast" (commitment.json, over all states, leaves salted if there is a private folder) or "idi"
    (qtable.commit.json and qtable.proofs.json, over the states that training visited). Returns folder, form, root
    (hexadecimal; `bound_root`, for the reference's form too), states, and in how many of the `compared` states of the
    policy, which are all, the greedy action differs in fixed point (`differing_states`). Raises InputError,
    EvidenceError, OutputError.
    """
    _check_form(form, private)
    policy = Policy.load(artifact)
    values = state_values(policy)
    differing = int(differing_states(values, to_fixed_point(values)).size)
    with new_directory(out, force=force, inputs=(artifact,)) as folder:
        if form == IDI:
            tree = reference_tree(policy)
            files = {COMMIT_FILE: tree.commit_text(), PATHS_FILE: tree.paths_text()}
            states = len(tree.keys)
            root = bound_root(tree.root, states, 3, REFERENCE)
        else:
            commitment = committed(policy, private, published=(out,), read=_folder_of(artifact)).commitment
            files = {COMMITMENT: commitment.to_json().encode()}
            root, states, form = commitment.root, commitment.size, commitment.form
        put_files(folder, files)
        about = {name: digest(folder / name) for name in files}
        put_files(folder, {MANIFEST: Manifest(policy.config.fingerprint(), about).text()})
    return {
        "folder": str(out),
        "form": form,
        "root": root.hex(),
        "states": states,
        "compared": policy.space.n_states,
        "differing_states": differing,
    }


def open_state(artifact: Path, state: str, form: str = OURS, *, private: Path | None = None) -> bytes:
    """The opening of a state, as JSON; state: its index or its digits, ``1,2,0,3,1``. Raises InputError."""
    _check_form(form, private)
    policy = Policy.load(artifact)
    index = _state_index(policy, state)
    if form == OURS:
        return committed(policy, private, read=_folder_of(artifact), make=False).open(index).to_json().encode()
    key = reference.state_key(policy.space.digits(np.array([index]))[0])
    values = to_fixed_point(policy.values(np.array([index])))[0].tolist()
    path = [[node.hex(), right] for node, right in reference_tree(policy).path(key)]
    return json.dumps({"format": IDI_OPENING, "state": key, "values": values, "path": path}, indent=2).encode()


def verify_opened(commitment: Path, opening: Path, root: str | None = None) -> dict[str, Any]:
    """Check an opening against a commitment of either form.

    commitment: the file, or its folder; root: the commitment's known root, hexadecimal. Returns form, state, values (in
    1/65536), root and `unbound`: what the commitment's format leaves open, None if it binds the values. Raises
    EvidenceError if the opening does not hold, InputError if there are no such files.
    """
    place = _commitment_file(commitment)
    text, opened = _read(place), _read(opening, MAX_OPENING)
    if "leaf_encoding" in parse_object(text, str(commitment)):
        found = _verify_theirs(place, text, opened)
    else:
        shown, bound = Opening.from_json(opened), Commitment.from_json(text)
        verify_opening(bound, shown)
        unbound = None if bound.version > 2 else UNBOUND_2
        found = {"form": bound.form, "state": shown.state, "values": list(shown.values)}
        found |= {"root": bound.root.hex(), "unbound": unbound}
    if root is not None and not is_root(root, found["root"]):
        raise EvidenceError(f"the commitment's root is {found['root']}; expected {root}")
    return found


def _verify_theirs(place: Path, text: bytes, opened: bytes) -> dict[str, Any]:
    root, size = reference.read_commit(text)
    fields = parse_object(opened, "the opening", MAX_OPENING)
    if set(fields) != {"format", "state", "values", "path"} or fields["format"] != IDI_OPENING:
        raise EvidenceError(f"the opening must be of the format {IDI_OPENING!r}, with state, values and path")
    key, values = take(fields, "state", str, "the opening"), take(fields, "values", list, "the opening")
    if not key.isprintable():
        raise EvidenceError("the opening's state is no text that can be printed")
    if len(values) != 3:
        raise EvidenceError(f"the opening has {len(values)} values; expected 3")
    values = [integer(value, -(2**31), 2**31 - 1, "a value of the opening") for value in values]
    path = reference.read_path(fields["path"], reference.path_length(size), "the opening")
    reference.verify_path(root, key, values, path)
    unbound = "the reference's root binds neither its size nor a state to one row"
    paths = place.parent / PATHS_FILE
    if os.path.isfile(paths) and paths.stat().st_size <= MAX_JSON:
        known = reference.read_paths(_read(paths, MAX_JSON), size)
        if key not in known:
            raise EvidenceError(f"{PATHS_FILE} has no state {key[:80]}.{nearest(key, known)}")
        if known[key] != path:
            raise EvidenceError(
                f"the opening's path is not that of {key[:80]} in {PATHS_FILE}: the root has two rows of it"
            )
    else:
        unbound += f", and {PATHS_FILE}, which names each state once, is not beside it, or too long to be read"
    bound = bound_root(root, size, 3, REFERENCE).hex()
    return {"form": reference.LEAF_ENCODING, "state": key, "values": values, "root": bound, "unbound": unbound}


def write_opening(out: Path, text: bytes) -> None:
    """Write an opening to a new file. Raises OutputError, WriteError."""
    with Staging() as staging:
        staging.watch(out)
        check_place(out)
        if os.path.lexists(out):
            raise OutputError(f"the output {out} already exists; choose another name")
        with explained(out):
            staging.reserve(out).write_bytes(text)
        staging.swap([out])


def _check_form(form: str, private: Path | None) -> None:
    if form not in FORMS:
        raise InputError(f"`form` is {form!r}; expected one of {', '.join(FORMS)}.{nearest(form, FORMS)}")
    if form == IDI and private is not None:
        raise InputError("the reference's form has no salts; `private` goes with `form='idi-fast'`")


def _folder_of(artifact: Path) -> tuple[Path, ...]:
    return (artifact if os.path.isdir(artifact) else artifact.parent,)


def _state_index(policy: Policy, state: str) -> int:
    digits = state.strip("() ").split(",")
    if not all(re.fullmatch(r" *[0-9]{1,9} *", digit) for digit in digits):
        raise InputError(f"the state is {state!r}; expected its index or its digits, as in 1,2,0,3,1")
    if len(digits) > 1:
        return policy.state_index([int(digit) for digit in digits])
    if int(state) >= policy.space.n_states:
        raise ArtifactError(f"the state is {state}; expected 0 to {policy.space.n_states - 1}")
    return int(state)


def _commitment_file(path: Path) -> Path:
    if not os.path.isdir(path):
        return path
    found = [path / name for name in (COMMITMENT, COMMIT_FILE) if os.path.isfile(path / name)]
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} commitments; give the file {COMMITMENT} or {COMMIT_FILE}")
    return found[0]


def _read(path: Path, limit: int = MAX_OPENING) -> bytes:
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    return read_file(path.parent, path.name, limit)

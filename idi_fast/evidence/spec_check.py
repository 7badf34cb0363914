"""The specification's folder `spec/` against the published trace, its contract and the simulation."""

import numpy as np

from idi_fast.agents.streams import check_stream, stream_text
from idi_fast.config.block import SettingError
from idi_fast.errors import EvidenceError
from idi_fast.evidence.checks import NOT_CHECKED, OK, Check, attempt
from idi_fast.evidence.folder import read_file
from idi_fast.evidence.manifest import Manifest, check_files
from idi_fast.evidence.published import MAX_STREAM, TRACE, Published
from idi_fast.evidence.strict_json import integer, parse_object, take
from idi_fast.storage.files import digest
from idi_fast.tau.check import SPEC_FOLDER, check_folder
from idi_fast.tau.contract import Contract
from idi_fast.tau.formula import NotModelled, SpecError
from idi_fast.tau.simulate import simulate
from idi_fast.tau.spec_folder import EXPECTED, SPECIFICATION

ABOUT = "spec.json"


def check_spec(published: Published) -> list[Check]:
    """The checks of `spec/`, none where there is no such folder."""
    if f"{SPEC_FOLDER}/{ABOUT}" not in published.files:
        if any(name.startswith(f"{SPEC_FOLDER}/") for name in published.files):
            return [Check("specification", "contract", NOT_CHECKED, f"there is no {SPEC_FOLDER}/{ABOUT}")]
        return []
    trusted = "that the contract says what is wanted, and the simulation for the Tau interpreter (`idi-fast tau run`)"
    check = attempt("specification", "contract, trace, simulation", lambda: _check(published), trusted)
    if check.outcome != OK:
        return [check]
    # Only now: a specification that is not the contract's may name files anywhere.
    return [check, attempt("specification", "tau check", lambda: _tau_check(published))]


def _tau_check(published: Published) -> str:
    report = check_folder(published.folder / SPEC_FOLDER)
    if report.errors:
        raise EvidenceError(f"{report.errors[0]}")
    return f"{report.steps:,} steps" if report.steps is not None else "no errors"


def _check(published: Published) -> str:
    """agent.tau is the contract's, its inputs are the trace's streams, and expected/ is what comes of them."""
    folder = published.folder / SPEC_FOLDER
    if wrong := check_files(folder, Manifest.of(folder)):
        raise EvidenceError(f"{SPEC_FOLDER}: {wrong[0]}")
    about = parse_object(read_file(folder, ABOUT), ABOUT)
    try:
        contract = Contract.from_dict(take(about, "contract", dict, ABOUT))
        spec = contract.specification(take(about, "name_prefix", str, ABOUT))
    except (SettingError, SpecError, NotModelled) as error:
        raise EvidenceError(f"{ABOUT}: contract: {error}") from None
    if read_file(folder, SPECIFICATION) != str(spec).encode("ascii"):
        raise EvidenceError(f"{SPECIFICATION} is not the specification of the contract in {ABOUT}")
    if published.trace is None:
        raise EvidenceError(f"there is no {TRACE} that the inputs could be compared with")
    if about.get("trace") != digest(published.folder / TRACE):
        raise EvidenceError(f"{ABOUT}: the inputs were not made of this {TRACE}")
    texts = {stream.path: read_file(folder, stream.path, MAX_STREAM) for stream in spec.inputs}
    own = _check_inputs(published, about, contract, texts)
    run = simulate(spec, texts)
    for path, text in run.files().items():
        name = f"{EXPECTED}/{path.rpartition('/')[2]}"
        if read_file(folder, name, MAX_STREAM) != text:
            raise EvidenceError(f"{SPEC_FOLDER}/{name} is not what comes of the inputs")
    return f"{len(texts)} inputs, {len(run.files())} outputs of {run.steps:,} steps{own}"


def _check_inputs(published: Published, about: dict, contract: Contract, texts: dict[str, bytes]) -> str:
    """Each input is the trace's column that spec.json names; says which are from a file of the owner's."""
    frame, _ = published.trace
    start = integer(about.get("start"), 0, frame.height - 1, f"{ABOUT}: start")
    ticks = integer(about.get("ticks"), 1, frame.height - start, f"{ABOUT}: ticks")
    described, foreign = take(about, "inputs", list, ABOUT), []
    if len(described) != len(contract.inputs):
        raise EvidenceError(f"{ABOUT} describes {len(described)} inputs; the contract has {len(contract.inputs)}")
    for each, (path, text), stream in zip(described, texts.items(), contract.inputs, strict=True):
        column = take(each, "column", str, ABOUT) if isinstance(each, dict) else ""
        if column not in frame.columns and about.get("columns") is not None:
            foreign.append(stream.name)
            continue
        if column not in frame.columns:
            raise EvidenceError(
                f"{ABOUT}: {stream.name} is from the column {column[:80]!r}, which {TRACE} does not have"
            )
        values = frame[column].to_numpy()[start : start + ticks]
        if values.dtype == bool:
            values = values.astype(np.uint8)
        if values.dtype.kind not in "iu":
            raise EvidenceError(f"{TRACE}: {column} is to hold whole numbers")
        check_stream(stream.name, values, contract.types[stream.name])
        if text != stream_text(values):
            raise EvidenceError(f"{SPEC_FOLDER}/{path} is not the column {column} of {TRACE}")
    return f"; {', '.join(foreign)} from a file of the owner's, not checked" if foreign else ""

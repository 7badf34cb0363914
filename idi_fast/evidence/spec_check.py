"""The specification's folder `spec/` against the published trace, its contract and the simulation."""

import numpy as np

from idi_fast.agents.streams import check_stream, stream_text
from idi_fast.config.block import SettingError
from idi_fast.config.feature_columns import feature_sizes
from idi_fast.errors import EvidenceError
from idi_fast.evidence.claims import Claim, Unchecked, attempt
from idi_fast.evidence.folder import read_file
from idi_fast.evidence.manifest import Manifest, check_files
from idi_fast.evidence.published import MAX_STREAM, TRACE, Published
from idi_fast.evidence.strict_json import integer, parse_object, take
from idi_fast.storage.files import MANIFEST, digest
from idi_fast.storage.json_files import json_text
from idi_fast.tau.check import SPEC_FOLDER, check_folder
from idi_fast.tau.contract import Contract
from idi_fast.tau.export import FEATURE, of_feature
from idi_fast.tau.formula import NotModelled, SpecError
from idi_fast.tau.simulation import simulate
from idi_fast.tau.spec_folder import EXPECTED, SPECIFICATION, described, readme

ABOUT, README = "spec.json", "README.md"
KEYS = (
    "schema_version",
    "kind",
    "name_prefix",
    "emotes",
    "source",
    "trace",
    "columns",
    "start",
    "ticks",
    "inputs",
    "outputs",
    "contract",
)


def check_spec(published: Published) -> list[Claim]:
    """The claim about `spec/`, none if there is no such folder."""
    if not any(name.startswith(f"{SPEC_FOLDER}/") for name in published.files):
        return []
    trusted = "that the contract says what is wanted, and the simulation for the Tau interpreter (`idi-fast tau run`)"
    return [attempt("spec", "contract, trace, simulation", lambda: _check(published), trusted)]


def covered(published: Published) -> set[str]:
    """The files of a sound specification that were checked: all that are recomputed."""
    folder = published.folder / SPEC_FOLDER
    about = parse_object(read_file(folder, ABOUT), ABOUT)
    contract = Contract.from_dict(about["contract"])
    spec = contract.specification(about["name_prefix"])
    names = {SPECIFICATION, ABOUT, MANIFEST, *(stream.path for stream in spec.inputs)}
    names |= {f"{EXPECTED}/{stream.path.rpartition('/')[2]}" for stream in spec.outputs}
    if README in Manifest.of(folder).files and read_file(folder, README) == readme(contract, spec, about).encode():
        names.add(README)
    return {f"{SPEC_FOLDER}/{name}" for name in names}


def _check(published: Published) -> str:
    """agent.tau is the contract's, its inputs are the trace's streams, and expected/ is their result."""
    if f"{SPEC_FOLDER}/{ABOUT}" not in published.files:
        return Unchecked(f"there is no {SPEC_FOLDER}/{ABOUT}")
    folder = published.folder / SPEC_FOLDER
    manifest = Manifest.of(folder)
    if wrong := check_files(folder, manifest):
        raise EvidenceError(f"{SPEC_FOLDER}: {wrong[0]}")
    about = parse_object(read_file(folder, ABOUT), ABOUT)
    if set(about) != set(KEYS) or read_file(folder, ABOUT) != json_text(about).encode():
        raise EvidenceError(f"{ABOUT} is not written as it is written with a specification")
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
    said = manifest.config_sha256, manifest.inputs, manifest.training, manifest.metadata
    if said != (published.trace[1].get("fingerprint"), {}, None, None):
        raise EvidenceError(f"{SPEC_FOLDER}/{MANIFEST} says other things than that of a specification of this {TRACE}")
    texts = {stream.path: read_file(folder, stream.path, MAX_STREAM) for stream in spec.inputs}
    foreign = _check_inputs(published, about, contract, texts)
    run = simulate(spec, texts)
    for path, text in run.files().items():
        name = f"{EXPECTED}/{path.rpartition('/')[2]}"
        if read_file(folder, name, MAX_STREAM) != text:
            raise EvidenceError(f"{SPEC_FOLDER}/{name} is not the result of the inputs")
    origins = [each["column"] for each in about["inputs"]]
    for key, value in {"ticks": run.steps, **described(spec, origins, run)}.items():
        if about.get(key) != value:
            raise EvidenceError(f"{ABOUT}: its {key} are not those of the specification")
    # Only now: a specification other than the contract's may name files anywhere.
    report = check_folder(folder)
    if report.errors:
        raise EvidenceError(f"tau check: {report.errors[0]}")
    found = f"{len(texts)} inputs, {len(run.files())} outputs of {run.steps:,} steps"
    if foreign:
        return Unchecked(f"{found}; {', '.join(foreign)} from a file of the owner's, not checked")
    return found


def _check_inputs(published: Published, about: dict, contract: Contract, texts: dict[str, bytes]) -> list[str]:
    """Each input is the trace's column that spec.json names; returns the names of those that come from a file of the
    owner's."""
    frame, said = published.required_trace
    start = integer(about.get("start"), 0, frame.height - 1, f"{ABOUT}: start")
    ticks = integer(about.get("ticks"), 1, frame.height - start, f"{ABOUT}: ticks")
    described, foreign = take(about, "inputs", list, ABOUT), []
    if len(described) != len(contract.inputs):
        raise EvidenceError(f"{ABOUT} describes {len(described)} inputs; the contract has {len(contract.inputs)}")
    for each, (path, text), stream in zip(described, texts.items(), contract.inputs, strict=True):
        column = take(each if isinstance(each, dict) else {}, "column", str, f"{ABOUT}: inputs")
        width = contract.types[stream.name]
        if column.startswith(FEATURE):
            if published.statement is not None and said.get("features") != feature_sizes(published.statement.config):
                raise EvidenceError(f"{TRACE}: its features are not those of the config")
            values = of_feature(frame, said, column.removeprefix(FEATURE), f"{ABOUT}: {stream.name}", width)
            check_stream(stream.name, values, width)
            if text != stream_text(values[start : start + ticks]):
                raise EvidenceError(f"{SPEC_FOLDER}/{path} is not {column} of {TRACE}")
            continue
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
            raise EvidenceError(f"{TRACE}: {column} must hold whole numbers")
        check_stream(stream.name, values, width)
        if text != stream_text(values):
            raise EvidenceError(f"{SPEC_FOLDER}/{path} is not the column {column} of {TRACE}")
    return foreign

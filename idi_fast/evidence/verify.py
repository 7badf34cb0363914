"""Verifying a published folder: for each claim, what it was checked against and who must be trusted."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idi_fast.data.sources import is_pattern
from idi_fast.errors import EvidenceError, InputError, nearest
from idi_fast.evidence.claims import CLAIMS, FAILS, HOLDS, NOT_CHECKED, Claim, attempt
from idi_fast.evidence.commitments import check_commitments
from idi_fast.evidence.content import check_content
from idi_fast.evidence.folder import existing, left_out
from idi_fast.evidence.manifest import check_files
from idi_fast.evidence.provers import (
    CLAIM,
    COMMITMENT,
    PROOF,
    PROVERS,
    RECEIPT,
    UNBOUND_2,
    ProverOptions,
    check_reference_manifest,
    find_prover,
    is_bound,
    is_claim,
)
from idi_fast.evidence.published import POLICY, RUN, TRACE, Published
from idi_fast.evidence.reference import COMMIT_FILE, MANIFEST_FILE, PATHS_FILE, STREAMS_FOLDER
from idi_fast.evidence.rollout import check_rollout
from idi_fast.evidence.spec_check import ABOUT, check_spec, covered
from idi_fast.evidence.strict_json import parse_object, take
from idi_fast.storage.files import MANIFEST, TIMINGS
from idi_fast.tau.check import SPEC_FOLDER

ALL = "all"
REQUIRABLE = ("replay", "zk", ALL, *(name for name in CLAIMS if name not in ("replay", "zk", "digest", "proof")))
"""What a reader may require: claims, or all rows of the verdict. Not a digest, which anybody can make."""
PROOF_REQUIRABLE = ("replay", "zk")
OK, PARTLY, FAILED = "ok", "partly checked", "failed"


@dataclass(frozen=True)
class Verification:
    """The result of a verification; prover: of the folder's proof, "none" without one; required: the names of claims
    that the reader requires."""

    folder: Path
    prover: str
    claims: tuple[Claim, ...]
    required: tuple[str, ...] = ()

    @property
    def failures(self) -> list[str]:
        """Failed claims, and required ones that do not hold, a sentence each."""
        failed = [claim.failure for claim in self.claims if claim.result == FAILS]
        return failed + [f"`require={name!r}`: {why}" for name in self.required if (why := self._unmet(name))]

    def _unmet(self, name: str) -> str | None:
        """Why a required claim does not hold, None if it does. A claim that is not made fails too."""
        rows = [claim for claim in self.claims if name in (ALL, claim.name)]
        open_rows = [claim for claim in rows if claim.result != HOLDS]
        if rows and not open_rows:
            return None
        if name in PROOF_REQUIRABLE:
            if not rows and self.prover == "none":
                return f"the folder has no proof; `idi-fast prove --prover {name}` adds one"
            if not rows:
                return f"the folder's proof is {self.prover}"
            return "it does not hold" if open_rows[0].result == FAILS else f"not checked: {open_rows[0].found}"
        if not rows:
            return "the folder makes no such claim"
        if name == ALL:
            return f"{', '.join(dict.fromkeys(row.name for row in open_rows))} of {len(rows)} claims do not hold"
        return f"{open_rows[0].result}: {open_rows[0].found}"

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and everything required holds."""
        return not self.failures

    @property
    def verdict(self) -> str:
        """The verdict: "ok" if all claims hold, "partly checked" if some were not checked, "failed"."""
        if not self.ok:
            return FAILED
        return OK if all(claim.result == HOLDS for claim in self.claims) else PARTLY

    @property
    def unchecked(self) -> list[str]:
        """Names of the claims that were not checked."""
        return list(dict.fromkeys(claim.name for claim in self.claims if claim.result == NOT_CHECKED))

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema_version": 1,
            "folder": str(self.folder),
            "prover": self.prover,
            "ok": self.ok,
            "verdict": self.verdict,
            "claims": [claim.as_dict() for claim in self.claims],
            "required": list(self.required),
            "failures": self.failures,
        }


def verify_folder(
    folder: str | Path,
    *,
    require: str | None = None,
    policy: Path | None = None,
    sample: int | None = None,
    options: ProverOptions | None = None,
) -> Verification:
    """Verify a folder that `idi-fast` wrote and somebody published.

    Manifest, run, streams, trace, commitments and specification are checked first; if one of these fails, the proof is
    not checked, and if the manifest does not fit the files nothing else. require: names of claims separated by commas,
    or "all", that must hold; policy: the policy if the folder does not hold it; sample: compare this many random ticks
    with the policy instead of training again; options: data, root, command and other inputs of the reader. Raises
    InputError if there is no folder, and for options that cannot be used.
    """
    options = options or ProverOptions()
    required = _names(require)
    if sample is not None and sample < 1:
        raise InputError(f"`sample` is {sample}; expected 1 or more ticks")
    if sample is not None and "replay" in required:
        raise InputError("`sample` does not train again; it does not go with `require='replay'`")
    _check_paths(policy=policy, private=options.private, initial=options.initial, data=options.data)
    folder = existing(folder)
    published = Published(folder, policy)
    trusted = "where the folder is from: a manifest says only that its files belong together"
    claims = [attempt("manifest", "its schema and all files", lambda: _check_files(published), trusted)]
    if claims[0].result == HOLDS:
        claims += _loaded(published)
    if claims[-1].result == FAILS:
        claims.append(Claim("others", "each other", NOT_CHECKED, "content and proof: the files cannot be relied on"))
        return Verification(folder, "unknown", tuple(claims), required)
    if claims[-1].result == NOT_CHECKED:
        prover, rows = _check_proof(published, options, sample, stopped=claims[-1].found)
        rows.append(Claim("others", "each other", NOT_CHECKED, "content and proof: they cannot be read without it"))
        return Verification(folder, prover, (*claims, *rows), required)
    if MANIFEST_FILE in published.files:
        claims.append(attempt("manifest", "run.json and streams", lambda: check_reference_manifest(published)))
    claims += _format(published)
    claims += check_content(published, sample)
    claims += check_commitments(published, options)
    claims += check_spec(published)
    stopped = "not checked, since another claim fails" if any(each.result == FAILS for each in claims) else None
    prover, found = _check_proof(published, options, sample, stopped=stopped)
    claims += found
    if options.data is not None and not stopped and not (prover == "replay" and sample is None):
        # What bars tell of the states, or what is lacking for that, stands in place of what the folder does not tell.
        unshown = [each for each in claims if each.name == "states" and each.result == NOT_CHECKED]
        claims = [each for each in claims if each not in unshown] + check_rollout(published, options.data)
    claims += _others(published, prover, claims)
    return Verification(folder, prover, tuple(_joined(claims)), required)


def _check_paths(**paths: str | Path | None) -> None:
    """Raise InputError if there is nothing at one of the reader's own paths, of which `data` may be a pattern."""
    for name, path in paths.items():
        if path is not None and not (name == "data" and is_pattern(path)) and not os.path.exists(path):
            raise InputError(f"`{name}`: there is nothing at {path}")


def _names(require: str | None) -> tuple[str, ...]:
    names = () if require is None else tuple(name.strip() for name in require.split(","))
    for name in names:
        if name in ("digest", "proof"):
            why = "anybody can make one" if name == "digest" else "of any kind, also a digest, which anybody can make"
            raise InputError(f"`require` is {name!r}, which shows nothing: {why}; require replay or zk")
        if name not in REQUIRABLE:
            raise InputError(
                f"`require` is {name!r}; expected one of {', '.join(REQUIRABLE)}.{nearest(name, REQUIRABLE)}"
            )
    return names


def _check_files(published: Published) -> str:
    manifest = published.manifest
    wrong = check_files(published.folder, manifest)
    own = [name for name in manifest.later if not name.startswith(f"{SPEC_FOLDER}/") and name != TIMINGS]
    if own and ABOUT not in manifest.files:  # which the folder of a specification has for its own outputs
        wrong.insert(0, f"{MANIFEST} says that {own[0]} comes later; only spec/outputs/* and {TIMINGS} may")
    if wrong:
        raise EvidenceError("; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""))
    return f"{len(manifest.files)} files"


def _loaded(published: Published) -> list[Claim]:
    """The first file that cannot be read as what it should be, or not without what the reader has to give; none if all
    can."""
    for name, row in (
        ("run", "config"),
        ("config", "config"),
        ("trace", "streams"),
        ("policy", "actions"),
        ("statement", "config"),
    ):
        found = attempt(row, "what its files are", lambda name=name: str(getattr(published, name) is None))
        if found.result != HOLDS:
            return [found]
    return []


def _format(published: Published) -> list[Claim]:
    """What an earlier format left open, if the folder has one."""
    version = published.manifest.version
    if version > 2:
        return []
    return [Claim("format", "this version", NOT_CHECKED, UNBOUND_2.replace("format 2", f"format {version}"))]


def _check_proof(
    published: Published, options: ProverOptions, sample: int | None, *, stopped: str | None
) -> tuple[str, list[Claim]]:
    """The prover of the folder's proof, "none" without one, and the result.

    stopped: why nothing is proven again: something else has failed, or cannot be read; None if it is.
    """
    policy = published.manifest.proof_policy
    if CLAIM not in published.files:
        failed = policy["require_proof"] or policy["prover"] != "none"
        found = f"there is none, but the manifest says {policy['prover']}" if failed else "there is none"
        return "none", [Claim("proof", "manifest", FAILS if failed else NOT_CHECKED, found)]
    try:
        fields = parse_object(published.data(CLAIM), CLAIM)
        name = take(fields, "prover", str, CLAIM)
        if name not in PROVERS:
            raise EvidenceError(f"{CLAIM}: there is no prover {name[:80]!r}; expected one of {', '.join(PROVERS)}")
        if name != policy["prover"]:
            raise EvidenceError(f"{CLAIM} is of the prover {name}; the manifest says {policy['prover']}")
        if not is_claim(published.data(CLAIM), find_prover(name)):
            raise EvidenceError(f"{CLAIM} does not say what the prover {name} proves and leaves to be trusted")
    except EvidenceError as error:
        return "unknown", [Claim("proof", "its form", FAILS, str(error))]
    if stopped:
        return name, [
            Claim(row, "nothing", NOT_CHECKED, stopped) for row in (name, *(["actions"] if name == "zk" else []))
        ]
    if name == "replay" and sample is not None:
        found = f"not trained again: `sample={sample}`"
        return name, [Claim(name, "training and rollout", NOT_CHECKED, found)]
    return name, find_prover(name).verify(published, options)


def _others(published: Published, prover: str, claims: list[Claim]) -> list[Claim]:
    """Published files that no claim covers, none if there are none."""
    held = {each.name for each in claims if each.result == HOLDS}
    known = {MANIFEST, TIMINGS, RUN, TRACE, POLICY, MANIFEST_FILE, CLAIM}
    known |= {name for name in published.files if name.startswith(f"{STREAMS_FOLDER}/")}
    if published.trace is None:
        known -= {TRACE, POLICY}
    if COMMITMENT in published.files:
        known.add(COMMITMENT)
    if COMMIT_FILE in published.files:
        known |= {COMMIT_FILE, PATHS_FILE}
    if prover in ("digest", "command"):
        known |= {PROOF, RECEIPT}
    if prover == "zk":
        known |= {PROOF, *filter(is_bound, published.files)}
    if "replay" in held:
        known.add("episodes.parquet")
    if "spec" in held:
        known |= covered(published)
    names = [name for name in published.files if name not in known and not _nested_timings(name, published)]
    names += left_out(published.folder)
    said = ("metadata",) if published.run is not None else ("metadata", "training", "inputs")
    names += [f"the {key} in {MANIFEST}" for key in said if getattr(published.manifest, key)]
    if not names:
        return []
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return [Claim("others", "nothing", NOT_CHECKED, f"{', '.join(names[:8])}{more}: whatever they say is not checked")]


def _nested_timings(name: str, published: Published) -> bool:
    """Whether a file is a timings.json beside a listed manifest."""
    parent, _, last = name.rpartition("/")
    return last == TIMINGS and f"{parent}/{MANIFEST}" in published.manifest.files


def _joined(claims: list[Claim]) -> list[Claim]:
    """One row per claim, in the order of CLAIMS: failures stay, and otherwise rows that show more replace those that
    show nothing. Of "others", commitments and roots all rows stay."""
    order = list(CLAIMS)
    rank = {FAILS: 0, HOLDS: 1, NOT_CHECKED: 2}
    best: dict[str, Claim] = {}
    for each in claims:
        if each.name not in best or rank[each.result] < rank[best[each.name].result]:
            best[each.name] = each
    counts = Counter(each.name for each in claims)
    many = [name for name in ("commitment", "root", "others") if counts[name] > 1]
    kept = [each for each in claims if each.name in many or best[each.name] is each]
    return sorted(kept, key=lambda each: order.index(each.name))

"""Adding evidence to a folder, or to one for publication that hides the table."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from idi_fast.agents.policy import Policy
from idi_fast.errors import EvidenceError, InputError
from idi_fast.evidence.folder import existing, put_files
from idi_fast.evidence.manifest import Manifest, check_files, rebuilt
from idi_fast.evidence.merkle import CommittedTable, commit
from idi_fast.evidence.private import SALT, private_folder, secret_seed
from idi_fast.evidence.provers import CLAIM, ProverOptions, digests, find_prover, is_claim, reference_manifest
from idi_fast.evidence.published import Published, fixed_table
from idi_fast.evidence.reference import MANIFEST_FILE
from idi_fast.evidence.statement import STATEMENT, Statement
from idi_fast.storage.files import MANIFEST, new_directory
from idi_fast.storage.settling import settle_beside

ZK = "zk"


def open_folder(folder: str | Path, policy: Path | None = None) -> Published:
    """A folder of ours whose files are those of its manifest. Raises InputError, EvidenceError."""
    folder = existing(folder)
    published = Published(folder, policy)
    wrong = check_files(folder, published.manifest)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise EvidenceError(f"{folder}: {wrong[0]}{more}; idi-fast manifest {folder} makes the manifest anew")
    return published


def write_evidence(published: Published, files: Mapping[str, bytes], prover: str | None = None) -> None:
    """Put files into a folder and its manifest, all or none; existing top-level entries of these names are replaced.

    prover: the folder's new proof, None: unchanged. Raises OutputError.
    """
    tops = {name.partition("/")[0] for name in files}
    manifest = published.manifest
    kept = {name: about for name, about in manifest.files.items() if name.partition("/")[0] not in tops}
    made = digests({name: data for name, data in files.items() if name != MANIFEST})
    manifest = manifest if prover is None else manifest.with_proof(prover)
    changed = replace(manifest, files={**kept, **made})
    put_files(published.folder, {**files, MANIFEST: changed.text()})


def update_manifest(
    folder: str | Path, *, prover: str | None = None, require_proof: bool = False, reference: bool = False
) -> Manifest:
    """Rewrite the manifest of a folder of ours from its current files, and with `reference` the reference's too.

    prover: the proof that readers should expect, and whether the folder requires it (None: as in the existing
    manifest). Raises InputError, EvidenceError, OutputError.
    """
    folder = existing(folder)
    settle_beside(folder)
    policy = None if prover is None else {"prover": prover, "require_proof": require_proof}
    manifest = rebuilt(folder, policy)
    put_files(folder, {MANIFEST: manifest.text()})
    if reference:
        published = Published(folder)
        write_evidence(published, {MANIFEST_FILE: reference_manifest(published)})
    return Manifest.of(folder)


def prove_folder(
    folder: str | Path,
    prover: str,
    options: ProverOptions,
    *,
    policy: Path | None = None,
    out: Path | None = None,
    force: bool = False,
) -> Path:
    """Prove the content of a folder, in it, or with "zk" in a new folder `out` without the policy.

    policy: the policy of a backtest. `out` has trace, streams, commitment, proof, statement (config, edges, digests of
    the data) and manifest: not the seed, from which the table could be trained. Returns the folder with the proof.
    Raises InputError, EvidenceError.
    """
    chosen = find_prover(prover)
    if prover != ZK:
        settle_beside(existing(folder))
    published = open_folder(folder, policy)
    if prover != ZK:
        if out is not None:
            raise InputError(
                f"`out` goes with `prover={ZK!r}`, whose folder hides the policy; {prover} proves in {folder}"
            )
        write_evidence(published, chosen.prove(published, options), prover)
        return published.folder
    if out is None:
        raise InputError(f"`out` is missing; `prover={ZK!r}` writes a folder to publish, without the policy")
    options = replace(options, published=(*options.published, out))
    with new_directory(out, force=force, inputs=(folder, *([policy] if policy else ()))) as made:
        files = chosen.prove(published, options)
        put_files(made, files)
        manifest = Manifest(Statement.read(files[STATEMENT]).fingerprint, digests(files)).with_proof(ZK)
        put_files(made, {MANIFEST: manifest.text()})
    return Path(out)


def has_proof(folder: Path, prover: str) -> bool:
    """Whether a folder is complete and carries a proof of a prover; `verify` tells whether that holds."""
    try:
        published = open_folder(folder)
        named = published.manifest.proof_policy["prover"]
        return named == prover and is_claim(published.data(CLAIM), find_prover(prover))
    except InputError:
        return False


def committed(
    policy: Policy,
    private: Path | None,
    *,
    published: Iterable[Path] = (),
    read: Iterable[Path] = (),
    make: bool = True,
) -> CommittedTable:
    """The committed table of a policy, with salted leaves if there is a private folder; see `merkle.commit`.

    published, read: as for `private_folder`; make: whether to draw a secret seed if there is none yet.
    """
    table = fixed_table(policy)
    if private is None:
        return commit(table)
    folder = private_folder(private, published, read) if make else private
    return commit(table, secret_seed(folder, SALT, make=make))


def check_manifest(folder: str | Path) -> tuple[Manifest | None, list[str]]:
    """The manifest of a folder, None if it is invalid, and what is wrong with it or its files, a sentence each.

    Raises InputError if there is no folder.
    """
    folder = existing(folder)
    try:
        manifest = Manifest.of(folder)
        return manifest, check_files(folder, manifest)
    except EvidenceError as error:
        return None, [str(error)]

"""Provers: ways to show where streams come from, and what each leaves to trust.

A prover makes files of the folder `proof/` and verifies them. Its further inputs (`ProverOptions`) are its user's
own, and never taken from a folder.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import EvidenceError, InputError, nearest
from idi_fast.evidence import reference
from idi_fast.evidence.claims import FAILS, HOLDS, Claim, Unchecked, attempt
from idi_fast.evidence.manifest import Manifest
from idi_fast.evidence.merkle import Commitment
from idi_fast.evidence.outside import TIMEOUT, run_outside
from idi_fast.evidence.private import BLINDING, private_folder, secret_seed
from idi_fast.evidence.published import RUN, TRACE, Published, fixed_table, reference_tree
from idi_fast.evidence.reference import EXTERNAL, MANIFEST_FILE, STREAMS_FOLDER, STUB, Receipt
from idi_fast.evidence.replay import missing_inputs, replay
from idi_fast.evidence.statement import STATEMENT, Statement, context
from idi_fast.storage.json_files import json_text
from idi_fast.storage.tables import table_bytes

PROOF_FOLDER = "proof"
CLAIM, PROOF, RECEIPT = (f"{PROOF_FOLDER}/{name}" for name in ("proof.json", "proof.bin", "receipt.json"))
COMMITMENT = "commitment.json"
SPECIFICATION = "spec/agent.tau"
MAX_PROOF = 256 * 1024 * 1024
"""Limit of bytes of a proof; a zero-knowledge proof over 65,536 states takes some 40 MB."""
MAX_COPY = 2**40
UNBOUND_2 = (
    "format 2 does not bind a root to the size and form of its table, nor a proof to trace, config, edges and data"
)
BINDINGS = ("config_fingerprint", "spec_hash", "policy_root")
"""What a digest can bind in addition to manifest and streams."""


@dataclass(frozen=True)
class ProverOptions:
    """The inputs of a user who proves or verifies.

    private: folder of secrets, which a verifier has only for own folders; published: folders it must be separate from;
    command, verify_command: the outside programs that prove and verify, see `outside`; timeout: their time limit in
    seconds; data: the reader's copy of the price history; initial: the policy that training started from; root: the
    commitment's known root, hexadecimal; bind: of BINDINGS, with tx_hash (hexadecimal) what a digest also binds; jobs,
    progress: of proving, as for `zk.prove`.
    """

    private: Path | None = None
    published: tuple[Path, ...] = ()
    command: str | None = None
    verify_command: str | None = None
    timeout: float = TIMEOUT
    data: str | None = None
    initial: Path | None = None
    root: str | None = None
    bind: tuple[str, ...] = ()
    tx_hash: str | None = None
    jobs: int | None = None
    progress: Callable[[int, int], None] = field(default=lambda done, total: None)


SHOWN_BY_REPLAY = ("config", "actions", "signals", "states", "figures")
"""Claims that training again also shows."""


class Prover(Protocol):
    """One way to show something. proven: what it shows; trusted: what must still be trusted."""

    name: str
    proven: str
    trusted: str

    def prove(self, published: Published, options: ProverOptions) -> dict[str, bytes]:
        """The files to publish, by their paths. Raises InputError."""
        ...

    def verify(self, published: Published, options: ProverOptions) -> list[Claim]:
        """The claims that the proof covers; InputError if the reader's inputs cannot be used."""
        ...


class Digest:
    """The reference's digest of manifest and streams, which anybody can make: an integrity check, not a proof."""

    name = "digest"
    proven = "manifest and streams belong together: an integrity check, not a proof"
    trusted = "whoever made the digest, for all that the files say"

    def prove(self, published: Published, options: ProverOptions) -> dict[str, bytes]:
        """See `Prover`."""
        manifest, streams = reference_manifest(published), published.streams()
        receipt = _receipt(STUB, manifest, streams, _extras(published, options))
        files = {MANIFEST_FILE: manifest, PROOF: receipt.digest.encode(), RECEIPT: receipt.text()}
        return files | {CLAIM: claim(self)}

    def verify(self, published: Published, options: ProverOptions) -> list[Claim]:
        """See `Prover`."""
        return [attempt(self.name, "manifest and streams", lambda: self._verify(published), self.trusted)]

    def _verify(self, published: Published) -> str:
        receipt = check_receipt(published)
        if receipt.prover != STUB or receipt.meta is not None:
            raise EvidenceError(f"the receipt is of the prover {receipt.prover!r}; expected {STUB!r}")
        if published.data(PROOF, MAX_PROOF) != receipt.digest.encode():
            raise EvidenceError(f"{PROOF} does not hold the receipt's digest")
        bound = "".join(f", {name}" for name in receipt.extras)
        return f"{receipt.digest[:16]}… over {len(published.streams())} streams{bound}: integrity, not a proof"


class Replay:
    """Training again, by the verifier."""

    name = "replay"
    proven = "policy, trace and streams are what this version makes of config, seed and data, byte for byte"
    trusted = "this idi-fast, the reader's machine and copy of the data"

    def prove(self, published: Published, options: ProverOptions) -> dict[str, bytes]:
        """See `Prover`."""
        if published.run is None or published.run["kind"] != "train":
            raise EvidenceError("only a training can be replayed; give an artifact of `idi-fast train`")
        return {MANIFEST_FILE: reference_manifest(published), CLAIM: claim(self)}

    def verify(self, published: Published, options: ProverOptions) -> list[Claim]:
        """See `Prover`."""

        others: list[Claim] = []

        def work() -> str:
            # Whoever gives one of them asks for the check, which fails without the others.
            is_asked = options.data is not None or options.initial is not None
            if not is_asked and (missing := missing_inputs(published)):
                return Unchecked(f"training again needs {missing}")
            found = replay(published, options.data, options.initial)
            how = "training and rollout, run again"
            for name in SHOWN_BY_REPLAY:
                others.append(attempt(name, how, lambda: f"trained again: {len(found.made)} files", self.trusted))
            if found.by_value:
                same = f"equal values, other bytes and versions: {', '.join(found.by_value)}"
                others.append(attempt("others", how, lambda: Unchecked(same)))
            return found.found

        return [attempt(self.name, "training and rollout, run again", work, self.trusted), *others]


class ZeroKnowledge:
    """The zero-knowledge proof of `zk`: greedy on a hidden table. Unaudited, not constant time."""

    name = "zk"
    proven = "each action of the trace is the greedy one, in its state, of the one table that the commitment binds"
    # Part of every proof that was ever written, which holds only with this text: it cannot change, flag and all.
    trusted = (
        "textbook cryptography written for this package: unaudited, not constant time; that the committed table is the "
        "one meant (--root), and that the states are those of the data"
    )

    def prove(self, published: Published, options: ProverOptions) -> dict[str, bytes]:
        """See `Prover`."""
        from idi_fast.evidence import zk

        if options.private is None:
            raise InputError("`private` is missing; name the folder for the secret seed, as `private='secrets'`")
        if published.policy is None:
            raise EvidenceError("there is no policy to prove of; name it: `policy=ARTIFACT`")
        if published.statement is None:
            raise EvidenceError("the folder does not say what its trace was made by; give a training or a backtest")
        folder = private_folder(options.private, options.published, (published.folder,))
        seed = secret_seed(folder, BLINDING, make=True)
        table = fixed_table(published.policy)
        states, actions = published.decisions
        said = published.statement.salted(seed, published.data(TRACE, MAX_COPY))
        commitment = zk.commit_table(table, seed)
        files = {
            TRACE: _trace_with(published, said.fingerprint),
            COMMITMENT: commitment.to_json().encode(),
            STATEMENT: said.text(),
        }
        names = (name for name in published.files if name.startswith(f"{STREAMS_FOLDER}/"))
        files |= {name: published.data(name, MAX_COPY) for name in names}
        bound = context(Manifest(said.fingerprint, {}), digests(files))
        files[PROOF] = zk.prove(
            table, seed, states, actions, context=bound, jobs=options.jobs, progress=options.progress
        )
        return {**files, CLAIM: claim(self)}

    def verify(self, published: Published, options: ProverOptions) -> list[Claim]:
        """See `Prover`."""
        from idi_fast.evidence import zk

        def work() -> str:
            commitment = Commitment.from_json(published.data(COMMITMENT))
            states, actions = published.decisions
            found = f"{states.size:,} actions greedy on the table of root {commitment.root.hex()[:16]}…"
            if commitment.version == 2:
                zk.verify(commitment, states, actions, published.data(PROOF, MAX_PROOF))
                return Unchecked(f"{found} and {commitment.size:,} states, but {UNBOUND_2}")
            if STATEMENT not in published.files:
                raise EvidenceError(f"{STATEMENT} is missing, to which the proof is bound")
            said = Statement.read(published.data(STATEMENT))
            if published.statement != said:
                raise EvidenceError(f"the folder holds a policy, which says other things than {STATEMENT}")
            size = StateSpace.of(said.config).n_states
            if commitment.size != size:
                raise EvidenceError(f"the commitment is to {commitment.size:,} states; the config has {size:,}")
            bound = context(
                published.manifest, {n: published.manifest.files[n] for n in published.files if is_bound(n)}
            )
            zk.verify(commitment, states, actions, published.data(PROOF, MAX_PROOF), bound)
            return found

        proof = attempt(self.name, "commitment, trace, streams, config, data", work, self.trusted)
        shown = "the proof that binds them to the committed table" if proof.result == HOLDS else proof.found
        return [proof, replace(proof, name="actions", against="the committed table", found=shown)]


def is_bound(name: str) -> bool:
    """Whether a zero-knowledge proof is bound to a file: to all except those that are made after it."""
    return name in (TRACE, COMMITMENT, STATEMENT) or name.startswith(f"{STREAMS_FOLDER}/")


def digests(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """What a manifest says about each file."""
    return {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}


def _trace_with(published: Published, fingerprint: str) -> bytes:
    """The trace with another fingerprint in its metadata."""
    frame, about = published.required_trace
    return table_bytes(frame, {**about, "fingerprint": fingerprint})


class Command:
    """Somebody else's prover and verifier, as programs named by the users."""

    name = "command"
    proven = "what the outside program shows"
    trusted = "the outside program, and that the reader named the right one"

    def prove(self, published: Published, options: ProverOptions) -> dict[str, bytes]:
        """See `Prover`."""
        manifest, streams = reference_manifest(published), published.streams()
        if options.command is None:
            line = "{manifest} {streams} {proof} {receipt}"
            raise InputError(f"`command` is missing; give the program's line, with {line}")
        said = run_outside(options.command, manifest, streams, options.timeout)
        if said.proof is None:
            raise EvidenceError("the program succeeded but left no proof at {proof}")
        receipt = _receipt(EXTERNAL, manifest, streams, _extras(published, options), said.receipt)
        files = {MANIFEST_FILE: manifest, PROOF: said.proof, RECEIPT: receipt.text(), CLAIM: claim(self)}
        Receipt.read(files[RECEIPT])
        return files

    def verify(self, published: Published, options: ProverOptions) -> list[Claim]:
        """See `Prover`."""
        against, line = "the reader's own verifier", options.verify_command
        if line is None:
            found = "the proof is of an outside program; name its verifier: `verify_command=LINE`"
            return [Claim(self.name, against, FAILS, found, self.trusted)]

        def work() -> str:
            receipt = check_receipt(published)
            proof = published.data(PROOF, MAX_PROOF)
            manifest, streams = published.data(MANIFEST_FILE), published.streams()
            run_outside(line, manifest, streams, options.timeout, proof, receipt.text())
            return f"it succeeded on {len(proof):,} bytes"

        return [attempt(self.name, against, work, self.trusted)]


PROVERS: Mapping[str, Prover] = {prover.name: prover for prover in (Digest(), Replay(), ZeroKnowledge(), Command())}


EARLIER = {
    "replay": (
        (
            "policy, trace and streams are what this version makes of config, seed and data, byte for byte",
            "this idi-fast, the reader's machine and his copy of the data",
        ),
    ),
}
"""By prover, how `proven` and `trusted` read in what earlier versions wrote. Who changes either adds the old words."""


def find_prover(name: str) -> Prover:
    """The prover of a name; InputError if there is none."""
    if name not in PROVERS:
        raise InputError(f"no prover {name!r}; expected one of {', '.join(PROVERS)}.{nearest(name, PROVERS)}")
    return PROVERS[name]


def claim(prover: Prover) -> bytes:
    """proof/proof.json: the prover, what is proven and what must be trusted. The same for any folder."""
    return _claim(prover.name, prover.proven, prover.trusted)


def is_claim(data: bytes, prover: Prover) -> bool:
    """Whether bytes are the proof.json of a prover, in the words of this version or an earlier one."""
    return data == claim(prover) or any(data == _claim(prover.name, *words) for words in EARLIER.get(prover.name, ()))


def _claim(name: str, proven: str, trusted: str) -> bytes:
    return json_text({"schema_version": 1, "prover": name, "proven": proven, "trusted": trusted}).encode()


def reference_manifest(published: Published) -> bytes:
    """The folder's artifact_manifest.json or, if it has none that fits its files, a new one."""
    run = published.data(RUN) if RUN in published.files else b""
    if not run:
        raise EvidenceError(f"the folder has no {RUN}, which {MANIFEST_FILE} is to name as its config")
    streams = published.streams()
    if not streams:
        raise EvidenceError(f"the folder has no {STREAMS_FOLDER}")
    if MANIFEST_FILE in published.files:
        found = attempt("manifest", "files", lambda: check_reference_manifest(published))
        if found.result == HOLDS:
            return published.data(MANIFEST_FILE)
    metadata = published.manifest.metadata or {}
    return reference.manifest_text(RUN, run, streams, metadata, time.time())


def check_reference_manifest(published: Published) -> str:
    """Raise EvidenceError unless artifact_manifest.json is that of run.json and the streams."""
    streams = published.streams()
    reference.check_manifest(published.data(MANIFEST_FILE), RUN, published.data(RUN), streams)
    return f"{len(streams)} streams"


def _receipt(
    prover: str, manifest: bytes, streams: Mapping[str, bytes], extras: Mapping[str, bytes], meta: dict | None = None
) -> Receipt:
    digest = reference.artifact_digest(manifest, streams, extras)
    return Receipt(time.time(), digest, prover, MANIFEST_FILE, STREAMS_FOLDER, PROOF, extras, meta)


def _extras(published: Published, options: ProverOptions) -> dict[str, bytes]:
    extras = {name: _binding(published, name) for name in options.bind}
    if options.tx_hash is not None:
        extras["tx_hash"] = reference.from_hex(options.tx_hash, "`tx_hash`")
    return extras


def _binding(published: Published, name: str) -> bytes:
    """The value of one of BINDINGS according to the folder's own files. Raises EvidenceError if there is none."""
    if name == "config_fingerprint":
        return bytes.fromhex(published.manifest.config_sha256)
    if name == "policy_root":
        if published.policy is None:
            raise EvidenceError("there is no policy whose root could be bound")
        return reference_tree(published.policy).root
    if name == "spec_hash":
        if SPECIFICATION not in published.files:
            raise EvidenceError(f"there is no {SPECIFICATION} whose hash could be bound")
        return hashlib.sha256(published.data(SPECIFICATION)).digest()
    raise InputError(f"`bind` is {name!r}; expected one of {', '.join(BINDINGS)}.{nearest(name, BINDINGS)}")


def check_receipt(published: Published) -> Receipt:
    """The folder's receipt, if its digest and bindings are those of the files. Raises EvidenceError."""
    receipt = Receipt.read(published.data(RECEIPT, reference.MAX_RECEIPT))
    # Paths of a receipt are never opened: they must be the ones that every folder of ours has.
    places = {"manifest": MANIFEST_FILE, "streams": STREAMS_FOLDER, "proof": PROOF}
    for name, place in places.items():
        if getattr(receipt, name) != place:
            raise EvidenceError(f"the receipt's {name} is {getattr(receipt, name)[:80]!r}; expected {place!r}")
    manifest, streams = published.data(MANIFEST_FILE), published.streams()
    digest = reference.artifact_digest(manifest, streams, receipt.extras)
    if digest != receipt.digest:
        raise EvidenceError(f"the receipt's digest is {receipt.digest[:80]}; that of manifest and streams is {digest}")
    for name in BINDINGS:
        if name in receipt.extras and receipt.extras[name] != _binding(published, name):
            raise EvidenceError(f"the receipt's {name} is not that of the folder's files")
    return receipt

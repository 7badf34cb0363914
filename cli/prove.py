"""`idi-fast prove`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.options import Force, Json

ProverName = Annotated[
    str,
    typer.Option(
        help="digest (an integrity check), replay, zk (unaudited) or command (an outside program).",
        autocompletion=choices("digest", "replay", "zk", "command"),
    ),
]
Private = Annotated[
    Path | None, typer.Option(help="With zk: folder of the secret seed, never published; created with mode 700.")
]
Command = Annotated[
    str | None,
    typer.Option(
        help="With command: the program and its arguments, with {manifest} {streams} {proof} {receipt}; no shell."
    ),
]
Timeout = Annotated[float, typer.Option(help="Time limit of the outside program, in seconds.")]
Jobs = Annotated[int | None, typer.Option(help="With zk: threads [default: usable cores].")]


def prove(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Artifact of `idi-fast train`, or a backtest.")],
    prover: ProverName,
    out: Annotated[Path | None, typer.Option("--out", help="With zk: folder to publish, without the policy.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The policy of a backtest.")] = None,
    private: Private = None,
    command: Command = None,
    timeout: Timeout = 300.0,
    bind: Annotated[
        list[str] | None,
        typer.Option(help="What a digest also binds: config_fingerprint, spec_hash, policy_root; may be repeated."),
    ] = None,
    tx_hash: Annotated[str | None, typer.Option(help="Transaction that a digest binds, hexadecimal.")] = None,
    jobs: Jobs = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Add a proof to a folder, or with --prover zk publish one.

    The folder that --prover zk writes hides the policy.

    Example: idi-fast prove my_agent --prover replay
    """
    from idi_fast.evidence.private import guessable
    from idi_fast.evidence.provers import ProverOptions, find_prover
    from idi_fast.evidence.publish import prove_folder
    from idi_fast.evidence.published import Published

    chosen = find_prover(prover)
    console.tell_of_compilation()
    with console.interruptible(folder if out is None else out), console.counted_progress("states") as progress:
        options = ProverOptions(
            private=private,
            command=command,
            timeout=timeout,
            bind=tuple(bind or ()),
            tx_hash=tx_hash,
            jobs=jobs,
            progress=progress,
        )
        written = prove_folder(folder, prover, options, policy=policy, out=out, force=force)
    if prover == "zk":
        console.note(
            "unaudited cryptography, not constant time; and whoever knows or guesses seed and data can train the same "
            "policy by the published config: keep a seed of 128 random bits"
        )
        hidden = Published(folder, policy).policy
        assert hidden is not None  # or there would be nothing proven of it
        for reason in guessable(hidden.config, hidden.seed):
            console.note(reason)
    if json:
        about = {"folder": str(written), "prover": prover, "proven": chosen.proven, "trusted": chosen.trusted}
        console.print_json({"schema_version": 1, **about})
        return
    console.print_rows(
        [
            ("folder", str(written)),
            ("prover", prover),
            ("to be verified", chosen.proven),
            ("to be trusted", chosen.trusted),
        ]
    )

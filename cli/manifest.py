"""`idi-fast manifest`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.options import Json

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that idi-fast wrote.")]


def manifest(
    folder: Folder,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare it with the files; exit code 1 if they differ.")
    ] = (False),
    idi_manifest: Annotated[
        bool, typer.Option("--idi-manifest", help="Write the reference's artifact_manifest.json too.")
    ] = False,
    proof_policy: Annotated[
        str | None,
        typer.Option(
            help="The proof that readers should expect: none, digest, replay, zk or command.",
            autocompletion=choices("none", "digest", "replay", "zk", "command"),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Rewrite a folder's manifest, or compare it by --check.

    Example: idi-fast manifest my_agent --check
    """
    from idi_fast.errors import InputError
    from idi_fast.evidence.publish import check_manifest, update_manifest

    if check and (idi_manifest or proof_policy is not None):
        raise InputError("--check writes nothing; it does not go with --idi-manifest or --proof-policy")
    wrong = []
    if check:
        made, wrong = check_manifest(folder)
    else:
        with console.interruptible(folder):
            made = update_manifest(
                folder, prover=proof_policy, require_proof=proof_policy not in (None, "none"), reference=idi_manifest
            )
    if json:
        files = 0 if made is None else len(made.files)
        console.print_json(
            {"schema_version": 1, "folder": str(folder), "files": files, "ok": not wrong, "wrong": wrong}
        )
    elif made is not None:
        policy = made.proof_policy
        rows = [("folder", str(folder)), ("files", len(made.files)), ("inputs", len(made.inputs))]
        console.print_rows([*rows, ("config", made.config_sha256), ("proof", policy["prover"])])
    for sentence in wrong:
        console.message(f"failed: {sentence}")
    if wrong:
        raise typer.Exit(1)

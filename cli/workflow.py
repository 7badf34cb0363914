"""`idi-fast workflow`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.export import Streams
from idi_fast.cli.options import FLAGS, Force, Json, Kind, Out, Set, required_out, resolve_config
from idi_fast.cli.prove import Command, Jobs, Private, ProverName, Timeout
from idi_fast.cli.verify import report


def workflow(
    config: Annotated[Path, typer.Argument(help="JSON config file.")],
    out: Out = None,
    seed: Annotated[int, typer.Option(help="Seed, 0 or more (compat: any).")] = 0,
    prover: ProverName = "replay",
    kind: Kind = "v38",
    streams: Streams = None,
    set_: Set = None,
    data: Annotated[str | None, typer.Option(help="Price history; implies the history environment.")] = None,
    private: Private = None,
    command: Command = None,
    verify_command: Annotated[
        str | None, typer.Option(help="With command: the verifying program and its arguments.")
    ] = None,
    timeout: Timeout = 300.0,
    jobs: Jobs = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train, prove, write the specification and verify.

    Everything is in one folder; steps already done are skipped.

    Example: idi-fast workflow agent.json --out published
    """
    place = required_out(out)
    flags = {"environment.kind": "history" if data else None, "environment.data.path": data}
    settings = resolve_config(config, set_ or [], flags, {**FLAGS, "environment.kind": "--data"})
    from idi_fast.errors import InputError
    from idi_fast.evidence.private import guessable
    from idi_fast.evidence.provers import ProverOptions
    from idi_fast.evidence.workflow import run_training_to_proof_workflow
    from idi_fast.tau.export import stream_columns

    console.tell_of_compilation(console.learning_jobs(settings))
    steps = settings.drawn_episodes * settings.episode_length
    with (
        console.interruptible(unchanged=lambda: "the same command continues from here"),
        console.training_progress(steps) as progress,
    ):
        options = ProverOptions(
            private=private, command=command, verify_command=verify_command, timeout=timeout, jobs=jobs
        )
        result = run_training_to_proof_workflow(
            config=settings,
            artifact_dir=place,
            seed=seed,
            prover=prover,
            kind=kind,
            streams=stream_columns(streams or ()),
            options=options,
            force=force,
            progress=progress,
        )
    for reason in guessable(settings, seed) if prover == "zk" and result.verification is not None else ():
        console.note(reason)
    if isinstance(result.failure, InputError) and result.verification is None:
        raise result.failure
    if json:
        console.print_json(result.as_dict())
    else:
        rows = [("folder", str(place)), ("prover", prover)]
        console.print_rows([*rows, *((name, state) for name, state in result.steps.items())])
        typer.echo()
        if result.verification is not None:
            report(result.verification)
    for error in result.errors:
        console.message(f"failed: {error}")
    if not result.success:
        raise typer.Exit(1)

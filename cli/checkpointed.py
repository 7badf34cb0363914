"""Output folder and checkpoints of `idi-fast train`, for one seed or many."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from idi_fast.cli import console

if TYPE_CHECKING:
    from idi_fast.training.checkpoint import Every


class Options(NamedTuple):
    """Where and how `train` writes a run."""

    out: Path
    checkpoint_every: str | None
    resume: bool
    force: bool
    json: bool


class Kept(NamedTuple):
    """The folder of checkpoints (None: no checkpoints), when they are due, and whether to resume from them."""

    folder: Path | None
    every: "Every | None"
    resume: bool


Written = tuple[dict, dict]
"""run.json and timings.json."""


def write(
    settings, options: Options, finished: Callable[[], Written | None], fill: Callable[[Path, Kept], Written]
) -> Written:
    """Have `fill` write the output into a new folder, or return the output that is already complete.

    finished: the complete output that a resumed run finds, or None.
    """
    from idi_fast.storage.files import new_directory
    from idi_fast.training.checkpoint import Every
    from idi_fast.training.checkpoint_folder import can_resume, checkpoint_folder

    out, every, resume, force, _ = options
    period = None if every is None else Every.parse(every)
    console.tell_of_compilation(console.learning_jobs(settings))
    wanted, data = resume or period is not None, settings.environment.data.path
    inputs = () if data is None else (data,)

    def unchanged() -> str:
        return "--resume continues the run from its last checkpoint" if can_resume(out) else console.UNWRITTEN

    with (
        console.interruptible(out, unchanged=unchanged),
        checkpoint_folder(out, wanted=wanted, resume=resume, force=force) as kept,
    ):
        done = finished() if resume else None
        if done is not None:
            console.note(f"{out} is complete already; nothing was done")
            return done
        with new_directory(out, force=force, inputs=inputs, within=kept) as folder:
            return fill(folder, Kept(kept, period, resume))

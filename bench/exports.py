"""The suite `export`: from a trace to streams."""

from functools import cache
from pathlib import Path

from idi_fast.bench.case import Case, Context, Differs, Timed, elapsed
from idi_fast.bench.oracle import reference
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import COMPAT
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.tau.export import export_streams
from idi_fast.training.artifact import save_training
from idi_fast.training.trainer import create_trainer


def make(sizes: Sizes, context: Context) -> list[Case]:
    """Writing the streams of a trace."""
    artifact = cache(lambda: _save(context.folder / "long_run", 1, sizes.ticks))

    def export() -> float:
        made = artifact()
        return elapsed(lambda: export_streams(made, context.folder / "streams"))

    def check() -> None:
        artifact = _save(context.folder / "short_run", sizes.check_episodes, 64)
        export_streams(artifact, context.folder / "short_streams")
        run = reference.train({"episodes": sizes.check_episodes}, seed=SEED)
        for name, expected in reference.stream_files(run).items():
            if (context.folder / "short_streams" / name).read_bytes() != expected:
                raise Differs(f"{name} is not what the oracle writes")

    return [
        Case(
            "export",
            f"{len(reference.STREAMS)} streams",
            "tick",
            "reference.stream_files",
            check,
            Timed(sizes.ticks, export),
            compiles=False,
        )
    ]


def _save(folder: Path, episodes: int, episode_length: int) -> Path:
    fields = {"episodes": episodes, "episode_length": episode_length, "engine": COMPAT}
    trainer = create_trainer(TrainingConfig.from_dict(fields), SEED)
    save_training(folder, trainer, *trainer.run())
    return folder

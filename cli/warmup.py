"""`idi-fast warmup`."""

from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json


def warmup(
    jobs: Annotated[int | None, typer.Option(help="Processes that compile at a time [default: usable cores].")] = None,
    json: Json = False,
) -> None:
    """Compile all kernels into the cache.

    Commands compile what they need when they first need it; after this none has to. For images and CI.

    Example: idi-fast warmup --jobs 4
    """
    from time import perf_counter

    from idi_fast.kernels._jit import CACHE_FOLDER
    from idi_fast.warmup import warmup as compile_all

    began = perf_counter()
    with console.interruptible(unchanged=lambda: "what is compiled is kept"):
        with console.counted_progress("kernels") as progress:
            compile_all(processes=jobs, progress=progress)
        assert CACHE_FOLDER is not None  # or nothing could have been compiled
        files = [path.stat().st_size for path in CACHE_FOLDER.rglob("*.nb?") if path.is_file()]
    about = {
        "folder": str(CACHE_FOLDER),
        "size": f"{sum(files) / 1e6:.1f} MB",
        "seconds": perf_counter() - began,
    }
    if json:
        console.print_json(
            {"schema_version": 1, "folder": str(CACHE_FOLDER), "bytes": sum(files), "seconds": about["seconds"]}
        )
    else:
        console.print_rows(list(about.items()))

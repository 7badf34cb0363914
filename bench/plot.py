"""Draws the scaling study; needs the extra `plots`."""

import os
from pathlib import Path
from types import ModuleType

from idi_fast.errors import InputError, OutputError

LABELS = {"states": "states", "episodes": "training episodes", "lanes": "lanes, all cores", "threads": "threads"}


def matplotlib() -> ModuleType:
    """The library; InputError if it is not installed."""
    try:
        import matplotlib.figure  # pyright: ignore[reportMissingImports] -- of the extra `plots`
    except ImportError:
        raise InputError("--plot needs matplotlib; install it with: pip install 'idi-fast[plots]'") from None
    return matplotlib


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before the benchmark runs. Raises InputError, OutputError."""
    if path.is_dir():
        raise OutputError(f"--plot {path}: this is a folder; give the name of a picture, as scaling.svg")
    if not path.parent.is_dir():
        raise OutputError(f"--plot {path}: the folder {path.parent} does not exist")
    formats = sorted(matplotlib().figure.Figure().canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise InputError(f"--plot {path}: its ending names no format; expected one of {', '.join(formats)}")


def plot(results: dict, path: Path) -> None:
    """Write the picture, in the format of the path's ending. Raises OutputError."""
    matplotlib().use("agg")
    from matplotlib import pyplot  # pyright: ignore[reportMissingImports] -- of the extra `plots`

    # Text stays text, and two pictures of the same results are the same file.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "idi-fast", "axes.grid": True, "grid.alpha": 0.3})
    figure, panels = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axes, (axis, label) in zip(panels.flat, LABELS.items(), strict=True):
        cases = [case for case in results["cases"] if case.get("axis") == axis and case["equal"]]
        x = [case["x"] for case in cases]
        median, slow, fast = (
            [case["units"] / case["seconds"][name] / 1e6 for case in cases]
            for name in ("median", "upper_quartile", "lower_quartile")
        )
        axes.fill_between(x, slow, fast, alpha=0.25, linewidth=0)
        axes.plot(x, median, marker="o")
        axes.set(xlabel=label, ylabel="million steps/s", ylim=(0, None))
        if axis in ("states", "episodes"):
            axes.set_xscale("log")
        elif axis == "lanes":
            axes.set_xscale("log", base=2)
            axes.set_xticks(x, [str(value) for value in x])
        else:
            axes.set_xticks(x)
    _mark_caches(panels[0, 0], results["machine"]["caches"])
    figure.suptitle(f"idi-fast, default config, {results['machine']['processor']}; medians and quartiles")
    try:
        figure.savefig(path, metadata={"Date": None} if os.fspath(path).endswith(".svg") else None)
    except (OSError, ValueError) as error:
        raise OutputError(f"--plot {path}: {error}") from None
    finally:
        pyplot.close(figure)


BYTES_PER_STATE = 25
"""Bytes that the first pass over a block reads at random: a row of q and its greedy action."""


def _mark_caches(axes, caches: dict[str, int]) -> None:
    """Where the table of the first pass fills each cache level."""
    for name, size in caches.items():
        axes.axvline(size / BYTES_PER_STATE, color="gray", linestyle=":")
        axes.annotate(name, (size / BYTES_PER_STATE, 0.02), xycoords=("data", "axes fraction"), color="gray")

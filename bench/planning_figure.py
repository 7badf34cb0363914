"""Draws the figure of docs/PLANNING.md; needs the extra `plots`.

python -m idi_fast.bench.planning_figure docs/planning.svg
"""

import sys
from pathlib import Path

import numpy as np

from idi_fast.bench.plot import check_picture, matplotlib
from idi_fast.bench.study import Sizes, at_equal_data


def draw(found: dict[tuple[str, int], dict[str, np.ndarray]], path: Path) -> None:
    """Draw what `at_equal_data` found, a panel per table. Raises OSError."""
    matplotlib().use("agg")
    from matplotlib import pyplot  # pyright: ignore[reportMissingImports] -- of the extra `plots`

    # Text stays text, and two pictures of the same results are the same file.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "idi-fast", "axes.grid": True, "grid.alpha": 0.3})
    tables = list(dict.fromkeys(name for name, _ in found))
    figure, panels = pyplot.subplots(1, len(tables), figsize=(9, 3.6), sharey=True, layout="constrained", squeeze=False)
    for axes, name in zip(panels[0], tables, strict=True):
        sizes = [bars for table, bars in found if table == name]
        for method in found[name, sizes[0]]:
            values = np.array([found[name, bars][method] for bars in sizes])
            error = values.std(axis=1, ddof=1) / values.shape[1] ** 0.5
            axes.errorbar(sizes, values.mean(axis=1), error, marker="o", capsize=3, label=method)
        axes.set(xscale="log", xlabel="bars known", title=f"{name} observations")
        axes.set_xticks(sizes, [f"{bars:,}" for bars in sizes], minor=False)
        axes.axhline(0.0, color="grey", linewidth=0.8)
    panels[0, 0].set(ylabel="reward per 64 fresh bars")
    panels[0, 0].legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    check_picture(target)
    draw(at_equal_data(Sizes()), target)

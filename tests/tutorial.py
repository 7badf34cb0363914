"""Runs docs/tutorial.ipynb and writes it with what its cells give: python tests/tutorial.py"""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs/tutorial.ipynb"
DIGITS = 4
"""Significant digits of numbers in stored figures: enough for a screen."""


def executed() -> nbformat.NotebookNode:
    """The notebook with the results of all its cells; the first that fails raises CellExecutionError."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # Figures as data: a page of them would have plotly.js in it, 5 MB.
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(env={**os.environ, "PLOTLY_RENDERER": "plotly_mimetype"})
    return without_times(notebook)


def without_times(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same without what differs from one run to the next."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).get("application/vnd.plotly.v1+json")
            if figure is not None:
                output.data["application/vnd.plotly.v1+json"] = rounded(figure)
    return notebook


def rounded(value):
    """A JSON value with its floats in a few digits, and without the template that all figures share."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items() if key != "template"}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)

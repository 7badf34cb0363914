"""The tutorial: its cells run in order, and say what the committed notebook says."""

import nbformat
import pytest
import tutorial

pytest.importorskip("plotly", reason="the extra `report` is not installed")


def told(notebook: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """Each cell's source, and what it printed or showed: texts, and of figures that there was one."""
    cells = []
    for cell in notebook.cells:
        shown = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown.append(output.get("text") or data.get("text/plain") or f"a {' or '.join(sorted(data))}")
        cells.append((cell.source, shown))
    return cells


def test_the_tutorial_runs_and_says_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of its files
    committed = nbformat.read(tutorial.NOTEBOOK, as_version=4)
    assert told(tutorial.executed()) == told(committed), "python tests/tutorial.py"
    figures = [shown for _, shown in told(committed) if any("plotly" in text for text in shown)]
    assert len(figures) >= 5

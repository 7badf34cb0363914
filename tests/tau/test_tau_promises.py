"""`--fix` fixes what a check calls fixable, and a sound run stays the same."""

import re
from pathlib import Path

import pytest
from examples import examples
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tau_folders import make_folder
from tau_specs import systems

from idi_fast.tau.check import check_folder
from idi_fast.tau.check_findings import Report
from idi_fast.tau.fix import fix_folder
from idi_fast.tau.run import run_folder

OUT_OF_STEP = {"misaligned", "late-start", "unmirrored", "free-first-values", "nothing-read"}

FORMULAS = [
    "(i1[t] = 1 ? o1[t] = 0 : o1[t] = 1)",
    "(i1[t] = 1 ? o1[t] = 0 : o1[t] = o1[t-1])",
    "(i1[t-1] = 1 ? o1[t] = i2[t] : o1[t] = o2[t-1]) && (o2[t] = i2[t])",
    "(i1[t] = 1 -> o1[t] = 1 && o2[t] = o1[t-1]) && (i1[t] = 0 -> o1[t] = 0 && o2[t] = 0)",
    "(i1[t] = 1 -> o1[t] = o2[t-1]) && (i1[t] = 0 -> o1[t] = o1[t-2]) && (o2[t] = i2[t-1])",
    "(i1[t] = 1 ? o1[t] = 0 : o1[t] = o1[t-1]) && (o1[0] = 1)",
    "(i1[t] = 1 ? o1[t] = 0 : o1[t] = o1[t-1]) && (o1[1] = 1) && (o2[t] = o1[t-2])",
    "(o1[t] = 1 <-> i1[t] = 1 && o2[t-1] = 1) && (o2[t] = i2[t])",
    "(o1[t] = i1[t] & o2[t]) && (o2[t] = o1[t] | o1[t-1] & i2[t])",
    "(o1[t] = o2[t]) && (o2[t] = i1[t-1])",
]
NOT_MENDED = {
    "(o1[t] <= i1[t-1]) && (o1[t] >= i1[t-1] & o2[t-1]) && (o2[t] = i2[t])": "free-first-values",  # it leaves a choice
    "(o1[t] = i1[t-1] <-> o2[t-1] = 1) && (o2[t] = i2[t])": "not-modelled",
    "(o1[t] = i1[t-1] & i2[t]) && (o1[0] = i1[1])": "not-modelled",
    "(i1[t] = 1 ? o1[t] = 0 : o1[t] = o1[t-1]) && (o1[0] = 1) && (o1[1] = 1)": "unsatisfiable",
}
DAMAGES = {
    "none": lambda text: text,
    "older": lambda text: re.sub(r":= (in|out) file", r"= \1 file", text),
    "command": lambda text: re.sub(r"\n\(", "\nr (", text, count=1),
    "letters": lambda text: f"# größe\n{text}",
    "unknown": lambda text: f"# größe\n{text}".replace("[t]", "[é]", 1),
    "cut": lambda text: f"# größe\n{text[:-3]}",
}
FILES = [
    "1\n0\n1\n0\n",
    "1\r\n0\r\n",
    "\ufeff1\n0\n",
    " 1\n0\n\n",
    "1\n\n0\n",
    "1\n2\n",
    "true\n1\n",
    "",
    None,
    "0\n1\n0\n",
]


def check_promises(folder: Path) -> tuple[Report, Report | None]:
    """Check, fix and check a folder: what it comes to before and after, the latter None if nothing is written."""
    before = check_folder(folder)
    result = fix_folder(folder, folder.parent / "fixed")
    assert result.before == before
    if result.refused:
        assert [finding for finding in before.findings if finding.fixable] == []
        assert not (folder.parent / "fixed").exists()
        return before, None
    after = check_folder(result.folder)
    promised = {(f.code, f.file, f.stream) for f in before.findings if f.fixable}
    assert promised.isdisjoint({(f.code, f.file, f.stream) for f in after.findings})
    assert [finding for finding in after.findings if finding.fixable] == []
    if before.steps is not None and not before.errors and OUT_OF_STEP.isdisjoint(f.code for f in before.findings):
        first, second = run_folder(folder), run_folder(result.folder)
        assert (first.ok, second.ok) == (True, True)
        for output in first.outputs:
            assert Path(result.folder, output.path).read_text() == (folder / output.path).read_text()
    return before, after


def folder_of(clauses: str, folder: Path) -> Path:
    text = "".join(
        f'{name}:sbf := {"in" if name[0] == "i" else "out"} file("{"in" if name[0] == "i" else "out"}puts/{name}").\n'
        for name in ("i1", "i2", "o1", "o2")
        if name in clauses
    )
    files = {f"inputs/{name}": "1\n0\n1\n1\n0\n" for name in ("i1", "i2") if name in clauses}
    return make_folder(folder, text + clauses, files)


@pytest.mark.parametrize("clauses", FORMULAS)
def test_formulas_get_mirrors_and_first_values(clauses, tmp_path):
    before, after = check_promises(folder_of(clauses, tmp_path / "a"))
    assert all(finding.fixable for finding in before.findings)
    assert (after.findings, after.steps) == ((), 5)


@pytest.mark.parametrize("clauses", NOT_MENDED)
def test_what_is_not_fixed_is_not_promised(clauses, tmp_path):
    before, _ = check_promises(folder_of(clauses, tmp_path / "a"))
    assert NOT_MENDED[clauses] in {finding.code for finding in before.findings}
    assert not any(finding.fixable for finding in before.findings)


@settings(max_examples=examples(120))
@given(systems(mirrored=False, widths=(None, None, 2), inputs=2), st.data())
def test_whatever_is_wrong(tmp_path_factory, system, data):
    damage = data.draw(st.sampled_from(list(DAMAGES)))
    files = {stream.path: data.draw(st.sampled_from(FILES)) for stream in system.spec.inputs}
    files = {path: text for path, text in files.items() if text is not None}
    folder = make_folder(tmp_path_factory.mktemp("promises") / "a", DAMAGES[damage](str(system.spec)), files)
    if data.draw(st.booleans()):
        (folder / "outputs").rmdir()
    before, after = check_promises(folder)
    event("nothing written" if after is None else f"{damage}, {sum(f.fixable for f in before.findings)} promised")

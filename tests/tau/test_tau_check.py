"""What `tau check` finds: each defect by name, with the step at which the recordings show it."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tau_folders import RECORDED, make_folder, recorded_folder
from tau_specs import LAYERED, V38

from idi_fast.errors import InputError
from idi_fast.tau.check import check_folder
from idi_fast.tau.check_files import tidy
from idi_fast.tau.check_text import read_text
from idi_fast.tau.formula import NotModelled, SpecError
from idi_fast.tau.lines import read_lines
from idi_fast.tau.spec import parse_spec

FOUND = {  # severity, code, stream, line, step; steps of the runs
    "bv5_overflow": (2, [("error", "bad-line", "i1", 3, 2)]),
    "echo_bv5": (24, []),
    "echo_sbf": (24, []),
    "echo_sbf_no_final_newline": (24, []),
    "empty_line": (2, [("error", "empty-line", "i1", 3, 2)]),
    "holding_mirrored": (
        25,
        [("warning", "late-start", "", None, 0), ("warning", "free-first-values", "", None, 0)],
    ),
    "holding_mirrored_from_zero": (24, []),
    "holding_unmirrored": (
        46,
        [
            ("error", "unmirrored", "i1", 1, 8),
            ("error", "unmirrored", "i2", 2, 1),
            ("warning", "late-start", "", None, 0),
            ("warning", "free-first-values", "", None, 0),
        ],
    ),
    "missing_file": (0, [("error", "missing-input", "i1", None, 0)]),
    "mixed_lookback": (
        24,
        [("error", "misaligned", "i2", 2, 0), ("warning", "free-first-values", "", None, 0)],
    ),
    "mixed_lookback_aligned": (24, []),
    "old_declaration_syntax": (24, [("error", "old-syntax", "i1", 1, None), ("error", "old-syntax", "o1", 2, None)]),
    "sbf_word_true": (3, [("error", "letters", "i1", 2, 1)]),
    "two_bit_timer": (41, [("warning", "late-start", "", None, 0), ("warning", "free-first-values", "", None, 0)]),
    "unequal_lengths": (9, [("error", "unequal-lengths", "i2", None, 9)]),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_runs(name, tmp_path):
    report = check_folder(recorded_folder(tmp_path, name))
    found = [(f.severity, f.code, f.stream, f.line, f.step) for f in report.findings]
    assert (report.steps, found) == FOUND[name]
    if recorded := RECORDED[name]["outputs"]:
        assert report.outputs == tuple(sorted(f"outputs/{file}" for file in recorded))
        assert {report.steps} == {text.count("\n") for text in recorded.values()}


def test_the_recordings_show_where_lines_are_skipped():
    """Read off the outputs of the run: a held position reads no buy, and a free one no sell."""
    held = [int(line) for line in RECORDED["holding_unmirrored"]["outputs"]["holding.out"].split()]
    assert held.index(1) + 1 == 8  # the first step after one that ends with a position
    assert held[0] == 0  # so step 1 reads no sell


DECLARED = """\
i1:sbf := in file("inputs/a.in").
i2:sbf := in file("inputs/b.in").
o1:sbf := out file("outputs/a.out").
o2:sbf := out file("outputs/b.out").
"""
ECHO = DECLARED + "(o1[t] = i1[t]) && (o2[t] = i2[t])\n"
FILES = {"inputs/a.in": "1\n0\n1\n0\n", "inputs/b.in": "0\n0\n1\n1\n"}


def found(folder: Path, *severities: str) -> dict[str, tuple]:
    """The findings of some severities by their codes, one of each: place, stream, step, fixable."""
    findings = [f for f in check_folder(folder).findings if not severities or f.severity in severities]
    assert len({f.code for f in findings}) == len(findings), findings
    return {f.code: (f.where, f.stream, f.step, f.fixable) for f in findings}


def test_a_sound_folder(tmp_path):
    report = check_folder(make_folder(tmp_path, ECHO, FILES))
    assert report.findings == ()
    assert (report.steps, report.seconds, report.inputs) == (4, (3.0, 16.1), {"inputs/a.in": 4, "inputs/b.in": 4})
    assert report.outputs == ("outputs/a.out", "outputs/b.out")
    assert report.as_dict()["ok"] is True


@pytest.mark.parametrize("spec", [V38, LAYERED], ids=["v38", "layered"])
def test_the_agents_are_sound(spec, tmp_path):
    folder = make_folder(tmp_path, str(spec), {s.path: "0\n1\n1\n" for s in spec.inputs})
    assert check_folder(folder).findings == ()


def test_an_agent_without_a_mirror_may_drift(tmp_path):
    """With a position from step 0 on that timed out in step 3 no buy is possible: whether the price is read is open."""
    text = str(V38)
    for part in (
        " && (o_mirror_price[t] = i_price[t])",
        " && (o_mirror_price[0] = i_price[0])",
        'o_mirror_price:sbf := out file("o_mirror_price").\n',
    ):
        text = text.replace(part, "")
    ones = {"i_volume", "i_trend", "i_risk_budget_ok", "i_q_buy"}
    files = {s.path: ("1\n" if s.name in ones else "0\n") * 9 for s in V38.inputs}
    finding = check_folder(make_folder(tmp_path, text, files)).findings[0]
    assert (finding.severity, finding.code, finding.stream, finding.step) == ("error", "unmirrored", "i_price", 4)
    assert "it may drift: at step 4 it is unclear whether a line of i_price is read" in finding.effect


def test_inputs_that_happen_to_be_read(tmp_path):
    both = DECLARED.replace('o2:sbf := out file("outputs/b.out").\n', "")
    folder = make_folder(tmp_path / "a", both + "(o1[t] = i1[t] & i2[t])", FILES)
    notes = check_folder(folder).findings
    assert [(f.severity, f.code, f.stream) for f in notes] == [("note", "unmirrored", n) for n in ("i1", "i2")]
    kept = "(o1[t] = (i1[t] & o1[t-1]) | (i2[t] & o1[t-1]')) && (o1[0] = i1[0] ^ i2[0])"
    folder = make_folder(tmp_path / "b", both + kept, {"inputs/a.in": "1\n", "inputs/b.in": "0\n"})
    assert [(f.severity, f.code) for f in check_folder(folder).findings] == [("warning", "unmirrored")] * 2


LINES = {  # of a file of sbf beside one of four good lines: severity, code, line, step, fixable
    "1\n0\n": ("error", "unequal-lengths", None, 2, False),
    "": ("error", "empty-file", None, 0, False),
    "\n\n": ("error", "empty-file", None, 0, False),
    "1\n\n0\n1\n": ("error", "empty-line", 2, 1, False),
    "1\n0\n2\n2\n": ("error", "bad-line", 3, 2, False),
    "\ufeff1\n0\n1\n1\n": ("error", "bad-line", 1, 0, True),
    "1\n0\n1\nx ~ y\n": ("error", "formula", 4, 3, False),
    "1\n0\n1\nx & y\n": ("error", "letters", 4, 3, False),
    "1\ntrue\n1\nfalse\n": ("error", "letters", 2, 1, False),
    "1\r\n0\r\n1\r\n1\r\n": ("note", "padding", None, None, True),
    " 1\n0\t\n1\n1\n": ("note", "padding", None, None, True),
    "1\n0\n1\n1\n\n\n": ("note", "padding", None, None, True),
}


@pytest.mark.parametrize("text", LINES)
def test_lines_of_input_files(text, tmp_path):
    findings = check_folder(make_folder(tmp_path, ECHO, {**FILES, "inputs/b.in": text})).findings
    findings = [f for f in findings if text.strip() or f.code != "padding"]
    assert [(f.severity, f.code, f.line, f.step, f.fixable) for f in findings] == [LINES[text]]
    assert findings[0].file == "inputs/b.in"


def test_all_that_is_wrong_with_a_file_at_once(tmp_path):
    folder = make_folder(tmp_path, ECHO, {"inputs/a.in": "1\n\n2\ntrue\nx+y\n 0\n", "inputs/b.in": "0\n2\n"})
    codes = [(f.file, f.code) for f in check_folder(folder).findings]
    a = [("inputs/a.in", code) for code in ("bad-line", "letters", "empty-line", "formula", "padding")]
    assert sorted(codes) == sorted([*a, ("inputs/b.in", "bad-line"), ("inputs/b.in", "unequal-lengths")])


def test_what_the_shortest_input_leaves_unread(tmp_path):
    folder = make_folder(tmp_path, ECHO, {**FILES, "inputs/b.in": "0\n"})
    (finding,) = check_folder(folder).findings
    assert finding.effect == "the run ends at step 1 without a message; lines never read: 3 of inputs/a.in"
    assert finding.found == "1 line, where inputs/a.in has 4"


def test_files_that_are_missing_in_the_way_or_not_read(tmp_path):
    folder = make_folder(tmp_path, ECHO, {**FILES, "inputs/c.in": "1\n", "inputs/notes.txt": "x"})
    assert found(folder) == {"unread-file": ("inputs/c.in", "", None, False)}
    (folder / "outputs/a.out").write_text("1\n")
    (folder / "outputs/b.out").mkdir()
    (folder / "inputs/a.in").unlink()
    (folder / "inputs/b.in").unlink()
    (folder / "inputs/b.in").mkdir()
    findings = [(f.severity, f.code, f.file) for f in check_folder(folder).findings]
    assert findings == [
        ("error", "missing-input", "inputs/a.in"),
        ("error", "missing-input", "inputs/b.in"),
        ("error", "output-folder", "outputs/b.out"),
        ("note", "unread-file", "inputs/c.in"),
        ("note", "overwritten", "outputs/a.out"),
    ]


@pytest.mark.parametrize("place", ["/dev/zero", "inputs/pipe.in"])
def test_an_input_whose_end_may_never_come(place, tmp_path):
    folder = make_folder(tmp_path, ECHO.replace("inputs/a.in", place), FILES)
    os.mkfifo(folder / "inputs/pipe.in")
    (finding,) = [f for f in check_folder(folder).findings if f.code == "missing-input"]
    assert (finding.file, finding.found) == (place, "it cannot be read (not a regular file), of i1")


def test_outputs_without_a_folder(tmp_path):
    folder = make_folder(tmp_path, ECHO, FILES)
    (folder / "outputs").rmdir()
    assert found(folder) == {"output-folder": ("outputs", "", None, True)}
    (folder / "outputs").write_text("a file")
    assert found(folder) == {"output-folder": ("outputs", "", None, False)}


def test_paths_that_lead_out_of_the_folder(tmp_path):
    text = ECHO.replace("inputs/a.in", "../a.in").replace("outputs/b.out", f"{tmp_path}/b.out")
    (tmp_path / "a.in").write_text("1\n0\n1\n0\n")
    folder = make_folder(tmp_path / "folder", text, {"inputs/b.in": FILES["inputs/b.in"]})
    findings = check_folder(folder).findings
    assert [(f.severity, f.code, f.stream, f.line) for f in findings] == [
        ("warning", "path", "i1", 1),
        ("warning", "path", "o2", 4),
    ]


def test_streams_that_no_clause_uses(tmp_path):
    folder = make_folder(tmp_path, DECLARED + "(o1[t] = i1[t])", {"inputs/a.in": "1\n", "inputs/b.in": "bad\n" * 9})
    report = check_folder(folder)
    assert [(f.severity, f.code, f.stream) for f in report.findings] == [
        ("note", "unused", "i2"),
        ("note", "unused", "o2"),
    ]
    assert (report.steps, report.inputs) == (1, {"inputs/a.in": 1})


def test_a_specification_that_reads_nothing(tmp_path):
    folder = make_folder(tmp_path, 'o1:sbf := out file("outputs/a.out").\n(o1[t] = 1)', {})
    assert found(folder) == {"nothing-read": ("agent.tau", "", 0, False)}


def test_lags_by_more_than_one_step(tmp_path):
    text = DECLARED + "(o1[t] = i1[t]) && (o2[t] = i2[t] ^ i1[t-2]) && (o1[0] = i1[0]) && (o1[1] = i1[1])"
    found = {f.code: f for f in check_folder(make_folder(tmp_path, text, FILES)).findings}
    assert found["misaligned"].stream == "i2"
    assert "inputs/b.in lags 2 steps behind inputs/a.in" in found["misaligned"].effect
    assert found["free-first-values"].found == "no clause says what these outputs are at steps 0 to 1: o2"
    late = make_folder(tmp_path / "late", DECLARED + "(o1[t] = i1[t] ^ o1[t-3]) && (o2[t] = i2[t])", FILES)
    effects = {f.code: f.effect for f in check_folder(late).findings}
    assert "3 lines more than the inputs: line n belongs to input line n - 3" in effects["late-start"]


TEXTS = {  # what is wrong with a text: severity, code, line, column, fixable
    ECHO.replace("i1:sbf :=", "i1:sbf ="): [("error", "old-syntax", 1, 1, True)],
    ECHO.replace('i1:sbf := in file("inputs/a.in").', 'sbf i1 = ifile("inputs/a.in")'): [
        ("error", "old-syntax", 1, 1, True)
    ],
    ECHO.replace('.out").', '.out")', 1): [("error", "old-syntax", 3, 1, True)],
    ECHO.replace("(o1[t]", "r (o1[t]"): [("error", "command", 5, 1, True)],
    ECHO + "n\nq": [("error", "command", 6, 1, True), ("error", "command", 7, 1, True)],
    "set charvar off\n" + ECHO: [("error", "command", 1, 1, True)],
    ECHO.replace(" && (", "\nr ("): [("error", "command", 6, 1, True)],
    "\ufeff" + ECHO: [("error", "not-ascii", 1, 1, True)],
    "# größe → price\n" + ECHO: [("error", "not-ascii", 1, 5, True)],
    ECHO.replace("o1[t] = i1[t]", "o1[t] = i1[t]\u2032"): [("error", "not-ascii", 5, 15, True)],
    ECHO.replace("a.in", "ä.in"): [("error", "not-ascii", 1, 27, False)],
    ECHO.replace("o1[t] =", "o1[t] = = "): [("error", "syntax", 5, 10, False)],
    ECHO.replace("i1[t])", "i1[t]"): [("error", "syntax", 6, 1, False)],
    ECHO.replace("= i1[t]", "= i3[t] + 1").replace("= i2[t]", "= {"): [
        ("error", "undeclared", 5, 10, False),
        ("error", "syntax", 5, 33, False),
        ("warning", "not-modelled", 5, 16, False),
    ],
    ECHO.replace("= i1[t]", "= i3[t]"): [("error", "undeclared", 5, 10, False)],
    ECHO.replace("o1[t] =", "o3[t] ="): [("warning", "undeclared", 5, 2, False)],
    ECHO.replace("i2[t]", "i2[t] | 2"): [("error", "syntax", 5, 37, False)],
    ECHO.replace("i2[t]", "i2[t] + 1"): [("warning", "not-modelled", 5, 35, False)],
    ECHO.replace("o2[t] =", "o1[t] ="): [("error", "unsatisfiable", None, None, False)],
    DECLARED: [("error", "syntax", 5, 1, False)],
    ECHO.replace("outputs/b.out", "outputs/./a.out"): [("error", "syntax", 4, 1, False)],
    ECHO.replace("i2:", "i1:"): [("error", "syntax", 2, 1, False)],
    ECHO.replace("i1", "price"): [("error", "name", 1, 1, True)],
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text, tmp_path):
    findings = check_folder(make_folder(tmp_path, text, FILES)).findings
    about_text = [f for f in findings if f.file == "agent.tau" and f.code not in ("unused", "unmirrored")]
    assert [(f.severity, f.code, f.line, f.column, f.fixable) for f in about_text] == TEXTS[text]


def test_a_text_full_of_errors_is_given_up_and_that_is_said(tmp_path):
    findings = check_folder(make_folder(tmp_path, DECLARED + " && ".join(["(o1[t] = 2)"] * 99), FILES)).findings
    assert [f.code for f in findings] == ["syntax"] * 51
    assert findings[-1].found == "clauses from here on are not checked: 50 before cannot be read"


def test_older_texts_are_looked_through_too(tmp_path):
    """The steps at which things go wrong are those of the specification that the text means today."""
    recorded = RECORDED["holding_unmirrored"]
    text = recorded["spec"].replace(":=", "=").replace("(o1[t] =", "r (o1[t] =")
    folder = make_folder(tmp_path, text, {f"inputs/{name}": lines for name, lines in recorded["inputs"].items()})
    findings = check_folder(folder).findings
    assert [(f.code, f.step) for f in findings if f.step] == [("unmirrored", 8), ("unmirrored", 1)]
    assert [f.code for f in findings].count("old-syntax") == 3


def test_which_specification(tmp_path):
    for place, expected in (("nowhere", "does not exist"), (".", r"holds no \.tau file")):
        with pytest.raises(InputError, match=expected):
            check_folder(tmp_path / place)
    folder = make_folder(tmp_path / "folder", ECHO, FILES)
    (folder / "other.tau").write_text(ECHO.replace("o2[t] = i2[t]", "o2[t] = i2[t]'"))
    report = check_folder(folder)
    assert (report.spec, [f.code for f in report.findings]) == ("agent.tau", ["several-specs"])
    assert check_folder(folder / "other.tau").spec == "other.tau"
    (folder / "agent.tau").rename(folder / "another.tau")
    with pytest.raises(InputError, match=r"holds another\.tau, other\.tau; give one of these files"):
        check_folder(folder)
    with pytest.raises(InputError, match="is not a folder"):
        check_folder(folder / "inputs/a.in")


# --- whatever the text


def mutilated(text: str) -> st.SearchStrategy[str]:
    """A text of which some parts are cut out, doubled or replaced."""
    pieces = st.sampled_from(
        [
            "",
            "r ",
            "=",
            ":=",
            "ä",
            "&&",
            "(",
            ")",
            "[",
            "]",
            "'",
            '"',
            "\n",
            ".",
            "#",
            "{",
            "q",
            "set ",
            "console",
            "0x",
            "sbf ",
            "i1",
            "o1[t]",
            ":bv[5]",
            "\x00",
            "ifile",
            "&& r",
            "always ",
            "{ 1 }",
            "9" * 30,
        ]
    )
    edits = st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, 12), pieces), min_size=1, max_size=4)

    def edited(changes: list[tuple[int, int, str]]) -> str:
        result = text
        for at, length, piece in changes:
            result = result[:at] + piece + result[at + length :]
        return result

    return edits.map(edited)


@given(st.one_of(st.binary(max_size=200), mutilated(ECHO).map(str.encode), mutilated(str(LAYERED)).map(str.encode)))
def test_a_text_is_read_without_findings_just_where_it_is_read_at_all(data):
    reading = read_text(data, "agent.tau")
    try:
        spec = parse_spec(data.decode("utf-8", "replace"))
    except (SpecError, NotModelled):
        assert reading.findings
    else:
        assert {finding.code for finding in reading.findings} <= {"undeclared"}
        assert reading.current
        assert reading.spec == spec
    for finding in reading.findings:
        lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1


@given(mutilated(ECHO.replace(":=", "=").replace("(o1", "r (o1", 1)))
def test_what_is_fixed_is_read_without_findings(text):
    reading = read_text(text.encode(), "agent.tau")
    if reading.spec is not None:
        again = read_text(reading.text(reading.spec).encode(), "agent.tau")
        assert {finding.code for finding in again.findings} <= {"undeclared"}
        assert again.spec == reading.spec


@given(st.binary(max_size=200), st.binary(max_size=40), mutilated(ECHO))
def test_no_folder_is_too_strange(tmp_path_factory, noise, lines, text):
    for data in (noise, text.encode()):
        folder = make_folder(tmp_path_factory.mktemp("strange"), data, {"inputs/a.in": lines, "inputs/b.in": noise})
        json.dumps(check_folder(folder).as_dict())


@given(st.binary(max_size=60) | st.text("01 \r\n\t", max_size=40).map(str.encode), st.sampled_from([None, 2]))
def test_tidy_files_hold_the_same_values(data, width):
    assert tidy(tidy(data)) == tidy(data)
    before, after = read_lines(data, width), read_lines(tidy(data), width)
    assert before.values.tolist() == after.values[: before.values.size].tolist()

"""Fixed folders: what `--fix` writes, that it passes the check, and that it means what the equations mean."""

import os
import re
from pathlib import Path

import pytest
from cli_helpers import FULL, failing_rename, failing_write, snapshot
from hypothesis import assume, event, given
from hypothesis import strategies as st
from tau_folders import RECORDED, make_folder, oracle_machine, oracle_outputs, recorded_folder
from tau_specs import LAYERED, V38, System, lookback_of, systems, term_of

from idi_fast.errors import OutputError, WriteError
from idi_fast.tau.check import check_folder
from idi_fast.tau.fix import Fixed, fix_folder, fix_spec
from idi_fast.tau.formula import NotModelled, SpecError
from idi_fast.tau.model import Model
from idi_fast.tau.parts import Unsatisfiable
from idi_fast.tau.run import run_folder
from idi_fast.tau.spec import Spec, load_spec, parse_spec
from oracle import tau as oracle


def older(spec: Spec) -> str:
    """A specification without its mirrors and first values, as scripts for the prompt used to be written."""
    names = [stream.name for stream in spec.outputs if "mirror" in stream.name]
    lines = ["# the agent — as it was", ""]
    for stream in (*spec.inputs, *spec.outputs):
        if stream.name not in names:
            lines += [f"# {stream.name} →", str(stream).replace(":=", "=")]
    clauses = [c for c in spec.clauses if c.target.name not in names and c.target.index is None]
    joined = " &&\n\n  # next\n  ".join(map(str, clauses))
    return "\n".join([*lines, "r (", f"  {joined}", ")", "n", "n", "q"])


def fixed(folder: Path) -> Fixed:
    """Fix a folder beside itself, and see that the folder stays as it is."""
    before = snapshot(folder)
    result = fix_folder(folder, folder.parent / f"{folder.name}_fixed")
    assert snapshot(folder) == before
    return result


def outputs(result: Fixed) -> dict[str, str]:
    """The outputs of a fixed folder, simulated."""
    run = run_folder(result.folder)
    assert run.ok, run
    return {output.path: Path(result.folder, output.path).read_text() for output in run.outputs}


@pytest.mark.parametrize("spec", [V38, LAYERED], ids=["v38", "layered"])
def test_agents_in_older_syntax(spec, tmp_path):
    files = {s.path: "0\n1\n1\n0\n1\n" for s in spec.inputs}
    result = fixed(make_folder(tmp_path / "agent", older(spec), files))
    assert {f.code for f in result.before.errors} >= {"old-syntax", "command", "not-ascii"}
    unused = {"i_q_regime"} & {s.name for s in spec.inputs}  # v38 mirrors it and does nothing else with it
    assert {(f.severity, f.code, f.stream) for f in result.after.findings} == {("note", "unused", n) for n in unused}
    spec_file = Path(result.folder, "agent.tau")
    assert spec_file.read_text().isascii()
    assert set(load_spec(spec_file).clauses) == {c for c in spec.clauses if c.target.name != "o_mirror_q_regime"}
    written = outputs(result)
    assert {s.path: written[s.path] for s in spec.outputs if "mirror" not in s.name} == {
        path: text for path, text in oracle_outputs(spec, Path(result.folder)).items() if "mirror" not in path
    }


MENDABLE = ("holding_unmirrored", "mixed_lookback", "old_declaration_syntax", "holding_mirrored", "two_bit_timer")


@pytest.mark.parametrize("name", MENDABLE)
def test_recorded_folders(name, tmp_path):
    result = fixed(recorded_folder(tmp_path / "a", name))
    assert result.before.findings
    assert result.after.findings == ()
    spec = load_spec(Path(result.folder, "agent.tau"))
    assert outputs(result) == oracle_outputs(spec, Path(result.folder))


def test_what_is_fixed_equals_the_recorded_run_that_was_sound(tmp_path):
    """The recordings hold both: the same equations with and without the clauses that align them."""
    for broken, sound in (("mixed_lookback", "mixed_lookback_aligned"), ("old_declaration_syntax", "echo_sbf")):
        written = outputs(fixed(recorded_folder(tmp_path / broken, broken)))
        assert written == {f"outputs/{name}": text for name, text in RECORDED[sound]["outputs"].items()}
    written = outputs(fixed(recorded_folder(tmp_path / "h", "holding_unmirrored")))
    recorded = RECORDED["holding_mirrored_from_zero"]["outputs"]
    assert sorted(recorded.values()) == sorted(written.values())
    assert written["outputs/holding.out"] == recorded["holding.out"]


def test_how_it_is_written(tmp_path):
    text = """\
# größe: 2 ≤ 3
sbf price = ifile("inputs/a.in")
# a mirror's name and file that are taken
o_mirror_i1:sbf = out file("outputs/mirror_i1.out").
i1:sbf = in file("inputs/b.in").   # and “quoted”
r o_mirror_i1[t] = i1[t] & o_mirror_i1[t-1] & price[t]'
# the end
q
"""
    files = {"inputs/a.in": "\ufeff1\r\n0\r\n", "inputs/b.in": "1\n0", "notes/a.txt": "x", "outputs/old.out": "0\n"}
    folder = make_folder(tmp_path / "agent", text, files)
    (folder / "outputs/mirror_i1.out").write_text("1\n")
    result = fixed(folder)
    assert result.after.findings == ()
    assert result.changes == (
        "agent.tau is written in today's syntax and in ASCII",
        "2 mirrors added: o_mirror_price, o_mirror_i1_2",
        "3 first values fixed, as if every value before step 0 were 0",
        "inputs/a.in has values and LF alone",
    )
    expected = """\
# grosse: 2 <= 3
i_price:sbf := in file("inputs/a.in").
# a mirror's name and file that are taken
o_mirror_i1:sbf := out file("outputs/mirror_i1.out").
i1:sbf := in file("inputs/b.in").
o_mirror_price:sbf := out file("outputs/mirror_price.out").
o_mirror_i1_2:sbf := out file("outputs/mirror_i1_2.out").
# and "quoted"
# the end
(o_mirror_i1[t] = i1[t] & o_mirror_i1[t-1] & i_price[t]') && (o_mirror_price[t] = i_price[t]) && \
(o_mirror_i1_2[t] = i1[t]) && (o_mirror_i1[0] = 0) && (o_mirror_price[0] = i_price[0]) && \
(o_mirror_i1_2[0] = i1[0])
"""
    assert Path(result.folder, "agent.tau").read_text() == expected
    there = {name: data for name, data in snapshot(Path(result.folder)).items() if data is not None}
    del there["agent.tau"]
    assert there == {
        "inputs/a.in": b"1\n0\n",
        "inputs/b.in": b"1\n0",
        "notes/a.txt": b"x",
        "outputs/old.out": b"0\n",
    }


def test_a_sound_folder_is_copied_as_it_is(tmp_path):
    folder = recorded_folder(tmp_path / "a", "mixed_lookback_aligned")
    (folder / "agent.tau").write_text("# as I wrote it\n" + (folder / "agent.tau").read_text().replace(" && ", "\n&& "))
    make_folder(folder / "expected", "", {"twice.out": "0\n"})
    result = fixed(folder)
    assert (result.changes, result.left) == ((), ())
    assert snapshot(Path(result.folder)) == snapshot(folder)


def test_outputs_of_earlier_runs_and_what_was_expected_stay_behind(tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    (folder / "outputs/holding.out").write_text("0\n")
    (folder / "expected").mkdir()
    (folder / "expected/holding.out").write_text("0\n")
    result = fixed(folder)
    assert "expected/ is left out: it is of the clauses as they were" in result.changes
    assert {"outputs/holding.out", "expected"}.isdisjoint(snapshot(Path(result.folder)))
    assert Path(result.folder, "outputs").is_dir()


def test_what_cannot_be_fixed_is_left_and_said(tmp_path):
    recorded = RECORDED["unequal_lengths"]
    files = {"inputs/a.in": recorded["inputs"]["a.in"], "inputs/b.in": "1\r\n0\r\n2\r\ntrue\r\n"}
    result = fixed(make_folder(tmp_path / "a", recorded["spec"].replace(":=", "="), files))
    assert [(f.code, f.file) for f in result.left] == [
        ("unequal-lengths", "inputs/b.in"),
        ("bad-line", "inputs/b.in"),
        ("letters", "inputs/b.in"),
    ]
    assert Path(result.folder, "inputs/b.in").read_bytes() == b"1\n0\n2\ntrue\n"


@pytest.mark.parametrize("text", ["(o1[t] = ", "nonsense", 'i1:sbf := in file("ä").\n(o1[t] = i1[t])', "", "\0\0"])
def test_nothing_is_written_for_a_text_that_cannot_be_read(text, tmp_path):
    result = fixed(make_folder(tmp_path / "a", text, {}))
    assert (result.after, result.folder, result.left) == (None, "", result.before.errors)
    assert result.left
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_clauses_that_are_not_modelled_are_written_in_todays_syntax(tmp_path):
    text = 'o1:sbf = out file("outputs/a.out").\n(o1[t] = o1[t])'
    result = fixed(make_folder(tmp_path / "a", text, {}))
    assert [f.code for f in result.after.findings] == ["not-modelled"]
    assert Path(result.folder, "agent.tau").read_text() == text.replace("=", ":=", 1) + "\n"


def test_fixing_in_place(tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    (folder / "outputs").rmdir()
    (folder / "inputs/buy.in").write_bytes((folder / "inputs/buy.in").read_bytes().replace(b"\n", b"\r\n"))
    (folder / "expected").mkdir()
    before = snapshot(folder)
    with pytest.raises(OutputError, match="`force=True` fixes it in place"):
        fix_folder(folder, folder)
    assert snapshot(folder) == before
    result = fix_folder(folder, folder, force=True)
    assert (result.after.findings, result.folder) == ((), str(folder))
    assert result.changes[-2:] == ("inputs/buy.in has values and LF alone", "the folder outputs is made")
    assert "expected/ stays as it is: it is of the clauses as they were" in result.changes
    assert set(snapshot(folder)) == {*before, "outputs"}
    assert fix_folder(folder, folder, force=True).changes == ()


def test_nested_output_folders_are_made(tmp_path):
    text = 'i1:sbf := in file("a/b/x.in").\no1:sbf := out file("a/c/d/x.out").\n(o1[t] = i1[t])'
    folder = make_folder(tmp_path / "a", text, {"a/b/x.in": "1\n"})
    (folder / "outputs").rmdir()
    assert fixed(folder).after.findings == ()
    assert fix_folder(folder, folder, force=True).after.findings == ()
    assert (folder / "a/b/x.in").read_text() == "1\n"


FAILURES = {"write": lambda: failing_write("agent.tau", FULL), "rename": lambda: failing_rename(FULL, first=1, last=1)}


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("in_place", [True, False])
def test_all_or_nothing(fail, in_place, tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    before = snapshot(tmp_path)
    with FAILURES[fail](), pytest.raises(WriteError, match="No space left"):
        fix_folder(folder, folder if in_place else tmp_path / "b/c", force=True)
    assert snapshot(tmp_path) == before


def test_where_it_may_be_written(tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("x")
    assert fix_folder(folder, tmp_path / "there").left == ()
    before = snapshot(tmp_path)
    refusals = {"there": "already exists", "file": "already exists", "a/inside": "is within"}
    for place, expected in refusals.items():
        with pytest.raises(OutputError, match=expected):
            fix_folder(folder, tmp_path / place, force=True)
    assert snapshot(tmp_path) == before


def test_links_are_not_written_through(tmp_path):
    folder = recorded_folder(tmp_path / "a", "old_declaration_syntax")
    (folder / "agent.tau").rename(tmp_path / "kept.tau")
    (folder / "agent.tau").symlink_to(tmp_path / "kept.tau")
    kept = (tmp_path / "kept.tau").read_text()
    assert fixed(folder).left == ()
    assert (tmp_path / "kept.tau").read_text() == kept


@pytest.mark.parametrize("relative", [True, False])
def test_linked_folders_are_not_written_through(relative, tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    for name in ("inputs", "outputs"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(Path("..") / name if relative else tmp_path / name)
    buy = tmp_path / "inputs/buy.in"
    buy.write_bytes(buy.read_bytes().replace(b"\n", b"\r\n"))
    (tmp_path / "outputs/holding.out").write_text("mine")
    (folder / "elsewhere").symlink_to(tmp_path)
    before = {name: snapshot(tmp_path / name) for name in ("inputs", "outputs")}
    result = fix_folder(folder, tmp_path / "deep/er/b")
    assert result.after.findings == ()
    outputs(result)
    assert {name: snapshot(tmp_path / name) for name in before} == before
    assert (Path(result.folder, "inputs/buy.in").read_bytes(), Path(result.folder, "elsewhere").is_symlink()) == (
        buy.read_bytes().replace(b"\r", b""),
        True,
    )


def test_a_linked_file_is_copied_as_it_is(tmp_path):
    folder = recorded_folder(tmp_path / "a", "mixed_lookback_aligned")
    for name in ("agent.tau", "inputs/up.in"):
        (folder / name).rename(tmp_path / Path(name).name)
        (folder / name).symlink_to(os.path.relpath(tmp_path / Path(name).name, (folder / name).parent))
    result = fix_folder(folder, tmp_path / "deep/er/b")
    assert (result.after.findings, result.changes) == ((), ())


def test_folders_that_cannot_be_written_to_are_copied_as_others(tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    for place in (folder / "inputs", folder):
        place.chmod(0o555)
    result = fixed(folder)
    for place in (folder, folder / "inputs"):
        place.chmod(0o755)
    assert all(os.stat(place).st_mode & 0o200 for place in (result.folder, Path(result.folder, "inputs")))


def test_a_chosen_file_of_several(tmp_path):
    folder = recorded_folder(tmp_path / "a", "holding_unmirrored")
    os.rename(folder / "agent.tau", folder / "one.tau")
    (folder / "two.tau").write_text("nonsense")
    result = fix_folder(folder / "one.tau", tmp_path / "b")
    assert [f.code for f in result.after.findings] == ["several-specs"]
    assert (tmp_path / "b/two.tau").read_text() == "nonsense"


# --- whatever the equations


def of_the_equations(system: System, first: dict, lines: dict[str, list[int]], steps: int) -> dict[str, list[int]]:
    """The outputs by the equations alone: line n of every input is its value at n, and before 0 all is 0.

    first: terms at fixed times; they go before the equations at the times below the largest lookback.
    """
    back = lookback_of(system.clauses)
    values = {(name, time): value for name, column in lines.items() for time, value in enumerate(column)}

    def look(name: str, time: int) -> int:
        if time < 0:
            return 0
        if (name, time) not in values:
            term = system.clauses[name]
            if time < back:
                term = first.get((name, time), term)
            mask = 1 if system.widths[name] is None else 2 ** system.widths[name] - 1
            values[name, time] = oracle.evaluate(term, time, mask, look)
        return values[name, time]

    return {name: [look(name, time) for time in range(steps)] for name in system.clauses}


def without_past(term: tuple, time: int) -> tuple:
    """A term about t at a time, with 0 for all that is before time 0."""
    if term[0] == "back":
        return ("fixed", term[1], time - term[2]) if time >= term[2] else ("constant", 0)
    return tuple(without_past(part, time) if isinstance(part, tuple) else part for part in term)


def satisfiable(machine: oracle.Machine, first: dict) -> bool:
    """Whether outputs satisfy the clauses of a machine with other terms at fixed times."""
    try:
        oracle.Machine(machine.widths, machine.clauses, first)
    except oracle.Unsatisfiable:
        return False
    except oracle.TooMany:
        assume(False)
    return True


def is_modelled_when_fixed(spec: Spec) -> bool:
    try:
        fix_spec(spec)
    except Unsatisfiable:
        return True
    except NotModelled:
        return False
    return True


SIMPLIFIED = System(
    {"i0": None, "o0": None, "o1": 2},
    {"o0": ("back", "i0", 2), "o1": ("or", ("back", "o1", 1), ("and", ("back", "o1", 1), ("back", "o1", 2)))},
    {},
)


def test_what_would_not_be_modelled_any_more_is_left_as_it_is(tmp_path):
    folder = make_folder(tmp_path / "a", str(SIMPLIFIED.spec), {"inputs/i0": "0\n1\n1\n"})
    assert not is_modelled_when_fixed(SIMPLIFIED.spec)
    result = fixed(folder)
    assert (result.refused, result.changes) == ("", ())
    assert [(f.code, f.fixable) for f in result.after.findings] == [("free-first-values", False)]


@given(systems(mirrored=False, widths=(None, None, 2)), st.data())
def test_fixed_equations_pass_the_check_and_mean_the_same(tmp_path_factory, system, data):
    spec = system.spec
    try:
        Model.of(spec)
    except (NotModelled, SpecError):  # the latter where nothing satisfies them
        assume(False)
    steps = data.draw(st.integers(1, 12))
    lines = {
        s.name: data.draw(st.lists(st.integers(0, 1 if s.width is None else 3), min_size=steps, max_size=steps))
        for s in spec.inputs
    }
    assume({value.name for value in spec.values} & set(lines))  # else nothing is read, and nothing must be mirrored
    files = {spec.streams[name].path: "".join(f"{v}\n" for v in column) for name, column in lines.items()}
    folder = make_folder(tmp_path_factory.mktemp("random") / "a", str(spec), files)
    result = fixed(folder)
    if not is_modelled_when_fixed(spec):
        # How far such clauses are simplified decides what fixed indices would mean, of which there are none yet.
        assert (result.refused, result.changes) == ("", ())
        assert not any(finding.fixable for finding in result.before.findings)
        event("not modelled with its first values fixed")
        return
    if result.refused:
        # A first value that is a constant is put into other clauses. What shares no output any more with clauses that
        # look farther back then holds from earlier times on, and may contradict the first values that are given.
        assert re.match(r"with its first values fixed the interpreter would not start it; unsat.*: ", result.refused)
        assert not any(finding.fixable for finding in result.before.findings)
        event("refused")
        return
    assert [f for f in result.after.findings if f.code not in ("unused", "unread-file")] == []
    assert result.after.steps == steps
    again = load_spec(Path(result.folder, "agent.tau"))
    machine = oracle_machine(again)
    first = {value: term for value, term in machine.first.items() if value[0] in system.clauses}
    written, expected = outputs(result), of_the_equations(system, first, lines, steps)
    for name, column in expected.items():
        assert [int(value) for value in written[spec.streams[name].path].split()] == column
    for name in set(written) - {spec.streams[name].path for name in expected}:
        assert written[name] == files["inputs/" + re.search(r"mirror_(i\d)", name)[1]]
    # First values are those that are given; others go by the equations, unless nothing satisfied the clauses then.
    for (name, time), term in first.items():
        if (name, time) in system.first:
            assert term_of(term, system.widths[name]) == term_of(system.first[name, time], system.widths[name])
        else:
            plain = without_past(system.clauses[name], time)
            as_it_is = of_the_equations(system, {**first, (name, time): plain}, lines, steps)[name][: time + 1]
            if as_it_is != expected[name][: time + 1]:
                assert not satisfiable(machine, {**machine.first, (name, time): plain})
                event("another first value")
    assert check_folder(folder).counts()["error"] <= len(result.before.errors)
    assert fix_spec(again) == again
    assert parse_spec(str(again)) == again


def test_what_would_not_start_is_not_written(tmp_path):
    text = 'i1:sbf := in file("inputs/a.in").\no1:sbf := out file("outputs/a.out").\n(o1[t] = i1[t]) && (o1[0] = 0)'
    folder = make_folder(tmp_path / "a", text, {"inputs/a.in": "1\n"})
    fixed = fix_folder(folder, tmp_path / "out")
    assert "would not start it; unsatisfiable: at time 0 both (o1[0] = 0) and (o1[t] = i1[t]) hold" in fixed.refused
    assert [finding.code for finding in fixed.left] == ["unsatisfiable"]
    assert not (tmp_path / "out").exists()

"""Simulation: every recorded run, random runs of the oracle's machine, and each way to end."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from examples import examples
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from places import GOLDEN, ROOT
from tau_specs import LAYERED, V38, System, systems
from test_tau_lines import BAD, LINES

import idi_fast.tau.simulation as simulate_module
from idi_fast.agents.streams import stream_text
from idi_fast.errors import InputError
from idi_fast.tau.formula import NotModelled, SpecError
from idi_fast.tau.model import Model
from idi_fast.tau.parts import Unsatisfiable
from idi_fast.tau.simulation import Simulation, simulate, simulate_folder
from idi_fast.tau.spec import parse_spec
from oracle import tau as oracle

RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted((GOLDEN / "tau").glob("*"))}

VERDICTS = {  # steps, reason, errors, first times of reading
    "bv5_overflow": (2, "bad line", ["inputs/r.in, line 3: '32' is no bv[5]; expected 0 to 31"], {"i1": 0}),
    "echo_bv5": (24, "end of input", [], {"i1": 0}),
    "echo_sbf": (24, "end of input", [], {"i1": 0}),
    "echo_sbf_no_final_newline": (24, "end of input", [], {"i1": 0}),
    "empty_line": (2, "end of input", [], {"i1": 0}),
    "holding_mirrored": (25, "end of input", [], {"i1": 1, "i2": 1}),
    "holding_mirrored_from_zero": (24, "end of input", [], {"i1": 0, "i2": 0}),
    "holding_unmirrored": (46, "end of input", [], {"i1": 1, "i2": 8}),
    "missing_file": (0, "missing file", ["inputs/nope.in is missing, the file of i1"], {"i1": None}),
    "mixed_lookback": (24, "end of input", [], {"i1": 0, "i2": 1}),
    "mixed_lookback_aligned": (24, "end of input", [], {"i1": 0, "i2": 0}),
    "sbf_word_true": (
        3,
        "end of input",
        [
            "inputs/a.in, line 2: not 0 or 1; the interpreter treats the letters as free variables, 'e r t u', and "
            "outputs become formulas of them"
        ],
        {"i1": 0},
    ),
    "two_bit_timer": (41, "end of input", [], {"i1": 1}),
    "unequal_lengths": (9, "end of input", [], {"i1": 0, "i2": 0}),
}


def run_recorded(name: str) -> Simulation:
    recorded = RECORDED[name]
    return simulate(parse_spec(recorded["spec"]), {f"inputs/{file}": text for file, text in recorded["inputs"].items()})


@pytest.mark.parametrize("name", VERDICTS)
def test_recorded_runs(name):
    simulation, recorded = run_recorded(name), RECORDED[name]
    assert recorded["exit_code"] == 0
    assert simulation.files() == {f"outputs/{file}": text.encode() for file, text in recorded["outputs"].items()}
    steps, reason, errors, first_read = VERDICTS[name]
    assert simulation.steps == steps == {text.count("\n") for text in recorded["outputs"].values()}.pop()
    assert (simulation.stop.reason, list(simulation.errors)) == (reason, errors)
    assert simulation.first_read == first_read


def test_what_is_read_may_depend_on_all_that_a_lookback_reaches():
    """i1 is read where i2 was 1 two steps before; i2 is mirrored, and before time 2 neither is read."""
    declared = 'i1:sbf := in file("a").\ni2:sbf := in file("b").\no1:sbf := out file("c").\no2:sbf := out file("d").\n'
    spec = parse_spec(declared + "(o1[t] = i1[t] & o2[t-2]) && (o2[t] = i2[t])")
    gates = [0, 0, *np.random.default_rng(1).integers(0, 2, 60).tolist()]
    values = np.random.default_rng(2).integers(0, 2, 62).tolist()
    rest = iter(values)
    expected = [next(rest) if t > 1 and gates[t - 2] else 0 for t in range(62)]
    files = {"a": "".join(f"{v}\n" for v in values), "b": "".join(f"{v}\n" for v in gates[2:])}
    simulation = simulate(spec, files)
    assert_array_equal(simulation.values["o1"], expected)
    assert_array_equal(simulation.values["o2"], gates)
    assert simulation.read == {"i1": sum(gates[:60]), "i2": 60}
    assert simulation.skipped["i1"] == gates.index(0, simulation.first_read["i1"] - 2) + 2


def test_what_the_interpreter_refused_is_refused():
    refused = {name for name, recorded in RECORDED.items() if recorded["exit_code"] == 1}
    assert refused == set(RECORDED) - set(VERDICTS) == {"old_declaration_syntax"}
    with pytest.raises(
        SpecError, match=r"line 1, column 8: found '=', the older syntax of declarations; expected ':='"
    ):
        run_recorded("old_declaration_syntax")


def test_where_unmirrored_inputs_drift():
    simulation = run_recorded("holding_unmirrored")
    assert simulation.skipped == {"i1": 8, "i2": 10}
    assert simulation.lines == {"i1": 24, "i2": 24}
    assert simulation.read == {"i1": 24, "i2": 21}
    mirrored = run_recorded("holding_mirrored")
    assert mirrored.skipped == {"i1": None, "i2": None}
    assert mirrored.read == mirrored.lines


def value_of(line: str) -> int:
    line = line.strip()
    return int(line[2:], {"x": 16, "b": 2}[line[1]]) if line.startswith("#") else int(line)


@st.composite
def inputs(draw, width: int | None) -> tuple[str, list[int | str]]:
    """A file, and its lines as the oracle has them."""
    lines = draw(st.lists(st.sampled_from(LINES[width]), max_size=8))
    end, rest = draw(
        st.sampled_from([("", ""), ("end of input", "\n1\n")] + [("bad line", b + "\n1") for b in BAD[width]])
    )
    values: list[int | str] = [value_of(line) for line in lines]
    text = "".join(f"{line}\n" for line in lines) + rest
    return text if rest or draw(st.booleans()) else text[:-1], [*values, end] if end else values


def compare_with_random_files(system, data) -> None:
    """Simulate a system over random files, and as the oracle does it."""
    event(compare(system, {name: data.draw(inputs(width)) for name, width in system.widths.items() if name[0] == "i"}))


def compare(system, given: dict[str, tuple[str, list[int | str]]]) -> str:
    """Simulate a system over files, and as the oracle does it over their lines; returns how it ends."""
    spec = system.spec
    files = {stream.path: given[stream.name][0] for stream in spec.inputs}
    lines = {name: values for name, (_, values) in given.items()}
    try:
        machine = oracle.Machine(system.widths, system.clauses, system.first)
    except oracle.Unsatisfiable:
        try:
            Model.of(spec)
        except NotModelled as refused:
            assume("how far they are simplified" not in str(refused))
            raise
        except Unsatisfiable:
            return "unsatisfiable"
        raise AssertionError("nothing satisfies it") from None
    except oracle.TooMany:
        assume(False)
    try:
        Model.of(spec)
    except NotModelled as refused:
        assume("how far they are simplified" not in str(refused))
        raise
    try:
        steps, reason, stream = machine.run(lines)
    except oracle.Unclear:
        return "unclear"
    simulation = simulate(spec, files)
    assert (simulation.steps, simulation.stop.reason, simulation.stop.stream) == (steps, reason, stream)
    for name, values in simulation.values.items():
        assert values.dtype == (np.uint8 if system.widths[name] is None else np.uint32)
        assert_array_equal(values, machine.column(name, steps))
        assert simulation.files()[f"outputs/{name}"].decode().splitlines() == [str(value) for value in values]
    assert parse_spec(str(spec)) == spec
    return f"{reason}, {'skipped' if any(simulation.skipped.values()) else 'none skipped'}"


@settings(max_examples=examples(40))
@given(systems(mirrored=True, widths=(None, None, 2), inputs=2), st.data())
def test_mirrored_equations_are_those_of_the_oracle(system, data):
    compare_with_random_files(system, data)


@settings(max_examples=examples(40))
@given(systems(mirrored=False), st.data())
def test_unmirrored_equations_are_those_of_the_oracle(system, data):
    compare_with_random_files(system, data)


READ_FOR_A_SECOND_DEFINITION = {  # by a clause for t that holds at a time with another definition, as in part_fill3
    "input": (None, {"o0": ("back", "i0", 1), "o1": ("back", "o1", 2)}, {("o0", 1): ("fixed", "o0", 0)}),
    "inverted": (None, {"o0": ("not", ("back", "i0", 1)), "o1": ("back", "o1", 2)}, {("o0", 1): ("fixed", "o0", 0)}),
    "joined": (
        None,
        {"o0": ("xor", ("back", "i0", 1), ("back", "i1", 1)), "o1": ("back", "o1", 2)},
        {("o0", 1): ("not", ("fixed", "o0", 0))},
    ),
    "bitvectors": (2, {"o0": ("back", "i0", 1), "o1": ("back", "o1", 2)}, {("o0", 1): ("fixed", "o0", 0)}),
}


@pytest.mark.parametrize("case", READ_FOR_A_SECOND_DEFINITION)
def test_an_input_that_only_a_second_definition_names_is_read(case):
    """o0[1] is o0[0], and by the clause for t a function of i0[0]: so o0[0] is chosen when i0[0] is read, at time 0."""
    width, clauses, first = READ_FOR_A_SECOND_DEFINITION[case]
    system = System(dict.fromkeys(("i0", "i1", "o0", "o1"), width), clauses, first)
    for values in ([], [0], [1], [1, 0, 0, 1]):
        text = "".join(f"{value}\n" for value in values)
        end = compare(system, {"i0": (text, values), "i1": ("0\n" * 9, [0] * 9)})
        assert end == "end of input, none skipped"
        simulation = simulate(system.spec, {"inputs/i0": text, "inputs/i1": "0\n" * 9})
        assert simulation.steps == len(values)
        assert simulation.first_read["i0"] == (0 if values else None)
        if case in ("input", "bitvectors"):
            assert simulation.values["o0"].tolist() == (values[:1] + values[:-1])


def test_missing_files_are_all_named():
    assert simulate(V38, {}).errors[:2] == (
        "i_failure_echo is missing, the file of i_failure_echo",
        "i_price is missing, the file of i_price",
    )
    assert len(simulate(V38, {}).errors) == 11
    assert simulate(V38, {}).steps == 0


def test_a_run_without_inputs_ends_by_itself():
    spec = parse_spec('o1:sbf := out file("a").\n(o1[t] = o1[t-2]\') && (o1[0] = 1)')
    simulation = simulate(spec, {})
    assert simulation.stop.reason == "nothing read"
    assert simulation.files() == {"a": b"1\n0\n0\n"}
    fixed = parse_spec('o1:sbf := out file("a").\n(o1[t] = 1) && (o1[3] = 1)')
    assert simulate(fixed, {}).files() == {"a": b"1\n1\n1\n1\n"}


def test_an_unused_input_is_not_read():
    spec = parse_spec('i1:sbf := in file("a").\ni2:sbf := in file("b").\no1:sbf := out file("c").\n(o1[t] = i1[t])')
    simulation = simulate(spec, {"a": "1\n0\n"})
    assert (simulation.steps, simulation.errors, simulation.read) == (2, (), {"i1": 2})


def test_folders(tmp_path):
    recorded = RECORDED["holding_mirrored"]
    spec = parse_spec(recorded["spec"])
    with pytest.raises(
        InputError, match=r"the folder .*outputs of o1 does not exist; the interpreter does not make it"
    ):
        simulate_folder(spec, tmp_path)
    (tmp_path / "outputs").mkdir()
    assert simulate_folder(spec, tmp_path).errors == (
        "inputs/buy.in is missing, the file of i1",
        "inputs/sell.in is missing, the file of i2",
    )
    (tmp_path / "inputs").mkdir()
    for name, text in recorded["inputs"].items():
        (tmp_path / "inputs" / name).write_text(text)
    expected = {f"outputs/{name}": text.encode() for name, text in recorded["outputs"].items()}
    assert simulate_folder(spec, str(tmp_path)).files() == expected
    assert list((tmp_path / "outputs").iterdir()) == []
    (tmp_path / "inputs/buy.in").unlink()
    (tmp_path / "inputs/buy.in").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*buy\.in: Is a directory"):
        simulate_folder(spec, tmp_path)
    (tmp_path / "inputs/buy.in").rmdir()
    os.mkfifo(tmp_path / "inputs/buy.in")  # to read it would wait for a writer
    with pytest.raises(InputError, match=r"cannot read .*buy\.in: not a regular file"):
        simulate_folder(spec, tmp_path)


def noise(spec, n: int, seed: int) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    return {s.path: stream_text(rng.integers(0, 32 if s.width else 2, n).astype(np.uint8)) for s in spec.inputs}


@pytest.mark.parametrize("spec", [V38, LAYERED], ids=["v38", "layered"])
def test_blocks_of_any_size_give_the_same(spec, monkeypatch):
    files = noise(spec, 500, 1)
    whole = simulate(spec, files)
    for block in (1, 7, 499, 500):
        monkeypatch.setattr(simulate_module, "BLOCK", block)
        again = simulate(spec, files)
        assert again.files() == whole.files()
        assert (again.stop, again.read, again.first_read) == (whole.stop, whole.read, whole.first_read)


def test_long_runs_and_their_beginnings():
    n = 100_000
    files = noise(V38, n, 2)
    whole, again = simulate(V38, files), simulate(V38, files)
    assert whole.steps == n
    assert whole.files() == again.files()
    short = simulate(V38, {name: text[: len(text) // 2] for name, text in files.items()})
    for name, values in short.values.items():
        assert 0 < short.steps < n
        assert_array_equal(values, whole.values[name][: short.steps])


def test_an_agent_without_a_mirror_is_refused_where_its_reading_is_doubtful():
    """While the agent executes no buy signal is possible: whether the interpreter sees that is not on record."""
    clauses = [clause for clause in V38.clauses if clause.target.name != "o_mirror_price"]
    spec = replace(V38, clauses=tuple(clauses), outputs=tuple(s for s in V38.outputs if s.name != "o_mirror_price"))
    with pytest.raises(NotModelled, match=r"a line of i_price at time \d+ is unclear.*Mirror it, \(oX\[t\] = i_price"):
        simulate(spec, noise(spec, 200, 3))


UNCLEAR = [
    # Whether an output that turns out to be constant is put into the others is not on record.
    "(o1[t] = o2[t] & i1[t]) && (o2[t] = o2[t-1] & i2[t])",
]


@pytest.mark.parametrize("clauses", UNCLEAR)
def test_readings_that_cannot_be_told_are_refused(clauses):
    declared = "".join(f'{n}:sbf := {"in" if n[0] == "i" else "out"} file("{n}").\n' for n in ("i1", "i2", "o1", "o2"))
    with pytest.raises(NotModelled, match=r"whether the interpreter reads a line of i\d at time \d is unclear"):
        simulate(parse_spec(declared + clauses), {"i1": "1\n1\n1\n", "i2": "1\n1\n1\n"})


NOT_READ = {  # what simplification makes of a clause leaves none of i1
    "(o1[t] = i1[t] | i1[t]') && (o2[t] = i2[t])": ["1", "1"],
    "(o1[t] = (i1[t] & i2[t]) | (i1[t]' & i2[t])) && (o2[t] = i2[t])": ["1", "0"],
    "(o1[t] = i1[t] & o2[t]) && (o2[t] = i2[t] & i2[t]')": ["0"],
}


@pytest.mark.parametrize("clauses", NOT_READ)
def test_inputs_without_effect_are_not_read(clauses):
    declared = "".join(f'{n}:sbf := {"in" if n[0] == "i" else "out"} file("{n}").\n' for n in ("i1", "i2", "o1", "o2"))
    simulation = simulate(parse_spec(declared + clauses), {"i1": "0\n", "i2": "1\n0\n"})
    assert simulation.files()["o1"].decode().split() == NOT_READ[clauses]
    assert "i1" not in simulation.read


def test_too_many_unknown_inputs_are_refused():
    """The diagram of the second term has 2^20 nodes if all variables of the first come before the others."""
    names = [f"i{k}" for k in range(40)]
    declared = "".join(f'{name}:sbf := in file("{name}").\n' for name in names)
    declared += 'o1:sbf := out file("o1").\no2:sbf := out file("o2").\n'
    first = " ^ ".join(f"{name}[t]" for name in names[:20])
    second = " | ".join(f"({a}[t] & {b}[t])" for a, b in zip(names[:20], names[20:], strict=True))
    assert simulate(parse_spec(f"{declared}(o1[t] = {first})"), dict.fromkeys(names, "1\n")).steps == 1
    spec = parse_spec(f"{declared}(o1[t] = ({first}) & ({second}))")
    with pytest.raises(NotModelled, match=r"i\d+ at time 0 is unclear"):
        simulate(spec, dict.fromkeys(names, "1\n"))


REFUSED = {
    "(o1[t] = o1[t])": "the clauses say nothing",
    "(o1[t] = i1[t] & i1[0])": r"o1\[t\] is defined by i1\[0\]; a fixed index goes with fixed indices",
    "(o1[t] = i1[t] & o1[t-1]) && (o1[0] = i1[t])": r"o1\[0\] is defined by i1\[t\]; a fixed index goes with",
    "(o1[t] = i1[t] & o1[t-1]) && (o1[0] = i1[1])": r"o1\[0\] is defined by i1\[1\], which comes after it",
    "(o1[t] = o2[t]') && (o2[t] = i1[t] & o2[t])": r"more than one solution for o1\[t\], o2\[t\]",
    "(o1[t] = o1[t-1] ^ o1[t] ^ i1[t] ^ i1[t])": "after some outputs there may be no solution",
}


@pytest.mark.parametrize("clauses", REFUSED)
def test_what_does_not_define_its_outputs_is_refused(clauses):
    declared = 'i1:sbf := in file("a").\no1:sbf := out file("b").\no2:sbf := out file("c").\n'
    with pytest.raises(NotModelled, match=REFUSED[clauses]):
        simulate(parse_spec(declared + clauses), {"a": "1\n"})


SOLVED = {  # outputs that are tied together: the greatest solution, but 0 where nothing depends on it
    "(o1[t] = o2[t])": (["1"], ["1"]),
    "(o1[t] = o2[t-1])": (["0", "0"], ["0", "0"]),
    "(o1[t] = i1[t] & o2[t])": (["1", "0", "1"], ["1", "0", "1"]),
    "(o1[t] <= i1[t]) && (o1[t] >= i1[t]) && (o2[t] = o1[t])": (["1", "0", "1"], ["1", "0", "1"]),
    "(i1[t] = 1 -> o1[t] = 1) && (i1[t] = 0 -> o1[t] = 0) && (o2[t] = i1[t])": (["1", "0", "1"], ["1", "0", "1"]),
    "(i1[t] = 1 ? o1[t] = 0 : o1[t] = 1) && (o2[t] = i1[t])": (["0", "1", "0"], ["1", "0", "1"]),
    "(o1[t] = o1[t-1]) && (o2[t] = i1[t]) && (o1[0] = o2[0])": (["1", "1", "1", "1"], ["1", "1", "0", "1"]),
}


@pytest.mark.parametrize("clauses", SOLVED)
def test_outputs_that_are_tied_together_are_solved(clauses):
    declared = 'i1:sbf := in file("a").\no1:sbf := out file("b").\no2:sbf := out file("c").\n'
    files = simulate(parse_spec(declared + clauses), {"a": "1\n0\n1\n"}).files()
    assert tuple(files[name].decode().split() for name in ("b", "c")) == SOLVED[clauses]


def test_times_beyond_the_largest_lookback():
    """An input that is not mirrored, and an output that first changes after step 64."""
    declared = 'i1:sbf := in file("a").\ni2:sbf := in file("b").\no1:sbf := out file("c").\no2:sbf := out file("d").\n'
    spec = parse_spec(declared + "(o1[t] = i1[t] & o2[t-1]') && (o2[t] = i2[t])")
    gates = [0] * 80 + [1, 0, 1, 1, 0] + [0] * 30
    values = np.random.default_rng(4).integers(0, 2, 114).tolist()
    simulation = simulate(spec, {"a": "".join(f"{v}\n" for v in values), "b": "".join(f"{v}\n" for v in gates)})
    rest = iter(values)
    expected = [0, *(0 if gate else next(rest) for gate in [0, *gates[:-1]])]
    assert_array_equal(simulation.values["o1"], expected[: simulation.steps])
    assert simulation.steps == len(gates) + 1
    assert simulation.skipped["i1"] == 82


def test_a_clause_that_says_the_same_again_is_taken():
    declared = 'i1:sbf := in file("a").\no1:sbf := out file("b").\n'
    simulation = simulate(parse_spec(declared + "(o1[t] = i1[t]') && (o1[1] = i1[1]')"), {"a": "1\n0\n1\n"})
    assert simulation.files() == {"b": b"0\n1\n0\n"}


def test_the_example_of_the_docs():
    page = ROOT.joinpath("docs", "TAU.md").read_text(encoding="utf-8")
    code, expected = page.split("```python\n")[1].split("```")[0].rsplit("run.files()  # ", 1)
    names: dict = {}
    exec(code, names)
    assert repr(names["run"].files()) == expected.strip()

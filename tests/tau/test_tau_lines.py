"""The lines of input files: what is a value, what ends a run, and what letters are."""

from itertools import combinations
from string import ascii_lowercase

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from idi_fast.tau.simulation import Simulation, simulate
from idi_fast.tau.spec import parse_spec

LINES = {None: ["0", "1", "0\r", " 1"], 2: ["0", "1", "2", "3", "#x2", "#b11", "03\r"]}
BAD = {None: ["2", "01", "1.0", "-1", "# 1", "\ufeff1", " "], 2: ["4", "-1", "0x1", "{1}", "1.0", "x", "#b100"]}


def echo(text: str | bytes, kind: str = "sbf") -> Simulation:
    spec = f'i1:{kind} := in file("a.in").\no1:{kind} := out file("a.out").\n(o1[t] = i1[t])'
    return simulate(parse_spec(spec), {"a.in": text})


@pytest.mark.parametrize(
    ("kind", "line"),
    [("sbf", line) for line in BAD[None]]
    + [("bv[2]", line) for line in BAD[2]]
    + [("bv[5]", line) for line in ("32", "-1", "0x5", "{5}", "5.0", "#x20", "9" * 99)],
)
def test_a_bad_line_ends_the_run(kind, line):
    simulation = echo(f"1\n0\n{line}\n1\n", kind)
    assert simulation.files() == {"a.out": b"1\n0\n"}
    assert (simulation.stop.reason, simulation.stop.time, simulation.stop.line) == ("bad line", 2, 3)
    assert simulation.stop.text == (line if len(line) <= 40 else line[:40] + "…")
    assert simulation.errors[0].startswith("a.in, line 3: ")


@pytest.mark.parametrize(
    ("line", "value"), [("0", 0), ("31", 31), ("#x1f", 31), ("#X1", None), ("#b101", 5), ("7\r", 7)]
)
def test_bitvectors_are_written_back_in_decimal(line, value):
    simulation = echo(f"{line}\n", "bv[5]")
    assert simulation.files() == {"a.out": b"" if value is None else f"{value}\n".encode()}


def test_wide_bitvectors():
    numbers = [0, 99, 100, 2**31, 2**32 - 1]
    text = "".join(f"{number}\n" for number in numbers)
    simulation = echo(text, "bv[32]")
    assert simulation.files() == {"a.out": text.encode()}
    assert_array_equal(simulation.values["o1"], np.array(numbers, np.uint32))


@pytest.mark.parametrize("text", ["1\r\n0\r\n1\r\n", "1\n0\n1", b"1\n0\n1\n", "1\n0\n1\n\n0\n", "1\n0\n1\n\n"])
def test_ends_of_lines_and_of_files(text):
    simulation = echo(text)
    assert simulation.files() == {"a.out": b"1\n0\n1\n"}
    assert simulation.errors == ()


def test_words_are_products_of_their_letters():
    simulation = echo("1\nba\nno\nab\nabba\n0\n")
    assert simulation.files() == {"a.out": b"1\na b\nn o\na b\na b\n0\n"}
    assert simulation.formulas == ("a b", "n o")
    assert_array_equal(simulation.values["o1"], [1, 2, 3, 2, 2, 0])


def test_a_bad_line_behind_a_word_is_said_too():
    simulation = echo("ab\n2\n")
    assert simulation.files() == {"a.out": b"a b\n"}
    assert [error[:14] for error in simulation.errors] == ["a.in, line 1: ", "a.in, line 2: "]


def test_so_many_letters_and_no_more():
    words = list(combinations(ascii_lowercase[:13], 2))
    simulation = echo("".join(f"{a}{b}\n" for a, b in words))
    assert simulation.steps == 11
    assert simulation.files() == {"a.out": "".join(f"a {b}\n" for b in "bcdefghijkl").encode()}
    assert (simulation.stop.reason, simulation.stop.line, simulation.stop.text) == ("formula", 12, "am")


FORMULAS = {  # a line of an sbf, and what is written of it
    "x'": "x'",
    "1 & 0": "0",
    "(1)": "1",
    "0 1": "0",
    "a1": "a1",
    "True": "T e r u",
    "x y": "x y",
    "1 1": "1",
    "x | y": "x | x' y",
    "xy|z": "x y | x y' z | x' z",
    "x ^ y": "x y' | x' y",
    "x & x'": "0",
    "(x | y)'": "x' y'",
    "x''": "x",
    "x y' | x y": "x",
    "0'": "1",
    "x ^ 1": "x'",
}


@pytest.mark.parametrize("line", FORMULAS)
def test_formulas_as_values(line):
    simulation = echo(f"1\n{line}\n0\n")
    assert simulation.files() == {"a.out": f"1\n{FORMULAS[line]}\n0\n".encode()}
    assert bool(simulation.errors) == (FORMULAS[line] not in ("0", "1"))


@pytest.mark.parametrize("line", ["x ~ y", "x + y", "x |", "(x", "x)", "01x", "x_1", "abcdefghijklm"])
def test_formulas_that_are_not_worked_out(line):
    simulation = echo(f"1\n{line}\n0\n")
    assert simulation.files() == {"a.out": b"1\n"}
    assert simulation.stop.reason == "formula"
    assert simulation.errors == (
        f"a.in, line 2: {line!r} is not a truth value but perhaps a formula, which idi-fast does not compute",
    )


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ("(o1[t] = i1[t]) && (o2[t] = i1[t]')", ["0", "1", "e s y' | e s' | e'", "0"]),
        ("(o1[t] = i1[t]) && (o2[t] = o1[t])", ["1", "0", "e s y", "1"]),
        ("(o1[t] = i1[t]) && (o2[t] = o1[t-1])", ["0", "0", "1", "0", "e s y"]),
        ("(o1[t] = i1[t]) && (o2[t] = (i1[t] & i1[t-1]) | (i1[t]' & 0))", ["0", "0", "0", "e s y"]),
    ],
)
def test_words_go_on_to_other_outputs(clauses, expected):
    declared = 'i1:sbf := in file("a").\no1:sbf := out file("b").\no2:sbf := out file("c").\n'
    simulation = simulate(parse_spec(declared + clauses), {"a": "1\n0\nyes\n1\n"})
    assert simulation.files()["c"].decode().splitlines() == expected


def test_a_word_behind_the_end_is_no_error():
    declared = 'i1:sbf := in file("a").\ni2:sbf := in file("b").\no1:sbf := out file("c").\no2:sbf := out file("d").\n'
    spec = parse_spec(declared + "(o1[t] = i1[t]) && (o2[t] = i2[t])")
    simulation = simulate(spec, {"a": "1\n0\nyes\n", "b": "1\n0\n"})
    assert (simulation.steps, simulation.errors, simulation.stop.stream) == (2, (), "i2")

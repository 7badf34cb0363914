"""Specifications: how they are written and read, what the interpreter refuses, and what is not modelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tau_specs import LAYERED, V38, systems
from test_tau_formula import TEXTS
from test_tau_simulate import RECORDED

from idi_fast.errors import InputError
from idi_fast.tau.declarations import Declaration
from idi_fast.tau.formula import At, Bit, Bits, Clause, Not, NotModelled, SpecError
from idi_fast.tau.spec import Spec, anchored, load_spec, parse_spec

WRITTEN = """\
# the price
i1:sbf := in file("inputs/a.in").
i8:bv[5] := in file("inputs/r.in").
o1:sbf := out file("outputs/a.out").
# the regime
o8:bv[5] := out file("outputs/r.out").
(o1[t] = i1[t] & o1[t-1]') && (o8[t] = i8[t] | { 3 }:bv[5]) && (o1[0] = 0)
"""
SPEC = Spec(
    (Declaration("i1", "inputs/a.in", comment="the price"), Declaration("i8", "inputs/r.in", 5)),
    (Declaration("o1", "outputs/a.out"), Declaration("o8", "outputs/r.out", 5, comment="the regime")),
    (
        Clause(At("o1"), At("i1") & ~At("o1", 1)),
        Clause(At("o8"), At("i8") | Bits(3)),
        Clause(At("o1", 0, 0), Bit(0)),
    ),
)


def test_how_a_specification_is_written():
    assert str(SPEC) == WRITTEN
    assert parse_spec(WRITTEN) == SPEC
    assert SPEC.clauses[1].term.terms[1] == Bits(3, 5)


@pytest.mark.parametrize("name", [name for name, recorded in RECORDED.items() if recorded["exit_code"] == 0])
def test_recorded_specifications_are_written_as_they_were(name):
    assert str(parse_spec(RECORDED[name]["spec"])) == RECORDED[name]["spec"]


@pytest.mark.parametrize("spec", [V38, LAYERED], ids=["v38", "layered"])
def test_the_agents_are_read_as_they_are_written(spec):
    assert parse_spec(str(spec)) == spec
    assert set(spec.mirrors) == {stream.name for stream in spec.inputs}
    assert (spec.lookback, spec.last_index) == (1, 0)
    assert "\n" not in str(spec).rstrip("\n").rpartition(".\n")[2]


@given(systems(mirrored=True, widths=(None, 1, 32)))
def test_random_specifications_are_read_as_they_are_written(system):
    assert parse_spec(str(system.spec)) == system.spec


def test_other_ways_to_write_the_same():
    text = WRITTEN.replace("\n", "\r\n").replace(":=", " :=  ").replace(":sbf", " : sbf # not bv[5].\r\n")
    start, first, second, third = text.replace(") && (", "\0").replace("(o1[t]", "\0o1[t]").rstrip(")\r\n").split("\0")
    assert parse_spec(f"{start}(({first}))\r\n# and\r\n&&\t(({second}) && {third}) .\n") == SPEC
    mixed = parse_spec('o1:sbf := out file("b").\ni1:sbf := in file("a").\no1[t] = i1[t]')
    assert [stream.name for stream in (*mixed.inputs, *mixed.outputs)] == ["i1", "o1"]


DECLARED = """\
i1:sbf := in file("a").
i8:bv[5] := in file("b").
o1:sbf := out file("c").
o8:bv[5] := out file("d").
"""

REFUSED = {  # by the interpreter too: line, column and message
    'i9:sbf = in file("z").': (5, 8, "found '=', the older syntax of declarations; expected ':='"),
    'sbf i9 = in file("z").': (5, 1, "found 'sbf'; expected a declaration, as i1:sbf := in file"),
    'i9 = in file("z").': (5, 4, "found '='; declarations are written name:type :="),
    "r (o1[t] = i1[t])": (5, 1, "found the command 'r'; expected a declaration or the clauses alone"),
    "run\n(o1[t] = i1[t])": (5, 1, "found the command 'run'"),
    "# é\n(o1[t] = i1[t])": (5, 3, "found 'é'; expected printable ASCII alone, in comments too"),
    "(o1[t] = x7[t])": (5, 10, "the stream 'x7' is not declared."),
    "(o1[t] = i1[t]) && (o1[t] = i8[t])": (5, 21, "o1 is sbf and i8 is bv[5]; expected one type"),
    "(o8[t] = i8[t] & { 3 }:bv[6])": (5, 2, "o8 is bv[5] and { 3 }:bv[6] is not; expected one type"),
    "(o1[t] = i1[t] & { 1 })": (5, 2, "o1 is sbf and { 1 } is not; expected one type"),
    "(o8[t] = i8[t] & { 32 })": (5, 2, "{ 32 } does not fit bv[5], which takes 0 to 31"),
    'x1:sbf := in file("z").': (5, 1, "found the stream name 'x1'; expected i for an input or o for an output"),
    'o:sbf := out file("z").': (5, 1, "found the stream name 'o'; expected"),
    'out:sbf := out file("z").': (5, 1, "found the stream name 'out'; expected"),
    'i1:sbf := in file("z").': (5, 1, "the stream 'i1' is declared twice"),
    'i9:sbf := in file("z")\n(o1[t] = i1[t])': (6, 1, "found '('; expected '.' after the declaration"),
    'i9:sbf := file("z").': (5, 11, 'found \'file\'; expected in file("…") or out file("…")'),
    "i9:sbf := in file(z).": (5, 19, "found 'z'; expected a file name in quotation marks"),
    'i9:sbf := in file("").': (5, 19, "found the file name ''; expected printable ASCII"),
    "": (5, 1, "found the end of the text; expected clauses"),
    "(o1[t] = i1[t]) (o8[t] = i8[t])": (5, 17, "found '('; expected an operator or the end"),
    "(o1[t] = i1[t]) &&": (5, 19, "found the end of the text; expected a stream's value"),
    "(o1[t] = i1[t]).\no1": (6, 1, "found 'o1'; expected an operator or the end"),
    "(o1[t])": (5, 8, "found the end of the text; expected an operator or ="),
}

NOT_MODELLED = {
    'i9 := in file("z").': (5, 4, "i9 has no type; expected i9:sbf or i9:bv[n]"),
    'i9:tau := in file("z").': (5, 4, "found 'tau'; expected sbf or bv[n]"),
    'i9:bv[257] := in file("z").': (5, 4, "found bv[257]; expected 1 to 256 bits"),
    'i9:sbf := out file("z").': (5, 1, "found 'i9'; expected a name that begins with o: it is an output"),
    'o9:sbf := in file("z").': (5, 1, "found 'o9'; expected a name that begins with i: it is an input"),
    "(o1[t] = i1[t]) && (o7[t] = i7[t])": (5, 21, "the type of o7 is unknown; declare it"),
    "(o1[t] = i1[n])": (5, 13, "found 'n' where other times are 't'"),
    "f(x) := f(x).\n(o1[t] = f(i1[t]))": (5, 9, "f is defined by itself"),
    "f(x) := x.\n(o1[t] = f(i1[t], 1))": (6, 10, "f takes 1 arguments; found 2"),
    'o9:sbf := out file("./c").': (5, 1, "o1 and o9 share the file './c', which is written"),
    'o9:sbf := out file("a").': (5, 1, "i1 and o9 share the file 'a', which is written"),
    "sometimes (o1[t] = i1[t])": (5, 1, "found 'sometimes'; it is not modelled here"),
    "(o1[t] = i1[t]) || (o1[t] = 1)": (5, 1, "found '||', which is not modelled between these formulas"),
    "(o1[t] = 0 <-> i1[t] = 1)": (5, 2, "the value of an output that must not have another one is not predicted"),
    "(o8[t] < i8[t])": (5, 1, "an output that is a bitvector is not defined by an equation"),
    "(i1[t] = 1 -> i1[t] = 1)": (5, 1, "expected an output in every formula"),
    "(o8[t] = i8[t] + { 1 })": (5, 16, "found '+'; terms are joined by &, | and ^ (exclusive or)"),
    "(i1[t] & o1[t] = 1)": (5, 2, "found i1[t] & o1[t] on the left of =; expected a value of an output"),
}


@pytest.mark.parametrize("kind", [SpecError, NotModelled])
def test_what_is_refused(kind):
    for text, (line, column, message) in (REFUSED if kind is SpecError else NOT_MODELLED).items():
        with pytest.raises(kind) as refused:
            parse_spec(DECLARED + text, "agent.tau")
        assert str(refused.value).startswith(f"agent.tau, line {line}, column {column}: "), text
        assert message in str(refused.value)


def test_streams_of_the_console():
    spec = parse_spec(DECLARED + "i9:bv[5] := in console.\n(o1[t] = i1[t] & i7[t]) && (o6[t] = i8[t] ^ i9[t])")
    assert [str(stream) for stream in spec.console] == [
        "i9:bv[5] := in console.",
        "i7:sbf := in console.",
        "o6:bv[5] := out console.",
    ]
    assert parse_spec(str(spec)) == spec


MEANT = {  # a formula, and the clauses that it comes to
    "always (o1[t] = i1[t])": "(o1[t] = i1[t])",
    "(o1[t] = i1[t]) ^^ F && T": "(o1[t] = i1[t])",
    "f(x:sbf):sbf := x'.\ng(x, y) := f(x) & y.\n(o1[t] = g(i1[t], f(o1[t-1])))": "(o1[t] = i1[t]' & o1[t-1]')",
    "p(x, y) := x = y'.\np(o1[t], i1[t])": "(o1[t] = i1[t]')",
    "(o1[n]:sbf = i1[n-1]:sbf)": "(o1[t] = i1[t-1])",
    "(o1[t] = i1[t] i1[t-1]).": "(o1[t] = i1[t] & i1[t-1])",
}


@pytest.mark.parametrize("text", MEANT)
def test_what_formulas_come_to(text):
    assert " && ".join(map(str, parse_spec(DECLARED + text).clauses)) == MEANT[text]


@given(TEXTS, st.integers(0, len(WRITTEN)), st.integers(0, 20))
def test_any_text_is_read_or_refused(text, place, cut):
    for whole in (text, WRITTEN[:place] + text + WRITTEN[place + cut :]):
        try:
            spec = parse_spec(whole)
        except (SpecError, NotModelled) as refused:
            assert str(refused).startswith("the specification, line ")  # noqa: PT017
        else:
            assert parse_spec(str(spec)) == spec


def test_files(tmp_path):
    path = tmp_path / "agent.tau"
    path.write_text(WRITTEN)
    assert load_spec(path) == load_spec(str(path)) == SPEC
    path.write_bytes(b"\xef\xbb\xbf" + WRITTEN.encode())
    with pytest.raises(SpecError, match=r"agent\.tau, line 1, column 1: found '\\ufeff'; expected printable ASCII"):
        load_spec(path)
    with pytest.raises(InputError, match=r"cannot read .*nowhere: No such file"):
        load_spec(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Declaration("price", "a"), SpecError, "found the stream name 'price'"),
        (lambda: Declaration("i é", "a"), SpecError, "found the stream name 'i é'"),
        (lambda: Declaration("i1", 'a"b'), SpecError, "found the file name 'a\"b'"),
        (lambda: Declaration("i1", "a", comment="two\nlines"), SpecError, "found the comment"),
        (lambda: Declaration("i1", "a", 257), NotModelled, r"i1: found bv\[257\]"),
        (lambda: Spec((), (Declaration("i1", "a"),), ()), SpecError, "i1 is on the wrong side"),
        (lambda: Spec((Declaration("i1", "a"),), (), ()), SpecError, "there is no clause"),
        (lambda: Spec((), (Declaration("o1", "a"),), (Clause(At("o1"), At("i1")),)), SpecError, "'i1' is not declared"),
        (lambda: Spec((), (Declaration("o1", "a"),), (Clause(At("o1"), deep()),)), NotModelled, "50 levels deep"),
    ],
)
def test_what_cannot_be_made(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def deep():
    term = Bit(0)
    for _ in range(5000):
        term = Not(term)
    return term


def test_anchored_specifications_begin_with_nothing_before_them():
    declared = 'i1:sbf := in file("a").\no1:sbf := out file("b").\no2:sbf := out file("c").\n'
    spec = parse_spec(declared + "(o1[t] = (i1[t] & o1[t-1]') ^ o2[t-2]') && (o2[t] = i1[t]) && (o2[1] = 0)")
    assert [str(clause) for clause in anchored(spec).clauses[3:]] == [
        "(o1[0] = i1[0]')",
        "(o2[0] = i1[0])",
        "(o1[1] = (i1[1] & o1[0]')')",
    ]
    assert anchored(anchored(spec)) == anchored(spec)
    assert anchored(SPEC).clauses == (*SPEC.clauses, Clause(At("o8", 0, 0), At("i8", 0, 0) | Bits(3, 5)))


def test_an_output_without_a_type_has_that_of_what_its_clauses_join_it_with():
    text = """\
o1 := out file("a").
o2 := out file("b").
o3 := out file("c").
i1:sbf := in file("d").
i2:bv[5] := in file("e").
(o1[t] = i1[t]) && (o3[t] = i2[t] & o2[t-1]) && (o2[t] = i2[t])
"""
    spec = parse_spec(text)
    assert {name: stream.width for name, stream in spec.streams.items() if name[0] == "o"} == {
        "o1": None,
        "o2": 5,
        "o3": 5,
    }
    assert parse_spec(str(spec)) == spec
    with pytest.raises(NotModelled, match=r"o3 has no type; expected o3:sbf or o3:bv\[n\]"):
        parse_spec(text.replace("i2[t] & o2[t-1]", "1"))
    with pytest.raises(NotModelled, match="o2 has no type"):
        parse_spec(text.replace("i2:bv[5]", "i2:tau"))


def test_an_operator_of_bitvectors_between_values_of_sbf_is_refused():
    text = 'i1:{0} := in file("a").\no1:{0} := out file("b").\n(o1[t] = i1[t] !& i1[t])'
    with pytest.raises(SpecError, match="found '!&', for which the interpreter infers no type between values of sbf"):
        parse_spec(text.format("sbf"))
    with pytest.raises(NotModelled, match="found '!'"):  # what comes of that is not on record
        parse_spec(text.format("bv[5]"))

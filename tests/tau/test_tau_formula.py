"""Terms and clauses: how they are written and read, what they depend on, and what is refused."""

import string
from dataclasses import FrozenInstanceError
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tau_specs import term_of, terms

from idi_fast.errors import InputError
from idi_fast.tau.clauses import parse_clauses
from idi_fast.tau.diagrams import support
from idi_fast.tau.formula import (
    DEEPEST,
    And,
    At,
    Bit,
    Bits,
    Chain,
    Clause,
    Not,
    NotModelled,
    Or,
    SpecError,
    Term,
    Xor,
    depth,
    fold,
    shifted,
    values_of,
)
from idi_fast.tau.parsing import parse_term
from oracle.tau import evaluate, leaves, value_at

A, B, C = At("i1"), At("o1", 1), At("o2", 0, 0)
LEAVES = [("back", name, k) for name in ("i1", "i2", "o_x1F") for k in (0, 1, 64)] + [
    ("fixed", "i1", 0),
    ("fixed", "o3", 9),
]

WRITTEN = {
    "i1[t]": A,
    "o1[t-1]": B,
    "o2[0]": C,
    "0": Bit(0),
    "1": Bit(1),
    "{ 5 }": Bits(5),
    "{ 5 }:bv[3]": Bits(5, 3),
    "i1[t]'": ~A,
    "i1[t]''": ~~A,
    "({ 5 })'": ~Bits(5),
    "i1[t] & o1[t-1] & o2[0]": A & B & C,
    "i1[t] & (o1[t-1] & o2[0])": A & (B & C),
    "(i1[t] & o1[t-1]) | o2[0]'": A & B | ~C,
    "i1[t] ^ (o1[t-1] | o2[0])": A ^ (B | C),
    "(i1[t] ^ o1[t-1])'": ~(A ^ B),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_how_terms_are_written(text):
    assert str(WRITTEN[text]) == text
    assert parse_term(text) == WRITTEN[text]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("i1[t]&o1[t-1]|o2[0]", "(i1[t] & o1[t-1]) | o2[0]"),
        ("i1[t] | o1[t-1] ^ o2[0] & 1'", "i1[t] | (o1[t-1] ^ (o2[0] & 1'))"),
        ("( ((i1[t])) )'", "i1[t]'"),
        ("i1 [ t - 1 ]", "i1[t-1]"),
        ("i1[t-0]", "i1[t]"),
        ("i1[n] | o1[n-1]", "i1[t] | o1[t-1]"),
        ("i1[t] o1[t-1]", "i1[t] & o1[t-1]"),
        ("(i1[t])(o1[t-1] | o2[0])'", "i1[t] & (o1[t-1] | o2[0])'"),
        ("{#x1f}:bv [ 5 ] & {#b101}", "{ 31 }:bv[5] & { 5 }"),
        ("i1[t] # a comment & more\n & o2[0]", "i1[t] & o2[0]"),
    ],
)
def test_other_ways_to_write_the_same(text, same):
    assert str(parse_term(text)) == same


@given(st.sampled_from([None, 1, 7, 32]).flatmap(lambda width: terms(LEAVES, width).map(lambda t: term_of(t, width))))
def test_terms_are_read_as_they_are_written(term):
    assert parse_term(str(term)) == term
    clauses = [Clause(A, term), Clause(C, ~term)]
    text = " && ".join(map(str, clauses))
    assert parse_clauses(text) == parse_clauses(f"({text})") == clauses


@pytest.mark.parametrize(
    "text",
    [
        "(o1[t] = 1) && ((o2[t] = i1[t]) && o3[0] = 0)",
        "o1[t] = 1 && o2[t] = i1[t] && o3[0] = 0",
        "((o1[t]) = 1) && (((o2[t] = (i1[t]))) && (o3[0] = 0))",
    ],
)
def test_parentheses_of_clauses(text):
    assert " && ".join(map(str, parse_clauses(text))) == "(o1[t] = 1) && (o2[t] = i1[t]) && (o3[0] = 0)"


REFUSED = {
    "": (SpecError, 1, "found the end of the text; expected a stream's value"),
    "i1": (SpecError, 3, "found the end of the text; expected '['"),
    "i1[t-x]": (SpecError, 6, "found 'x'; expected a number"),
    "i1[t+1]": (NotModelled, 5, "cannot use values after t"),
    "i1[t-65]": (NotModelled, 1, "at most 64 steps back"),
    "i1[65]": (NotModelled, 1, "at most 64 steps back"),
    "i1[t": (SpecError, 5, "expected ']'"),
    "(i1[t]": (SpecError, 7, "expected an operator or ')'"),
    "i1[t])": (SpecError, 6, "found ')'; expected an operator or the end"),
    "i1[t] &": (SpecError, 8, "expected a stream's value"),
    "i1[t] && i2[t]": (SpecError, 7, "found '&&'; expected an operator or the end"),
    "i1[t] + i2[t]": (NotModelled, 7, "found '+'; terms are joined by &, | and ^"),
    "i1[t] < o2[t]": (NotModelled, 7, "found '<'; this comparison is not modelled here"),
    "i1[t] != 0": (NotModelled, 7, "found '!='; this comparison is not modelled here"),
    "i1[t] -> o2[t]": (NotModelled, 7, "found '->'; this connective is not modelled here"),
    "!i1[t]": (NotModelled, 1, "found '!'; this connective is not modelled here"),
    "always i1[t]": (NotModelled, 1, "found 'always'; it is not modelled here"),
    "i1[t] & o2[n]": (NotModelled, 12, "found 'n' where other times are 't'; expected one"),
    "5": (SpecError, 1, "found 5; expected 0 or 1. A bitvector stands in braces: { 5 }"),
    "i1[t] & " + "9" * 5000: (SpecError, 9, "found a number of 5,000 digits; expected 0 or 1"),
    "i1[" + "9" * 5000 + "]": (NotModelled, 1, "at most 64 steps back"),
    "{ 0x5 }": (SpecError, 1, "found '{'"),
    "{ 8 }:bv[3]": (SpecError, 1, "{ 8 } does not fit bv[3], which takes 0 to 7"),
    "{ 8 }:bv[257]": (NotModelled, 7, "found bv[257]; expected 1 to 256 bits"),
    "{ 8 }:bv[0]": (NotModelled, 7, "found bv[0]; expected 1 to 256 bits"),
    "{ 8 }:sfb": (NotModelled, 7, "found 'sfb'; expected sbf or bv[n]. Did you mean 'sbf'?"),
    "{ 8 }:bv": (SpecError, 9, "expected '[' and the number of bits"),
    "{ " + "1" * 257 + " }": (NotModelled, 1, "expected at most 256 bits"),
    "i1[t] & é": (SpecError, 9, "found 'é'; expected printable ASCII alone"),
    "i1[t] & \x0b": (SpecError, 9, "found '\\x0b'; expected printable ASCII alone"),
    "i1[t] | i_1[t]": (SpecError, 9, "the stream 'i_1' is not declared. Did you mean 'i1'?"),
    "(" * 51 + "i1[t]" + ")" * 51: (NotModelled, 51, "parentheses more than 50 deep"),
    "i1[t]" + "'" * 50: (NotModelled, 1, "a term more than 50 levels deep"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_term(text):
    kind, column, message = REFUSED[text]
    with pytest.raises(kind) as refused:
        parse_term(text, ("i1", "o2"))
    assert str(refused.value).startswith(f"the term, line 1, column {column}: ")
    assert message in str(refused.value)


def test_where_an_error_is():
    with pytest.raises(SpecError, match=r"^equations\.txt, line 3, column 4: found '\)'"):
        parse_term("i1[t]\r\n # &\n  &) 1", source="equations.txt")


@pytest.mark.parametrize("levels", [DEEPEST - 1, 50, 1000, 20_000])
@pytest.mark.parametrize("shape", ["({})", "{}'", "({} & 1)", "(1 | {})'"])
def test_depth_is_no_internal_error(shape, levels):
    opening, closing = shape.split("{}")
    text = opening * levels + "i1[t]" + closing * levels
    for parse in (parse_term, parse_clauses):
        try:
            parse(text)
        except InputError as error:
            assert len(str(error)) < 200  # noqa: PT017


@pytest.mark.parametrize("levels", [51, 20_000])
def test_clauses_within_clauses_end_somewhere(levels):
    assert parse_clauses("(" * 50 + "o1[t] = 1" + ")" * 50) == [Clause(At("o1"), Bit(1))]
    with pytest.raises(NotModelled, match="column 51: parentheses more than 50 deep"):
        parse_clauses("(" * levels + "o1[t] = 1" + ")" * levels)


def test_what_is_too_large_to_work_out_is_not():
    many = [At(f"i{k}") for k in range(251)]
    assert support(And(tuple(many[:250])), None) == set(many[:250])
    assert support(And(tuple(many)), None) is None


WORDS = st.sampled_from(
    [
        "i1",
        "o1",
        "t",
        "[",
        "]",
        "(",
        ")",
        "&",
        "&&",
        "|",
        "^",
        "'",
        "=",
        "-",
        "1",
        "0",
        "64",
        "{ 3 }",
        "{",
        "}",
        ":",
        "bv",
        "sbf",
        "always",
        "#x1f",
        "# x",
        "\n",
        "!",
        "<",
        '"a"',
        ".",
        ":=",
        "in",
        "out",
        "file",
        "r",
    ]
)
TEXTS = st.text(string.printable + "é\0", max_size=60) | st.lists(WORDS, max_size=30).map(" ".join)


@given(TEXTS)
def test_any_text_is_read_or_refused(text):
    for parse in (parse_term, parse_clauses):
        try:
            found = parse(text)
        except (SpecError, NotModelled) as refused:
            assert str(refused).startswith(("the term, line", "the formula, line"))  # noqa: PT017
        else:
            again = " && ".join(map(str, found)) if isinstance(found, list) else str(found)
            assert parse(again or "T") == found  # T says nothing


def test_a_formula_that_says_nothing_has_no_clauses():
    assert parse_clauses("T") == parse_clauses("T && (T)") == []


def test_nodes_are_values():
    assert A & B == And((A, B)) != Or((A, B))
    assert {A ^ B: 1}[Xor((A, B))] == 1
    with pytest.raises(FrozenInstanceError):
        A.name = "o1"
    with pytest.raises(SpecError, match="& joins two terms or more; found 1"):
        And((A,))
    assert list(values_of(A & ~B | A)) == [A, B, A]
    assert [depth(term) for term in (A, ~A, A & B, A & B & C, A & ~B)] == [1, 2, 2, 2, 3]


def cases(term: tuple, width: int | None, known: dict) -> list[dict]:
    """All cases of the values of a term at time 64 that are not known."""
    unknown = sorted({value_at(leaf, 64) for leaf in leaves(term)} - set(known))
    return [
        {**known, **dict(zip(unknown, case, strict=True))}
        for case in product(range(2 ** (width or 1)), repeat=len(unknown))
    ]


@given(st.sampled_from([None, 2]), st.data())
def test_fold_and_support_say_what_all_cases_say(width, data):
    few = [("back", "i1", 0), ("back", "i2", 1), ("back", "o1", 0), ("fixed", "o1", 2)]
    term = data.draw(terms(few, width))
    mask = 2 ** (width or 1) - 1
    values = st.integers(0, mask)
    known = data.draw(st.dictionaries(st.sampled_from([value_at(leaf, 64) for leaf in few]), values, max_size=3))
    ours = (
        shifted(term_of(term, width), 64) if all(leaf[0] == "back" for leaf in leaves(term)) else term_of(term, width)
    )

    def value(at: At) -> int | None:
        return known.get((at.name, 64 - at.lookback if at.index is None else at.index))

    left = fold(ours, value, mask)
    outcomes = {}
    for case in cases(term, width, known):
        outcomes[tuple(case.items())] = result = evaluate(
            term, 64, mask, lambda name, time, case=case: case[name, time]
        )
        if isinstance(left, Term):
            put_in = fold(
                left, lambda at, case=case: case[at.name, 64 - at.lookback if at.index is None else at.index], mask
            )
        else:
            put_in = left
        assert put_in == result
    if isinstance(left, int):
        assert set(outcomes.values()) == {left}
    elif isinstance(left, Chain | Not):
        assert not [at for at in values_of(left) if value(at) is not None]
    rest = Bits(left, width) if isinstance(left, int) else left
    found = support(rest, width)
    decisive = set()
    for place in {value_at(leaf, 64) for leaf in leaves(term)} - set(known):
        groups: dict[tuple, set[int]] = {}
        for case, result in outcomes.items():
            groups.setdefault(tuple(item for item in case if item[0] != place), set()).add(result)
        if any(len(group) > 1 for group in groups.values()):
            decisive.add(place)
    assert {(at.name, 64 - at.lookback if at.index is None else at.index) for at in found} == decisive


def test_what_a_fold_finds():
    for term, left in {
        A | ~A: 1,
        A & ~A: 0,
        A ^ A: 0,
        A ^ ~A: 1,
        A | A: A,
        A & B & A: A & B,
        A ^ B ^ A: B,
        A | (A & B): A | (A & B),
        (A & B) | ~(A & B): 1,
        ~(~A): A,
        A & (B & ~A): 0,
    }.items():
        assert fold(term, lambda _: None, 1) == left
    assert fold(A & B | ~A & C, {B: 1, C: 0}.get, 1) == A
    assert fold(A ^ B ^ C, {B: 1, C: 0}.get, 1) == ~A
    assert fold(A & B, {B: 0b10}.get, 0b11) == A & Bits(0b10)

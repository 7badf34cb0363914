"""Unsatisfiable specifications: the named clauses and times conflict, and only all together."""

from itertools import combinations

import pytest
from examples import examples
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tau_folders import oracle_machine
from tau_specs import systems

from idi_fast.tau.conflicts import minimal
from idi_fast.tau.formula import At, Clause, NotModelled
from idi_fast.tau.model import Model
from idi_fast.tau.parts import Unsatisfiable
from idi_fast.tau.spec import Spec, parse_spec
from oracle import tau as oracle

DECLARED = "".join(
    f'{name}:sbf := {"in" if name[0] == "i" else "out"} file("{name}").\n' for name in ("i1", "i2", "o1", "o2", "o3")
)


def conflict(clauses: str) -> Unsatisfiable:
    with pytest.raises(Unsatisfiable) as caught:
        Model.of(parse_spec(DECLARED + clauses))
    return caught.value


EXPLAINED = [
    # A pair, among clauses that have nothing to do with it.
    (
        "(o2[t] = i2[t]) && (o1[t] = i1[t]) && (o3[t] = o2[t-1]) && (o1[0] = 0)",
        "at time 0 both (o1[0] = 0) and (o1[t] = i1[t]) hold, and some inputs make them differ about o1[0]",
    ),
    # Three, one of which is put into another before anything is looked at.
    (
        "(o1[t] = i1[t]) && (o2[t] = o1[t]) && (o2[0] = i2[0]) && (o3[t] = i2[t])",
        "some inputs leave no solution of (o2[0] = i2[0]), (o1[t] = i1[t]) and (o2[t] = o1[t]) at time 0",
    ),
    # A pair; another value is defined twice as well, and both definitions agree.
    (
        "(o1[0] = 0) && (o1[t] = o1[t-1] | i1[t]) && (o1[1] = 0) && (o2[t] = o1[t] & o2[t-1]) "
        "&& (o2[1] = o2[0] & o1[1])",
        "at time 1 both (o1[1] = 0) and (o1[t] = o1[t-1] | i1[t]) hold, and some inputs make them differ about o1[1]",
    ),
    # Three, no two of which conflict.
    (
        "(o1[0] = i1[0]) && (o1[t] = o1[t-1] & o2[t-1]) && (o2[0] = i2[0]) && (o1[1] = i1[0]) && (o3[t] = i2[t])",
        "some inputs leave no solution of (o2[0] = i2[0]), (o1[1] = i1[0]) and (o1[t] = o1[t-1] & o2[t-1]) at time 1",
    ),
    # At two times.
    (
        "(o1[0] = 0) && (o1[t] = o1[t-1]') && (o1[2] = 1) && (o2[t] = i1[t])",
        "some inputs leave no solution of (o1[0] = 0), (o1[2] = 1) and (o1[t] = o1[t-1]') at times 1 and 2",
    ),
    # At any time, by equations and by formulas.
    (
        "(o1[t] = i1[t]) && (o2[t] = i2[t]) && (o1[t] = o2[t]) && (o3[t] = o2[t-1])",
        "some inputs leave no solution of (o1[t] = i1[t]), (o2[t] = i2[t]) and (o1[t] = o2[t])",
    ),
    (
        "(i1[t] = 1 -> o1[t] = 1) && (i2[t] = 1 -> o1[t] = 0) && (o2[t] = i1[t])",
        "some inputs leave no solution of (i1[t] = 1 -> o1[t] = 1) and (i2[t] = 1 -> o1[t] = 0)",
    ),
    ("(o2[t] = i2[t]) && (o1[t] = o1[t]')", "some inputs leave no solution of (o1[t] = o1[t]')"),
    ("(o2[t] = i2[t]) && (i1[t] = 1)", "(i1[t] = 1) constrains only inputs"),
]


@pytest.mark.parametrize(("clauses", "said"), EXPLAINED)
def test_what_is_said(clauses, said):
    assert str(conflict(clauses)) == f"unsatisfiable: {said}"


def satisfied(spec: Spec) -> bool | None:
    """Whether outputs satisfy a specification, by trying all; None where that takes too long."""
    try:
        oracle_machine(spec)
    except oracle.Unsatisfiable:
        return False
    except oracle.TooMany:
        return None
    return True


def modelled(spec: Spec) -> bool:
    try:
        Model.of(spec)
    except NotModelled:
        return False
    except Unsatisfiable:
        pass
    return True


def with_clauses(spec: Spec, clauses: list[Clause]) -> Spec:
    """A specification of some clauses, with a mirror besides that conflicts with nothing."""
    stream = next(s for s in spec.inputs if s.width is None)
    return Spec(
        spec.inputs,
        (*spec.outputs, type(stream)("o_other", "other", None)),
        (*clauses, Clause(At("o_other"), At(stream.name))),
    )


def test_a_clause_stays_without_which_the_meaning_is_unclear():
    # Without o1[0] it depends on how far i1[0] & (i1[0] | o1[0]) is simplified whether the others share outputs.
    error = conflict("(o3[t] = 0) && (o1[0] = i1[0]) && (o2[0] = i1[0] & (i1[0] | o1[0])) && (o3[1] = o2[0])")
    assert len(error.said) == 4


@settings(max_examples=examples(150))
@given(systems(mirrored=False, inputs=2), st.data())
def test_what_is_named_conflicts_and_only_all_together(system, data):
    try:
        Model.of(system.spec)
    except NotModelled:
        assume(False)
    except Unsatisfiable as error:
        named = [said.clause for said in error.said]
        event(f"{len(named)} clauses")
        assert set(named) <= set(system.spec.clauses)
        assert satisfied(with_clauses(system.spec, named)) in (False, None)
        for left in combinations(named, len(named) - 1):
            rest = with_clauses(system.spec, list(left))
            assert satisfied(rest) in (True, None) or not modelled(rest)
        for said in error.said:  # a clause about t is named with the times at which it conflicts, or is put into others
            assert said.times == tuple(sorted(set(said.times)))
            assert not said.times or said.clause.target.index is None


@given(st.lists(st.frozensets(st.integers(0, 7), min_size=1), min_size=1, max_size=4), st.permutations(range(8)))
def test_what_is_left_out_does_not_matter(cores, order):
    found = minimal(order, lambda some: any(core <= set(some) for core in cores))
    assert any(core <= set(found) for core in cores)
    for part in found:
        assert len(found) == 1 or not any(core <= set(found) - {part} for core in cores)

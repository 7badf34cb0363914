"""Every recorded run of the interpreter: the same files byte for byte, and the same refusals."""

import json

import pytest
from places import GOLDEN

from idi_fast.tau.formula import NotModelled, SpecError
from idi_fast.tau.parts import Unsatisfiable
from idi_fast.tau.simulation import simulate
from idi_fast.tau.spec import parse_spec

RECORDED = {
    recorded["name"]: recorded
    for name in ("tau_random.jsonl", "tau_syntax.jsonl")
    for recorded in map(json.loads, (GOLDEN / name).read_text().splitlines())
}

NOT_MODELLED = {
    "bv3_counter": "a sum; the interpreter ends with an error at the first step",
    "bv5_counter": "a sum; the interpreter does not end",
    "bv_shift": "a shift",
    "names_swapped": "an input whose name begins with o is read by nobody",
    "quant": "a quantifier",
    "sometimes": "sometimes",
    "type_tau": "the type tau",
    "untyped": "the type tau, which an input without a type has",
}

UNSATISFIABLE = "(Error) Tau specification is unsat"


def outcome(recorded: dict) -> tuple[str, dict[str, str]]:
    """What comes out by the simulation: "ends", with the files, "unsatisfiable" or "refused"."""
    try:
        simulation = simulate(parse_spec(recorded["spec"]), recorded["inputs"])
    except Unsatisfiable:
        return "unsatisfiable", {}
    except SpecError:
        return "refused", {}
    return "ends", {name: data.decode() for name, data in simulation.files().items()}


@pytest.mark.parametrize("name", sorted(set(RECORDED) - set(NOT_MODELLED)))
def test_recorded_runs(name):
    recorded = RECORDED[name]
    if recorded["exit_code"] == 0:
        expected = ("ends", recorded["outputs"])
    else:
        expected = ("unsatisfiable" if recorded["errors"] == [UNSATISFIABLE] else "refused", {})
    assert outcome(recorded) == expected


@pytest.mark.parametrize("name", sorted(NOT_MODELLED))
def test_what_is_not_modelled_says_so(name):
    with pytest.raises(NotModelled):
        parse_spec(RECORDED[name]["spec"])


def test_counts():
    """None of the random runs is left out, and all kinds of ends are among the recordings."""
    assert not any(name.startswith("random") for name in NOT_MODELLED)
    ends = [outcome(recorded)[0] for name, recorded in RECORDED.items() if name not in NOT_MODELLED]
    assert {end: ends.count(end) for end in set(ends)} == {"ends": 154, "unsatisfiable": 16, "refused": 4}


EXPLAINED = {  # what conflicts, and when
    "part_unsat": r"at time 0 both \(o1\[0\] = 0\) and \(o1\[t\] = i1\[t\]\) hold",
    "part_own_lookback_unsat": r"at time 1 both \(o1\[1\] = 1\) and \(o1\[t\] = i1\[t\] & o1\[t-1\]\) hold",
    "clause_on_input": r"\(i1\[t\] = 1\) constrains only inputs",
    "defined_twice_differ": r"some inputs leave no solution of \(o1\[t\] = i1\[t\]\) and \(o1\[t\] = i2\[t\]\)",
    "target_back": r"by \(o1\[t-1\] = i1\[t\]\) an output depends on i1\[t\] before it is read",
    "random_45": r"at time 0 both \(o2\[0\] = i2\[0\]\) and \(o2\[t\] = i2\[t\] \| i1\[t\]\) hold, and some inputs",
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_nothing_satisfies_is_explained(name):
    spec = parse_spec(RECORDED[name]["spec"])
    with pytest.raises(Unsatisfiable, match=EXPLAINED[name]):
        simulate(spec, RECORDED[name]["inputs"])

"""Contracts: the two built-in agents, and users' own."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from places import ROOT
from tau_specs import LAYERED, LAYERED_INPUTS, LAYERED_OUTPUTS, V38, V38_INPUTS, V38_OUTPUTS

from idi_fast.agents.streams import CONTRACT_FILES, CONTRACTS, TRACE_STREAMS, stream_text, stream_type
from idi_fast.errors import InputError
from idi_fast.tau.contract import MIRROR, Contract, agent, find_contract, read_contract
from idi_fast.tau.simulation import simulate
from idi_fast.tau.spec import Spec, anchored, parse_spec

AGENTS = {"v38": (V38, V38_INPUTS, V38_OUTPUTS), "layered": (LAYERED, LAYERED_INPUTS, LAYERED_OUTPUTS)}
EMOTE_OUTPUTS = {"emote_positive", "emote_alert", "emote_persistence"}

OWN = {
    "name": "hold",
    "meaning": "holds from a buy to a sale",
    "inputs": [{"name": "buy"}, {"name": "sell"}, {"name": "level", "type": "bv[8]", "meaning": "a level"}],
    "outputs": [
        {"name": "holding", "equation": "(buy[t] | holding[t-1]) & sell[t]'", "meaning": "1 while it holds"},
        {"name": "high", "type": "bv[8]", "equation": "level[t] & { 240 }"},
    ],
    "guarantees": [{"never": "holding[t] & sell[t]", "meaning": "it holds nothing that it sells"}],
}


def values(spec: Spec, inputs: dict[str, np.ndarray], prefix: str = "") -> dict[str, np.ndarray]:
    """The outputs of a specification over inputs by their plain names."""
    files = {stream.path: stream_text(inputs[stream.name[2 + len(prefix) :]]) for stream in spec.inputs}
    run = simulate(spec, files)
    assert (run.errors, run.steps) == ((), len(next(iter(inputs.values()))))
    assert (set(run.first_read.values()), set(run.skipped.values())) == ({0}, {None})
    return run.values


def random_streams(types: dict[str, str], n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    often = {"volume": 0.9, "risk_budget_ok": 0.9, "failure_echo": 0.05}
    most = {name: 1 if kind == "sbf" else 2 ** int(kind[3:-1]) - 1 for name, kind in types.items()}
    return {
        name: np.where(rng.random(n) < often.get(name, 0.5), rng.integers(1, m + 1, n), 0) for name, m in most.items()
    }


# --- the agents


@pytest.mark.parametrize("name", AGENTS)
@given(n=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_agents_do_what_their_definitions_elsewhere_do(name, n, seed):
    contract, (defined, *_) = agent(name), AGENTS[name]
    inputs = random_streams(contract.types, n, seed)
    found = values(contract.specification(), inputs)
    expected = simulate(defined, {f"i_{each}": stream_text(bits) for each, bits in inputs.items()}).values
    assert found.keys() == expected.keys()
    for output in found:
        assert_array_equal(found[output], expected[output], output)


@pytest.mark.parametrize("name", AGENTS)
def test_agents_declare_what_their_definitions_elsewhere_do(name):
    contract, (defined, inputs, outputs) = agent(name), AGENTS[name]
    spec = contract.specification()
    assert tuple(contract.types) == inputs == CONTRACTS[name]
    assert tuple(output.name for output in contract.outputs) == outputs
    assert {s.name: s.type for s in spec.streams.values()} == {s.name: s.type for s in defined.streams.values()}
    assert contract.types == {each: stream_type(each) for each in contract.types}
    assert contract.name == name


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("prefix", ["", "a7_"])
def test_a_specification_is_what_the_interpreter_takes_in_step(name, prefix):
    spec = agent(name).specification(prefix)
    text = str(spec)
    assert text.isascii()
    assert parse_spec(text) == spec == anchored(spec)
    assert set(spec.mirrors) == {stream.name for stream in spec.inputs}
    assert {stream.path for stream in spec.inputs} == {f"inputs/{prefix}{each}.in" for each in CONTRACTS[name]}
    assert all(stream.path == f"outputs/{stream.name[2:]}.out" for stream in spec.outputs)
    assert all(stream.name[2:].startswith(prefix) and stream.comment for stream in spec.streams.values())


def test_a_prefix_changes_names_alone():
    inputs = random_streams(agent("v38").types, 100, 0)
    plain, named = (values(agent("v38").specification(prefix), inputs, prefix) for prefix in ("", "x1_"))
    assert {f"o_x1_{name[2:]}" for name in plain} == set(named)
    for name in plain:
        assert_array_equal(plain[name], named[f"o_x1_{name[2:]}"])


@pytest.mark.parametrize("name", AGENTS)
@given(seed=st.integers(0, 10**6))
def test_what_agents_guarantee_holds_whatever_is_read(name, seed):
    contract = agent(name)
    found = values(contract.guarded(), random_streams(contract.types, 500, seed))
    assert [each.meaning for number, each in enumerate(contract.guarantees) if found[f"o_{number}"].any()] == []


def test_a_guarantee_that_is_broken_is_noticed():
    wrong = Contract.from_dict({**OWN, "guarantees": [{"never": "holding[t] & buy[t]'", "meaning": "never longer"}]})
    buy, sell = np.array([1, 0, 0]), np.array([0, 0, 1])
    found = values(wrong.guarded("p_"), {"buy": buy, "sell": sell, "level": buy}, "p_")
    assert found["o_p_0"].tolist() == [0, 1, 0]


# --- without emotes


def test_v38_without_emotes():
    whole, less = agent("v38"), agent("v38").without_emotes()
    assert set(whole.types) - set(less.types) == {"q_emote_positive", "q_emote_alert"}
    assert {o.name for o in whole.outputs} - {o.name for o in less.outputs} == EMOTE_OUTPUTS
    assert less.guarantees == whole.guarantees
    assert "emote" not in str(less.specification())
    inputs = random_streams(whole.types, 300, 1)
    full, part = (values(each.specification(), inputs) for each in (whole, less))
    assert part.keys() == {n for n in full if "emote" not in n}
    for name in part:
        assert_array_equal(part[name], full[name])


def test_without_emotes_goes_what_needs_what_needs_them():
    outputs = [
        {"name": "shown", "equation": "q_emote_alert[t] & buy[t]"},
        {"name": "seen", "equation": "shown[t-1] | seen[t-1]"},
        {"name": "bought", "equation": "buy[t]"},
    ]
    tree = {"name": "x", "inputs": [{"name": "buy"}, {"name": "q_emote_alert"}], "outputs": outputs}
    guarantees = [{"never": "seen[t] & bought[t]'", "meaning": "m"}, {"never": "bought[t] & buy[t]'", "meaning": "m"}]
    less = Contract.from_dict({**tree, "guarantees": guarantees}).without_emotes()
    assert [output.name for output in less.outputs] == ["bought"]
    assert [each.never for each in less.guarantees] == ["bought[t] & buy[t]'"]
    with pytest.raises(InputError, match="nothing is left of the outputs of 'x'"):
        Contract.from_dict({**tree, "outputs": outputs[:2]}).without_emotes()
    with pytest.raises(InputError, match="nothing is left of the inputs of 'x'"):
        Contract.from_dict(
            {"name": "x", "inputs": [{"name": "q_emote_alert"}], "outputs": [{"name": "one", "equation": "1"}]}
        ).without_emotes()


def test_a_contract_without_emotes_has_none_to_leave_out():
    with pytest.raises(InputError, match="'layered' reads no emotes"):
        agent("layered").without_emotes()


# --- a contract of one's own


def test_a_contract_of_ones_own(tmp_path):
    file = tmp_path / "hold.json"
    file.write_text(json.dumps(OWN))
    contract = find_contract(str(file))
    assert contract == find_contract(file) == Contract.from_dict(contract.to_dict())
    assert contract.types == {"buy": "sbf", "sell": "sbf", "level": "bv[8]"}
    inputs = {
        "buy": np.array([1, 0, 0, 1, 1]),
        "sell": np.array([0, 0, 1, 1, 0]),
        "level": np.array([255, 16, 7, 0, 128]),
    }
    found = values(contract.specification(), inputs)
    assert found["o_holding"].tolist() == [1, 1, 0, 0, 1]
    assert found["o_high"].tolist() == [240, 16, 0, 0, 128]
    for name, bits in inputs.items():
        assert_array_equal(found[f"o_{MIRROR}{name}"], bits)


LATE = [  # an output that hangs on the value of two steps ago, and one whose equation names it without effect
    ("sell[t] & buy[t-2]", lambda buy, sell, t: sell[t] & (buy[t - 2] if t > 1 else 0)),
    ("sell[t] | buy[t-2]'", lambda buy, sell, t: sell[t] | 1 - (buy[t - 2] if t > 1 else 0)),
    ("sell[t] & (buy[t-2] & 0)", lambda buy, sell, t: 0),
    ("sell[t] ^ (buy[t-2] & 0)", lambda buy, sell, t: sell[t]),
    ("sell[t] ^ out[t-2]", None),
]


@pytest.mark.parametrize(("equation", "expected"), LATE)
def test_values_of_two_steps_ago(equation, expected, tmp_path):
    file = tmp_path / "own.json"
    file.write_text(json.dumps({**OWN, **output(equation)}))
    contract = find_contract(str(file))
    spec = contract.specification()
    assert (spec.lookback, spec.last_index) == (2, 1)
    inputs = random_streams(contract.types, 50, 3)
    found = values(spec, inputs)["o_out"].tolist()
    buy, sell = (inputs[name].tolist() for name in ("buy", "sell"))
    if expected is None:
        assert found == [sell[t] ^ (found[t - 2] if t > 1 else 0) for t in range(50)]
    else:
        assert found == [expected(buy, sell, t) for t in range(50)]


@pytest.mark.parametrize("file", CONTRACT_FILES.values(), ids=str)
def test_the_agents_are_in_the_form_of_ones_own(file, tmp_path):
    (tmp_path / "copy.json").write_bytes(file.read_bytes())
    assert read_contract(tmp_path / "copy.json") == agent(file.stem)


def test_the_contract_in_the_docs_is_one():
    text = (ROOT / "docs" / "TAU.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    contract = Contract.from_dict(json.loads(example))
    rng = np.random.default_rng(5)
    inputs = {name: (rng.random(500) < 0.3).astype(int) for name in contract.types}
    found = values(contract.guarded(), inputs)
    assert 0 < found["o_holding"].sum() < 500
    assert [name for name in ("o_0", "o_1") if found[name].any()] == []


def output(equation: str, **more) -> dict:
    return {"outputs": [{"name": "out", "equation": equation, **more}], "guarantees": []}


INPUTS, OUTPUTS = OWN["inputs"], OWN["outputs"]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"nome": "x"}, ["nome is not a known key", "Did you mean 'name'?"]),
        ({"name": ""}, ["name is ''; expected non-empty text"]),
        ({"name": "Größe"}, ["name is 'Größe'; expected a line of printable ASCII"]),
        ({"meaning": "two\nlines"}, ["meaning is 'two\\nlines'", "a line of printable ASCII"]),
        ({"inputs": []}, ["inputs is []; expected a non-empty list"]),
        ({"outputs": {}}, ["outputs is {}; expected a non-empty list"]),
        ({"inputs": ["buy"]}, ["inputs[0] is 'buy'; expected an object"]),
        ({"inputs": [{"nam": "buy"}]}, ["inputs[0].nam is not a known key", "'name'"]),
        ({"inputs": [{"type": "sbf"}]}, ["inputs[0].name is missing; expected text"]),
        ({"inputs": [{"name": 3}]}, ["inputs[0].name is 3; expected text"]),
        ({"inputs": [{"name": "1st"}]}, ["inputs[0].name is '1st'", "a digit not first"]),
        ({"inputs": [{"name": "o-1"}]}, ["inputs[0].name is 'o-1'; expected letters of ASCII, digits or _"]),
        ({"inputs": [{"name": "größe"}]}, ["inputs[0].name is 'größe'; expected letters of ASCII"]),
        ({"inputs": [{"name": "always"}]}, ["inputs[0].name is 'always', a word of Tau"]),
        ({"inputs": [*INPUTS, {"name": "Sell"}]}, ["inputs[3].name is 'Sell', the name of inputs[1] too"]),
        ({"outputs": [{"name": "buy", "equation": "0"}]}, ["outputs[0].name is 'buy', the name of inputs[0] too"]),
        (
            {"outputs": [*OUTPUTS, {"name": "mirror_level", "equation": "0"}]},
            ["outputs[2].name is 'mirror_level', the name of the mirror of inputs[2] too"],
        ),
        (
            {"inputs": [{"name": "buy", "type": "sbfx"}]},
            ["inputs[0].type", "'sbfx'", "expected sbf or bv[n]", "'sbf'?"],
        ),
        ({"inputs": [{"name": "buy", "type": "bv[33]"}]}, ["inputs[0].type", "bv[33]", "1 to 32 bits"]),
        (
            {"inputs": [{"name": "buy", "type": "sbf sbf"}]},
            ["inputs[0].type, column 5", "'sbf'; expected an operator or"],
        ),
        ({"inputs": [{"name": "buy", "meaning": "€"}]}, ["inputs[0].meaning", "'€'", "printable ASCII"]),
        (output("sel[t]"), ["outputs[0].equation, column 1", "'sel' is not declared", "Did you mean 'sell'?"]),
        (output("i_sell[t]"), ["outputs[0].equation, column 1", "'i_sell' is not declared", "'sell'?"]),
        (output("sell[t] &"), ["outputs[0].equation, column 10", "the end of the text", "a stream's value"]),
        (output("sell[t] && buy[t]"), ["outputs[0].equation, column 9", "found '&&'"]),
        (output("sell"), ["outputs[0].equation, column 5", "expected '['"]),
        (output("sell[t+1]"), ["outputs[0].equation, column 7", "values after t"]),
        (output("sell[0]"), ["outputs[0].equation", "found sell[0]; expected sell[t] or sell[t-k]"]),
        (output("sell[t-99]"), ["outputs[0].equation, column 1", "at most 64 steps back"]),
        (output("level[t] & sell[t]"), ["outputs[0].equation", "o_out is sbf and i_level is bv[8]; expected one type"]),
        (output("level[t]", type="bv[5]"), ["outputs[0].equation", "o_out is bv[5] and i_level is bv[8]"]),
        (output("{ 256 }", type="bv[8]"), ["outputs[0].equation", "{ 256 } does not fit bv[8]"]),
        (output("sell[t] + 1"), ["outputs[0].equation, column 9", "found '+'"]),
        (output("out[t] | sell[t]"), ["outputs: outputs that are defined by one another: o_out[t]", "no circle"]),
        ({"guarantees": [{"never": "hold[t]", "meaning": "m"}]}, ["guarantees[0].never", "'hold'", "'holding'?"]),
        ({"guarantees": [{"never": "level[t]", "meaning": "m"}]}, ["guarantees[0].never", "i_level is bv[8]"]),
        ({"guarantees": [{"never": "buy[t]"}]}, ["guarantees[0].meaning is missing"]),
        ({"guarantees": [{"never": "0", "meaning": "é"}]}, ["guarantees[0].meaning is 'é'", "printable ASCII"]),
    ],
)
def test_a_contract_that_is_none(change, parts, tmp_path):
    file = tmp_path / "own.json"
    file.write_text(json.dumps({**OWN, **change}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        find_contract(str(file))
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("v83", r"no kind 'v83'; expected v38, layered or a FILE\.json\. Did you mean 'v38'\?"),
        ("nothing.json", "nothing.json: cannot be read: No such file"),
        ("folder/v38", "folder/v38: cannot be read: No such file"),
    ],
)
def test_a_kind_that_there_is_not(kind, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        find_contract(kind)


@pytest.mark.parametrize("prefix", ["a-", "é", "a b", "x/"])
def test_a_prefix_that_no_name_begins_with(prefix):
    with pytest.raises(InputError, match="expected letters of ASCII, digits or _"):
        agent("v38").specification(prefix)


def test_trace_streams_have_the_types_that_contracts_say():
    assert {name: stream_type(name) for name in TRACE_STREAMS} == {
        name: "bv[5]" if name == "q_regime" else "sbf" for name in TRACE_STREAMS
    }

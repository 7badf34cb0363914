"""The two agents' specifications: compared with their equations tick by tick, and their guarantees."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tau_specs import LAYERED, LAYERED_INPUTS, LAYERED_OUTPUTS, V38, V38_INPUTS, V38_OUTPUTS

from idi_fast.agents.streams import stream_text
from idi_fast.tau.simulation import simulate
from idi_fast.tau.spec import Spec, parse_spec

Bits = dict[str, bool]


def v38(i: Bits, s: Bits) -> Bits:
    """What the agent does in a tick, from its inputs and its state after the tick before."""
    may = i["volume"] and not i["failure_echo"] and i["risk_budget_ok"] and not (s["timer_b1"] and s["timer_b0"])
    if s["executing"]:
        executing = may and not (i["price"] and s["holding"])
    else:
        executing = may and i["trend"] and not (i["price"] or s["holding"] or s["nonce"])
    entered, left = executing and not s["executing"], s["executing"] and not executing
    buy = entered and i["q_buy"] and i["risk_budget_ok"] and not s["holding"]
    sell = left and i["q_sell"] and s["holding"]
    timer = (2 * s["timer_b1"] + s["timer_b0"] + 1) % 4 if executing else 0
    profit = sell and i["price"] and i["profit_guard"] and not s["entry_price"]
    return {
        "executing": executing,
        "buy_signal": buy,
        "sell_signal": sell,
        "holding": buy or (s["holding"] and not sell),
        "timer_b0": timer % 2 == 1,
        "timer_b1": timer > 1,
        "nonce": buy or (s["executing"] and not sell and s["nonce"]),
        "entry_price": i["price"] if buy else s["executing"] and not sell and s["entry_price"],
        "profit": profit,
        "has_burned": s["has_burned"] or profit,
        "emote_positive": executing and i["q_emote_positive"],
        "emote_alert": executing and i["q_emote_alert"],
        "emote_persistence": not i["q_emote_alert"] if s["emote_persistence"] else i["q_emote_positive"],
    }


def layered(i: Bits, s: Bits) -> Bits:
    """The same for the agent of layers, whose state holds the last prices too."""
    up, down, held = i["price_up"], i["price_down"], s["position"]
    votes = {
        "momentum": (down and s["price_down"]) if held else (up and s["price_up"]),
        "contra": up if held else down,
        "trend": down if held else up,
    }
    needs = {"momentum": (up, down), "contra": (down, up), "trend": (up, down)}
    said = any(votes[layer] and i[f"weight_{layer}"] and needs[layer][held] for layer in votes)
    return {
        "momentum_vote": votes["momentum"],
        "contrarian_vote": votes["contra"],
        "trend_vote": votes["trend"],
        "buy_signal": said and not held,
        "sell_signal": said and held,
        "position": said != held,
        "price_up": up,
        "price_down": down,
    }


def follow(step: Callable[[Bits, Bits], Bits], inputs: dict[str, np.ndarray]) -> dict[str, list[bool]]:
    """Every output tick by tick, all state false before the first."""
    names = list(inputs)
    nothing = dict.fromkeys([*V38_OUTPUTS, *LAYERED_OUTPUTS, *LAYERED_INPUTS], False)
    states = [nothing]
    for row in zip(*inputs.values(), strict=True):
        states.append(step(dict(zip(names, map(bool, row), strict=True)), states[-1]))
    return {name: [state[name] for state in states[1:]] for name in states[-1]}


def run(spec: Spec, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a specification, as printed and read again, without the o_ before their names."""
    simulation = simulate(parse_spec(str(spec)), {f"i_{name}": stream_text(values) for name, values in inputs.items()})
    assert simulation.errors == ()
    assert set(simulation.first_read.values()) == {0}
    assert set(simulation.skipped.values()) == {None}
    return {name.removeprefix("o_"): values for name, values in simulation.values.items()}


def streams(names: tuple[str, ...], n: int, seed: int, often: float) -> dict[str, np.ndarray]:
    """Random inputs, 1 as `often` as said, but for guards that are mostly as needed for a trade."""
    rng = np.random.default_rng(seed)
    values = {name: (rng.random(n) < often).astype(np.uint8) for name in names}
    for name in {"volume", "risk_budget_ok"} & set(names):
        values[name] = (rng.random(n) < 0.9).astype(np.uint8)
    if "failure_echo" in names:
        values["failure_echo"] = (rng.random(n) < 0.05).astype(np.uint8)
        values["q_regime"] = rng.integers(0, 32, n).astype(np.uint8)
    return values


AGENTS = {"v38": (V38, V38_INPUTS, V38_OUTPUTS, v38), "layered": (LAYERED, LAYERED_INPUTS, LAYERED_OUTPUTS, layered)}
OFTEN = st.sampled_from([0.2, 0.5, 0.8])


@pytest.mark.parametrize("agent", AGENTS)
@given(n=st.integers(1, 300), seed=st.integers(0, 10**6), often=OFTEN)
def test_agents_follow_their_equations(agent, n, seed, often):
    spec, inputs, outputs, step = AGENTS[agent]
    given_inputs = streams(inputs, n, seed, often)
    found, expected = run(spec, given_inputs), follow(step, given_inputs)
    for name in outputs:
        assert_array_equal(found[name], expected[name], name)
    for name in inputs:
        assert_array_equal(found[f"mirror_{name}"], given_inputs[name])


def before(values: np.ndarray) -> np.ndarray:
    """Each tick's value one tick before, 0 before the first."""
    return np.concatenate([np.zeros(1, values.dtype), values[:-1]])


@given(seed=st.integers(0, 10**6), often=OFTEN)
def test_what_v38_guarantees(seed, often):
    i = streams(V38_INPUTS, 2000, seed, often)
    o = run(V38, i)
    buy, sell, executing = (o[name] == 1 for name in ("buy_signal", "sell_signal", "executing"))
    assert not (buy & sell).any()
    assert i["volume"][buy].all()
    assert not before(o["nonce"])[buy].any()
    assert not executing[before(o["timer_b1"]) & before(o["timer_b0"]) == 1].any()
    assert not executing[i["failure_echo"] == 1].any()
    burns = np.diff(o["has_burned"], prepend=np.uint8(0)).astype(np.int8)
    assert (burns >= 0).all()
    assert o["profit"][burns == 1].all()
    assert (o["has_burned"] == np.maximum.accumulate(o["profit"])).all()


def test_v38_does_all_that_it_can():
    """What is guaranteed of random inputs above is guaranteed of something. Runs are short, since an execution that
    ends without a sale leaves it holding for good; and it buys at low prices alone, so the price of an entry is 0."""
    runs = [run(V38, streams(V38_INPUTS, 200, seed, 0.5)) for seed in range(50)]
    never = {name for name in V38_OUTPUTS if not any(o[name].any() for o in runs)}
    assert never == {"entry_price"}


def test_layered_does_all_that_it_can():
    o = run(LAYERED, streams(LAYERED_INPUTS, 20_000, 1, 0.5))
    assert all(0 < o[name].sum() < 20_000 for name in LAYERED_OUTPUTS)
    assert not (o["buy_signal"] & o["sell_signal"]).any()

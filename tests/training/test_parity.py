"""The compat engine against recorded runs of the reference trainer, and against its plain-Python twin."""

import json

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from places import GOLDEN

from idi_fast import TrainingConfig, create_trainer
from idi_fast.backtesting.compat import compat_backtest, quantile_buckets
from idi_fast.data.loading import load_history
from idi_fast.environments.actions import ACTIONS
from oracle import reference, reference_backtest

CASES = sorted(GOLDEN.glob("*.json"))
RUNS = [path.stem for path in CASES if not path.stem.startswith("backtest_")]
BACKTESTS = {"backtest_plain": 1, "backtest_ties_risk": 3, "backtest_volume_fees": 2}  # by the seed of the policy


def test_all_recorded_runs_are_here():
    assert len(RUNS) == 26
    assert {path.stem for path in CASES} == {*RUNS, *BACKTESTS}


def load(case: str) -> tuple[dict, dict]:
    return json.loads((GOLDEN / f"{case}.json").read_text()), np.load(GOLDEN / f"{case}.npz")


def compat_config(config: dict, env: str = "synthetic", market: dict | None = None) -> TrainingConfig:
    return TrainingConfig.from_dict(
        {**config, "engine": {"compat": "idi_iann"}, "environment": {"kind": env, "market": market or {}}}
    )


def rows(states: np.ndarray, values: np.ndarray) -> dict[tuple, list[float]]:
    return dict(zip(map(tuple, states.tolist()), values.tolist(), strict=True))


def table(policy, width: int, prefix: str) -> dict[tuple, list[float]]:
    frame = policy.frame()
    return rows(
        frame.select(frame.columns[:width]).to_numpy(),
        frame.select(name for name in frame.columns if name.startswith(prefix)).to_numpy(),
    )


@pytest.mark.parametrize("case", RUNS)
def test_training_run_equals_the_recording(case):
    about, recorded = load(case)
    trainer = create_trainer(compat_config(about["config"], about["env"], about["market"]), seed=about["seed"])
    policy, trace = trainer.run()
    width = recorded["states"].shape[1]
    assert table(policy, width, "q_") == rows(recorded["states"], recorded["q"])
    assert table(policy, width, "comm_") == rows(recorded["comm_states"], recorded["comm_q"])
    assert_array_equal(trainer.episode_rewards, recorded["episode_rewards"])
    stats = trainer.stats()
    assert repr(stats["mean_reward"]) == about["mean_reward"]
    assert stats["comm_action_counts"] == about["comm_action_counts"]
    files = trace.files()
    for column, name in enumerate(about["streams"]):
        assert files[f"{name}.in"] == "\n".join(map(str, recorded["trace"][:, column])).encode(), name
    index = {"streams": {name: f"{name}.in" for name in about["streams"]}}
    assert files["streams.json"] == json.dumps(index, sort_keys=True, indent=2).encode()
    assert set(files) == {"streams.json", *(f"{name}.in" for name in about["streams"])}


@pytest.mark.parametrize(("case", "seed"), BACKTESTS.items())
def test_backtest_equals_the_recording(case, seed, tmp_path):
    about, recorded = load(case)
    policy, _ = create_trainer(compat_config(about["config"]), seed=seed).run()
    # The recorded backtest left a row of zeros for each state it looked up in vain.
    unseen = {state: [0.0] * 3 for state in rows(recorded["states"], recorded["q"])}
    assert unseen | table(policy, 5, "q_") == rows(recorded["states"], recorded["q"])
    columns = about["columns"]
    lines = [",".join(columns)]
    lines += [",".join(map(repr, bar)) for bar in zip(*(recorded[c].tolist() for c in columns), strict=True)]
    (tmp_path / "bars.csv").write_text("\n".join(lines) + "\n")
    history = load_history(tmp_path / "bars.csv", risk="risk" if "risk" in columns else None)
    result = compat_backtest(policy, history, fee_bps=about["fee_bps"])
    assert_array_equal(result.action, recorded["taken"])
    assert {name: repr(value) for name, value in result.kpis.items()} == about["kpis"]


names = st.sampled_from(["silent", "positive", "alert", "persist", "wave", "nod"])
counts = st.integers(1, 9)
configs = st.fixed_dictionaries(
    {
        "episodes": st.integers(0, 6),
        "episode_length": st.integers(1, 40),
        "discount": st.sampled_from([0.5, 0.92, 1.0]),
        "learning_rate": st.sampled_from([0.01, 0.2, 1.0]),
        "exploration_decay": st.sampled_from([0.1, 0.6, 1.0]),
    },
    optional={
        "quantizer": st.fixed_dictionaries(
            {f"{name}_buckets": counts for name in ("price", "volume", "trend", "scarcity", "mood")}
        ),
        "rewards": st.fixed_dictionaries(
            {},
            optional={"pnl": st.floats(-3, 3), "ethics_bonus": st.floats(-2, 2), "scarcity_alignment": st.floats(0, 2)},
        ),
        "communication": st.fixed_dictionaries({"actions": st.lists(names, min_size=1, max_size=7)}),
        "emote": st.fixed_dictionaries(
            {
                "linger_ticks": st.integers(0, 4),
                "palette": st.dictionaries(
                    st.integers(0, 5).map(str), st.sampled_from(["🙂", "🚀 up", "😐", "⚠️", "⚠", "calm"]), max_size=4
                ),
            }
        ),
        "layers": st.fixed_dictionaries(
            {
                "contrarian_threshold": st.sampled_from([0.0, 0.25, 0.5]),
                "momentum_threshold": st.sampled_from([0.5, 0.75, 1.0]),
                "trend_favors_even": st.booleans(),
            }
        ),
        "episodic": st.fixed_dictionaries(
            {
                "enabled": st.booleans(),
                "k": st.integers(1, 5),
                "capacity": st.integers(1, 20),
                "decay": st.sampled_from([0.0, 0.37, 0.9, 1.0]),
                "blend_alpha": st.sampled_from([0.0, 0.3, 1.0]),
            }
        ),
    },
)
markets = st.fixed_dictionaries(
    {
        "stress_scenario": st.sampled_from(
            ["normal", "panic", "extreme_shock", "fee_spike", "bear_market", "flash_crash"]
        ),
        "drift_bear": st.sampled_from([-0.002, 0.0, 0.01]),
        "shock_prob": st.sampled_from([0.0, 0.02, 1.0]),
        "fee_bps": st.sampled_from([0.0, 5.0, 250.0]),
    }
)
seeds = st.one_of(st.integers(0, 99), st.integers(-(2**80), 2**200))


@st.composite
def tile_coders(draw, n_features: int) -> dict:
    sizes = st.lists(st.integers(1, 7), min_size=n_features, max_size=n_features)
    offsets = st.lists(st.integers(-3, 9), min_size=n_features, max_size=n_features)
    return {"num_tilings": draw(st.integers(1, 4)), "tile_sizes": draw(sizes), "offsets": draw(offsets)}


@settings(max_examples=examples(80))
@given(configs, seeds, st.one_of(st.none(), markets), st.data())
def test_any_run_equals_the_plain_python_twin(config, seed, market, data):
    env = "synthetic" if market is None else "crypto"
    coder = data.draw(st.none() | tile_coders(5 if market is None else 4))
    if coder is not None:
        config = {**config, "tile_coder": coder}
    run = reference.train(config, env=env, market=market, seed=seed)
    trainer = create_trainer(compat_config(config, env, market), seed=seed)
    policy, trace = trainer.run()
    width = len(policy.space.names) + (0 if coder is None else coder["num_tilings"])
    assert table(policy, width, "q_") == run.q
    assert table(policy, width, "comm_") == run.comm_q
    assert trainer.episode_rewards.tolist() == run.episode_rewards
    assert trainer.stats() == {
        "episodes": len(run.episode_rewards),
        "mean_reward": run.mean_reward,
        "comm_action_counts": run.comm_action_counts,
    }
    assert trace.files() == reference.stream_files(run)
    assert [ACTIONS[action] for action in trace.action] == [ACTIONS[tick["action"]] for tick in run.rollout]
    assert trace.reward.tolist() == [tick["reward"] for tick in run.rollout]


@given(st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.25]), min_size=1, max_size=60), st.integers(1, 16))
def test_quantile_buckets_equal_the_twin(values, buckets):
    expected = reference_backtest.quantile_buckets(values, buckets)
    assert quantile_buckets(np.array(values), buckets).tolist() == expected

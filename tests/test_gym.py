"""The markets as Gymnasium environments, and agents of other kinds beside the baselines."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from cli_helpers import bars
from examples import examples
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.environments.environment import make_environment
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rng import make_generators
from idi_fast.gym import MarketEnv, MarketVectorEnv

SHORT = {"episode_length": 8}
CONFIGS = {
    "synthetic": SHORT,
    "crypto": {**SHORT, "environment": {"kind": "crypto"}},
    "regime": {**SHORT, "environment": {"kind": "crypto", "observe_regime": True, "allow_short": False}},
    "compat": {**SHORT, "environment": {"kind": "crypto"}, "engine": {"compat": "idi_iann"}},
    "history": {**SHORT, "environment": {"kind": "history"}},
}
NEXT = {"hold": lambda old, low: old, "buy": lambda old, low: 1, "sell": lambda old, low: low}


def market(kind: str) -> MarketEnv:
    return MarketEnv(CONFIGS[kind], bars(60) if kind == "history" else None)


def tape(kind: str, seed: int, rows: int):
    """The tape that training with the seed has."""
    config = market(kind).config
    history = HistoryBars(config, idi.History.from_frame(bars(60))) if kind == "history" else None
    return make_environment(config, make_generators(config.engine, seed), history).fill(rows)


@pytest.mark.filterwarnings("ignore:.*")  # the checker's advice on spaces
@pytest.mark.parametrize("kind", CONFIGS)
def test_gymnasiums_own_check_passes(kind):
    check_env(market(kind), skip_render_check=True)


@pytest.mark.parametrize("kind", CONFIGS)
@given(data=st.data())
@settings(max_examples=examples(8))
def test_rewards_are_those_of_the_tape(kind, data):
    """Positions, PnL and mood worked out again; three episodes, each of 8 steps behind a reset row."""
    env, seed = market(kind), data.draw(st.integers(0, 3))
    drawn = np.random.default_rng(data.draw(st.integers(0, 99)))
    made, config = tape(kind, seed, 27), env.config
    lowest, n_moods = -config.environment.allow_short, 0 if kind == "compat" else config.quantizer.mood_buckets
    row = 0
    for episode in range(3):
        observation, info = env.reset(seed=seed if episode == 0 else None)
        position, pnl, mood = 0, 0.0, int(n_moods == 0)
        assert env.observation_space.contains(observation)
        assert info["position"] == 0
        for step in range(8):
            row += 1
            old, action = position, int(drawn.integers(3))
            if kind == "synthetic":
                position = min(1, max(lowest, old + (0, 1, -1)[action]))
                base = made.reward_by_position[row, position + 1]
            else:
                position = (old, 1, lowest)[action]
                base = made.reward_by_position[row, (old + 1) * 3 + position + 1]
            pnl += base
            mood = min(n_moods - 1, max(0, mood + (base > 0.5) - (base < -0.2))) if n_moods else int(pnl >= 0.0)
            expected = base + config.rewards.communication_clarity * mood if n_moods else base
            observation, reward, terminated, truncated, info = env.step(action)
            assert (reward, terminated, truncated) == (expected, False, step == 7)
            named = dict(zip(env.names, observation.tolist(), strict=True))
            assert info["position"] == position
            assert named.get("position", position + 1) == position + 1
            assert named["pnl_sign" if kind == "compat" else "mood"] == mood
            # What the tape shows, as the digits that are neither mood nor position.
            code = 0
            for name, size in zip(env.names, env.observation_space.nvec.tolist(), strict=True):
                if name not in ("mood", "pnl_sign", "position"):
                    code = code * size + named[name]
            assert code == made.observation[row] or kind == "compat"
        row += 1


@pytest.mark.parametrize("kind", ["synthetic", "crypto", "history"])
def test_environments_side_by_side_are_one_after_the_other(kind):
    n, drawn = 3, np.random.default_rng(5)
    given_bars = bars(60) if kind == "history" else None
    vector, single = MarketVectorEnv(n, CONFIGS[kind], given_bars), market(kind)
    seen, _ = vector.reset(seed=4)
    for batch in range(2):
        actions = drawn.integers(0, 3, (8, n))
        rows = [(seen.copy(), np.zeros(n))]
        for action in actions:
            seen, reward, terminated, truncated, _ = vector.step(action)
            rows.append((seen.copy(), reward))
            assert not terminated.any()
        assert truncated.all()
        for k in range(n):
            observation, _ = single.reset(seed=4 if batch == k == 0 else None)
            assert_array_equal(observation, rows[0][0][k])
            for tick, action in enumerate(actions[:, k], 1):
                observation, reward, *_ = single.step(int(action))
                assert_array_equal(observation, rows[tick][0][k])
                assert reward == rows[tick][1][k]
        seen, reward, _, truncated, _ = vector.step(actions[0])  # begins the next episodes, whatever the actions
        assert not truncated.any()
        assert_array_equal(reward, np.zeros(n))


def test_it_is_made_by_name_without_another_import():
    code = """
import gymnasium
config = {"environment": {"kind": "crypto"}}
env = gymnasium.make("idi_fast.gym:idi_fast/Market-v0", config=config)
print(env.reset(seed=1)[0].tolist())
envs = gymnasium.make_vec("idi_fast/Market-v0", num_envs=2, config=config)
print(envs.reset(seed=1)[0][0].tolist(), envs.num_envs)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    one, both = done.stdout.splitlines()
    assert both == f"{one} 2"


def test_history_and_config_must_fit():
    with pytest.raises(idi.InputError, match=r"environment\.kind is 'crypto'"):
        MarketEnv(CONFIGS["crypto"], bars(60))
    with pytest.raises(idi.DataError, match="no price history"):
        MarketEnv(CONFIGS["history"])
    with pytest.raises(idi.InputError, match="num_envs"):
        MarketVectorEnv(0)
    with pytest.raises(idi.InputError, match="one seed"):
        MarketVectorEnv(2).reset(seed=[1, 2])


# --- agents of other kinds


class Model:
    """As stable-baselines3's models."""

    def __init__(self, policy: idi.Policy):
        self.table = policy

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic
        states = self.table.space.index(observation)
        return np.argmax(self.table.values(states), axis=1), state


@pytest.mark.parametrize("kind", ["synthetic", "crypto", "history"])
def test_another_agent_earns_what_a_policy_that_acts_alike_does(kind):
    history = bars(200) if kind == "history" else None
    policy = idi.train({**CONFIGS[kind], "episodes": 200}, history, seed=3).policy
    test = None if history is None else bars(90, first=200)
    expected = idi.evaluate(policy, test, episodes=50)
    for agent in (Model(policy), lambda seen: Model(policy).predict(seen, deterministic=True)[0]):
        found = idi.evaluate(agent, test, market=policy, episodes=50)
        assert found.evaluation.mean == pytest.approx(expected.evaluation.mean, rel=1e-12)  # summed in another order
        for name, compared in expected.baselines.items():
            assert found.baselines[name].evaluation == compared.evaluation


def test_the_market_it_was_trained_in_says_what_it_sees():
    env = gymnasium.make("idi_fast/Market-v0", config=CONFIGS["crypto"])
    with pytest.raises(idi.InputError, match="reset"):
        idi.evaluate(lambda seen: seen[:, 0] * 0, market=env)
    env.reset(seed=3)
    policy = idi.train({**CONFIGS["crypto"], "episodes": 16}, seed=3).policy
    always_buy = idi.evaluate(lambda seen: np.ones(len(seen), np.int64), market=env, episodes=50)
    assert always_buy.evaluation.mean == pytest.approx(
        idi.evaluate(policy, episodes=50).baselines["buy"].evaluation.mean, rel=1e-12
    )
    frame = bars(60)
    on_bars = MarketEnv(CONFIGS["history"], frame)
    on_bars.reset(seed=0)
    assert idi.evaluate(lambda seen: seen[:, 0] * 0, frame, market=on_bars, episodes=3).in_sample
    assert idi.evaluate(lambda seen: seen[:, 0] * 0, market=on_bars, episodes=3).in_sample  # its own bars
    assert not idi.evaluate(lambda seen: seen[:, 0] * 0, bars(60, first=60), market=on_bars, episodes=3).in_sample


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda seen: np.full(len(seen), 3), "the action 3 was given"),
        (lambda seen: np.full(len(seen), 0.5), "float64"),
        (lambda seen: np.zeros((len(seen), 2), np.int64), r"\(\d+, 2\)"),
        (lambda seen: None, "None"),
        (lambda seen: 1, "1 was given for 3 actions"),
    ],
)
def test_answers_that_are_no_actions_are_refused(answer, words):
    env = market("synthetic")
    env.reset(seed=0)
    with pytest.raises(idi.InputError, match=words):
        idi.evaluate(answer, market=env, episodes=3)


def test_an_agent_needs_its_market_and_a_policy_none():
    policy = idi.train({"episodes": 4}).policy
    with pytest.raises(idi.InputError, match="without its market"):
        idi.evaluate(lambda seen: seen)
    with pytest.raises(idi.InputError, match="goes with an agent"):
        idi.evaluate(policy, market=policy)
    with pytest.raises(idi.InputError, match="market is"):
        idi.evaluate(lambda seen: seen, market=3)
    with pytest.raises(idi.InputError, match="expected a Policy"):
        idi.evaluate(3)


@pytest.mark.parametrize(
    ("action", "words"), [(3, "action 3"), (-5, "action -5"), (1.7, "1.7"), (np.array([1]), "shape")]
)
def test_what_is_no_action_is_refused(action, words):
    env = market("crypto")
    with pytest.raises(idi.InputError, match="reset"):
        env.step(1)
    env.reset(seed=1)
    with pytest.raises(idi.InputError, match=words):
        env.step(action)
    vector = MarketVectorEnv(3, CONFIGS["crypto"])
    with pytest.raises(idi.InputError, match="reset"):
        vector.step(np.zeros(3, np.int64))
    vector.reset(seed=1)
    for actions in ([0, 1, 9], [0, 1, -1], [0, 1], [0, 1, 2, 0], [0.5, 1.0, 2.0]):
        with pytest.raises(idi.InputError):
            vector.step(np.array(actions))


def test_a_dict_with_bars_is_of_a_history():
    settings = {"episode_length": 8, "features": [{"name": "p", "transform": "rsi"}]}
    assert MarketEnv(settings, bars(60)).config.environment.kind == "history"
    assert idi.train({**settings, "episodes": 2}, bars(60)).policy.config.environment.kind == "history"
    assert idi.walk_forward({**settings, "episodes": 2}, bars(300)).config.environment.kind == "history"

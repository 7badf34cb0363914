"""The trainer through its public API: determinism, chunking, cancelling, and the guarantees of the default mode."""

import threading
from unittest import mock

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import history, random_walk
from numpy.testing import assert_array_equal

import idi_fast.training.trainer
from idi_fast import Policy, TrainingConfig, create_trainer
from idi_fast.agents.streams import check_stream
from idi_fast.environments.charges import charged_fee_bps
from idi_fast.errors import ArtifactError, Cancelled, DataError, IdiFastError, InputError
from oracle import engine

KINDS = ("synthetic", "crypto", "history")
ENGINES = [{"rng": "sfc64"}, {"rng": "mt19937"}, {"compat": "idi_iann"}]
CASES = [(kind, engine) for kind in KINDS for engine in ENGINES if not (kind == "history" and "compat" in engine)]


def config(kind: str = "synthetic", engine: dict | None = None, **fields) -> TrainingConfig:
    about = {"episodes": 12, "episode_length": 30, "engine": engine or {}, "environment": {"kind": kind}}
    return TrainingConfig.from_dict({**about, **fields})


def train(settings: TrainingConfig, seed: int = 0):
    bars = random_walk(400) if settings.environment.kind == "history" else None
    trainer = create_trainer(settings, seed=seed, history=bars)
    return trainer, *trainer.run()


def outcome(trainer, policy, trace) -> dict[str, np.ndarray]:
    """All numbers of a run, flat."""
    tables = {"q": policy.q, "comm_q": policy.comm_q, "visits": policy.visits, "rewards": trainer.episode_rewards}
    return {**tables, **trace.streams, "state": trace.state, "comm": trace.comm_action, "reward": trace.reward}


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(("kind", "engine"), CASES)
def test_a_seed_gives_one_result_and_another_seed_another(kind, engine):
    settings = config(kind, engine)
    assert_same(outcome(*train(settings, 3)), outcome(*train(settings, 3)))
    assert not np.array_equal(train(settings, 3)[1].q, train(settings, 4)[1].q)


@pytest.mark.parametrize(("kind", "engine"), CASES)
@settings(max_examples=examples(8))
@given(block=st.integers(1, 400), blocks=st.integers(1, 4))
def test_the_size_of_a_block_changes_nothing(kind, engine, block, blocks):
    whole = outcome(*train(config(kind, engine), 5))
    with mock.patch.multiple(idi_fast.training.trainer, BLOCK_ROWS=block, MOST_BLOCKS=blocks):
        assert_same(outcome(*train(config(kind, engine), 5)), whole)


@settings(max_examples=examples(25))
@given(
    seed=st.integers(0, 2**70),
    buckets=st.tuples(*[st.integers(1, 6)] * 5),
    actions=st.lists(st.sampled_from(["silent", "positive", "alert", "persist", "wave"]), min_size=1, unique=True),
    decay=st.sampled_from([0.3, 0.9, 1.0]),
)
def test_the_default_engine_equals_its_plain_python_twin(seed, buckets, actions, decay):
    names = ("price", "volume", "trend", "scarcity", "mood")
    quantizer = {f"{name}_buckets": size for name, size in zip(names, buckets, strict=True)}
    setup = config(quantizer=quantizer, communication={"actions": actions}, exploration_decay=decay)
    trainer, policy, _ = train(setup, seed)
    q, comm_q, rewards = engine.train(setup.to_dict(), seed)
    digits = policy.space.digits(np.flatnonzero(policy.visits))
    assert set(map(tuple, digits.tolist())) == set(q)
    for table, twin in ((policy.q, q), (policy.comm_q, comm_q)):
        for state, values in twin.items():
            assert table[policy.state_index(state)].tolist() == values
    assert trainer.episode_rewards.tolist() == rewards


def test_seeds_of_the_default_mode_may_be_large_but_not_negative():
    assert not np.array_equal(train(config(), 2**200)[1].q, train(config(), 0)[1].q)
    with pytest.raises(InputError, match="the seed is -1; expected an integer >= 0"):
        create_trainer(config(), seed=-1)


def test_without_a_seed_one_is_drawn_and_can_be_used_again():
    trainer = create_trainer(config(), seed=None)
    policy, _ = trainer.run()
    assert_array_equal(train(config(), trainer.seed)[1].q, policy.q)
    assert create_trainer(config(), seed=None).seed != trainer.seed


def test_environment_and_agent_draw_from_different_streams():
    trainer = create_trainer(config(), seed=1)
    agent, environment = trainer._agent._generator, trainer._environment._generator
    assert not np.array_equal(agent.state["state"], environment.state["state"])


def test_progress_counts_up_to_the_end(monkeypatch):
    monkeypatch.setattr(idi_fast.training.trainer, "BLOCK_ROWS", 25)
    monkeypatch.setattr(idi_fast.training.trainer, "MOST_BLOCKS", 2)
    seen = []
    trainer = create_trainer(config())
    trainer.run(seen.append)
    assert [p.episodes for p in seen] == sorted(p.episodes for p in seen)
    last = seen[-1]
    assert (last.episodes, last.total_episodes, last.steps) == (12, 12, 360)
    ended = np.diff([0, *(p.episodes for p in seen)])
    means = [rewards.mean() for rewards in np.split(trainer.episode_rewards, np.cumsum(ended)[:-1]) if rewards.size]
    assert [p.mean_reward for p in seen if not np.isnan(p.mean_reward)] == means


@pytest.mark.parametrize(
    ("blocks", "seconds", "then"), [(1, 0.001, 2), (32, 0.001, 32), (8, 0.015, 8), (8, 0.5, 4), (1, 0.5, 1)]
)
def test_a_call_takes_some_milliseconds_where_it_can(blocks, seconds, then):
    assert idi_fast.training.trainer._paced(blocks, seconds, 32) == then


def test_cancel_stops_a_run_from_another_thread():
    trainer = create_trainer(config(episodes=10_000_000))
    threading.Timer(0.2, trainer.cancel).start()
    with pytest.raises(Cancelled, match=r"cancelled after \d+ of 10000000 episodes"):
        trainer.run()


def test_a_trainer_runs_once():
    trainer = create_trainer(config())
    trainer.run()
    with pytest.raises(IdiFastError, match="has been run; create another"):
        trainer.run()


def test_a_run_that_was_cancelled_beforehand_does_nothing():
    trainer = create_trainer(config())
    trainer.cancel()
    with pytest.raises(Cancelled, match="after 0 of 12 episodes"):
        trainer.run()
    assert sum(trainer.stats()["comm_action_counts"].values()) == 0


def test_what_a_trainer_cannot_use_is_refused():
    with pytest.raises(InputError, match="takes a TrainingConfig and a History"):
        create_trainer({"episodes": 3})
    with pytest.raises(InputError, match="takes a TrainingConfig and a History"):
        create_trainer(config("history"), history="bars.csv")
    with pytest.raises(InputError, match=r"environment\.kind is 'synthetic'"):
        create_trainer(config(), history=random_walk(100))


def test_no_episodes_leave_an_untrained_table():
    trainer, policy, trace = train(config(episodes=0))
    assert not policy.q.any()
    assert trainer.stats()["mean_reward"] == 0.0
    assert len(trace) == 30


def test_values_beyond_all_numbers_are_an_error():
    setup = config(rewards={"pnl": 1e308}, discount=1.0, learning_rate=1.0, episodes=50)
    with pytest.raises(IdiFastError, match="overflowed"):
        create_trainer(setup).run(lambda progress: None)  # a warning would be another error


def test_exploration_decays_after_each_episode_down_to_a_floor():
    trainer, *_ = train(config(exploration_decay=0.5, episodes=7))
    assert trainer.exploration.tolist() == [1.0, 0.5, 0.25, 0.125, 0.0625, 0.05, 0.05]


@pytest.mark.parametrize("kind", KINDS)
def test_streams_fit_their_types_and_say_what_they_are_called_for(kind):
    _, policy, trace = train(config(kind, episodes=200))
    for name, values in trace.streams.items():
        check_stream(name, values)
    assert not (trace.streams["q_buy"] & trace.streams["q_sell"]).any()
    assert_array_equal(trace.streams["q_buy"], trace.action == 1)
    assert_array_equal(trace.action, np.argmax(policy.q[trace.state], axis=1))
    assert not (trace.streams["price_up"] & trace.streams["price_down"]).any()
    if kind != "synthetic":
        assert trace.streams["q_regime"].max() <= 3
        move = np.sign(np.diff(trace.close))
        assert_array_equal(trace.streams["price_up"][1:], move > 0)
        assert_array_equal(trace.streams["price_down"][1:], move < 0)
    for name in ("price", "volume", "trend"):
        digit = policy.space.digit(trace.state, name)
        assert_array_equal(trace.streams[name], digit >= 2, err_msg=name)


def test_a_rollout_on_history_is_its_last_bars():
    bars = random_walk(400)
    trainer = create_trainer(config("history"), history=bars)
    _, trace = trainer.run()
    assert_array_equal(trace.close, bars.close[-31:-1])
    assert_array_equal(trace.time, bars.time[-31:-1])


def test_a_position_is_never_short_where_that_is_not_allowed():
    for kind in ("synthetic", "crypto"):
        settings = config(kind, environment={"kind": kind, "allow_short": False}, episodes=40)
        _, _, trace = train(settings)
        assert trace.position.min() >= 0
    assert train(config("crypto", episodes=100, rewards={"ethics_bonus": -1.0}))[2].position.min() == -1


def test_an_agent_learns_to_be_long_in_a_rising_market_and_short_in_a_falling_one():
    rewards = {"ethics_bonus": 0.0, "scarcity_alignment": 0.0}
    wobble = np.random.default_rng(0).normal(0.0, 0.004, 600)
    for drift, position in ((0.003, 1), (-0.003, -1)):
        bars = history(100.0 * np.exp(np.cumsum(drift + wobble)))
        settings = config("history", episodes=2000, exploration_decay=0.998, rewards=rewards)
        trainer = create_trainer(settings, history=bars)
        _, trace = trainer.run()
        assert (trace.position == position).mean() > 0.8


@pytest.mark.parametrize(("kind", "engine"), CASES)
def test_a_saved_policy_is_the_policy(kind, engine, tmp_path):
    _, policy, _ = train(config(kind, engine), 11)
    policy.save(tmp_path / "policy.parquet")
    loaded = Policy.load(tmp_path)
    assert (loaded.config, loaded.seed, loaded.space) == (policy.config, policy.seed, policy.space)
    assert loaded.trained_on == policy.trained_on
    for name in ("q", "comm_q", "visits"):
        assert_array_equal(getattr(loaded, name), getattr(policy, name), err_msg=name)
    if policy.encoder is None:
        assert loaded.encoder is None
    else:
        assert loaded.encoder.to_dict() == policy.encoder.to_dict()


def test_the_mean_of_two_tables_is_finite_where_their_sum_is_not():
    learning = {"algorithm": "double_q_learning", "initial_value": 1e308}
    _, policy, _ = train(config(learning=learning))
    untouched = policy.visits == 0
    assert untouched.any()
    assert (policy.q[untouched] == 1e308).all()


def test_a_policy_answers_by_state_and_refuses_what_is_none():
    _, policy, _ = train(config(episodes=300), 2)
    state = int(np.argmax(policy.visits))
    digits = policy.space.digits(np.array([state]))[0].tolist()
    values = [policy.q_value(digits, action) for action in ("hold", "buy", "sell")]
    assert values == policy.q[state].tolist()
    assert policy.best_action(digits) == ("hold", "buy", "sell")[int(np.argmax(values))]
    with pytest.raises(ArtifactError, match="price is 4"):
        policy.best_action([4, 0, 0, 0, 0])
    with pytest.raises(ArtifactError, match="has 2 digits"):
        policy.best_action([0, 0])
    with pytest.raises(ArtifactError, match=r"no action 'by'.*'buy'"):
        policy.q_value(digits, "by")


@pytest.mark.parametrize("growth", [0.0, 1e-4, 1e-3, 0.05])
def test_an_even_price_gives_rewards_of_an_even_size(growth):
    # Its volatility is nothing but rounding, which must not become the unit of the rewards.
    bars = history(100.0 * np.exp(growth * np.arange(400)))
    setup = config("history", rewards={"ethics_bonus": 0.0}, environment={"kind": "history", "market": {"fee_bps": 0}})
    trainer = create_trainer(setup, history=bars)
    trainer.run()
    assert np.abs(trainer.episode_rewards).max() < 30 * (10 + 1)  # at most ten typical moves a step, and the mood


def test_a_price_that_seldom_moves_is_scaled_by_its_moves():
    def typical(share: float) -> float:
        moves = np.random.default_rng(0).random(4000) < share
        steps = np.where(moves, np.random.default_rng(1).choice([-0.05, 0.05], 4000), 0.0)
        trainer = create_trainer(config("history"), history=history(100.0 * np.exp(np.cumsum(steps))))
        return trainer._environment.encoder.typical_volatility

    assert 0.2 < typical(0.01) / typical(0.05) < 1.0


def test_a_stress_scenario_multiplies_the_fee_of_the_guards_too():
    calm = config("crypto", environment={"kind": "crypto", "market": {"fee_bps": 20.0}})
    spike = config("crypto", environment={"kind": "crypto", "market": {"fee_bps": 2.0, "stress_scenario": "fee_spike"}})
    assert charged_fee_bps(calm) == charged_fee_bps(spike) == 20.0
    assert_same(outcome(*train(calm, 3)), outcome(*train(spike, 3)))


def test_features_of_the_files_own_column_names_and_of_others(tmp_path):
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, 200)))
    lines = [
        "Close,High,Signal",
        *(f"{c!r},{c * 1.01!r},{s!r}" for c, s in zip(close.tolist(), rng.normal(size=200).tolist(), strict=True)),
    ]
    (tmp_path / "bars.csv").write_text("\n".join(lines))

    def edges(column: str, transform: str = "log_return") -> np.ndarray:
        features = {"price": {"column": column, "transform": transform, "window": 3}}
        data = {"kind": "history", "data": {"path": str(tmp_path / "bars.csv")}}
        return create_trainer(config("history", features=features, environment=data))._environment.encoder.edges[0]

    assert_array_equal(edges("Close"), edges("close"))
    np.testing.assert_allclose(edges("High"), edges("close"), atol=1e-12)  # 1 % above is the same log return
    assert edges("Signal", "zscore").size == 3
    with pytest.raises(DataError, match=r"log_return takes the logarithm of column 'Signal', which holds -\d"):
        edges("Signal")


def test_a_history_shorter_than_an_episode_is_refused():
    with pytest.raises(DataError, match="has 30 bars, but an episode of 30 steps needs at least 31"):
        create_trainer(config("history"), history=random_walk(30))
    create_trainer(config("history"), history=random_walk(31)).run()


@pytest.mark.parametrize("engine", [{}, {"compat": "idi_iann"}], ids=["sfc64", "compat"])
def test_the_synthetic_environment_is_the_same_in_one_kernel_and_in_several(engine):
    setup = TrainingConfig.from_dict({"episodes": 300, "engine": engine})
    fused, apart = create_trainer(setup, seed=3), create_trainer(setup, seed=3)
    assert fused._fused is not None
    apart._fused = None
    for trainer in (fused, apart):
        trainer.train()
    assert_array_equal(fused.episode_rewards, apart.episode_rewards)
    for name in ("q", "comm_q", "visits"):
        assert_array_equal(getattr(fused._agent.tables, name), getattr(apart._agent.tables, name), err_msg=name)

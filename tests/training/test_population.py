"""Populations: lanes equal the single runs of their seeds, evaluations equal rollouts by look-ups, and the best
wins."""

import json
import time
from dataclasses import replace
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import random_walk
from numpy.testing import assert_array_equal
from test_trainer import CASES, assert_same, config, outcome

import idi_fast.evaluation.evaluator
from idi_fast import Policy, create_trainer, select_best_policy, train_population
from idi_fast.config.seeds import parse_seeds
from idi_fast.environments.environment import make_environment
from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import make_generators
from idi_fast.errors import IdiFastError, InputError
from idi_fast.evaluation.baselines import Compared, Comparison, evaluate
from idi_fast.evaluation.evaluator import Evaluation, Evaluator
from idi_fast.kernels.learn import Tape
from idi_fast.parallel.worker_pool import usable_cores
from idi_fast.training.artifact import save_training
from idi_fast.training.population_artifact import save_population
from oracle import engine as twin

SEEDS = [4, 0, 9, 2]
QUICK = (*cli.QUICK, "--seeds", "4,0,9,2")
NOTHING = ": nothing is shown to have been learnt"
USELESS = ": do not use this table, doing nothing earns more"


def bars_of(setup):
    return random_walk(400) if setup.environment.kind == "history" else None


def run(setup, seeds=SEEDS, **options):
    return train_population(setup, seeds, history=bars_of(setup), **options)


def alone(setup, seed):
    trainer = create_trainer(setup, seed, bars_of(setup))
    return trainer, *trainer.run()


# --- lanes


@pytest.mark.parametrize(("kind", "engine"), CASES)
@settings(max_examples=examples(3))
@given(seeds=st.lists(st.integers(0, 2**80), min_size=1, max_size=3, unique=True), jobs=st.integers(1, 3))
def test_a_lane_is_the_single_run_of_its_seed(kind, engine, seeds, jobs):
    setup = config(kind, engine)
    population = run(setup, seeds, jobs=jobs, keep="all")
    assert list(population.lanes) == seeds
    for seed, lane in population.lanes.items():
        assert_same(outcome(lane.trainer, lane.policy, lane.trace), outcome(*alone(setup, seed)))


@pytest.mark.parametrize("kind", ["synthetic", "history"])
def test_neither_jobs_nor_the_order_of_seeds_change_a_file(kind, tmp_path):
    setup = config(kind)
    orders = [[4, 0, 9, 2], [4, 2, 9, 0]]  # the first seed decides on which episodes all are evaluated
    for jobs in (1, 2, 3):
        for number, seeds in enumerate(orders):
            population = run(setup, seeds, jobs=jobs, keep="all")
            assert population.jobs == jobs
            save_population(tmp_path / f"{jobs}_{number}", population)
    folders = [without_timings(path) for path in sorted(tmp_path.iterdir())]
    for left, right in zip(folders[::2], folders[1::2], strict=True):
        assert left == folders[0]
        assert right == folders[1]
        own = {"summary.parquet", "run.json", "manifest.json"}
        assert {name: data for name, data in left.items() if name not in own} == {
            name: data for name, data in right.items() if name not in own
        }
    one, other = (pl.read_parquet(tmp_path / f"1_{number}" / "summary.parquet").sort("seed") for number in (0, 1))
    assert one.equals(other)


def without_timings(folder: Path) -> dict:
    return {name: data for name, data in cli.snapshot(folder).items() if not name.endswith("timings.json")}


def test_the_summary_says_what_the_single_runs_say(tmp_path):
    setup = config("crypto")
    population = run(setup, [2**70, 3])
    assert population.summary["seed"].to_list() == [str(2**70), "3"]
    for row in population.summary.iter_rows(named=True):
        save_training(tmp_path / row["seed"], *alone(setup, int(row["seed"])))
        summary = json.loads((tmp_path / row["seed"] / "run.json").read_text())["summary"]
        for name in ("mean_reward", "last_tenth_mean_reward", "visited_states"):
            assert row[name] == summary[name]


# --- evaluation


def walked(policy: Policy, tape: Tape) -> float:
    """The reward of one episode, by lookups in the policy."""
    space, total, pnl = policy.space, 0.0, 0.0
    position, mood = 1, int(space.is_compat_crypto)

    def look(code: int) -> str:
        last = "big_move" if space.is_compat_crypto else "scarcity"
        place = {last: int(code), space.mood: mood, "position": position}
        at = sum(space.stride(name) * value for name, value in place.items())
        return policy.best_action(space.digits(np.array([at]))[0].tolist())

    for seen, base in zip(tape.observation, tape.reward_by_position[1:], strict=False):
        action = look(seen)
        if space.is_market:
            new = {"hold": position, "buy": 2, "sell": 0}[action]
        else:
            new = min(2, max(0, position + {"hold": 0, "buy": 1, "sell": -1}[action]))
        reward = float(base[position * 3 + new] if base.size == 9 else base[new])
        pnl, position = pnl + reward, new
        if space.is_compat_crypto:
            mood = int(pnl >= 0)
        else:
            mood = min(space.size("mood") - 1, max(0, mood + (reward > 0.5) - (reward < -0.2)))
            reward += policy.config.rewards.communication_clarity * mood
        total += reward
    return total


@pytest.mark.parametrize(("kind", "engine"), CASES)
def test_an_evaluation_is_a_walk_by_lookups(kind, engine, monkeypatch):
    monkeypatch.setattr(idi_fast.evaluation.evaluator, "EVALUATION_ROWS", 70)  # blocks then end within episodes
    setup = config(kind, engine)
    evaluator, (trainer, policy, _) = Evaluator(setup, 1, bars_of(setup)), alone(setup, 6)
    if kind == "history":
        bars, rule = trainer._environment._market.bars, RewardRule(setup, policy.encoder)
        windows = [Bars(*(column[start : start + 31] for column in bars)) for start in range(0, 12 * 30, 30)]
        tapes = [rule.tape(window, np.empty((31, 9))) for window in windows]
    else:
        # With the bucket edges that the policy was trained with: fitted again, on the same bars.
        fresh = replace(make_generators(setup.engine, 6), environment=make_generators(setup.engine, 1).evaluation)
        environment = make_environment(setup, fresh)
        tapes = [Tape(*map(np.copy, environment.fill(31))) for _ in range(12)]
    rewards = [walked(policy, tape) for tape in tapes]
    evaluation = evaluator.evaluate(policy)
    assert evaluation.episodes == 12
    found = evaluation.mean, evaluation.standard_error
    # Sums are taken in another order.
    np.testing.assert_allclose(found, (np.mean(rewards), np.std(rewards, ddof=1) / 12**0.5), rtol=1e-12)


def test_fresh_episodes_are_drawn_from_a_stream_that_training_does_not_use():
    words = np.empty(40, np.uint64)
    make_generators(config().engine, 5).evaluation.words64(words)
    assert [[word] for word in words.tolist()] == twin.word_rows(np.random.SeedSequence(5).spawn(4)[2], 40, 1)
    engine = config(engine={"compat": "idi_iann"}).engine
    for seed in (5, -5):
        generators = make_generators(engine, seed)
        keys = [generator.state["key"] for generator in (generators.evaluation, generators.environment)]
        assert not np.array_equal(*keys)
        assert_array_equal(keys[0], make_generators(engine, 5).evaluation.state["key"])


@pytest.mark.parametrize(
    ("kind", "episodes", "length", "expected"),
    [
        ("synthetic", 10**6, 64, 1000),
        ("synthetic", 500, 64, 500),
        ("synthetic", 0, 64, 252),
        ("synthetic", 1, 10**6, 2),
        ("history", 10**6, 64, 6),
        ("history", 0, 399, 1),
    ],
)
def test_how_many_episodes_an_evaluation_has(kind, episodes, length, expected):
    setup = config(kind, episodes=episodes, episode_length=length)
    assert Evaluator(setup, 0, bars_of(setup)).episodes == expected


def test_the_standard_error_of_a_single_episode_is_undefined():
    setup = config("history", episode_length=399)
    population = run(setup, [0])
    assert population.summary["evaluation_standard_error"].to_list() == [None]
    assert population.in_sample


def test_rewards_beyond_all_numbers_have_no_mean():
    with pytest.raises(IdiFastError, match="the rewards of the evaluation overflowed"):
        Evaluation.of(np.full(3, 1e308))


# --- the best


@pytest.mark.parametrize("keep", ["best", "all"])
def test_the_best_lane_has_the_highest_evaluation(keep):
    population = run(config(episodes=100), range(6), keep=keep, jobs=2)
    evaluations = population.summary["evaluation"].to_list()
    assert len(set(evaluations)) == 6
    assert population.best.seed == int(np.argmax(evaluations))
    assert list(population.lanes) == ([population.best.seed] if keep == "best" else list(range(6)))
    assert population.policies[population.best.seed] is population.best.policy
    if keep == "all":
        assert select_best_policy(population.policies.values()) is population.best.policy


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_first_listed_of_equals_is_the_best(jobs):
    # Untrained tables are all the same.
    population = run(config(episodes=0), [5, 3, 9, 1], jobs=jobs)
    assert population.summary["evaluation"].n_unique() == 1
    assert (population.best.seed, list(population.lanes)) == (5, [5])


@pytest.mark.parametrize("kind", ["crypto", "history"])
def test_the_best_lane_stands_beside_the_baselines_on_the_episodes_of_all(kind):
    setup = config(kind, episodes=100)
    population, bars = run(setup, [7, 3, 5]), bars_of(setup)
    best = population.best
    evaluator = Evaluator(setup, 7, bars)
    if kind == "crypto":
        alone = evaluate(best.policy, episodes=evaluator.episodes, seed=7)
        assert population.compared == replace(alone, alerts=None)
    else:
        alone = evaluate(best.policy, episodes=evaluator.episodes, history=bars)
        assert population.compared == alone
        assert population.verdict() == alone.verdict()
    assert population.compared.evaluation == best.evaluation


@pytest.mark.parametrize(
    ("above", "seeds", "verdict"),
    [
        (-6.4, 9, f"the best of 9 seeds is worse than 'hold' (79.4 against 85.8), beyond chance{USELESS}"),
        (-1.9, 1, f"worse than 'hold' (79.4 against 81.3), not beyond chance{NOTHING}"),
        (1.9, 2, f"the best of 2 seeds is better than 'hold' (79.4 against 77.5), not beyond chance{NOTHING}"),
        (2.9, 1, "better than 'hold' (79.4 against 76.5), and than every baseline beyond chance"),
    ],
)
def test_the_verdict_has_the_figures_beside_the_best_baseline(above, seeds, verdict):
    population = run(config(), [0])
    hold = Compared(Evaluation(79.4 - above, 1.0, 1000), Evaluation(above, 1.0, 1000))
    low = Compared(Evaluation(3.0, 1.0, 1000), Evaluation(76.4, 1.0, 1000))
    compared = Comparison(Evaluation(79.4, 1.0, 1000), {"random": low, "hold": hold}, False, 0, None)
    assert replace(population, compared=compared, seeds=tuple(range(seeds))).verdict() == verdict


def test_policies_that_cannot_be_compared():
    with pytest.raises(InputError, match="there is no policy"):
        select_best_policy([])
    with pytest.raises(InputError, match="of different configs"):
        select_best_policy([alone(config(episodes=n), 0)[1] for n in (1, 2)])


# --- seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0:4", [0, 1, 2, 3]),
        ("0:10:4", [0, 4, 8]),
        ("1,5,9", [1, 5, 9]),
        ("0:3,100, 50", [0, 1, 2, 100, 50]),
        ("-2:1", [-2, -1, 0]),
        (f"{2**80}:{2**80 + 2}", [2**80, 2**80 + 1]),
    ],
)
def test_seeds_as_text(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], "there are no seeds"),
        ([1, 2, 1], "the seed 1 is listed twice"),
        ([0, -3], "the seed is -3; expected 0 or more"),
        ([1.0], "the seed 1.0 is not an integer"),
        ([True], "the seed True is not an integer"),
    ],
)
def test_seeds_that_are_none(seeds, message):
    with pytest.raises(InputError, match=message):
        run(config(), seeds)


def test_seeds_that_differ_in_their_sign_only():
    with pytest.raises(InputError, match="the seeds -2 and 2 give the same run"):
        run(config(engine={"compat": "idi_iann"}), [-2, 1, 2])


def test_seeds_may_be_of_numpy():
    assert run(config(), np.arange(2)).seeds == (0, 1)


@pytest.mark.parametrize(("options", "message"), [({"jobs": 0}, "jobs is 0"), ({"keep": "some"}, "keep is 'some'")])
def test_options_that_are_none(options, message):
    with pytest.raises(InputError, match=message):
        run(config(), **options)


# --- stopping


def test_progress_counts_all_lanes():
    seen = []
    run(config(), progress=seen.append, jobs=2)
    assert (seen[-1].lanes, seen[-1].total_lanes, seen[-1].steps) == (4, 4, 4 * 12 * 30)
    assert [p.steps for p in seen] == sorted(p.steps for p in seen)


def test_a_lane_that_fails_stops_the_others_and_is_named():
    setup = config(rewards={"pnl": 1e308}, discount=1.0, learning_rate=1.0, episodes=50)
    with pytest.raises(IdiFastError, match=r"^seed \d+: the Q-values overflowed"):
        run(setup, jobs=2)


@pytest.mark.parametrize("where", ["progress", "finished"])
def test_an_exception_of_the_caller_stops_all_lanes(where):
    def fail(about):
        raise ZeroDivisionError("ours")

    started = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="ours") as caught:
        # Lanes that would take a minute each, but for the first two of `finished`, which take none.
        run(config(episodes=10**7 if where == "progress" else 0), jobs=2, **{where: fail})
    assert time.monotonic() - started < 10
    notes = "".join(getattr(caught.value, "__notes__", []))
    assert notes.startswith("in the lane of seed ") == (where == "finished")


def test_all_usable_cores_are_used_by_default():
    assert usable_cores() >= 1
    assert run(config()).jobs == min(4, usable_cores())

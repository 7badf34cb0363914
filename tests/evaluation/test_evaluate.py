"""`idi-fast evaluate`: a policy on fresh episodes, beside what needs no learning."""

import json
from dataclasses import replace

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from numpy.testing import assert_array_equal
from test_trainer import CASES, config, train

from idi_fast.environments.actions import BUY, HOLD, SELL
from idi_fast.errors import InputError
from idi_fast.evaluation.baselines import Compared, confidence_interval, evaluate, quick_episodes, student_quantile
from idi_fast.evaluation.evaluator import Evaluation, Evaluator
from idi_fast.evaluation.verdicts import beside, plain_number
from idi_fast.training.artifact import save_training

REGIME = {"kind": "crypto", "observe_regime": True}
PLAIN_REWARD = {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}


def acting(policy, action: int):
    """The policy whose every state says the same."""
    q = np.zeros_like(policy.q)
    q[:, action] = 1.0
    return replace(policy, q=q)


@pytest.mark.parametrize(("kind", "engine"), CASES)
def test_baselines_are_policies_that_always_do_the_same(kind, engine):
    trainer, policy, _ = train(config(kind, engine), 4)
    report = evaluate(policy, episodes=12, history=trainer.history)
    evaluator = Evaluator(policy.config, 4, trainer.history, episodes=12)
    rewards = evaluator.rewards(policy)
    assert report.evaluation == Evaluation.of(rewards)
    assert list(report.baselines) == ["random", "hold", "buy", "sell"]
    for name, action in (("hold", HOLD), ("buy", BUY), ("sell", SELL)):
        others = evaluator.rewards(acting(policy, action))
        assert report.baselines[name] == Compared(Evaluation.of(others), Evaluation.of(rewards - others))
    assert report.in_sample == (kind == "history")
    assert len({baseline.evaluation.mean for baseline in report.baselines.values()}) == 4


def test_the_regime_rule_is_long_in_a_bull_market_and_short_in_a_bear_market_and_a_panic():
    _, policy, _ = train(config(environment=REGIME), 1)
    rule = np.zeros_like(policy.q)
    for state in range(policy.space.n_states):
        regime = policy.space.digits(np.array([state]))[0, policy.space.names.index("regime")]
        rule[state] = [(0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 0, 1)][regime]
    report = evaluate(policy, episodes=20)
    assert report.baselines["regime rule"].evaluation == Evaluation.of(
        Evaluator(policy.config, 1, episodes=20).rewards(replace(policy, q=rule))
    )


def test_a_policy_is_compared_episode_for_episode():
    _, policy, _ = train(config(), 2)
    report = evaluate(acting(policy, BUY), episodes=30)
    same = report.baselines["buy"].difference
    assert (same.mean, same.standard_error, report.baselines["buy"].is_beaten) == (0.0, 0.0, False)
    assert not report.has_learnt
    assert "not significantly better than" in report.verdict()
    assert "'buy'" in report.verdict()
    assert report.baselines["sell"].is_beaten


@pytest.mark.parametrize(
    ("mean", "episodes", "is_beaten"),
    # Student's t of 95 % is 12.7 for two episodes, 2.26 for ten, and below 2 for more than 61.
    [(12.6, 2, False), (12.8, 2, True), (2.2, 10, False), (2.3, 10, True), (1.99, 1000, False), (2.01, 1000, True)],
)
def test_few_episodes_must_differ_by_more(mean, episodes, is_beaten):
    assert Compared(Evaluation(0.0, 1.0, episodes), Evaluation(mean, 1.0, episodes)).is_beaten == is_beaten


def test_what_there_is_to_learn_is_learnt_and_said():
    few = {f"{name}_buckets": 1 for name in ("price", "volume", "trend", "scarcity", "mood")}
    learning = {"rate_schedule": "visits", "exploration_schedule": "linear"}
    setup = config(environment=REGIME, rewards=PLAIN_REWARD, quantizer=few, learning=learning, episodes=16_000)
    _, policy, _ = train(setup, 3)
    report = evaluate(policy, episodes=1000, seed=99)
    beaten = {name: compared.is_beaten for name, compared in report.baselines.items()}
    assert {name for name, won in beaten.items() if won} >= {"random", "hold", "buy", "sell"}
    for regime, wanted in {0: 2, 1: 0, 3: 0}.items():
        for position in range(3):
            target = {"hold": position, "buy": 2, "sell": 0}[policy.best_action((0, 0, 0, 0, regime, 0, position))]
            assert (regime, position, target) == (regime, position, wanted)


def test_a_seed_gives_its_episodes_and_another_others():
    _, policy, _ = train(config("crypto"), 2)
    one, same, other = (evaluate(policy, episodes=20, seed=seed) for seed in (None, 2, 3))
    assert one == same
    assert one.evaluation != other.evaluation
    assert (one.seed, other.seed) == (2, 3)
    json.dumps(one.to_dict(), allow_nan=False)


def test_held_out_bars_are_not_in_sample():
    bars = random_walk(700)
    trainer, policy, _ = train(config("history"), 0)
    report = evaluate(policy, history=trainer.history)
    assert (report.in_sample, report.has_learnt, report.to_dict()["has_learnt"]) == (True, None, None)
    assert report.verdict().startswith("evaluated in sample, on bars of its training: nothing is shown")
    report = evaluate(policy, history=bars.slice(450, 700))
    assert (report.in_sample, report.seed) == (False, None)
    assert isinstance(report.has_learnt, bool)
    assert "in sample" not in report.verdict()
    assert report.evaluation.episodes == 249 // 30


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("synthetic", {"episodes": 0}, "episodes is 0; expected 1 or more"),
        ("crypto", {"history": random_walk(100)}, "a history was given, but the policy is of the crypto environment"),
        ("history", {"seed": 1, "history": random_walk(100)}, "a history's windows are not drawn"),
        ("history", {"history": random_walk(30)}, "the history has 30 bars; .* at least episode_length . 1 = 31"),
    ],
)
def test_what_is_refused(kind, options, message):
    _, policy, _ = train(config(kind), 0)
    with pytest.raises(InputError, match=message):
        evaluate(policy, **options)


def test_one_window_has_no_standard_error():
    _, policy, _ = train(config("history"), 0)
    report = evaluate(policy, history=random_walk(31))
    assert (report.evaluation.episodes, report.evaluation.standard_error) == (1, None)
    assert report.to_dict()["interval"] is None
    assert not report.has_learnt


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227), (10**6, 1.959966)],
)
def test_students_quantiles(degrees, quantile):
    assert student_quantile(0.975, degrees) == pytest.approx(quantile, rel=2e-3)


def test_an_interval_is_around_its_mean():
    rewards = np.array([1.0, 2.0, 4.0])
    low, high = confidence_interval(Evaluation.of(rewards))
    assert (low + high) / 2 == pytest.approx(rewards.mean())
    assert (high - low) / 2 == pytest.approx(4.30265 * rewards.std(ddof=1) / 3**0.5, rel=1e-5)


@pytest.mark.parametrize(("length", "episodes"), [(1, 1000), (64, 1000), (1000, 130), (10**7, 2)])
def test_training_evaluates_for_a_moment_only(length, episodes):
    assert quick_episodes(config(episode_length=length)) == episodes


# --- the command


@pytest.fixture
def artifact(tmp_path):
    trainer, policy, trace = train(config("crypto"), 5)
    save_training(tmp_path / "agent", trainer, policy, trace)
    return tmp_path / "agent", policy


def test_the_command_prints_what_evaluate_says(artifact):
    path, policy = artifact
    report = evaluate(policy, episodes=40, seed=8).to_dict()
    options = ("evaluate", path, "--episodes", 40, "--seed", 8)
    assert json.loads(cli.succeed(*options, "--json").stdout) == {
        "schema_version": 1,
        "policy": str(path),
        **report,
    }
    shown = cli.succeed(*options).stdout
    cli.assert_mentions(shown, "40 fresh episodes of seed 8", f"{report['mean']:.6g}", *report["baselines"])
    best = report["baselines"][report["best_baseline"]]
    plain = beside(report["mean"], best["mean"], repr(report["best_baseline"]), plain_number)
    assert shown.splitlines()[-2:] == [plain, report["verdict"]]


def test_in_sample_no_baseline_is_called_worse(world, tmp_path):
    cli.succeed("train", "--data", world / "bars.csv", "--out", tmp_path / "agent", *cli.QUICK)
    shown = cli.succeed("evaluate", tmp_path / "agent").stdout.splitlines()
    assert shown[-2] == ""
    assert shown[-1].startswith("evaluated in sample")


def test_training_ends_with_its_evaluation(artifact):
    path, policy = artifact
    run = json.loads((path / "run.json").read_text())
    assert run["evaluation"] == evaluate(policy).to_dict()


def test_bars_of_the_training_are_said_to_be(tmp_path):
    pl.DataFrame({"close": random_walk(200).close}).write_csv(tmp_path / "bars.csv")
    options = ("--episodes", 4, "--episode-length", 16, "--out", tmp_path / "agent")
    outcome = cli.succeed("train", "--data", tmp_path / "bars.csv", *options)
    cli.assert_mentions(outcome.stdout, "in-sample evaluation")
    assert "the evaluation is over training bars" in outcome.stderr
    outcome = cli.succeed("evaluate", tmp_path / "agent")
    cli.assert_mentions(outcome.stdout, "12 windows of the bars", "evaluated in sample")
    assert "trained on some of these bars" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--episodes", 0], "episodes is 0"),
        (["--data", "bars.csv"], "the crypto environment, which has no use for a history"),
    ],
)
def test_what_the_command_refuses(options, part, artifact, tmp_path):
    cli.assert_mentions(cli.refused(tmp_path, "evaluate", artifact[0], *options), part)


def test_evaluations_leave_the_policy_as_it_was():
    _, policy, _ = train(config(), 0)
    before = policy.q.copy()
    evaluate(policy, episodes=5)
    assert_array_equal(policy.q, before)

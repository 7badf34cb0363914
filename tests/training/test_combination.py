"""One policy of several seeds: by hand, refused where states differ, and used as any other."""

import json
from dataclasses import replace

import cli_helpers as cli
import numpy as np
import pytest
from market_data import random_walk
from numpy.testing import assert_allclose, assert_array_equal

import idi_fast as idi
from idi_fast.errors import InputError
from idi_fast.training.combination import combine

CONFIG = {
    "episodes": 20,
    "episode_length": 16,
    "quantizer": {
        "price_buckets": 2,
        "trend_buckets": 2,
        "volume_buckets": 1,
        "scarcity_buckets": 1,
        "mood_buckets": 2,
    },
}


@pytest.fixture(scope="module")
def population():
    return idi.train_population(CONFIG, [3, 1, 2], keep="all", history=random_walk(300))


def test_the_mean_is_that_of_all_values(population):
    combined = population.combined("mean")
    lanes = [population.lanes[seed].policy for seed in (3, 1, 2)]
    assert_allclose(combined.q, sum(lane.q for lane in lanes) / 3, rtol=1e-15)  # summed in another order
    assert_array_equal(combined.visits, sum(lane.visits for lane in lanes))
    assert combined.seed == 3
    assert combined.trained_on == lanes[0].trained_on


def test_a_vote_is_the_share_of_those_that_came_to_a_state(population):
    combined = population.combined("vote")
    lanes = [population.lanes[seed].policy for seed in (3, 1, 2)]
    for row in range(combined.q.shape[0]):
        voters = [lane for lane in lanes if lane.visits[row] > 0]
        for action in range(3):
            ayes = sum(int(np.argmax(lane.q[row])) == action for lane in voters)
            assert combined.q[row, action] == (ayes / len(voters) if voters else 0.0)
    assert set(np.unique(combined.q)) > {0.0, 1.0}


def test_the_best_is_the_best_lane(population):
    assert population.combined("best") is population.best.policy


def test_policies_of_other_states_are_not_combined(population):
    with pytest.raises(InputError, match="seeds 0 and 1 have other bucket edges"):
        idi.train_population({**CONFIG, "environment": {"kind": "crypto"}}, [0, 1], keep="all").combined()
    with pytest.raises(InputError, match="only the best lane was kept"):
        replace(population, keep="best").combined()
    with pytest.raises(InputError, match="median"):
        population.combined("median")
    tiled = {**CONFIG, "tile_coder": {}}
    with pytest.raises(InputError, match="no states to vote on"):
        idi.train_population(tiled, [0, 1], keep="all", history=random_walk(300)).combined("vote")


def test_planned_tables_keep_their_certainty():
    config = {**CONFIG, "learning": {"algorithm": "value_iteration"}, "environment": {"kind": "history"}}
    del config["episodes"]
    planned = idi.train(config, random_walk(300)).policy
    agreements = np.random.default_rng(0).random((2, planned.visits.size))
    # As with resamples, which other seeds draw.
    made = [replace(planned, certainty=planned.certainty._replace(agreement=each)) for each in agreements]
    combined = combine(made, "mean")
    assert_array_equal(combined.certainty.agreement, agreements.mean(axis=0))
    assert_array_equal(combined.certainty.errors, planned.certainty.errors)
    assert_array_equal(combined.q, planned.q)


def test_it_is_written_evaluated_and_tested(tmp_path):
    bars, later = tmp_path / "bars.csv", tmp_path / "later.csv"
    cli.bars(300).write_csv(bars)
    cli.bars(200, 300).write_csv(later)
    out = tmp_path / "seeds"
    args = ("train", "--seeds", "0:3", "--data", bars, *cli.QUICK, *cli.FEW_STATES, "--out", out)
    told = cli.succeed(*args, "--combine", "vote").stdout
    assert "combined" in told
    assert sorted(path.name for path in (out / "combined").iterdir()) == ["manifest.json", "policy.parquet", "run.json"]
    assert not (out / "seeds").exists()  # only the best one is written, as without --combine
    run = json.loads((out / "combined/run.json").read_text())
    assert (run["how"], run["seeds"]) == ("vote", [0, 1, 2])
    same = idi.train_population(idi.TrainingConfig.from_dict(run["config"]), range(3), keep="all")
    assert_array_equal(idi.Policy.load(out / "combined").q, same.combined("vote").q)
    assert run["evaluation"]["mean"] == same.compare(same.combined("vote")).evaluation.mean
    cli.succeed("backtest", later, "--policy", out, "--out", tmp_path / "of_folder")
    cli.succeed("backtest", later, "--policy", out / "combined", "--out", tmp_path / "of_policy")
    for name in ("kpis.json", "run.json"):
        assert (tmp_path / "of_folder" / name).read_bytes() == (tmp_path / "of_policy" / name).read_bytes()
    cli.succeed(*args, "--combine", "mean", "--force")
    said = cli.refused(
        tmp_path, "train", "--seeds", "0:2", "--env", "crypto", "--combine", "mean", "--out", tmp_path / "c"
    )
    cli.assert_mentions(said, "bucket edges")
    assert "--combine" in cli.refused(tmp_path, "train", "--combine", "mean", "--out", tmp_path / "c")
    assert "median" in cli.refused(tmp_path, *args[:-1], tmp_path / "c", "--combine", "median")

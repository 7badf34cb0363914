"""Arguments of the wrong type are refused by name, with errors of ours."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from market_data import random_walk

import idi_fast as idi
from idi_fast.config.arguments import check_config, check_grid, check_integer, described

BARS = random_walk(300, seed=1)
CONFIG = {"episodes": 2, "episode_length": 16}
GRID = {"discount": [0.5, 0.9]}


@pytest.fixture(scope="module")
def run():
    return idi.train(CONFIG, BARS)


def refused(call, *said):
    with pytest.raises(idi.InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for text in said:
        assert text in str(caught.value)


# fmt: off
@pytest.mark.parametrize(("call", "said"), [
    (lambda: idi.train(CONFIG, seed="a"), ["seed is 'a'; expected an integer"]),
    (lambda: idi.train(CONFIG, seed=True), ["seed is True; expected an integer"]),
    (lambda: idi.train(CONFIG, seed=1.5), ["seed is 1.5; expected an integer"]),
    (lambda: idi.train(3), ["config is 3; expected a TrainingConfig or a dict of its keys"]),
    (lambda: idi.train("agent.json"), ["config is 'agent.json'", "TrainingConfig.from_json('agent.json')"]),
    (lambda: idi.train({"epsodes": 3}), ["epsodes is not a known key. Did you mean 'episodes'?"]),
    (lambda: idi.train({"episodes": "many"}), ["episodes is 'many'; expected an integer >= 0"]),
    (lambda: idi.train(CONFIG, "btc.parquet"), ["history is 'btc.parquet'", "load_history('btc.parquet')"]),
    (lambda: idi.train(CONFIG, Path("btc.csv")), ["load_history('btc.csv')"]),
    (lambda: idi.train(CONFIG, pl.Series([1.0])), ["of the type Series", "History.from_frame"]),
    (lambda: idi.train(CONFIG, progress=3), ["progress is 3; expected a function or None"]),
    (lambda: idi.train(CONFIG, initial="agent"), ["policy is 'agent'", "Policy.load('agent')"]),
    (lambda: idi.create_trainer(idi.TrainingConfig(), "a"), ["seed is 'a'"]),
    (lambda: idi.create_trainer(CONFIG), ["takes a TrainingConfig", "config is {'episodes': 2", "from_dict"]),
    (lambda: idi.create_trainer(idi.TrainingConfig(), 0, [1.0, 2.0]), ["history is [1.0, 2.0]"]),
    (lambda: idi.walk_forward(CONFIG, BARS, seeds=2), ["seeds is 2; expected a list", "such as [2] or range(2)"]),
    (lambda: idi.walk_forward(CONFIG, BARS, seeds="0:5"), ["seeds is '0:5'; expected a list of integers"]),
    (lambda: idi.walk_forward(CONFIG, BARS, seeds=["a"]), ["the seed 'a' is not an integer"]),
    (lambda: idi.walk_forward(CONFIG, None), ["history is None; expected a History"]),
    (lambda: idi.walk_forward(CONFIG, BARS, train_bars="a"), ["train_bars is 'a'; expected an integer"]),
    (lambda: idi.walk_forward(CONFIG, BARS, test_bars=2.5), ["test_bars is 2.5; expected an integer"]),
    (lambda: idi.walk_forward(CONFIG, BARS, anchored=1), ["anchored is 1; expected True or False"]),
    (lambda: idi.walk_forward(CONFIG, BARS, jobs="a"), ["jobs is 'a'; expected an integer, 1 or more"]),
    (lambda: idi.sweep(CONFIG, 1.5, BARS), ["grid is 1.5; expected a dict of values by key"]),
    (lambda: idi.sweep(CONFIG, [("discount", 0.5)], BARS), ["grid is [('discount', 0.5)]; expected a dict"]),
    (lambda: idi.sweep(CONFIG, {"discount": 0.5}, BARS), ["the grid's discount is 0.5; expected a list"]),
    (lambda: idi.sweep(CONFIG, {"features.price": "x"}, BARS), ["the grid's features.price is 'x'"]),
    (lambda: idi.sweep(CONFIG, {3: [1]}, BARS), ["a key of the grid is 3; expected text"]),
    (lambda: idi.sweep(CONFIG, {"discunt": [0.5]}, BARS), ["discunt is not a known key. Did you mean 'discount'?"]),
    (lambda: idi.sweep(CONFIG, GRID, BARS, validation_bars="a"), ["validation_bars is 'a'; expected an integer"]),
    (lambda: idi.sweep(CONFIG, GRID, BARS, year_days="a"), ["year_days is 'a'; expected a number"]),
    (lambda: idi.train_population(CONFIG, 2), ["seeds is 2"]),
    (lambda: idi.train_population(CONFIG, None), ["seeds is None"]),
    (lambda: idi.train_population(CONFIG, range(2), keep=3), ["keep is 3; expected 'best' or 'all'"]),
    (lambda: idi.train_population({"environment": {"kind": "crypto"}}, [0], history=BARS), ["kind is 'crypto'"]),
    (lambda: idi.simulate_history(CONFIG, "a", "x.csv"), ["bars is 'a'; expected an integer"]),
    (lambda: idi.simulate_history(CONFIG, 10, 3), ["out is 3; expected a path"]),
    (lambda: idi.simulate_history(CONFIG, 10, "x.csv", interval=5), ["interval is 5"]),
    (lambda: idi.select_best_policy(3), ["policies is 3; expected a list of Policy"]),
    (lambda: idi.select_best_policy([3]), ["policy is 3; expected a Policy"]),
    (lambda: idi.load_history(3), ["path is 3; expected a CSV or Parquet file"]),
    (lambda: idi.load_history(pl.DataFrame({"close": [1.0]})), ["History.from_frame"]),
    (lambda: idi.load_history("x.csv", price=3), ["price is 3; expected the name of a column"]),
    (lambda: idi.load_history("x.csv", extra="volume"), ["extra is 'volume'; expected a list of texts"]),
    (lambda: idi.load_history("x.csv", nan=3), ["nan: found 3"]),
    (lambda: idi.Policy.load(3), ["path is 3; expected a path"]),
    (lambda: idi.report(3), ["the result is 3, of which there is no report"]),
    (lambda: idi.write_report(3), ["run is 3; expected a path"]),
    (lambda: idi.TrainingConfig.from_json(3), ["the config's path is of the type int"]),
    (lambda: idi.TrainingConfig().to_json(3), ["the output is of the type int; expected a path"]),
    (lambda: BARS.column(3), ["name is 3; expected text"]),
    (lambda: BARS.slice("a", 3), ["start is 'a'; expected an integer"]),
])
def test_wrong_types_are_refused_by_name(call, said):
    refused(call, *said)


@pytest.mark.parametrize(("call", "said"), [
    (lambda run: idi.backtest(run.policy, BARS, start=20), ["start is 20; expected a date or date-time"]),
    (lambda run: idi.backtest(run.policy, BARS, fee_bps="5"), ["fee_bps is '5'; expected a number"]),
    (lambda run: idi.backtest(run.policy, BARS, fill=3), ["fill is 3; expected one of next_open"]),
    (lambda run: idi.backtest(run.policy, BARS, long_only="yes"), ["long_only is 'yes'; expected True or False"]),
    (lambda run: idi.backtest(run.policy, BARS, initial_position="long"), ["initial_position is 'long'"]),
    (lambda run: idi.backtest(run, BARS), ["of the type TrainingRun; expected a Policy; give its .policy"]),
    (lambda run: idi.backtest(run.policy, None), ["history is None"]),
    (lambda run: idi.evaluate(run.policy, episodes="a", history=BARS), ["episodes is 'a'"]),
    (lambda run: idi.evaluate(run.policy, history="x.csv"), ["load_history('x.csv')"]),
    (lambda run: run.save(3), ["the output is of the type int; expected a path"]),
    (lambda run: run.policy.save(3), ["expected a path"]),
    (lambda run: run.policy.save("/nonexistent/policy.parquet"), ["cannot write /nonexistent/policy.parquet"]),
    (lambda run: run.trace.export(3), ["expected a path"]),
    (lambda run: run.trace.export("x", contract=3), ["contract is 3; expected text"]),
    (lambda run: run.policy.best_action("buy"), ["state is 'buy'; expected its digits: price, volume"]),
    (lambda run: run.policy.best_action(3), ["state is 3"]),
    (lambda run: run.policy.best_action((0, 0, 0, 0, "a", 0)), ["mood of the state is 'a'; expected an integer"]),
    (lambda run: run.policy.q_value((0,) * 6, 3), ["no action 3"]),
])
def test_so_they_are_of_results(run, call, said):
    refused(lambda: call(run), *said)
# fmt: on


def test_numbers_of_numpy_are_numbers(run):
    assert check_integer("seed", np.int64(3)) == 3
    assert type(check_integer("seed", np.int64(3))) is int
    assert idi.train(CONFIG, seed=np.uint8(3)).trainer.seed == 3
    assert check_grid({"discount": np.array([0.5, 0.9])}) == {"discount": [0.5, 0.9]}
    test = idi.backtest(run.policy, BARS, fee_bps=np.float32(5.0), initial_position=np.int8(1))
    assert test.assumptions["initial_position"] == 1


def test_a_dict_is_a_config():
    assert check_config(CONFIG) == idi.TrainingConfig(**CONFIG)
    assert check_config(None) == idi.TrainingConfig()


def test_long_values_are_cut_and_frames_called_by_their_type():
    assert len(described("x" * 1000)) < 100
    assert described(pl.DataFrame({"a": [1, 2]})) == "of the type DataFrame"
    assert re.fullmatch(r"of the type \w+", described(np.zeros(3)))

"""What the lab's pages show is what the library says."""

import json

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest

pytest.importorskip("dash", reason="the extra `lab` is not installed")

from lab_pages import digit, opened, shown, texts

import idi_fast as idi
from idi_fast.lab.market_page import ALL, market_config
from idi_fast.lab.policy_map import PolicyMap, agreement, have_same_edges, read_last_seen
from idi_fast.lab.runs_page import side_by_side
from idi_fast.lab.train_page import training_config
from idi_fast.storage.tables import Table

MARKET = {f"{knob.name}.value": knob.value for knob in ALL} | {"stress.value": "normal", "paths.value": "1"}
LEARNING = {"algorithm": "value_iteration", "shrinkage": 50}
PLAN = {"episode_length": 16, "environment": {"kind": "crypto"}, "learning": {**LEARNING, "bars": 2_000}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab")
    idi.simulate_history(None, 600, home / "bars.parquet", seed=9)
    idi.train(PLAN, seed=1).save(home / "plan")
    idi.train(PLAN, seed=2).save(home / "again")
    idi.train({"episodes": 30, "environment": {"kind": "synthetic"}}).save(home / "learnt")
    history = idi.load_history(home / "bars.parquet")
    idi.train({"episode_length": 16, "learning": LEARNING}, history).save(home / "of_bars")
    return home


@pytest.fixture(scope="module")
def pages(folder):
    with opened(folder) as found:
        yield found


# --- Market


def test_the_price_is_that_of_simulate_history(pages, tmp_path):
    values = MARKET | {"bars.value": 700, "seed.value": 3, "vol_base.value": 0.02, "stress.value": "panic"}
    drawn = pages.call("price-figure.data", values)["price-figure.data"]["prices"]
    config = {"environment": {"kind": "crypto", "market": {"vol_base": 0.02, "stress_scenario": "panic"}}}
    idi.simulate_history(config, 700, tmp_path / "bars.parquet", seed=3)
    close = pl.read_parquet(tmp_path / "bars.parquet")["close"].to_numpy()
    (line,) = (trace for trace in drawn["data"] if trace["mode"] == "lines")
    np.testing.assert_allclose(line["y"], close[line["x"]], rtol=1e-5)  # six digits are sent
    assert line["x"][-1] == 699


def test_moments_and_figures_are_those_of_return_moments_beside_a_history(pages, tmp_path):
    values = MARKET | {"bars.value": 400, "history.value": "bars.parquet"}
    found = pages.call("moments.children", values)
    idi.simulate_history(None, 400, tmp_path / "bars.parquet")
    own = idi.return_moments(idi.load_history(tmp_path / "bars.parquet"))
    real = idi.return_moments(pl.read_parquet(pages.lab.workspace.root / "bars.parquet").tail(400).select("close"))
    told = shown(found["moments.children"])
    assert "bars.parquet, last 400 bars" in told
    for value in (f"{own.kurtosis:#.3g}", f"{own.kurtosis - real.kurtosis:#.3g}"):
        assert value.replace("-", "−") in told
    lines = found["market-figures.data"]["autocorrelation"]["data"]
    np.testing.assert_allclose(lines[1]["y"], own.autocorrelation, rtol=1e-5)
    np.testing.assert_allclose(lines[3]["y"], real.autocorrelation, rtol=1e-5)
    assert list(found["market-figures.data"]) == ["returns", "tails", "volatility", "autocorrelation"]


def test_the_config_that_is_told_makes_this_market(pages, tmp_path):
    values = MARKET | {"drift_bull.value": 0.005, "fee_bps.value": 2, "shock_prob.value": None}
    found = pages.call("market-json.children", values)
    tree = json.loads(found["market-json.children"])
    assert tree == {"environment": {"kind": "crypto", "market": {"drift_bull": 0.005, "fee_bps": 2}}}
    (tmp_path / "config.json").write_text(found["market-json.children"])
    cli.succeed("train", "--config", tmp_path / "config.json", "--print-config")
    assert found["market-settings.data"] == tree["environment"]["market"]


def test_twenty_paths_are_drawn_and_one_that_overflows_is_told(pages):
    found = pages.call("price-figure.data", MARKET | {"paths.value": "20", "bars.value": 100})
    assert len(found["price-figure.data"]["prices"]["data"]) == 20
    wild = MARKET | {f"drift_{name}.value": 5.0 for name in ("bull", "bear", "chop")} | {"bars.value": 5_000}
    told = pages.call("market-problem.children", wild)
    assert told["price-figure.data"] == {}
    assert "overflowed" in shown(told["market-problem.children"])
    assert pages.call("moments.children", wild)["moments.children"] is None


# --- Policy


@pytest.fixture(scope="module")
def plan(folder):
    return PolicyMap(idi.Policy.load(folder / "plan"), read_last_seen(Table.open(folder / "plan" / "trace.parquet")))


def test_every_state_is_that_of_the_policy(plan):
    policy, space = plan.policy, plan.space
    for state in range(0, space.n_states, 37):
        digits = {name: int(space.digit(np.array([state]), name)[0]) for name in space.names}
        found = plan.state(digits)
        assert found.state == state
        assert found.values.tolist() == [
            policy.q_value(list(digits.values()), name) for name in ("hold", "buy", "sell")
        ]
        assert found.action == policy.best_action(list(digits.values()))
        assert found.visits == policy.visits[state]
        assert found.errors.tolist() == policy.certainty.errors[state].tolist()
        assert found.says == policy.comm_actions[int(np.argmax(policy.comm_q[state]))]


def test_a_state_was_last_seen_where_the_trace_has_it_last(folder, plan):
    trace = pl.read_parquet(folder / "plan" / "trace.parquet")
    for state in trace["state"].unique().to_list():
        digits = {name: int(plan.space.digit(np.array([state]), name)[0]) for name in plan.space.names}
        last = trace.with_row_index().filter(pl.col("state") == state)["index"].max()
        assert plan.state(digits).last_seen == f"tick {last}"
    of_bars = pl.read_parquet(folder / "of_bars" / "trace.parquet")
    seen = read_last_seen(Table.open(folder / "of_bars" / "trace.parquet"))
    assert seen[of_bars["state"][-1]] == str(of_bars["time"][-1])


def test_buckets_are_told_by_their_edges(plan):
    edges = plan.policy.encoder.edges[0]
    labels = plan.labels("price")
    assert labels[0] == f"below {edges[0]:.3g}".replace("-", "−")
    assert labels[-1] == f"from {edges[-1]:.3g}".replace("-", "−")
    assert len(labels) == plan.space.size("price")
    assert plan.labels("position") == ["short", "flat", "long"]
    assert plan.described("price") == "Price: zscore of close, 16 bars"


def test_a_map_shows_the_greedy_action_of_visited_states(plan):
    digits = plan.most_visited()
    states = plan.states("price", "trend", digits)
    cells = plan.figure("map-one", "", "price", "trend", digits).data[0]
    for y, row in enumerate(cells["z"]):
        for x, cell in enumerate(row):
            state = states[y, x]
            assert plan.space.digit(np.array([state]), "price")[0] == x
            assert plan.space.digit(np.array([state]), "trend")[0] == y
            visited = plan.policy.visits[state] > 0
            assert cell == (float(np.argmax(plan.policy.q[state])) if visited else None)


def test_the_page_shows_a_state_and_a_click_chooses_another(pages, plan):
    found = pages.call("digits.children", {"policy-one.value": "plan"})
    assert found["policy-problem.children"] is None
    start, names = plan.most_visited(), plan.space.names
    view = plan.state(start)
    from idi_fast.lab.policy_page import Policies, draw_policies

    figures, tables = draw_policies(Policies(pages.lab.workspace), "plan", "again", "price", "trend", start)
    assert list(figures) == ["map-one", "map-other"]
    told = " ".join(str(table) for table in tables)
    assert f"visited {view.visits:,} times, says {view.says}" in told
    low = view.values[1] - view.values[0] - 1.96 * view.errors[0]
    assert f"{low:#.3g} to ".replace("-", "−") in told
    assert "that both visited they do the same in" in told
    assert digit(names[0]) == '{"digit":"price"}'


def test_policies_agree_with_themselves_and_not_with_other_states(folder, plan):
    states, same = agreement(plan, plan)
    assert (states, same) == (np.count_nonzero(plan.policy.visits), 1.0)
    other = PolicyMap(idi.Policy.load(folder / "again"), {})
    both = (plan.policy.visits > 0) & (other.policy.visits > 0)
    equal = np.argmax(plan.policy.q, axis=1) == np.argmax(other.policy.q, axis=1)
    assert agreement(plan, other) == (both.sum(), pytest.approx(equal[both].mean()))
    assert agreement(plan, PolicyMap(idi.Policy.load(folder / "learnt"), {})) is None


def test_states_of_other_bucket_edges_are_said_to_be_other_ones(pages, folder, plan):
    from idi_fast.lab.policy_page import OTHER_EDGES, Policies, draw_policies

    assert have_same_edges(plan, plan)
    assert not have_same_edges(plan, PolicyMap(idi.Policy.load(folder / "of_bars"), {}))
    policies, start = Policies(pages.lab.workspace), plan.most_visited()
    for other, is_told in (("of_bars", True), ("plan", False)):
        _, tables = draw_policies(policies, "plan", other, "price", "trend", start)
        assert (OTHER_EDGES in " ".join(map(str, tables))) == is_told


def test_a_policy_with_tiles_is_shown_too():
    coder = {"num_tilings": 2, "tile_sizes": [2] * 5, "offsets": [0, 1, 0, 1, 0]}
    policy = idi.train({"episodes": 20, "tile_coder": coder}).policy
    tiled = PolicyMap(policy, {})
    view = tiled.state(tiled.most_visited())
    assert view.visits > 0
    assert (view.errors, view.counts) == (None, None)
    assert tiled.figure("map-one", "", "price", "trend", tiled.most_visited()).data


# --- Runs


def test_runs_are_those_of_list_runs_and_sorted_by_a_click(pages, folder):
    by_name = pages.call("runs-table.children", {"runs-sort.data": {"key": "name", "is_reversed": False}})
    assert by_name["folder.data"]["runs"] == [
        {"name": run.name, "kind": run.kind} for run in idi.list_runs(folder).runs
    ]
    assert by_name["files.data"] == ["bars.parquet"]
    by_reward = pages.call("runs-table.children", {"runs-sort.data": {"key": "reward", "is_reversed": False}})
    order = [run.name for run in idi.list_runs(folder, sort="reward").runs]
    told = texts(by_reward["runs-table.children"])
    assert [text for text in told if text in order] == order
    assert "Mean episode reward ▼" in told


def test_side_by_side_are_figures_and_the_settings_that_differ(folder):
    runs = {run.name: run for run in idi.list_runs(folder).runs}
    figures, settings = side_by_side(runs["plan"], runs["learnt"])
    assert figures.heads == ("", "plan", "learnt")
    assert ("learning.algorithm", "value_iteration", "q_learning") in settings.rows
    _, same = side_by_side(runs["plan"], runs["again"])
    assert same.rows == [("None", "", "")]


def test_courses_of_two_runs_are_drawn_over_each_other(pages, folder):
    idi.train({"episodes": 30, "learning_rate": 0.5, "environment": {"kind": "synthetic"}}).save(folder / "other")
    chosen = {"compare-one.value": "learnt", "compare-other.value": "other"}
    drawn = pages.call("comparison.children", chosen)["runs-figures.data"]["courses"]
    for line, name in zip(drawn["data"], ("learnt", "other"), strict=True):
        reward = pl.read_parquet(folder / name / "episodes.parquet")["reward"].to_numpy()
        np.testing.assert_allclose(line["y"], reward, rtol=1e-5)  # bins of one episode, six digits
    policy = idi.Policy.load(folder / "of_bars")
    for fee in (0, 20):
        idi.backtest(policy, idi.load_history(folder / "bars.parquet"), fee_bps=fee).save(folder / f"test-{fee}")
    chosen = {"compare-one.value": "test-0", "compare-other.value": "test-20"}
    drawn = pages.call("comparison.children", chosen)["runs-figures.data"]["courses"]
    for line, fee in zip(drawn["data"], (0, 20), strict=True):
        equity = pl.read_parquet(folder / f"test-{fee}" / "equity.parquet")["equity"]
        assert line["y"][-1] == pytest.approx(equity[-1], rel=1e-5)
    mixed = pages.call("comparison.children", {"compare-one.value": "learnt", "compare-other.value": "test-0"})
    assert mixed["runs-figures.data"] == {}


# --- Train


@pytest.mark.parametrize("source", ["simulated", "bars.parquet"])
@pytest.mark.parametrize("algorithm", ["value_iteration", "q_learning"])
def test_the_config_of_a_training(source, algorithm):
    config = training_config(source, {"fee_bps": 2.0, "vol_base": 0.02}, algorithm, 50, 5, 4)
    environment = config.environment
    assert (config.learning.algorithm, config.quantizer.price_buckets, config.quantizer.trend_buckets) == (
        algorithm,
        5,
        4,
    )
    assert environment.market.fee_bps == 2.0
    assert config.drawn_episodes == (50 if algorithm == "q_learning" else 0)
    if source == "simulated":
        assert environment == market_config({"fee_bps": 2.0, "vol_base": 0.02}).environment
    else:
        assert (environment.kind, environment.data.path, environment.data.split) == ("history", source, "70%")

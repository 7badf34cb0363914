"""The table of the runs in a folder, from the command line and from Python."""

import json
import shutil

import cli_helpers as cli
import pytest
from market_data import random_walk
from report_runs import make_runs

import idi_fast as idi
from idi_fast.reporting.run_table import FIGURES, run_folders


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = make_runs(tmp_path_factory.mktemp("runs"))
    cli.succeed(
        "sweep",
        "--env",
        "crypto",
        "--grid",
        "quantizer.price_buckets=2,3",
        "--out",
        folder / "in" / "sweep",
        *cli.QUICK,
    )
    return folder


def test_every_kind_of_run_is_listed_with_its_figures(runs):
    found = {run.name: run for run in idi.list_runs(runs).runs}
    kinds = {name: run.kind for name, run in found.items()}
    assert kinds == {
        "backtest": "backtest",
        "in/sweep": "sweep",
        "policies": "population-backtest",
        "population": "population",
        "sweep": "sweep",
        "symbols": "symbol-backtest",
        "training": "train",
        "walkforward": "walkforward",
    }
    has = {name: {key for key, value in run.figures.items() if value is not None} for name, run in found.items()}
    of_accounts = {"total_return", "buy_and_hold", "sharpe_annualised", "max_drawdown"}
    for name in ("training", "population", "in/sweep"):
        assert has[name] == {"reward", "above_baseline"}, name
    for name in ("backtest", "sweep", "symbols", "walkforward"):
        assert of_accounts - {"sharpe_annualised"} <= has[name] <= of_accounts, name
    kpis = json.loads((runs / "backtest" / "kpis.json").read_text())
    assert found["backtest"].figures["total_return"] == kpis["kpis"]["total_return"]
    evaluation = json.loads((runs / "training" / "run.json").read_text())["evaluation"]
    assert found["training"].figures["reward"] == evaluation["mean"]
    assert (found["walkforward"].seed, found["population"].seed, found["training"].seed) == ("0–1", "0–2", "3")


def test_what_differs_between_settings_is_told_of_the_run_that_has_it(tmp_path):
    for name, rate in (("a", 0.1), ("b", 0.1), ("c", 0.3)):
        idi.train({"episodes": 4, "learning_rate": rate}).save(tmp_path / name)
    found = idi.list_runs(tmp_path)
    assert found.differing == ("learning_rate",)
    assert [found.told(run) for run in found.runs] == ["–", "–", "learning_rate 0.3"]
    assert [run["settings"] for run in found.to_dict()["runs"]] == [{"learning_rate": 0.1}] * 2 + [
        {"learning_rate": 0.3}
    ]


def test_figures_of_bars_of_the_training_are_marked(tmp_path):
    bars = random_walk(300)
    run = idi.train({"episodes": 4, "environment": {"kind": "history"}}, bars)
    run.save(tmp_path / "run")
    for name, tested in (("own", bars), ("other", random_walk(300, seed=7))):
        idi.backtest(run.policy, tested).save(tmp_path / name)
    found = idi.list_runs(tmp_path)
    assert {each.name: each.shown_kind for each in found.runs} == {
        "other": "backtest",
        "own": "backtest, in sample",
        "run": "train, in sample",
    }
    assert [each["in_sample"] for each in found.to_dict()["runs"]] == [False, True, True]


def test_a_test_names_the_run_of_its_policy(runs):
    found = idi.list_runs(runs)
    (test,) = (run for run in found.runs if run.name == "backtest")
    assert "policy training" in found.told(test)


@pytest.mark.parametrize("key", [*FIGURES, "name", "kind", "episodes", "learning.algorithm"])
def test_sorted_by_any_column_with_the_missing_last(runs, key):
    found = idi.list_runs(runs)
    values = [run.value(key) for run in found.sorted(key).runs]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=key in FIGURES)
    turned = [
        run.value(key) for run in idi.list_runs(runs).sorted(key, is_reversed=True).runs if run.value(key) is not None
    ]
    assert turned == sorted(known, reverse=key not in FIGURES)


def test_the_command_prints_the_table_or_json(runs):
    text = cli.succeed("runs", runs, "--sort", "reward").stdout.splitlines()
    assert text[0].split()[:4] == ["run", "kind", "seed", "reward"]
    assert len(text) == 9
    assert not any(line.endswith(" ") for line in text)
    assert cli.one_object(cli.succeed("runs", runs, "--json").stdout) == idi.list_runs(runs).to_dict()
    assert repr(idi.list_runs(runs)).startswith(f"8 runs in {runs}")
    assert "<th>settings</th>" in idi.list_runs(runs)._repr_html_()


def test_long_settings_are_cut_in_a_terminal(tmp_path):
    values = {"episodes": 4, "discount": 0.5, "learning_rate": 0.5, "exploration_decay": 0.5, "episode_length": 9}
    quantizer = {f"{name}_buckets": 3 for name in ("price", "volume", "trend", "scarcity", "mood")}
    for name, config in (("a", {"episodes": 2}), ("b", {"episodes": 2}), ("c", {**values, "quantizer": quantizer})):
        idi.train(config).save(tmp_path / name)
    found = idi.list_runs(tmp_path)
    whole, cut = (table[1][-1][-1] for table in (found.table(), found.short_table()))
    assert len(whole) > 80 >= len(cut)
    assert (cut.removesuffix(" …") + " ") in whole
    assert cut in cli.succeed("runs", tmp_path).stdout
    assert cut in repr(found)
    assert whole in found._repr_html_()


def test_links_and_hidden_folders_are_not_followed(runs, tmp_path):
    shutil.copytree(runs / "training", tmp_path / "mine")
    shutil.copytree(runs / "training", tmp_path / ".hidden")
    cli.link(tmp_path / "linked", runs / "training")
    assert list(run_folders(tmp_path)) == ["mine"]
    assert list(run_folders(tmp_path / "mine")) == ["."]
    (tmp_path / "mine" / "run.json").unlink()
    cli.link(tmp_path / "mine" / "run.json", runs / "training" / "run.json")
    found = idi.list_runs(tmp_path)
    assert (found.runs, list(found.unreadable)) == ((), ["mine"])


def test_what_cannot_be_read_is_told_and_the_others_are_listed(runs, tmp_path):
    shutil.copytree(runs / "training", tmp_path / "good")
    for name, text in (("empty", ""), ("list", "[]"), ("other", '{"kind": "train"}'), ("stranger", '{"name": "app"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    shutil.copytree(runs / "backtest", tmp_path / "damaged")
    cli.damage(tmp_path / "damaged" / "kpis.json", "flip", 0.5)
    outcome = cli.run("runs", tmp_path)
    assert outcome.status == 0
    assert outcome.stdout.splitlines()[1].startswith("good")
    assert sorted(line.split(":")[1].strip() for line in outcome.stderr.splitlines()) == [
        "damaged",
        "empty",
        "list",
        "other",
    ]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere"], ["nowhere is not there; expected a folder with runs in it"]),
        (["file"], ["file is no folder"]),
        (["folder", "--sort", "rewards"], ["sort is 'rewards'; expected name, kind", "Did you mean 'reward'?"]),
    ],
)
def test_refusals(arguments, parts, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    cli.assert_mentions(cli.refused(tmp_path, "runs", *arguments), *parts)


def test_an_empty_folder_has_none(tmp_path):
    assert cli.succeed("runs", tmp_path).stdout == f"no runs in {tmp_path}\n"

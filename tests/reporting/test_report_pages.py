"""Pages of sweeps and of two runs compared, verdicts, bucket edges, and colours that mean the same everywhere."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_helpers import assert_mentions
from cli_helpers import run as command
from market_data import random_walk
from report_runs import GRID, make_runs, report_figures, report_page
from test_trainer import config, train

import idi_fast as idi
from idi_fast import reporting as reports
from idi_fast.backtesting import kpis
from idi_fast.errors import ArtifactError
from idi_fast.reporting import theme, write_report
from idi_fast.reporting.account import account_course
from idi_fast.reporting.comparison import OTHER_BARS
from idi_fast.reporting.course import sharpe_bounds
from idi_fast.reporting.decisions import decision_figures
from idi_fast.reporting.edges import buckets, edge_table, feature_edges
from idi_fast.reporting.formats import number, percent
from idi_fast.reporting.parts import KeyFigures, Note, Table
from idi_fast.reporting.run import ResultRun
from idi_fast.reporting.sweeps import sweep_figures
from idi_fast.storage.tables import FrameTable


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch):
    monkeypatch.setattr(reports, "plotly_js", lambda: "")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


def tables(page) -> dict[str, Table]:
    """The tables of a page, by title."""
    parts = [part for section in page.sections for part in section.parts]
    parts += [table for part in parts for table in getattr(part, "tables", [])]
    return {part.title: part for part in parts if isinstance(part, Table)}


# --- sweeps


def test_the_page_of_a_sweep_says_what_was_chosen_and_how_far_it_is_luck(runs):
    page, told = report_page(runs / "sweep"), json.loads((runs / "sweep/sweep.json").read_text())
    first = next(part for part in page.opening if isinstance(part, Note))
    for part in told["verdict"].split("; "):
        assert_mentions(first.text.lower(), part.lower())
    facts = dict(next(part for part in page.opening if isinstance(part, KeyFigures)).facts)
    assert facts["Return on test data"] == percent(told["test"]["book"]["total_return"])
    assert facts["Deflated Sharpe ratio"] == number(told["validation"]["deflated_sharpe_ratio"], 3)
    overfitting = told["validation"]["probability_of_overfitting"]
    assert facts.get("Probability of overfitting") == (None if overfitting is None else percent(overfitting, 0))
    best = tables(page)["Configs by score"].rows[0]
    assert best[0] == ", ".join(str(value) for value in told["chosen"]["values"].values())
    assert tables(page)["Test"].rows[0][0] == "Total return"


def test_the_heat_map_of_a_sweep_has_each_config_and_frames_the_chosen(runs):
    points = pl.read_parquet(runs / "sweep/points.parquet")
    figure = report_figures(runs / "sweep")["scores"]
    (cells,), (frame,) = figure.data, figure.layout["shapes"]
    # The key with more values goes to the right.
    across, along = GRID["discount"], GRID["learning_rate"]
    assert figure.layout["xaxis"]["ticktext"] == [*map(str, across)]
    for row in points.iter_rows(named=True):
        cell = cells["z"][along.index(row["learning_rate"])][across.index(row["discount"])]
        assert cell == pytest.approx(row["score"], rel=1e-5)
    chosen = json.loads((runs / "sweep/sweep.json").read_text())["chosen"]["values"]
    place = across.index(chosen["discount"]), along.index(chosen["learning_rate"])
    assert ((frame["x0"] + frame["x1"]) / 2, (frame["y0"] + frame["y1"]) / 2) == place


def test_of_three_keys_the_best_over_the_third_is_shown_and_of_one_the_scores():
    summary = _summary({"a": [1, 2], "b": ["x", "y", None], "c": [0, 1]})
    points = _points(summary["assumptions"]["grid"])
    figure = next(sweep_figures(summary, points))
    best = points.group_by("a", "b").agg(pl.col("score").max())
    assert sorted(np.ravel(figure.data[0]["z"]).tolist()) == sorted(best["score"].to_list())
    assert_mentions(figure.caption, "the best over all values of c")
    assert figure.layout["xaxis"]["ticktext"] == ["x", "y", "none"]
    single = _summary({"a": [1, 2, 3]})
    names = [figure.name for figure in sweep_figures(single, _points({"a": [1, 2, 3]}))]
    assert names == ["scores", "validation-test"]


def _points(grid: dict) -> pl.DataFrame:
    shape = [len(values) for values in grid.values()]
    rows = [
        {"point": k, **{key: values[i] for (key, values), i in zip(grid.items(), place, strict=True)}}
        for k, place in enumerate(np.ndindex(*shape))
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    scores = pl.Series("score", np.arange(float(len(rows))))
    return frame.with_columns(scores, (scores - 1.0).alias("min_seed"), (scores + 1.0).alias("max_seed"))


def _summary(grid: dict) -> dict:
    best = {"mean": 1.0, "difference": {"mean": 0.5, "standard_error": 0.1}}
    report = {"baselines": {"hold": best}, "best_baseline": "hold", "mean": 1.5}
    return {
        "assumptions": {"grid": grid, "points": 0, "seeds": [0]},
        "chosen": {"point": 0, "values": {}},
        "validation": {"score": 1.0},
        "test": {"by_seed": {"0": report}},
    }


# --- two runs


def test_two_runs_are_compared_in_one_report(runs, tmp_path):
    policy = idi.Policy.load(runs / "training")
    idi.backtest(policy, random_walk(400, seed=7), fee_bps=50).save(tmp_path / "dear")
    told = write_report(runs / "backtest", tmp_path / "both.html", against=tmp_path / "dear")
    assert told["against"] == str(tmp_path / "dear")
    assert told["figures"] == ["equity"]
    html = (tmp_path / "both.html").read_text()
    assert_mentions(html, "backtest and dear", "assumptions.fee_bps", "<td>5</td><td>50</td>")
    one, other = (json.loads((run / "kpis.json").read_text())["kpis"] for run in (runs / "backtest", tmp_path / "dear"))
    row = f"<td>{percent(one['total_return'])}</td><td>{percent(other['total_return'])}</td>"
    assert html.count(f"Total return</th>{row}") == 2  # at a glance, and among all


def test_of_two_runs_of_different_bars_it_is_said_and_no_sample_is_listed(runs, tmp_path):
    for seed in (7, 8):
        bars = random_walk(400, seed=seed)
        policy = idi.train({"episodes": 8, "environment": {"kind": "history"}}, bars, seed=0).policy
        idi.backtest(policy, bars).save(tmp_path / f"of-{seed}")
    write_report(tmp_path / "of-7", tmp_path / "both.html", against=tmp_path / "of-8")
    html = (tmp_path / "both.html").read_text()
    assert_mentions(html, OTHER_BARS, "policy.tables_sha256")
    assert ".sample." not in html


def test_two_trainings_are_compared(runs, tmp_path):
    shutil.copytree(runs / "training", tmp_path / "training")
    told = write_report(runs / "training", against=tmp_path / "training", out=tmp_path / "both.html")
    assert told["figures"] == ["learning-curve"]
    assert OTHER_BARS not in (tmp_path / "both.html").read_text()
    # Of one name, so that those of their parents are said too.
    assert_mentions((tmp_path / "both.html").read_text(), f"{tmp_path.name}/training", ">None<")


def test_runs_of_two_kinds_are_not_compared(runs, tmp_path):
    with pytest.raises(ArtifactError, match=r"is of the kind 'backtest' and .* of the kind 'train'; runs of one kind"):
        write_report(runs / "backtest", tmp_path / "both.html", against=runs / "training")
    assert not list(tmp_path.iterdir())


def test_the_command_compares_two_runs(runs, tmp_path):
    shutil.copytree(runs / "walkforward", tmp_path / "again")
    done = command("report", runs / "walkforward", tmp_path / "again", "--out", tmp_path / "both.html", "--json")
    told = json.loads(done.stdout)
    assert (told["kind"], told["figures"], told["against"]) == ("walkforward", ["equity"], str(tmp_path / "again"))
    data = next(text for text in re.findall(r"<script class=\"wide\"[^>]*>(.*?)</script>", told_html(tmp_path)))
    lines = json.loads(data)["data"]
    assert [line["name"] for line in lines] == ["walkforward"] * 2 + ["again"] * 2  # two seeds each
    assert [line["showlegend"] for line in lines] == [True, False] * 2


def told_html(folder: Path) -> str:
    return (folder / "both.html").read_text()


# --- verdicts


@pytest.mark.parametrize("size", [1, 7])
def test_the_interval_of_a_verdict_is_that_of_the_returns(size, monkeypatch):
    from idi_fast.reporting import course

    monkeypatch.setattr(course, "bucket_size", lambda bars: size)
    rng = np.random.default_rng(0)
    own, held = (np.exp(np.cumsum(rng.normal(mean, 0.01, 300))) for mean in (0.002, 0.0))
    peaks = own / np.maximum.accumulate(np.maximum(own, 1.0)) - 1.0
    frame = pl.DataFrame({"tick": np.arange(300), "equity": own, "drawdown": peaks, "buy_and_hold": held})
    made = account_course(ResultRun(Path("run"), {"equity.parquet": lambda: frame}))
    returns, of_holding = kpis.bar_returns(own), kpis.bar_returns(held)
    # Pooled from moments: not the same bits.
    assert sharpe_bounds(made.moments["equity"]) == pytest.approx(kpis.sharpe_interval(returns), rel=1e-9)
    assert sharpe_bounds(made.moments["excess"]) == pytest.approx(kpis.sharpe_interval(returns - of_holding), rel=1e-9)


def test_the_verdict_stands_on_top(runs):
    for kind, part in {
        "walkforward": "than buy and hold",
        "sweep": "on validation",
        "training": "the policy is",
    }.items():
        assert_mentions(report_page(runs / kind).opening[0].text.lower(), part)
    warning, verdict = report_page(runs / "symbols").opening[:2]  # some are bars of the training
    assert warning.is_warning
    assert_mentions(verdict.text, "than buy and hold", "chance")


# --- bucket edges


def test_bucket_edges_are_in_the_features_units():
    policy = train(config("history"))[1]
    found = feature_edges(policy)
    edges = dict(zip(policy.encoder.features, policy.encoder.edges, strict=True))
    assert found["price"].texts == [number(edge, 3) for edge in edges["price"].tolist()]
    assert found["trend"].texts == [percent(edge, 2) for edge in edges["trend"].tolist()]
    assert (found["price"].what, found["trend"].what) == ("zscore, deviations", "ema ratio")
    assert [row[0] for row in edge_table(policy).rows] == [name for name, of in edges.items() if of.size]
    assert buckets(["1", "2"]) == ["to 1", "1 to 2", "from 2"]


def test_a_policy_without_bars_has_no_edges():
    policy = train(config("synthetic"))[1]
    assert feature_edges(policy) == {}
    assert edge_table(policy) is None


def test_the_maps_are_labelled_by_the_edges_where_buckets_meet(runs):
    policy = idi.Policy.load(runs / "training")
    axis = report_figures(runs / "training")["greedy"].layout["yaxis"]
    assert axis["ticktext"] == feature_edges(policy)["trend"].texts
    assert axis["tickvals"] == [k + 0.5 for k in range(len(axis["ticktext"]))]


# --- colours


def test_a_cue_has_its_colour_whichever_others_there_are():
    def colours(names: list[str]) -> dict[str, str]:
        frame = pl.DataFrame({"action": ["buy"] * len(names), "comm_action": names, "q_regime": [0] * len(names)})
        said = [*decision_figures(ResultRun(Path("run"), {"trace.parquet": lambda: frame}))][1]
        return {trace["name"]: trace["marker"]["color"] for trace in said.data}

    every, some = colours(["silent", "positive", "alert", "persist", "wave"]), colours(["alert", "wave", "persist"])
    assert len({*every.values()}) == 5
    assert some.items() <= every.items()


def test_buying_and_selling_have_one_colour_everywhere(runs):
    figures = {**report_figures(runs / "training"), **report_figures(runs / "backtest")}
    marks = {trace["name"]: trace for trace in figures["price"].data}
    done = {trace["name"]: trace["marker"]["color"] for trace in figures["action-mix"].data}
    keys = {trace["name"]: trace["marker"]["color"] for trace in figures["greedy"].data if trace["type"] == "scatter"}
    assert keys == done == {name.title(): colour for name, colour in theme.SIDES.items()}
    assert marks["Long entry"]["marker"]["color"] == marks["Long"]["fillcolor"] == theme.SIDES["buy"]
    assert marks["Short entry"]["marker"]["color"] == marks["Short"]["fillcolor"] == theme.SIDES["sell"]


def test_the_seeds_of_a_walk_forward_are_told_apart(runs):
    seeds = [trace for trace in report_figures(runs / "walkforward")["equity"].data if trace["name"].startswith("Seed")]
    assert len({(line["line"]["color"], line["line"]["dash"]) for line in seeds}) == len(seeds) == 2
    styles = [tuple(theme.told_apart(k).values()) for k in range(theme.MOST_TOLD_APART)]
    assert len(set(styles)) == theme.MOST_TOLD_APART


def test_a_frame_is_read_as_a_table_is():
    frame = pl.DataFrame({"a": range(10), "b": [0.5] * 10})
    table = FrameTable.of(frame)
    assert (table.rows, list(table.columns)) == (10, ["a", "b"])
    assert [part.height for part in table.blocks(["a"], 4)] == [4, 4, 2]
    assert table.frame(["b"]).equals(frame.select("b"))


@pytest.mark.parametrize("name", ["backtest", "history", "population", "synthetic"])
def test_what_an_earlier_release_wrote_is_reported(name):
    page = report_page(Path(__file__).parents[1] / "golden/release_0_1_0" / name)
    assert len(page.figures) >= 7
    assert any("than" in part.text or "chosen" in part.text for part in page.opening if isinstance(part, Note))

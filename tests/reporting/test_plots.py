"""Figures of results in memory: they are those of the reports, and what cannot be drawn is said."""

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from cli_helpers import assert_mentions
from market_data import history, random_walk
from report_runs import EXPECTED, GRID
from test_trainer import config

import idi_fast as idi
from idi_fast import reporting as reports
from idi_fast.backtesting.symbols import backtest_symbols
from idi_fast.errors import InputError
from idi_fast.reporting.html_report import report
from idi_fast.reporting.plots import backtest_run, figures_of
from idi_fast.reporting.run import ReportedRun
from idi_fast.selection.walk_forward import walk_forward

BARS = random_walk(400)
ON_BARS = config("history", episodes=60)


@pytest.fixture(scope="module")
def results() -> dict:
    run = idi.train(ON_BARS, BARS, seed=3)
    population = idi.train_population(ON_BARS, range(3), history=BARS, keep="all")
    return {
        "run": run,
        "policy": run.policy,
        "trace": run.trace,
        "comparison": run.evaluation,
        "history": BARS,
        "backtest": idi.backtest(run.policy, random_walk(400, seed=7)),
        "symbols": backtest_symbols(run.policy, {f"S{k}": random_walk(200 + k, seed=k) for k in range(3)}),
        "population": population,
        "policies": idi.backtest(population, BARS),
        "walk": walk_forward(ON_BARS, BARS, train_bars=200, test_bars=60, seeds=(0, 1)),
        "sweep": idi.sweep(ON_BARS, GRID, BARS, seeds=(0, 1)),
    }


POLICY = ["greedy", "q-values", "visits"]
MIXES = ["action-mix", "comm-action-mix"]
FIGURES = {
    "run": ["learning-curve", "exploration", "evaluation-figure", *POLICY, *MIXES],
    "policy": POLICY,
    "trace": ["reward", *MIXES],
    "comparison": ["evaluation-figure"],
    "history": ["price"],
    "backtest": EXPECTED["backtest"],
    "symbols": EXPECTED["symbols"],
    "population": ["spread", "against-training"],
    "policies": ["returns"],
    "walk": EXPECTED["walkforward"],
    "sweep": EXPECTED["sweep"],
}


@pytest.mark.parametrize("name", FIGURES)
def test_which_figures_a_result_has(results, name):
    assert [figure.name for figure in figures_of(results[name])] == FIGURES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_a_plot_is_a_figure_of_plotly_in_plain_colours(results, name):
    plotly = pytest.importorskip("plotly.graph_objects", reason="the extra `report` is not installed")
    light, dark = results[name].plot(), results[name].plot(FIGURES[name][0], dark=True)
    assert isinstance(light, plotly.Figure)
    assert "var(--" not in light.to_json()
    assert (light.layout.paper_bgcolor, dark.layout.paper_bgcolor) == ("#ffffff", "#12161b")
    assert light.layout.width is None
    assert light.layout.title.text


@pytest.mark.parametrize("name", FIGURES)
def test_a_summary_has_a_row_for_each_thing_compared(results, name):
    frame = results[name].summary_frame()
    assert frame.columns[0] == "of"
    assert frame["of"].n_unique() == frame.height > 0
    assert len(frame.columns) > 2


def test_summaries_are_the_figures_of_the_result(results):
    test = results["backtest"]
    own, held = test.summary_frame().to_dicts()
    assert {name: own[name] for name in ("total_return", "max_drawdown")} == {
        name: test.kpis[name] for name in ("total_return", "max_drawdown")
    }
    assert (own["of"], held["of"], held["total_return"]) == (
        "policy",
        "buy and hold",
        test.buy_and_hold["total_return"],
    )
    walk = results["walk"]
    both = pl.concat([test.summary_frame(), walk.summary_frame()], how="diagonal_relaxed")
    assert both["of"].to_list() == ["policy", "buy and hold", "seed 0", "seed 1", "buy and hold"]
    spread = results["policies"].summary_frame()
    returns = results["policies"].table["total_return"]
    assert spread.filter(pl.col("of") == "median")["total_return"][0] == returns.median()
    best = results["sweep"].summary_frame()
    assert best["of"][0] == f"config {results['sweep'].chosen}"
    seeds = results["population"].summary_frame()
    assert seeds["of"].to_list()[:3] == ["seed 0", "seed 1", "seed 2"]
    assert set(seeds["of"].to_list()[3:]) == results["population"].compared.baselines.keys()
    assert results["run"].summary_frame()["of"][0] == "policy"
    assert BARS.summary_frame().filter(pl.col("of") == "close")["last"][0] == BARS.close[-1]


def test_a_backtest_in_memory_is_reported_as_its_folder_is(results, tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "plotly_js", lambda: "")
    results["backtest"].save(tmp_path / "backtest")
    made = report(results["backtest"])
    assert made.html == report(tmp_path / "backtest").html
    assert list(made.figures) == EXPECTED["backtest"]


def test_a_result_links_to_where_it_was_saved(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("backtest", "policies", "walk", "sweep", "population", "run", "policy"):
        results[name].save(tmp_path / name)
        assert f'<a href="{name}">' in results[name]._repr_html_()


def test_what_cannot_be_drawn_is_said(results):
    with pytest.raises(InputError) as caught:
        results["backtest"].plot("equty")
    assert_mentions(str(caught.value), "no figure 'equty'", *EXPECTED["backtest"], "Did you mean 'equity'?")
    with pytest.raises(InputError, match="figure is 3"):
        results["backtest"].plot(3)
    with pytest.raises(InputError, match="dark is 1"):
        results["backtest"].plot(dark=1)
    with pytest.raises(InputError, match="nothing to draw"):
        BARS.slice(0, 0).plot()
    with mock.patch.dict(sys.modules, {"plotly.graph_objects": None}), pytest.raises(InputError) as caught:
        results["policy"].plot()
    assert str(caught.value) == "a plot needs plotly; install it with: pip install 'idi-fast[report]'"


def test_a_price_is_drawn_as_candles_where_the_bars_have_them(results):
    (line,) = [trace for trace in next(figures_of(BARS)).data if trace["name"] == "Close"]
    assert line["type"] == "scatter"
    high, low = BARS.close * 1.2, BARS.close * 0.8
    bars = replace(BARS, high=high, low=low, columns={**BARS.columns, "high": "high", "low": "low"})
    price, volume = next(figures_of(bars)).data
    assert (price["type"], volume["type"]) == ("candlestick", "bar")
    assert price["open"][0] == pytest.approx(bars.open[0], rel=1e-5)
    assert price["high"][0] == pytest.approx(max(high[:2]), rel=1e-5)  # 400 bars in 200 candles
    assert len(price["x"]) == 200
    test = idi.backtest(results["policy"], bars)
    drawn = {figure.name: figure for figure in figures_of(test)}["price"]
    assert [trace["type"] for trace in drawn.data[:2]] == ["candlestick", "bar"]
    assert_mentions(drawn.caption, "a candle for every 2 bars", "below the volume and the position")
    only_closes = next(figures_of(history([1.0, 2.0, 3.0])))
    assert [trace["type"] for trace in only_closes.data] == ["scatter"]


def test_candles_are_kept_in_the_folder_of_a_backtest(results, tmp_path):
    results["backtest"].save(tmp_path / "run")
    kept = ReportedRun.open(tmp_path / "run").table("candles.parquet", ()).frame()
    assert kept.equals(backtest_run(results["backtest"]).table("candles.parquet", ()).frame())
    assert kept["bars"].sum() == 400
    assert Path(tmp_path / "run" / "manifest.json").read_text().count("candles.parquet") == 1

"""The Python API: what the package and idi_fast.tau export, how it is documented, and how results are shown."""

import doctest
import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import api_page
import numpy as np
import polars as pl
import pytest
from places import ROOT

import idi_fast as idi
import idi_fast.tau
from idi_fast import display, errors

PACKAGES = {"idi_fast": idi, "idi_fast.tau": idi_fast.tau}
EXPORTS = [(package, name) for package, module in PACKAGES.items() for name in module.__all__ if name[0] != "_"]
FUNCTIONS = [(package, name) for package, name in EXPORTS if inspect.isfunction(getattr(PACKAGES[package], name))]
RESULTS = [
    (package, name)
    for package, name in EXPORTS
    if isinstance(thing := getattr(PACKAGES[package], name), type)
    and not issubclass(thing, Exception)
    and name not in ("TrainingConfig", "Contract")  # blocks of settings, each with a text of its own
]
MODULES = sorted({f"{package}.{home}" for package, module in PACKAGES.items() for home in module._HOMES} | {*PACKAGES})
# What is read and written without a kernel, and what needs no frames either.
NO_NUMBA = (
    "idi_fast.compare",
    "idi_fast.evidence.manifest",
    "idi_fast.evidence.reference",
    "idi_fast.data.history",
    "idi_fast.data.loading",
    "idi_fast.data.frames",
    "idi_fast.data.config_history",
    "idi_fast.storage.tables",
    "idi_fast.storage.manifests",
    "idi_fast.agents.trace_files",
    "idi_fast.environments.actions",
    "idi_fast.training.episode_log",
    "idi_fast.storage.reader.child",
)
NO_POLARS = (
    "idi_fast.errors",
    "idi_fast.display",
    "idi_fast.config.settings",
    "idi_fast.config.arguments",
    "idi_fast.config.draft",
    "idi_fast.storage.files",
    "idi_fast.storage.staging",
    "idi_fast.tau",
    "idi_fast.tau.parsing",
    "idi_fast.tau.spec",
    "idi_fast.layers.plan",
    "idi_fast.parallel.worker_pool",
    "idi_fast.backtesting.conditions",
    "idi_fast.evaluation.verdicts",
    "idi_fast.cli.commands",
)


# --- names


@pytest.mark.parametrize(("package", "name"), EXPORTS)
def test_what_is_exported_is_there_and_shadows_no_module(package, name):
    assert getattr(PACKAGES[package], name) is not None
    assert name in dir(PACKAGES[package])
    assert importlib.util.find_spec(f"{package}.{name}") is None


def test_a_name_is_the_callable_whatever_was_imported_before():
    code = "import idi_fast.tau.simulation, idi_fast.reporting; from idi_fast.tau import parse_spec, simulate; "
    code += "import idi_fast as idi; print(all(map(callable, (parse_spec, simulate, idi.report, idi.backtest))))"
    assert run(code) == "True"


def test_an_unknown_name_is_an_attribute_error():
    for module in PACKAGES.values():
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            module.nothing  # noqa: B018


# --- imports


def run(code: str) -> str:
    """What Python prints, started anew."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()


@pytest.mark.parametrize(("modules", "heavy"), [(NO_NUMBA, "numba"), (NO_POLARS, "polars"), (["idi_fast"], "numpy")])
def test_light_modules_load_nothing_heavy(modules, heavy):
    # Each in a process of its own would take its time; the first that loads it is named all the same.
    code = f"""
import importlib, sys
for name in {list(modules)!r}:
    importlib.import_module(name)
    if any(loaded in sys.modules for loaded in {[heavy, "numba"]!r}):
        print(name)
        break
"""
    assert run(code) == ""


# --- documentation


def parameters_in(doc: str) -> list[str]:
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", doc, re.M | re.S)
    lines = section[1].splitlines() if section else []
    return [name for line in lines if line and line[0] != " " for name in line.split(", ")]


@pytest.mark.parametrize(("package", "name"), FUNCTIONS)
def test_a_function_says_what_it_takes_gives_and_raises(package, name):
    function = getattr(PACKAGES[package], name)
    doc, signature = inspect.getdoc(function), inspect.signature(function)
    assert sorted(parameters_in(doc)) == sorted(signature.parameters), "Parameters are not those of the signature"
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())
    for section in ("Returns", *(["Raises"] if name != "anchored" else [])):
        assert f"\n{section}\n---" in doc


@pytest.mark.parametrize(("package", "name"), RESULTS)
def test_a_class_says_what_it_has(package, name):
    assert "\nAttributes\n---" in inspect.getdoc(getattr(PACKAGES[package], name))


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    "name", ["load_history", "train", "backtest", "walk_forward", "sweep", "evaluate", "train_population"]
)
def test_what_a_notebook_begins_with_has_an_example(name):
    assert "\nExamples\n---" in inspect.getdoc(getattr(idi, name))


def test_the_page_is_made_of_the_docstrings():
    shown = {name for sections in (api_page.SECTIONS, api_page.TAU) for names in sections.values() for name in names}
    assert shown == {name for _, name in EXPORTS}
    text = (ROOT / "docs/API.md").read_text(encoding="utf-8")
    assert text == api_page.page(), "python tests/api_page.py > docs/API.md"


# --- what a notebook user types


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 600)))
    time = np.datetime64("2023-01-01", "ns") + np.arange(600) * np.timedelta64(1, "D")
    return pl.DataFrame({"time": time, "open": close, "close": close, "volume": rng.lognormal(3.0, 1.0, 600)})


CONFIG = {"episodes": 8, "episode_length": 16}


@pytest.fixture(scope="module")
def results(frame) -> dict:
    bars = idi.History.from_frame(frame)
    run = idi.train(CONFIG, bars, seed=0)
    simulated = {**CONFIG, "environment": {"kind": "crypto"}}
    return {
        "bars": bars,
        "run": run,
        "policy": run.policy,
        "trace": run.trace,
        "trainer run": idi.train(simulated),
        "backtest": idi.backtest(run.policy, bars, start="2024-01-01", fee_bps=5),
        "no times": idi.backtest(run.policy, idi.History.from_frame(frame.drop("time"))),
        "walk": idi.walk_forward(CONFIG, bars, seeds=range(2)),
        "sweep": idi.sweep(CONFIG, {"discount": [0.5, 0.9], "learning_rate": [0.1, 0.2]}, bars, seeds=range(2)),
        "population": idi.train_population(CONFIG, range(3)),
        "population in sample": idi.train_population(CONFIG, range(3), history=bars, keep="all"),
        "evaluation": idi.evaluate(run.policy, history=bars),
        "spec": idi_fast.tau.find_contract("v38").specification(),
    }


def test_the_example_of_the_front_page(frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame.write_parquet("btc.parquet")
    config = idi.TrainingConfig(episodes=4, episode_length=16)
    bars = idi.load_history("btc.parquet")
    assert (bars.time.dtype, bars.close.dtype) == (np.int64, np.float64)
    run = idi.train(config, bars, seed=0)
    run.save("run")
    test = idi.backtest(run.policy, bars, start="2024-01-01", fee_bps=5)
    assert test.equity["time"][0].isoformat() == "2024-01-01T00:00:00+00:00"
    assert test.trades.equals(test.trades_frame())
    assert test.kpis["total_return"] == pytest.approx(test.equity["equity"][-1] - 1.0)
    test.save("test")
    kept = json.loads((tmp_path / "test/kpis.json").read_text())
    assert kept["kpis"]["total_return"] == test.kpis["total_return"]
    assert idi.Policy.load("run").best_action((0,) * 6) == run.policy.best_action((0,) * 6)
    policy, trace = idi.create_trainer(run.trainer.config, 0, bars).run()
    assert trace.frame().equals(run.trace.frame())
    np.testing.assert_array_equal(policy.q, run.policy.q)


def test_a_population_saves_what_the_command_writes(results, tmp_path):
    results["population"].save(tmp_path / "population")
    assert json.loads((tmp_path / "population/run.json").read_text())["kind"] == "population"
    with pytest.raises(idi.OutputError, match="already exists; `force=True` replaces it"):
        results["population"].save(tmp_path / "population")


def test_dates_are_times_too(results, frame):
    import datetime

    bars, policy = results["bars"], results["policy"]
    texts = idi.backtest(policy, bars, start="2024-01-01", end="2024-03-01").equity
    for kind in (datetime.date, datetime.datetime):
        assert idi.backtest(policy, bars, start=kind(2024, 1, 1), end=kind(2024, 3, 1)).equity.equals(texts)
    assert idi.backtest(policy, bars, start=np.datetime64("2024-01-01"), end="2024-03-01").equity.equals(texts)


# --- how results are shown


class Page(HTMLParser):
    """Notes which elements are open, and what was seen."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


SHOWN = [
    "bars",
    "run",
    "policy",
    "trace",
    "trainer run",
    "backtest",
    "no times",
    "walk",
    "sweep",
    "population",
    "population in sample",
    "evaluation",
    "spec",
]


@pytest.mark.parametrize("name", SHOWN)
def test_results_print_as_a_few_lines(results, name):
    lines = repr(results[name]).splitlines()
    assert 1 < len(lines) <= 9
    assert max(map(len, lines)) <= 160
    assert "array(" not in repr(results[name])


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "spec"])
def test_results_show_a_table_in_a_notebook(results, name):
    text = results[name]._repr_html_()
    page = Page(text)
    assert not page.open
    assert "table" in page.seen
    assert "svg" in page.seen
    assert len(text) < 12_000


def test_a_backtest_shows_its_figures_beside_holding(results):
    shown = repr(results["backtest"])
    assert "policy  buy and hold" in shown
    assert "2024-01-01T00:00:00Z to 2024-08-22T00:00:00Z" in shown.splitlines()[0]
    assert display.format_share(results["backtest"].buy_and_hold["total_return"]) in shown


def test_names_are_escaped():
    text = display.as_html("<b>", [("<i>", 1.5)], lines={"<u>": [1.0, 2.0]})
    assert "<b>&lt;b&gt;</b>" in text
    assert "<i>" not in text
    assert "<u>" not in text


def test_a_chart_needs_two_finite_numbers():
    assert display.line_chart({"a": [1.0]}) == display.line_chart({"a": [np.nan, 1.0]}) == display.line_chart({}) == ""
    many = display.line_chart({"a": np.arange(100_000.0), "b": np.full(7, 3.0)})
    assert many.count("polyline") == 2
    assert len(many) < 8_000
    assert "a</span>" in many
    assert "0 to 99999" in many


def test_errors_are_of_one_family():
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__}
    assert kinds == {getattr(idi, name) for name in api_page.SECTIONS["Errors"]}
    assert all(issubclass(kind, errors.IdiFastError) for kind in kinds - {errors.CacheWarning})


def test_a_chart_names_the_extremes_of_the_whole_line():
    line = np.zeros(10_001)
    line[5_003] = 7.5  # between two points that are drawn
    assert "0 to 7.5" in display.line_chart({"a": line})

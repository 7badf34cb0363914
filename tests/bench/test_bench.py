"""The benchmark at its smallest sizes: refusals, results, and comparisons with other programs."""

import copy
import json
import shutil
import sys

import jsonschema
import numpy as np
import pytest
from cli_helpers import assert_mentions, run, start
from cli_helpers import finish as finish_process

from idi_fast.bench import DEFAULT_SUITES, SCHEMA_VERSION, SUITES, case, comparison, plot, startup, suites
from idi_fast.bench.oracle import engine, rng
from idi_fast.bench.report import YARDSTICKS, report
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.yardsticks import COMPILERS, Yardsticks

SMALLEST = Sizes.smallest()
QUICK = [suite for suite in SUITES if suite != "startup"]
has_compiler = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="there is no C compiler")

NUMBER, COUNT, TEXT = {"type": "number", "minimum": 0}, {"type": "integer", "minimum": 1}, {"type": "string"}
SECONDS = ["minimum", "lower_quartile", "median", "upper_quartile", "maximum"]
FIGURES = {
    "units": COUNT,
    "repeats": COUNT,
    "seconds": {"type": "object", "properties": dict.fromkeys(SECONDS, NUMBER), "required": SECONDS},
    "units_per_second": NUMBER,
}
YARDSTICK = {"type": "object", "properties": {**FIGURES, "time_ratio": NUMBER}, "required": [*FIGURES, "time_ratio"]}
ABOUT = {"suite": {"enum": list(SUITES)}, "name": TEXT, "unit": TEXT, "oracle": TEXT}
TIMED = {
    **ABOUT,
    **FIGURES,
    "equal": {"const": True},
    "compile_seconds": {"type": ["number", "null"]},
    "yardsticks": {"type": "object", "additionalProperties": YARDSTICK, "propertyNames": {"enum": list(YARDSTICKS)}},
}
FACTS = {"cpu_use": NUMBER, "peak_bytes": COUNT, "tables_peak_bytes": COUNT, "tables_seconds": NUMBER}
REFUSED = {**ABOUT, "equal": {"const": False}, "reason": TEXT}
MACHINE = {"processor": TEXT, "cores": COUNT, "system": TEXT, "caches": {"additionalProperties": COUNT}}
SOURCE = {"commit": {"type": "string", "pattern": "^[0-9a-f]{40}$"}, "dirty": {"type": "boolean"}}
RESULTS = {
    "schema_version": {"const": SCHEMA_VERSION},
    "kind": {"const": "bench"},
    "machine": {"type": "object", "properties": MACHINE, "required": list(MACHINE)},
    "versions": {"type": "object", "additionalProperties": TEXT, "required": ["idi_fast", "python", "numba", "numpy"]},
    "source": {"type": ["object", "null"], "properties": SOURCE, "required": list(SOURCE)},
    "suites": {"type": "array", "items": {"enum": list(SUITES)}},
    "repeats": COUNT,
    "sizes": {"type": "object"},
    "compiler": {"type": ["object", "null"], "required": ["command", "version", "flags"]},
    "reference": {"type": "object", "required": ["measured", "documented_steps_per_second"]},
    "notes": {"type": "array", "items": TEXT},
    "refused": {"type": "array", "items": TEXT},
    "cases": {
        "type": "array",
        "items": {
            "oneOf": [
                {"type": "object", "properties": {**TIMED, **FACTS}, "required": list(TIMED)},
                {"type": "object", "properties": REFUSED, "required": list(REFUSED), "not": {"required": ["seconds"]}},
            ]
        },
    },
}
SCHEMA = {"type": "object", "properties": RESULTS, "required": list(RESULTS)}


@pytest.fixture(scope="module")
def results() -> dict:
    """Results of every suite but `startup`; filling an empty cache would take ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "compile_seconds", lambda names: {"kernels: rng.mt_extend": 1.5})
        patch.setitem(sys.modules, "vectorbt", None)  # its own compilation takes half a minute
        return suites.run(QUICK, 2, sizes=SMALLEST)


# --- cases


def test_every_case_is_equal_to_its_oracle(results):
    assert results["refused"] == []
    assert {case["suite"] for case in results["cases"]} == set(QUICK)
    names = [f"{case['suite']}: {case['name']}" for case in results["cases"]]
    assert len(names) == len(set(names))
    kinds = {"default, synthetic", "compat, synthetic", "default, crypto", "compat, crypto", "default, history"}
    assert kinds < {case["name"] for case in results["cases"] if case["suite"] == "train"}


def test_startup_times_help_and_training_with_a_warm_and_a_cold_cache(tmp_path):
    help_, warm, test, *cold = startup.make(SMALLEST, case.Context(tmp_path, Yardsticks()))
    assert len(cold) == 3
    for each in cold:
        assert "empty kernel cache" in each.name
        assert each.subject.repeats == SMALLEST.cold_starts
    help_.check()
    warm.check()
    test.check()
    assert warm.subject.run() > help_.yardsticks["interpreter"].run() > 0


def test_a_case_that_differs_is_refused_and_not_timed(monkeypatch, small_bench):
    timed = []

    def measure(cases, repeats, say):
        timed.extend(cases)
        return case.measure(cases, repeats, say)

    monkeypatch.setattr(suites, "measure", measure)
    real = rng.mt_words64
    monkeypatch.setattr(
        rng, "mt_words64", lambda generator, n: [word ^ (k == 5) for k, word in enumerate(real(generator, n))]
    )
    results = suites.run(["kernels"], 2)
    jsonschema.validate(results, SCHEMA)
    assert results["refused"] == ["kernels: rng.mt_words64"]
    (refused,) = (case for case in results["cases"] if not case["equal"])
    assert_mentions(refused["reason"], "result 0[5]", "as are 0 others")
    assert "rng.mt_words64" not in [case.name for case in timed]
    assert len(timed) == len(results["cases"]) - 1
    assert "| rng.mt_words64 | REFUSED |" in report(results)
    assert "REFUSED, since it is not equal to its oracle: kernels: rng.mt_words64." in report(results)


def test_the_command_fails_loudly_on_a_case_that_differs(monkeypatch, small_bench, no_compiler):
    real = engine.train

    def train(config, seed):
        q, comm_q, rewards = real(config, seed)
        q[next(iter(q))][1] += 1e-12
        return q, comm_q, rewards

    monkeypatch.setattr(engine, "train", train)
    status, stdout, stderr = run("bench", "--suite", "train", "--suite", "export")
    assert status == 1
    assert_mentions(stderr, "error: ", "not timed", "train: default, synthetic")
    assert_mentions(stdout, "| default, synthetic | REFUSED |", "| 13 streams | ")


def test_words_are_compared_to_their_last_bit():
    words = [2**64 - 1, 5]
    case.expect_equal("word", np.array(words, np.uint64), words)
    with pytest.raises(case.Differs, match=r"word\[0\] is 18446744073709551615 instead of 18446744073709551614"):
        case.expect_equal("word", np.array(words, np.uint64), [2**64 - 2, 5])


def test_values_are_compared_within_their_tolerance():
    case.expect_equal("value", np.array([1.0, np.nan]), [1.0, np.nan])
    case.expect_equal("value", np.array([1.0 + 1e-12]), [1.0], rtol=1e-9)
    for expected in ([1.0], [1.0, 1.0]):
        with pytest.raises(case.Differs):
            case.expect_equal("value", np.array([1.0 + 1e-12]), expected)


def test_everything_is_timed_in_turns():
    order = []

    def timed(name: str, **fields) -> case.Timed:
        return case.Timed(1, lambda: order.append(name) or 0.5, **fields)

    shared = timed("c")
    cases = [
        case.Case("train", name, "step", "", lambda: None, timed(name, **fields), {"c": shared})
        for name, fields in (("a", {}), ("b", {"repeats": 1, "warms": False}))
    ]
    seconds = case.measure(cases, 3, lambda text: None)
    assert "".join(order) == "ac" + "acb" + "ac" + "ac"
    assert seconds[shared] == [0.5] * 3
    assert seconds[cases[1].subject] == [0.5]


def test_figures_of_five_runs():
    timed, other = case.Timed(10, lambda: 0.0), case.Timed(20, lambda: 0.0)
    figures = case.figures(timed, [5.0, 1.0, 2.0, 4.0, 3.0])
    assert list(figures["seconds"].values()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert figures["units_per_second"] == 10 / 3
    # Per unit 0.1, 0.4 and 0.2 against 0.1 always.
    assert case.time_ratio(timed, other, {timed: [1.0, 4.0, 2.0], other: [2.0, 2.0, 2.0]}) == 2.0


# --- results


def test_results_follow_their_schema_and_are_json(results):
    again = json.loads(json.dumps(results, allow_nan=False))
    jsonschema.validate(again, SCHEMA)
    assert again["repeats"] == 2
    assert any(case["compile_seconds"] == 1.5 for case in again["cases"])


def test_the_table_shows_the_figures_of_the_json(results):
    rows = iter(
        [line for line in report(results).splitlines() if line.startswith("| ") and not line.startswith("| case")]
    )
    scales = {"ns": 1e9, "µs": 1e6, "ms": 1e3, "s": 1.0}
    for made in results["cases"]:
        name, median, minimum, spread, rate, *others = next(rows).strip("| ").split(" | ")
        assert name == made["name"]
        time, unit = median.split(" ")
        factor = scales[unit.split("/")[0]] / made["units"]
        seconds = made["seconds"]
        shown = [float(text) / factor for text in (time, minimum, spread)]
        # Three significant digits.
        assert shown == pytest.approx(
            [seconds["median"], seconds["minimum"], seconds["upper_quartile"] - seconds["lower_quartile"]], rel=6e-3
        )
        prefix = {"G": 1e9, "M": 1e6, "k": 1e3}.get(rate.split(" ")[1], 1.0)
        assert float(rate.split(" ")[0]) * prefix == pytest.approx(made["units_per_second"], rel=6e-3)
        if made["suite"] == "train" and "plain_python" in made["yardsticks"]:
            assert float(others[0]) == pytest.approx(1 / made["yardsticks"]["plain_python"]["time_ratio"], abs=0.5)
    assert next(rows, None) is None


def test_the_footer_says_where_the_figures_are_from(results):
    text = report(results)
    machine = results["machine"]
    assert_mentions(
        text, machine["processor"], f"{machine['cores']} cores", results["versions"]["numba"], "62,000 steps/s"
    )


# --- comparison


def test_a_run_compared_with_itself(results, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(results))
    old = comparison.read_results(path)
    compared = comparison.compare(old, results)
    assert [case["ratio"] for case in compared["cases"]] == [1.0] * len(results["cases"])
    assert (compared["only_old"], compared["only_new"], compared["differences"]) == ([], [], [])


def test_a_comparison_names_what_has_changed(results):
    old = copy.deepcopy(results)
    first, second, *_ = old["cases"]
    first["name"] = "gone"
    second["seconds"]["median"] *= 3
    second["units"] *= 2
    old["machine"]["processor"] = "another processor"
    compared = comparison.compare(old, results)
    assert compared["cases"][0]["ratio"] == pytest.approx(1.5)
    assert compared["only_old"] == ["kernels: gone"]
    assert compared["only_new"] == [f"kernels: {results['cases'][0]['name']}"]
    text = report({**results, "comparison": compared})
    assert_mentions(
        text, "| 1.50 |", "Only in the earlier run: kernels: gone.", "NOT THE SAME MACHINE", "another processor"
    )


def test_results_make_the_round_trip_through_the_command_line(small_bench, tmp_path):
    status, stdout, stderr = run("bench", "--suite", "export", "--json")
    assert (status, stderr) == (0, "")
    (tmp_path / "old.json").write_text(stdout)
    jsonschema.validate(json.loads(stdout), SCHEMA)
    status, stdout, stderr = run("bench", "--suite", "export", "--json", "--compare", tmp_path / "old.json")
    compared = json.loads(stdout)["comparison"]
    assert (status, stderr) == (0, "")
    assert [case["name"] for case in compared["cases"]] == ["export: 13 streams"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"schema_version": 1, "cases": []}', "schema_version is 1; expected"),
        ('{"schema_version": 2, "kind": "train"}', "expected the results of `idi-fast bench --json`"),
        ("[]", "schema_version is None"),
        ("{", "cannot be read as JSON"),
        ('{"schema_version": 2, "kind": "bench", "cases": [{}]}', "not whole results"),
        (None, "not a file"),
    ],
)
def test_other_files_are_not_compared_with(tmp_path, text, part):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    status, stdout, stderr = run("bench", "--compare", path)
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert_mentions(stderr, f"--compare {path}: ", part)


# --- the command line


def test_the_suites_that_can_be_chosen():
    assert suites.chosen_suites(["all"]) == list(SUITES)
    assert suites.chosen_suites(["startup", "kernels"]) == ["kernels", "startup"]
    assert "scaling" not in DEFAULT_SUITES
    status, stdout, stderr = run("bench", "--suite", "kernel")
    assert (status, stdout) == (2, "")
    assert_mentions(stderr, "--suite is 'kernel'", "Did you mean 'kernels'?", *SUITES, "all")


def test_compile_seconds_of_an_empty_cache():
    """In a process of its own, where the cache is not empty but the rest is the same."""
    outcome = finish_process(start("export", "kernels", code=suites.COMPILE))
    assert (outcome.status, outcome.stderr) == (0, "")
    seconds = json.loads(outcome.stdout)
    assert {"kernels: learn.learn_actions, crypto", "kernels: rng.mt_extend"} < set(seconds)
    assert min(seconds.values()) >= 0


# --- the picture


def test_a_picture_needs_matplotlib_and_the_suite_it_shows(monkeypatch, tmp_path):
    status, _, stderr = run("bench", "--suite", "export", "--plot", tmp_path / "scaling.svg")
    assert status == 2
    assert_mentions(stderr, "add --suite scaling")
    for path, part in ((tmp_path / "none" / "scaling.svg", "none does not exist"), (tmp_path, "this is a folder")):
        status, _, stderr = run("bench", "--suite", "scaling", "--plot", path)
        assert status == 2
        assert_mentions(stderr, part)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, stderr = run("bench", "--suite", "scaling", "--plot", tmp_path / "scaling.svg")
    assert status == 2
    assert_mentions(stderr, "pip install 'idi-fast[plots]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["scaling.foo", "scaling"])
def test_a_picture_has_a_format(name, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    status, _, stderr = run("bench", "--suite", "scaling", "--plot", tmp_path / name)
    assert status == 2
    assert_mentions(stderr, f"--plot {tmp_path / name}: its ending names no format", "svg")


def test_the_picture(results, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    for name in ("a.svg", "b.svg"):
        plot.plot(results, tmp_path / name)
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert_mentions(text, *plot.LABELS.values(), "million steps/s")
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")

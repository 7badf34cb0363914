"""Traces in the reference's forms: written by `export`, read by `export`, `spec` and `compare`."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from cli_helpers import STREAMS, assert_mentions, one_object, refused, run, succeed

from idi_fast.compare import compare
from idi_fast.errors import InputError, OutputError
from idi_fast.tau.export import export_streams
from idi_fast.tau.sources import read_source

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests/golden/reference"
SCHEMA = json.loads((ROOT / "idi_fast/schemas/trace.schema.json").read_text(encoding="utf-8"))
FORMS = ["streams", ".", "trace.json", "artifact_manifest.json", "manifest.json"]
SIX = ("q_buy", "q_sell", "risk_budget_ok", "q_emote_positive", "q_emote_alert", "q_regime")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def reference(tmp_path) -> Path:
    """A copy of what the reference leaves."""
    return Path(shutil.copytree(REFERENCE, tmp_path / "reference"))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_streams_of_the_reference_byte_for_byte(form, tmp_path):
    succeed("export", REFERENCE / form, "--to", tmp_path / "inputs", "--trace-json", tmp_path / "trace.json")
    assert files_in(tmp_path / "inputs") == files_in(REFERENCE / "streams")
    ticks = json.loads((tmp_path / "trace.json").read_text())["ticks"]
    assert ticks == json.loads((REFERENCE / "trace.json").read_text())["ticks"]


@pytest.mark.parametrize("form", [*FORMS, "rust", "rust/trace.json"])
@pytest.mark.parametrize("other", FORMS)
def test_compare_reads_each_form(form, other):
    found = compare(REFERENCE / form, REFERENCE / other)
    if form.startswith("rust") and form != other and other != ".":
        missing = found["files"][0].get("columns_only_in_b", found["only_in_b"])
        assert sorted(name.removesuffix(".in") for name in missing) == sorted(set(STREAMS) - set(SIX))
    elif not form.startswith("rust"):
        manifests = {"artifact_manifest.json", "manifest.json"}
        assert found["equal"] == ({form, other} != manifests), found


def test_compare_says_where_a_trace_json_differs(reference):
    tree = json.loads((reference / "trace.json").read_text())
    tree["ticks"][5]["q_regime"] += 1
    tree["metadata"]["timestamp"] = "2026-01-01T00:00:00Z"
    (reference / "other.json").write_text(json.dumps(tree))
    for other in ("trace.json", "streams", "artifact_manifest.json"):
        outcome = run("compare", reference / "other.json", reference / other)
        assert outcome.status == 1
        assert_mentions(outcome.stdout, "the first that differs is in q_regime", "≠")
    found = compare(reference / "other.json", reference / "trace.json")["files"][0]
    assert (found["kind"], found["notes"]) == ("table", ["the metadata differ in timestamp"])
    assert [(column["name"], column["differing"], column["first"]["at"]) for column in found["columns"]] == [
        ("q_regime", 1, 5)
    ]


def test_manifests_are_compared_by_stream_and_not_by_when_they_were_made(reference):
    tree = json.loads((reference / "artifact_manifest.json").read_text())
    tree.update(generated_at=1.5, config_path="elsewhere.json", streams=tree["streams"][::-1])
    (reference / "other.json").write_text(json.dumps(tree))
    found = compare(reference / "other.json", reference / "artifact_manifest.json")
    assert found["equal"]
    assert len(found["files"][0]["notes"]) == 2
    tree["streams"][0]["length"] = 17
    (reference / "other.json").write_text(json.dumps(tree))
    keys = compare(reference / "other.json", reference / "artifact_manifest.json")["files"][0]["keys"]
    assert [key["key"] for key in keys] == ["streams.weight_trend.in.length"]


@pytest.mark.parametrize("form", FORMS)
def test_a_specification_of_each_form_runs(form, tmp_path):
    about = one_object(
        succeed("spec", REFERENCE / form, "--kind", "layered", "--out", tmp_path / "spec", "--json").stdout
    )
    assert about["ticks"] == 16
    assert succeed("tau", "run", tmp_path / "spec")
    manifest = json.loads((tmp_path / "spec/manifest.json").read_text())
    named = json.loads((REFERENCE / "manifest.json").read_text())["config_hash"]
    assert manifest["config_sha256"] == (named if form != "streams" else "0" * 64)


def test_the_list_of_ticks_of_the_rust_trainer_has_six_streams(tmp_path):
    for number, form in enumerate(("rust", "rust/trace.json")):
        report = export_streams(REFERENCE / form, tmp_path / str(number), trace_json=tmp_path / f"{number}.json")
        assert tuple(report["streams"]) == SIX
        expected = {f"{name}.in" for name in SIX} | {"streams.json"}
        assert set(files_in(tmp_path / str(number))) == expected
        jsonschema.validate(json.loads((tmp_path / f"{number}.json").read_text()), SCHEMA)
    assert "reads price_up" in run("spec", REFERENCE / "rust", "--kind", "layered", "--out", tmp_path / "s").stderr


@pytest.mark.parametrize("name", ["agent", "synthetic", "backtest"])
def test_our_traces_as_trace_json(world, tmp_path, name):
    if name == "backtest":
        succeed("backtest", world / "later.parquet", "--policy", world / "agent", "--out", tmp_path / name)
    source = tmp_path / name if name == "backtest" else world / name
    succeed("export", source, "--trace-json", tmp_path / "t.json")
    tree = json.loads((tmp_path / "t.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(tree)
    run_json = json.loads((source / "run.json").read_text())
    told = run_json.get("policy", run_json)
    assert (tree["metadata"]["seed"], tree["metadata"]["config_hash"]) == (told["seed"], told["fingerprint"])
    assert tree["metadata"]["env_id"] == ("idi-fast/synthetic" if name == "synthetic" else "idi-fast/history")
    assert list(tree["ticks"][0]) == ["step_id", *STREAMS]
    assert compare(tmp_path / "t.json", source)["equal"]
    assert compare(source / "trace.parquet", tmp_path / "t.json")["equal"]
    succeed("export", tmp_path / "t.json", "--to", tmp_path / "back")
    assert files_in(tmp_path / "back") == files_in(source / "streams")


def test_a_trace_by_itself_names_no_seed(world, tmp_path):
    shutil.copy(world / "agent/trace.parquet", tmp_path)
    export_streams(tmp_path / "trace.parquet", trace_json=tmp_path / "t.json")
    metadata = json.loads((tmp_path / "t.json").read_text())["metadata"]
    assert "seed" not in metadata
    assert metadata["env_id"] == "idi-fast/unknown"


def test_streams_of_a_contract_and_a_trace_json_at_once(world, tmp_path):
    report = export_streams(world / "agent", tmp_path / "v38", "v38", trace_json=tmp_path / "t.json")
    assert "price" in report["streams"]
    assert "weight_trend" not in report["streams"]
    assert list(json.loads((tmp_path / "t.json").read_text())["ticks"][0]) == ["step_id", *STREAMS]
    by_other = export_streams(world / "agent", trace_json=tmp_path / "u.json", streams={"q_buy": "q_sell"})
    assert by_other["columns"]["q_buy"] == "q_sell"
    ticks = json.loads((tmp_path / "u.json").read_text())["ticks"]
    assert all(tick["q_buy"] == tick["q_sell"] for tick in ticks)


def test_the_file_of_a_trace_is_replaced_only_by_force(world, tmp_path):
    (tmp_path / "t.json").write_text("mine")
    outcome = run("export", world / "agent", "--to", tmp_path / "inputs", "--trace-json", tmp_path / "t.json")
    assert (outcome.status, (tmp_path / "inputs").exists()) == (2, False)
    assert_mentions(outcome.stderr, "t.json already exists; --force replaces it")
    assert (tmp_path / "t.json").read_text() == "mine"
    succeed("export", world / "agent", "--trace-json", tmp_path / "t.json", "--force")
    with pytest.raises(OutputError, match="which is read"):
        export_streams(tmp_path / "t.json", trace_json=tmp_path / "t.json", force=True)
    with pytest.raises(OutputError, match="would lie in"):
        export_streams(world / "agent", trace_json=world / "agent/trace.json")
    for options, message in [
        ({}, "there is nothing to write"),
        ({"trace_json": tmp_path / "t.txt"}, "expected a file named .json"),
        ({"trace_json": tmp_path / "n.json", "kind": "v38"}, "`kind` has no effect without a folder"),
        ({"trace_json": tmp_path / "n/streams.json", "folder": tmp_path / "n"}, "is streams.json of the streams"),
    ]:
        with pytest.raises(InputError, match=message):
            export_streams(world / "agent", **options)


def with_value(tree, path, value):
    *steps, last = path
    for step in steps:
        tree = tree[step]
    if value is None:
        del tree[last]
    else:
        tree[last] = value


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["ticks", 3, "q_buy"], 2, ["ticks[3]: q_buy is 2", "expected an integer from 0 to 1"]),
        (["ticks", 3, "q_buy"], True, ["ticks[3]: q_buy is true", "expected an integer from 0 to 1"]),
        (["ticks", 15, "q_regime"], 32, ["ticks[15]: q_regime is 32", "expected an integer from 0 to 31"]),
        (["ticks", 0, "q_regime"], "7", ["ticks[0]: q_regime is '7'", "expected an integer"]),
        (["ticks", 10, "q_sell"], None, ["ticks[10]: q_sell is missing", "in every tick"]),
        (["ticks", 0, "q_sell"], None, ["ticks[0]: q_sell is missing", "expected an integer from 0 to 1"]),
        (["ticks", 0, "q_by"], 1, ["ticks[0]: 'q_by' is not a known key", "'q_buy'"]),
        (["ticks", 7, "price"], 1, ["ticks[7]: 'price' is not a key of the first tick"]),
        (["ticks", 4, "step_id"], 6, ["ticks[4]: step_id is 6; expected 4"]),
        (["ticks", 2], 5, ["ticks[2] is 5; expected an object"]),
        (["ticks"], [], ["has no ticks"]),
        (["ticks"], {}, ["ticks is {}; expected a list"]),
        (["metadata"], None, ["metadata is missing; expected an object"]),
        (["metadata", "env_id"], None, ["metadata.env_id is missing; expected text"]),
        (["metadata", "seed"], "0", ["metadata.seed is '0'; expected an integer"]),
        (["metadata", "sed"], 0, ["metadata.sed is not a known key", "'seed'"]),
        (["more"], 0, ["'more' is not a known key; expected metadata and ticks"]),
    ],
)
def test_a_wrong_trace_json_is_refused(reference, tmp_path, path, value, told):
    file = reference / "trace.json"
    tree = json.loads(file.read_text())
    with_value(tree, path, value)
    file.write_text(json.dumps(tree))
    for command in (
        ("export", file, "--to", tmp_path / "out"),
        ("spec", file, "--kind", "layered", "--out", tmp_path / "out"),
        ("compare", file, reference / "streams"),
    ):
        outcome = run(*command)
        assert (outcome.status, outcome.stdout, (tmp_path / "out").exists()) == (2, "", False), outcome
        assert_mentions(outcome.stderr, str(file), *told)
    if path not in (["more"], ["metadata", "sed"], ["ticks", 4, "step_id"], ["ticks"], ["ticks", 10, "q_sell"]):
        assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(tree)) or path[-1] in ("price",)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("q_buy.in", b"0\n1\n2\n", ["q_buy.in: line 3 is '2'; expected 0 to 1"]),
        ("q_buy.in", b"0\n\n1\n", ["q_buy.in: line 2 is empty; expected 0 to 1"]),
        ("q_buy.in", b"0\nx'\n", ['line 2 is "x\'"']),
        ("q_regime.in", b"0\n-1\n", ["q_regime.in: line 2 is '-1'; expected 0 to 31"]),
        ("q_regime.in", b"0\n1\n", ["expected equal lengths", "q_regime"]),
        ("q_regime.in", b"", ["q_regime.in has no ticks"]),
        ("streams.json", b"[]", ["streams.json: streams is null; expected an object"]),
        ("streams.json", b'{"streams": {"q_buy": "../q_buy.in"}}', ["streams.q_buy is '../q_buy.in'", "a file beside"]),
        ("streams.json", b'{"streams": {"q_buy": "gone.in"}}', ["streams.q_buy is 'gone.in'; expected a file"]),
        ("streams.json", b'{"streams": ', ["streams.json: line 1"]),
    ],
)
def test_wrong_streams_are_refused(reference, tmp_path, file, text, told):
    (reference / "streams" / file).write_bytes(text)
    outcome = run("export", reference / "streams", "--to", tmp_path / "out")
    assert (outcome.status, (tmp_path / "out").exists()) == (2, False), outcome
    assert_mentions(outcome.stderr, *told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"streams": 3}, ["streams is 3; expected a list"]),
        ({"streams": []}, ["lists no streams"]),
        ({"streams": [3]}, ["streams[0] is 3; expected an object with name, sha256 and length"]),
        ({"streams": [{"name": "q_buy.in", "sha256": "x", "length": 1}]}, ["sha256 of q_buy.in is 'x'; expected 64"]),
        ({"streams": {"q_buy": 5}}, ["sha256 of q_buy is 5"]),
        ({"streams": [{"name": "q_by.in", "sha256": "0" * 64, "length": 1}]}, ["lists q_by.in, which is not there"]),
        ({"streams": {"q_buy": "0" * 64}}, ["does not list price_down.in"]),
    ],
)
def test_wrong_manifests_are_refused(reference, tmp_path, change, told):
    file = reference / "artifact_manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    for form in (file, reference):
        if form == reference:
            (reference / "trace.json").unlink()  # which would be taken
        outcome = run("export", form, "--to", tmp_path / "out")
        assert (outcome.status, (tmp_path / "out").exists()) == (2, False), outcome
        assert_mentions(outcome.stderr, "artifact_manifest.json", *told)


def test_streams_other_than_the_manifest_lists_are_refused(reference, tmp_path):
    (reference / "streams/q_buy.in").write_text("\n".join("0" * 16))
    for name in ("artifact_manifest.json", "manifest.json"):
        outcome = run("export", reference / name, "--to", tmp_path / "out")
        assert outcome.status == 2
        assert_mentions(outcome.stderr, name, "q_buy.in has the SHA-256", "it was changed")
    tree = json.loads((REFERENCE / "artifact_manifest.json").read_text())
    tree["streams"][0]["length"] = 15
    (reference / "artifact_manifest.json").write_text(json.dumps(tree))
    shutil.copy(REFERENCE / "streams/q_buy.in", reference / "streams/q_buy.in")
    outcome = run("export", reference / "artifact_manifest.json", "--to", tmp_path / "out")
    assert_mentions(outcome.stderr, "price_down.in has 16 lines; expected 15")


def test_what_is_no_trace_is_refused(reference, tmp_path):
    for name, text in {
        "x.json": '{"states": 3, "actions": []}',
        "empty.json": "[]",
        "numbers.json": "[5]",
        "plan.json": '[{"name": 1}]',
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "made").mkdir()
    (tmp_path / "made/trace.json").write_text("7")
    for path, told in [
        (tmp_path / "x.json", "neither a trace.json nor a manifest"),
        (tmp_path / "empty.json", "empty.json has no ticks; expected at least one"),
        (tmp_path / "numbers.json", "numbers.json: [0] is 5; expected an object"),
        (tmp_path / "plan.json", "plan.json: [0]: 'name' is not a known key"),
        (tmp_path / "made", "trace.json: ticks is 7; expected a list of objects"),
        (reference / "streams/q_buy.in", "is one stream; give the folder"),
        (tmp_path / "gone.json", "no trace at"),
    ]:
        outcome = run("export", path, "--to", tmp_path / "out")
        assert outcome.status == 2
        assert_mentions(outcome.stderr, told)


def test_other_json_is_compared_as_before(world, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        plan = [{"name": "one", "config": "c.json", "out": "one", "seed": seed}]
        (tmp_path / name / "plan.json").write_text(json.dumps(plan))
        (tmp_path / name / "empty.json").write_text("[]")
        succeed("spec", world / "agent", "--kind", "v38", "--ticks", 8 + seed, "--out", tmp_path / name / "spec")
    keys = {
        file["name"]: [key["key"] for key in file.get("keys", [])]
        for file in compare(tmp_path / "a", tmp_path / "b")["files"]
    }
    assert (keys["plan.json"], keys["empty.json"]) == (["0.seed"], [])
    assert "ticks" in keys["spec/spec.json"]


@pytest.mark.parametrize("command", ["export", "spec", "compare"])
def test_the_streams_of_an_artifact_without_its_trace_are_not_taken_instead(world, tmp_path, command):
    agent = shutil.copytree(world / "agent", tmp_path / "agent")
    (agent / "trace.parquet").unlink()
    args = {
        "export": (agent, "--to", tmp_path / "inputs"),
        "spec": (agent, "--kind", "v38", "--out", tmp_path / "spec"),
        "compare": (agent, REFERENCE / "trace.json"),
    }[command]
    assert "trace.parquet is missing, though manifest.json beside it lists it" in refused(tmp_path, command, *args)
    # Named on their own they are what was asked for.
    succeed("export", agent / "streams", "--to", tmp_path / "inputs")


def test_streams_of_other_names_can_be_taken(reference, tmp_path):
    (reference / "streams/streams.json").unlink()
    (reference / "streams/mine.in").write_text("\r\n".join("01" * 8) + "\r\n")
    assert read_source(reference / "streams").frame["mine"].to_list() == [0, 1] * 8
    report = export_streams(reference / "streams", tmp_path / "out", "layered", streams={"price_up": "mine"})
    assert report["columns"]["price_up"] == "mine"

"""`idi-fast layers`: specifications that read what a plan installs, and plans written from elsewhere."""

import json
import os
from pathlib import Path

import cli_helpers as cli
import pytest
from layer_plans import CONFIGS, layer, write_plan

from idi_fast.agents.streams import CONTRACTS, MARKET_STREAMS, TRACE_STREAMS
from idi_fast.errors import ConfigError, OutputError
from idi_fast.layers.train import check_plan, run_plan
from idi_fast.tau.inputs import declared_inputs

OLD = 'i{0} : {1} = in file("inputs/{2}.in").          # Market price: "low" or in file("inputs/other.in")\n'
NEW = 'i{0}:{1} := in file("inputs/{2}.in").\n'


def specify(folder: Path, names, syntax: str = NEW, name: str = "agent.tau") -> Path:
    """A specification that reads these streams from the folder's inputs."""
    text = "".join(
        syntax.format(k, "bv[5]" if stream == "q_regime" else "sbf", stream) for k, stream in enumerate(names)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text + 'o0:sbf := out file("outputs/x.out").\n(o0[t] = i0[t])\n')
    return folder / name


def leave(folder: Path, ticks: int, names) -> None:
    """Inputs of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.in").write_text("\n".join("0" * ticks))


def lines(folder: Path) -> dict[str, int]:
    return {file.stem: len(file.read_text().splitlines()) for file in folder.glob("*.in")}


@pytest.mark.parametrize("syntax", [OLD, NEW])
def test_all_installs_what_a_specification_there_reads(syntax, tmp_path):
    specify(tmp_path / "specs/momentum", CONTRACTS["v38"], syntax)
    inputs = tmp_path / "specs/momentum/inputs"
    leave(inputs, 8, CONTRACTS["v38"])
    report = run_plan(write_plan(tmp_path, [layer("momentum")]))
    assert lines(inputs) == dict.fromkeys((*TRACE_STREAMS, *MARKET_STREAMS), 16)
    assert report["left_behind"] == {}
    assert report["layers"][0]["installs"]["specifications"] == [str(tmp_path / "specs/momentum/agent.tau")]
    assert set(json.loads((inputs / "streams.json").read_text())["streams"]) == {*TRACE_STREAMS, *MARKET_STREAMS}
    cli.succeed("export", report["layers"][0]["out"], "--to", tmp_path / "v38", "--kind", "v38")
    for name in CONTRACTS["v38"]:
        assert (inputs / f"{name}.in").read_bytes() == (tmp_path / "v38" / f"{name}.in").read_bytes()


def test_a_specification_that_reads_no_more_changes_nothing(tmp_path):
    specify(tmp_path / "specs/momentum", CONTRACTS["layered"])
    run_plan(write_plan(tmp_path, [layer("momentum")]))
    assert lines(tmp_path / "specs/momentum/inputs") == dict.fromkeys(TRACE_STREAMS, 16)


def test_a_specification_further_up_counts_too(tmp_path):
    (tmp_path / "agent.tau").write_text('i0:sbf := in file("specs/momentum/inputs/price.in").\n(o0[t] = i0[t])')
    specify(tmp_path / "specs/momentum", ["q_buy"], name="b.tau")
    run_plan(write_plan(tmp_path, [layer("momentum")]))
    assert set(lines(tmp_path / "specs/momentum/inputs")) == {*TRACE_STREAMS, "price"}


@pytest.mark.parametrize(
    ("changes", "names", "old", "parts"),
    [
        ({}, ["q_buy", "oracle"], {}, ["oracle.in, but there is none", "put one of that length there"]),
        ({}, ["q_buy", "oracle"], {"oracle": 8}, ["reads", "oracle.in, but that has 8 lines", "streams of 16 ticks"]),
        ({}, ["q_buy", "oracle"], {"oracle": 17}, ["oracle.in, but that has 17 lines"]),
        ({"contract": "layered"}, CONTRACTS["v38"], {}, ["price.in, but there is none", "a contract that has it"]),
        ({"contract": "layered"}, ["q_buy"], {"q_buy": 15}, ["q_buy.in, but that has 15 lines"]),
        ({"contract": "v38"}, ["price_up"], {"price_up": 3}, ["price_up.in, but that has 3 lines"]),
        (
            {"config": "configs/old_crypto.json"},
            ["q_buy", "price"],
            {},
            ["agent.tau reads price, but the trace of this config has no such streams"],
        ),
    ],
)
def test_what_would_leave_streams_of_other_lengths_is_refused(changes, names, old, parts, tmp_path):
    specification = specify(tmp_path / "specs/momentum", names)
    for name, ticks in old.items():
        leave(tmp_path / "specs/momentum/inputs", ticks, [name])
    plan = write_plan(tmp_path, [layer("momentum", **changes)])
    compat = {**CONFIGS["reference"], "environment": {"kind": "crypto"}}
    (tmp_path / "configs" / "old_crypto.json").write_text(json.dumps(compat))
    for options in ([], ["--dry-run"]):
        message = cli.refused(tmp_path, "layers", plan, *options)
        cli.assert_mentions(message, "layer 'momentum': ", specification, *parts)


@pytest.mark.parametrize("text", ["0\n" * 16, "\n".join("0" * 16), "0\r\n" * 16, "0\n" * 16 + "\n1\n1\n"])
def test_an_input_of_ones_own_of_the_same_length_is_left_alone(text, tmp_path):
    specify(tmp_path / "specs/momentum", ["q_buy", "oracle"])
    inputs = tmp_path / "specs/momentum/inputs"
    inputs.mkdir()
    (inputs / "oracle.in").write_bytes(text.encode())
    run_plan(write_plan(tmp_path, [layer("momentum")]))
    assert (inputs / "oracle.in").read_bytes() == text.encode()


def two_for_one_specification(folder: Path, other: str) -> Path:
    specify(folder, [*CONTRACTS["layered"], *CONTRACTS["v38"]])
    layers = [
        layer("momentum", contract="layered", install_inputs="inputs"),
        layer(other, contract="v38", install_inputs="inputs"),
    ]
    plan = write_plan(folder, layers)
    for name in ("crypto", "endless"):
        (folder / f"configs/{name}.json").write_text(json.dumps({**CONFIGS[name], "episode_length": 16}))
    return plan


def test_layers_that_share_a_specification_serve_it_together(tmp_path):
    plan = two_for_one_specification(tmp_path, "crypto")
    run_plan(plan, only=["momentum"])  # the others' streams may come later, if none are there that would be read
    leave(tmp_path / "inputs", 15, ["price"])
    with pytest.raises(ConfigError, match=r"price\.in, but that has 15 lines.*train its layer too"):
        check_plan(plan, only=["momentum"], force=True)
    run_plan(plan, force=True)
    assert set(lines(tmp_path / "inputs").values()) == {16}


def test_a_layer_that_fails_leaves_no_old_streams_beside_new_ones(tmp_path):
    plan = two_for_one_specification(tmp_path, "endless")
    leave(tmp_path / "inputs", 8, CONTRACTS["v38"])
    before = cli.snapshot(tmp_path)
    outcome = cli.run("layers", plan, "--keep-going")
    assert outcome.status == 1
    cli.assert_mentions(outcome.stderr, "layer 'endless': ", "layer 'momentum': ", "that has 8 lines")
    assert cli.snapshot(tmp_path) == before


# --- where paths are looked for


def test_a_plan_relative_to_the_working_directory(tmp_path, monkeypatch):
    plan = write_plan(tmp_path, [layer("momentum")])
    monkeypatch.chdir(tmp_path)
    os.makedirs("devkit/plans")
    moved = plan.rename(tmp_path / "devkit/plans/plan.json")
    cli.succeed("layers", moved)
    assert (tmp_path / "artifacts/momentum/run.json").exists()
    assert set(lines(tmp_path / "specs/momentum/inputs")) == set(TRACE_STREAMS)
    assert os.listdir(tmp_path / "devkit/plans") == ["plan.json"]


def test_beside_the_plan_comes_before_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    write_plan(tmp_path / "here", [])
    plan = write_plan(tmp_path, [layer("momentum")])
    monkeypatch.chdir(tmp_path / "here")
    run_plan(plan)
    assert (tmp_path / "artifacts").is_dir()
    assert sorted(os.listdir(tmp_path / "here")) == ["configs", "plan.json"]


def test_a_schema_as_the_config_of_a_layer_is_told_in_a_note(tmp_path):
    schema = {"properties": {"episodes": {"default": 3}, "episode_length": {"default": 16}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    plan = write_plan(tmp_path, [layer("momentum", config="schema.json")])
    assert cli.succeed("layers", plan).stderr == f"note: {tmp_path / 'schema.json'} is a JSON Schema; " + (
        "the config is made of its defaults\n"
    )


def test_inputs_are_found_in_any_syntax():
    text = b"""# i9:sbf := in file("inputs/comment.in").
i0 : sbf = in file("inputs/a.in").  # "b in file("inputs/no.in")
i1:bv[64] := in   file ( "in#puts/c.in" ). sbf i2 = ifile("d.in"). o1:sbf := out file("outputs/e.out").
(o1[t] = i0[t]) && (i1[t] = #x1f) && (i3[t] = 0). i3:sbf := in file("f.in").
"""
    assert declared_inputs(text) == ["inputs/a.in", "in#puts/c.in", "d.in", "f.in"]


@pytest.mark.parametrize("kind", ["v38", "layered"])
def test_a_folder_of_spec_is_refreshed_by_spec(kind, tmp_path):
    """Streams of another length do not go with the other inputs and the expected outputs of such a folder."""
    plan = write_plan(tmp_path, [layer("momentum", install_inputs=...)])
    agent, folder = tmp_path / "artifacts/momentum", tmp_path / "specs/momentum"
    run_plan(plan)
    cli.succeed("spec", agent, "--kind", kind, "--out", folder, "--ticks", 8)
    write_plan(tmp_path, [layer("momentum", contract=kind)])
    before = cli.snapshot(folder)
    with pytest.raises(OutputError, match="leave install_inputs out, and write that folder anew") as error:
        run_plan(plan, force=True)
    assert f"idi-fast spec {agent} --kind … --out {folder} --force" in str(error.value)
    assert cli.snapshot(folder) == before
    cli.succeed("spec", agent, "--kind", kind, "--out", folder, "--force")
    assert "16" in (folder / "spec.json").read_text()

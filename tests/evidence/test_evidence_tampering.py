"""A published folder in which anything was changed is refused, and for the right reason."""

import json
import os
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from idi_fast.config.settings import TrainingConfig
from idi_fast.evidence.manifest import Manifest, rebuilt
from idi_fast.evidence.provers import ProverOptions
from idi_fast.evidence.publish import prove_folder
from idi_fast.evidence.verify import verify_folder
from idi_fast.evidence.workflow import run_training_to_proof_workflow
from idi_fast.storage.files import digest

CONFIG = TrainingConfig(episodes=20, episode_length=16)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Two published folders that differ in their seeds."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        result = run_training_to_proof_workflow(config=CONFIG, artifact_dir=folder / str(seed), seed=seed)
        assert result.success, result.errors
    return folder / "0", folder / "1"


@pytest.fixture
def copy(runs, tmp_path) -> Path:
    return Path(shutil.copytree(runs[0], tmp_path / "copy"))


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def failures(folder: Path, **options) -> str:
    return " | ".join(verify_folder(folder, **options).failures)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)


def remake(folder: Path) -> None:
    """What a forger does: the manifests fit again."""
    if (folder / "spec/manifest.json").exists():
        (folder / "spec/manifest.json").write_bytes(rebuilt(folder / "spec").text())
    (folder / "manifest.json").write_bytes(rebuilt(folder).text())


def test_the_folder_as_it_was_published_is_sound(runs, tmp_path):
    moved = shutil.copytree(runs[0], tmp_path / "elsewhere")
    result = verify_folder(moved, require="replay")
    assert (result.failures, result.prover, result.verdict) == ([], "replay", "ok")
    assert {claim.result for claim in result.claims} == {"holds"}


def test_every_file_changed_removed_swapped_or_added(runs, copy):
    one, other = runs
    names = [name for name in files_of(one) if name not in ("manifest.json", "timings.json")]
    assert len(names) > 50
    for name in names:
        path, data = copy / name, (one / name).read_bytes()
        flip(path)
        assert f"{name} is not the file that manifest.json lists" in failures(copy)
        path.unlink()
        assert f"{name} is missing" in failures(copy)
        path.write_bytes(data + b"\n")
        assert f"{name} has {len(data) + 1:,} bytes" in failures(copy)
        if (other / name).read_bytes() != data:
            shutil.copy(other / name, path)
            assert name in failures(copy)
        path.write_bytes(data)
        added = copy / f"{name}.more"
        added.write_bytes(b"")
        assert f"{name}.more is not listed" in failures(copy)
        added.unlink()
    assert failures(copy) == ""


# What a check that does not train again says where a file comes from another run and the manifests were made to fit.
REASONS = {
    "artifact_manifest.json": "its config_sha256 is not that of the files",
    "policy.parquet": "the seed is 0 in run.json, but 1 in policy.parquet",
    "run.json": "the seed is 1 in run.json, but 0 in policy.parquet",
    "trace.parquet": "differs from|but . in trace.parquet|is not",
    "episodes.parquet": "reward of episode 0 is",
    "spec/spec.json": "the inputs were not made of this trace.parquet",
}


def test_swapped_files_with_manifests_that_fit(runs, copy):
    one, other = runs
    seen = set()
    for name in files_of(one):
        data = (one / name).read_bytes()
        if name.endswith(("manifest.json", "timings.json", "README.md")) and name != "artifact_manifest.json":
            continue
        if (other / name).read_bytes() == data:
            continue
        shutil.copy(other / name, copy / name)
        remake(copy)
        found = failures(copy, require="replay")
        if name in REASONS:
            assert any(reason in found for reason in REASONS[name].split("|")), (name, found)
        else:
            assert Path(name).name in found, (name, found)
        seen.add(name)
        (copy / name).write_bytes(data)
    assert set(REASONS) <= seen
    assert any(name.startswith("streams/") for name in seen)
    assert any(name.startswith("spec/expected/") for name in seen)
    remake(copy)
    assert failures(copy, require="replay") == ""


def edit_run(folder: Path, change) -> None:
    run = json.loads((folder / "run.json").read_text())
    change(run)
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    text = (folder / "artifact_manifest.json").read_text()
    stale = json.loads(text)["config_sha256"]
    fresh = sha256((folder / "run.json").read_bytes()).hexdigest()
    (folder / "artifact_manifest.json").write_text(text.replace(stale, fresh))


def test_another_seed_is_named(copy):
    edit_run(copy, lambda run: run.update(seed=5))
    remake(copy)
    assert "the seed is 5 in run.json, but 0 in policy.parquet" in failures(copy)


@pytest.mark.parametrize("key", ["learning_rate", "discount", "rewards.pnl", "quantizer.mood_buckets"])
def test_another_config_value_is_named(copy, key):
    def change(run):
        *path, last = key.split(".")
        block = run["config"]
        for name in path:
            block = block[name]
        block[last] = 0.5 if isinstance(block[last], float) else block[last] + 1
        run["fingerprint"] = TrainingConfig.from_dict(run["config"]).fingerprint()

    edit_run(copy, change)
    remake(copy)
    assert f"config.{key} is " in failures(copy)


TRAINED_AGAIN = {  # another seed visits other states; another learning rate leaves other values of the same
    "seed": r"policy\.parquet has 314 rows of 13 columns; training leaves 311 of 13, and the names and types of these",
    "learning_rate": r"policy\.parquet: q_hold is 0\.303\d+ in the state .0, 0, 0, 1, 3., and 0\.759\d+ trained again",
}


@pytest.mark.parametrize("key", TRAINED_AGAIN)
def test_what_is_changed_everywhere_is_caught_by_training_again(copy, key):
    """The forger writes another seed or learning rate wherever it stands; only the tables tell."""

    def change(run):
        if key == "seed":
            run["seed"] = 5
        else:
            run["config"][key] = 0.5
            run["fingerprint"] = TrainingConfig.from_dict(run["config"]).fingerprint()

    edit_run(copy, change)
    run = json.loads((copy / "run.json").read_text())
    for name in ("policy.parquet", "trace.parquet"):
        about = json.loads(pl.read_parquet_metadata(copy / name)["idi_fast"])
        about |= {"seed": str(run["seed"]), "config": run["config"]} if name[0] == "p" else {}
        about |= {"fingerprint": run["fingerprint"]} if name[0] == "t" else {}
        frame = pl.read_parquet(copy / name)
        frame.write_parquet(copy / name, metadata={"idi_fast": json.dumps(about, ensure_ascii=False, sort_keys=True)})
    shutil.rmtree(copy / "spec")
    remake(copy)
    (text,) = verify_folder(copy).failures
    assert re.fullmatch(rf"proof \(replay\): {TRAINED_AGAIN[key]}", text), text
    sampled = verify_folder(copy, sample=3)
    assert (sampled.failures, sampled.prover) == ([], "replay")
    assert sampled.verdict == "partly checked"
    open_claims = {claim.name: claim.found for claim in sampled.claims if claim.result == "not checked"}
    assert open_claims["replay"] == "not trained again: `sample=3`"
    assert set(open_claims) == {"config", "actions", "states", "figures", "replay", "others"}


def test_an_evaluation_that_was_embellished_is_named(copy):
    edit_run(copy, lambda run: run["evaluation"].update(mean=1e6))
    remake(copy)
    assert "run.json: evaluation.mean is 1000000, and " in failures(copy)


def test_streams_that_do_not_say_the_action(copy):
    frame = pl.read_parquet(copy / "trace.parquet")
    about = pl.read_parquet_metadata(copy / "trace.parquet")["idi_fast"]
    buy = 1 - frame["q_buy"]
    frame.with_columns(buy.cast(pl.UInt8)).write_parquet(copy / "trace.parquet", metadata={"idi_fast": about})
    (copy / "streams/q_buy.in").write_text("".join(f"{value}\n" for value in buy))
    remake(copy)
    assert "streams: trace.parquet: q_buy of tick 0 is" in failures(copy)


@pytest.mark.parametrize("where", ["streams/risk_event.in", "more", "streams", "spec/outputs/o.out"])
@pytest.mark.parametrize("target", ["/etc/hostname", "run.json", "/nowhere"])
def test_links_are_not_followed(copy, where, target):
    path = copy / where
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)
    assert f"{where} is a link; links are not followed" in failures(copy)


def test_pipes_are_not_opened(copy):
    os.mkfifo(copy / "streams" / "pipe.in")
    assert "streams/pipe.in is neither a file nor a folder" in failures(copy)


@pytest.mark.parametrize("name", ["../run.json", "/etc/hostname", "a\\b", "a//b", "", "c:x", "./run.json", "\ud800"])
def test_paths_that_leave_the_folder(copy, name):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"]["run.json"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "is no path within the folder" in failures(copy)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


BAD_JSON = {
    "empty": (b"", "is not JSON"),
    "list": (b"[]", "expected an object"),
    "not UTF-8": (b'{"a": "\xff"}', "not UTF-8"),
    "cut": (b'{"a": ', "is not JSON"),
    "twice": (b'{"a": 1, "a": 2}', "occurs twice"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "digits": (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    "deep": (nested(100_000), "nested too deep"),
}


JSON_FILES = ["manifest.json", "run.json", "artifact_manifest.json", "proof/proof.json", "spec/spec.json"]


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("kind", BAD_JSON)
def test_malformed_json(copy, name, kind):
    data, reason = BAD_JSON[kind]
    manifest = Manifest.of(copy)
    (copy / name).write_bytes(data)
    if name != "manifest.json":
        files = {**manifest.files, name: digest(copy / name)}
        (copy / "manifest.json").write_bytes(replace(manifest, files=files).text())
        if name == "spec/spec.json":
            (copy / "spec/manifest.json").write_bytes(rebuilt(copy / "spec").text())
            files["spec/manifest.json"] = digest(copy / "spec/manifest.json")
            (copy / "manifest.json").write_bytes(replace(manifest, files=files).text())
    found = failures(copy)
    assert reason in found, found
    assert Path(name).name in found


def test_huge_json(copy):
    with open(copy / "manifest.json", "r+b") as file:
        file.truncate(10**12)  # a hole, which takes no room
    assert "manifest.json has 1,000,000,000,000 bytes; expected at most" in failures(copy)


def test_a_proof_that_is_gone_or_of_another_kind(copy):
    shutil.rmtree(copy / "proof")
    remake(copy)
    assert "proof: there is none, but the manifest says replay" in failures(copy)
    assert "the folder has no proof" in failures(copy, require="replay")
    (copy / "manifest.json").write_bytes(Manifest.of(copy).with_proof("none").text())
    assert failures(copy) == ""
    assert (
        failures(copy, require="replay")
        == "`require='replay'`: the folder has no proof; `idi-fast prove --prover replay` adds one"
    )


def test_a_digest_never_satisfies_what_a_reader_requires(copy):
    prove_folder(copy, "digest", ProverOptions())
    assert failures(copy) == ""
    for require in ("replay", "zk"):
        assert failures(copy, require=require) == f"`require={require!r}`: the folder's proof is digest"
    claim = (copy / "proof/proof.json").read_text()
    (copy / "proof/proof.json").write_text(claim.replace('"digest"', '"zk"'))
    (copy / "manifest.json").write_bytes(rebuilt(copy, {"prover": "zk", "require_proof": True}).text())
    assert "`require='zk'`: the folder's proof is unknown" in failures(copy, require="zk")


@pytest.mark.parametrize("name", ["proof/proof.bin", "proof/receipt.json", "artifact_manifest.json"])
def test_a_digest_with_manifests_that_fit(copy, name):
    prove_folder(
        copy, "digest", ProverOptions(bind=("policy_root", "config_fingerprint", "spec_hash"), tx_hash="0x12ab")
    )
    assert failures(copy) == ""
    flip(copy / name)
    remake(copy)
    assert failures(copy) != ""


def test_a_receipt_that_points_elsewhere(copy):
    prove_folder(copy, "digest", ProverOptions())
    receipt = (copy / "proof/receipt.json").read_text()
    (copy / "proof/receipt.json").write_text(receipt.replace(': "streams"', ': "streams "'))
    remake(copy)
    assert "the receipt's streams is 'streams '; expected 'streams'" in failures(copy)


def change_trace(folder: Path, change) -> None:
    about = pl.read_parquet_metadata(folder / "trace.parquet")["idi_fast"]
    frame = change(pl.read_parquet(folder / "trace.parquet"))
    frame.write_parquet(folder / "trace.parquet", metadata={"idi_fast": about})
    shutil.rmtree(folder / "spec")
    remake(folder)


CHANGES = {
    "no target": (lambda f: f.drop("target"), "has no column 'target'"),
    "no state": (lambda f: f.drop("state"), "has no column 'state'"),
    "targets of text": (lambda f: f.with_columns(pl.col("target").cast(pl.String)), "target must hold whole numbers"),
    "fractions": (lambda f: f.with_columns(pl.col("state") + 0.5), "state must hold whole numbers"),
    "nulls": (lambda f: f.with_columns(pl.lit(None).alias("action")), "action must hold texts"),
    "a far state": (lambda f: f.with_columns(pl.lit(10**9).alias("state")), "the state of tick 0 is 1000000000"),
    "a negative state": (lambda f: f.with_columns(pl.lit(-1).alias("state")), "the state of tick 0 is -1"),
    "another action": (lambda f: f.with_columns(pl.lit("wait").alias("action")), "the action of tick 0 is 'wait'"),
    "another communication": (lambda f: f.with_columns(pl.lit("x").alias("comm_action")), "comm_action of tick 0 is x"),
    "another bucket": (lambda f: f.with_columns(pl.col("mood_bucket") + 1), "mood_bucket of tick 0 is"),
    "a far target": (lambda f: f.with_columns(pl.lit(5).alias("target")), "a target is not -1, 0 or 1"),
    "another target": (lambda f: f.with_columns(-pl.col("target")), "target of tick"),
    "fewer ticks": (lambda f: f.head(5), "has 5 ticks, but streams/q_buy.in 16 lines"),
    "a value too large": (lambda f: f.with_columns(pl.lit(99).alias("q_regime")), "bv[5] takes 0 to 31"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_trace_that_is_none(copy, name):
    change, reason = CHANGES[name]
    change_trace(copy, change)
    assert reason in failures(copy)


def test_a_specification_that_names_files_elsewhere_is_not_read(copy, tmp_path, monkeypatch):
    (tmp_path / "secret.in").write_text("1\n")
    text = (copy / "spec/agent.tau").read_text()
    assert "inputs/price.in" in text
    (copy / "spec/agent.tau").write_text(text.replace("inputs/price.in", "../../secret.in"))
    remake(copy)
    monkeypatch.setattr("idi_fast.evidence.spec_check.check_folder", lambda folder: pytest.fail("it was read"))
    assert "agent.tau is not the specification of the contract" in failures(copy)


ZEROS = "0\n" * 15


@pytest.mark.parametrize("end", ["", "0\n0\n", "2\n", "\n", "x\n", "00\n", "0 \n", "-1\n"])
def test_streams_that_are_none(copy, end):
    (copy / "streams/risk_event.in").write_text(ZEROS + end)
    remake(copy)
    assert "streams/risk_event.in" in failures(copy)


def test_timings_are_nobody_s_business_but_only_in_their_place(copy):
    (copy / "timings.json").write_text("anything")
    assert failures(copy) == ""
    (copy / "streams/timings.json").write_text("{}")
    assert "streams/timings.json is not listed" in failures(copy)

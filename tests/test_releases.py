"""What released versions wrote is loaded, verified, exported and backtested, to what it recorded then.

Each folder `tests/golden/release_…` says in its README.md how it was made. None is ever made anew: where one of these
tests fails, the code has to go on reading what is there.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from cli_helpers import assert_mentions, one_object, run, succeed
from forgers import remake

from idi_fast import Policy, TrainingConfig, backtest, load_history
from idi_fast.compare import compare
from idi_fast.evidence import replay
from idi_fast.evidence.verify import verify_folder
from idi_fast.tau.export import export_streams
from idi_fast.tau.spec_folder import write_spec

ROOT = Path(__file__).parents[1]
RELEASE = ROOT / "tests/golden/release_0_1_0"
POLICIES = {
    "synthetic": (
        "957c09d7d51aeec399d82594b5cbaf3effd91d5002ea624300b39b838d28868d",
        3,
        "b52ffb38960bdf48f4678b69584e163e7843c1e713c53dc1349513faa0391755",
    ),
    "compat": (
        "1684248631ccecc85544b10ed53f4ebafdd77788d6b3a58ee1af38cbabb2a874",
        3,
        "505babecdfebfc4cd37bdcf3b6e9b25e6561931f15e56e0e39f5b42c32f28313",
    ),
    "history": (
        "bfc91a84ead7857f4f3779d5afa3a04793bd9c3646bb73693c712148a1185685",
        3,
        "5aee166982f79324cf040bbdd187c7b6d9f12428a6c6377f67792621be861313",
    ),
    "population/best": (
        "85d5dfdceefad156a3c38a690d2659133499c19cb227097bb576fcd7de6d9a46",
        1,
        "b463d49e835672f81edd5802e17537becd8d18edbcf58f44778668db52577ee6",
    ),
}
"""By artifact: the fingerprint of its config, its seed, a digest of its tables."""
SOUND = {"manifest", "streams", "actions"}
HOLD = {
    "synthetic": {*SOUND, "config", "signals", "states", "figures", "replay"},
    "compat": SOUND,
    "history": {*SOUND, "signals"},
    "population": {"manifest"},
    "population/best": {*SOUND, "signals"},
    "backtest": {"manifest", "streams"},
    "spec": {"manifest"},
    "zk": {*SOUND, "signals", "zk"},
    "commitment": {"manifest"},
}
"""The claims that held, by folder; none failed."""


def recorded(name: str) -> dict:
    return json.loads((RELEASE / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_those_that_were_trained(name):
    fingerprint, seed, tables = POLICIES[name]
    policy = Policy.load(RELEASE / name)
    identity = policy.identity()
    assert (identity["fingerprint"], policy.seed, identity["tables_sha256"]) == (fingerprint, seed, tables)
    run_json = recorded(f"{name}/run.json")
    assert TrainingConfig.from_dict(run_json["config"]) == policy.config
    assert run_json["fingerprint"] == recorded(f"{name}/manifest.json")["config_sha256"] == fingerprint


@pytest.mark.parametrize("name", HOLD)
def test_folders_verify(name):
    found = {claim.name: claim.result for claim in verify_folder(RELEASE / name).claims}
    wrong = {claim: result for claim, result in found.items() if result == "fails"}
    held = {claim for claim, result in found.items() if result == "holds"}
    if wrong.keys() == {"replay"}:  # made by other versions than are installed here
        assert_mentions(run("verify", RELEASE / name).stderr, "replay needs the versions that made the folder, ")
        held.add("replay")
        wrong.clear()
    assert (held, wrong) == (HOLD[name], {})


def test_a_backtest_verifies_with_its_policy_and_data():
    found = verify_folder(RELEASE / "backtest", policy=RELEASE / "history", require="manifest,streams,actions,signals")
    assert found.ok, found.failures


def test_an_opening_holds():
    opened = run("verify-opening", RELEASE / "commitment", RELEASE / "opening.json", "--json")
    assert one_object(opened.stdout)["values"] == json.loads((RELEASE / "opening.json").read_text())["values"]


@pytest.mark.parametrize("name", ["synthetic", "compat", "history", "population/best", "backtest", "zk"])
def test_streams_are_exported_byte_for_byte(name, tmp_path):
    export_streams(RELEASE / name, tmp_path / "inputs")
    written = {path.name: path.read_bytes() for path in (tmp_path / "inputs").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (RELEASE / name / "streams").iterdir()}


def test_a_trace_json_is_read():
    assert compare(RELEASE / "trace.json", RELEASE / "history")["equal"]


def test_a_backtest_comes_to_what_it_came_to(tmp_path):
    result = backtest(Policy.load(RELEASE / "history"), load_history(RELEASE / "bars.csv"))
    found, before = result.to_dict(), recorded("backtest/kpis.json")
    for part in ("assumptions", "kpis", "buy_and_hold"):
        assert {name: found[part].get(name) for name in before[part]} == before[part]
    assert found["undefined"].keys() >= before["undefined"].keys()  # the reasons are for people
    succeed("backtest", RELEASE / "bars.csv", "--policy", RELEASE / "history", "--out", tmp_path / "again")
    for name in ("trades", "equity", "trace"):
        again, then = (
            pl.read_parquet(folder / f"{name}.parquet") for folder in (tmp_path / "again", RELEASE / "backtest")
        )
        assert again.select(then.columns).equals(then), name


def test_a_specification_runs_and_is_made_again(tmp_path):
    assert_mentions(succeed("tau", "run", RELEASE / "spec").stdout, "equal to expected/")
    write_spec(RELEASE / "history", tmp_path / "spec", "v38")
    for part in ("inputs", "expected"):
        again, then = (
            {path.name: path.read_bytes() for path in (folder / part).iterdir()}
            for folder in (tmp_path / "spec", RELEASE / "spec")
        )
        assert again == then


def test_a_specification_in_its_artifact_verifies(tmp_path):
    folder = Path(shutil.copytree(RELEASE / "history", tmp_path / "history"))
    shutil.copytree(RELEASE / "spec", folder / "spec")
    remake(folder)
    found = {claim.name: (claim.result, claim.found) for claim in verify_folder(folder).claims}
    assert found["spec"][0] == "holds", found["spec"]


def test_a_replay_names_the_versions_that_it_needs(tmp_path, monkeypatch):
    """An older idi-fast has trained to other values than this one does."""
    folder = Path(shutil.copytree(RELEASE / "synthetic", tmp_path / "old"))
    about = json.loads((folder / "run.json").read_text())
    about["versions"] |= {"idi_fast": "0.0.9", "numba": "0.1"}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "artifact_manifest.json").unlink()
    remake(folder)
    create = replay.create_trainer
    monkeypatch.setattr(replay, "create_trainer", lambda config, seed, *args, **more: create(config, 99, *args, **more))
    outcome = run("verify", folder)
    assert outcome.status == 1
    needed = "replay needs the versions that made the folder, idi_fast 0.0.9, numba 0.1; with idi_fast"
    assert_mentions(outcome.stderr, needed, "policy.parquet")


WITH_SETTINGS = """
import importlib.util, json, sys
from pathlib import Path

spec = importlib.util.find_spec("idi_fast.config.settings")
text = Path(spec.origin).read_text(encoding="utf-8")
for before, added in json.loads(sys.argv[1]).items():
    assert text.count(before) == 1
    text = text.replace(before, before + added)
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
exec(compile(text, spec.origin, "exec"), module.__dict__)

from idi_fast import TrainingConfig
from idi_fast.evidence.verify import verify_folder

assert (TrainingConfig().patience, TrainingConfig().rewards.later) == (7, 0.5)
found = {name: verify_folder(f"{sys.argv[2]}/{name}") for name in sys.argv[3:]}
changed = TrainingConfig(patience=8)
print(json.dumps({
    "failures": [failure for each in found.values() for failure in each.failures],
    "held": {name: [c.name for c in each.claims if c.result == "holds"] for name, each in found.items()},
    "default": TrainingConfig().fingerprint(), "changed": changed.fingerprint(),
    "patience": changed.canonical()["patience"],
}))
"""


def test_a_setting_added_to_the_source_changes_no_artifact():
    """idi-fast with two more settings verifies what there is, and trains it again to the same bytes."""
    market = '    environment: EnvironmentConfig = setting(EnvironmentConfig, "The market the agent acts in.")\n'
    clarity = '    communication_clarity: float = setting(0.2, "Weight of the mood level.")\n'
    added = {
        market: '    patience: int = setting(7, "Patience.", since=2)\n',
        clarity: '    later: float = setting(0.5, "Later.", since=3)\n',
    }
    names = ["synthetic", "compat", "history", "population/best", "backtest", "zk"]
    command = [sys.executable, "-W", "error", "-c", WITH_SETTINGS, json.dumps(added), str(RELEASE), *names]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [failure for failure in found["failures"] if "replay needs the versions" not in failure] == []
    for name in names:
        assert set(found["held"][name]) >= HOLD[name] - {"replay"}
    assert found["default"] == TrainingConfig().fingerprint()
    assert (found["changed"] == found["default"], found["patience"]) == (False, 8)

"""A short campaign with a fixed seed, and whether the campaign notices each kind of fault."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from examples import examples

from idi_fast.bench.campaign import mutate, runner, trial
from idi_fast.bench.campaign.__main__ import main
from idi_fast.bench.campaign.commands import Undisturbed
from idi_fast.bench.campaign.kills import check_whole
from idi_fast.bench.campaign.runner import PARTS, Findings, run_campaign
from idi_fast.bench.campaign.trial import Fault, Trial, verdict_on
from idi_fast.bench.campaign.worker import Outcome, Worker

TRIALS = {
    "configs": 8,
    "prices": 6,
    "artifacts": 6,
    "evidence": 8,
    "specifications": 6,
    "kills": 1,
    "disks": 1,
    "signals": 1,
    "writers": 1,
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the campaign's worker forks, and reads /proc")


def test_every_part_has_a_short_run():
    assert set(TRIALS) == set(PARTS)


@pytest.fixture(scope="module")
def short_campaign() -> Findings:
    return run_campaign(list(TRIALS), 2026, numbers={part: range(examples(n)) for part, n in TRIALS.items()})


@pytest.mark.parametrize("part", TRIALS)
def test_a_short_campaign_finds_nothing(short_campaign, part):
    assert [(f.number, f.kind, f.what, f.detail) for f in short_campaign.faults if f.part == part] == []
    assert sum(n for (of, _, _), n in short_campaign.counts.items() if of == part) > 0


def test_the_worker_starts_without_any_extra():
    extras = ("plotly", "kaleido", "matplotlib", "py_arkworks_bls12381", "vectorbt")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({extras})); "
        "from idi_fast.bench.campaign import worker; worker._import_all(); "
        "print('idi_fast.evidence.workflow' in sys.modules, 'idi_fast.evidence.zk' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "True False\n"), done.stderr


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "verdict"),
    [
        (0, "done\n", "note: all is well\n", "ok"),
        (2, "", "error: episodes is 0\n", "refused"),
        (1, "", "error: cannot write\n", "failed"),
        (None, "", "", "hang"),
        (-6, "", "", "traceback"),
        (1, "", "Traceback (most recent call last):\n", "traceback"),
        (1, "", "error: internal error (KeyError: 1)\n", "traceback"),
        (0, "done\n", "something\n", "wrong"),
        (2, "half a result", "error: bad\n", "wrong"),
        (2, "", "error: bad\nand more\n", "wrong"),
        (1, "", "", "wrong"),
        (3, "", "error: x\n", "wrong"),
    ],
)
def test_how_the_end_of_a_command_is_judged(status, stdout, stderr, verdict):
    outcome = Outcome(("train",), status, stdout, stderr, 0.1)
    try:
        found = verdict_on(outcome)
    except Fault as fault:
        found = fault.verdict
    assert found == verdict
    assert (verdict in trial.FAULTS) == Trial("part", 0, verdict=found).is_fault


def test_json_on_stdout_has_to_be_strict():
    with pytest.raises(Fault, match="not one JSON object"):
        verdict_on(Outcome(("compare", "--json"), 0, '{"mean": NaN}', "", 0.1))


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        ({"out/a": "1", "out/b": "1"}, "old"),
        ({"out/a": "2", "out/b": "2"}, "new"),
        ({"out/a": "2", "out/b": "1"}, "mixed"),
        ({"out/a": "1", "out/b": "1", ".out-x": ""}, "mixed"),
        ({"out/a": "1"}, "lost"),
        ({"out/a": "1", "out/b": "1", "out.checkpoint": ""}, "old"),
    ],
)
def test_what_a_killed_command_leaves_is_judged(tmp_path, files, verdict):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    old, new = ({"out": None, "out/a": text, "out/b": text} for text in (b"1", b"2"))
    try:
        found = "new" if check_whole(tmp_path, Undisturbed(old, new, []), "") else "old"
    except Fault as fault:
        found = fault.verdict
    assert found == verdict


def test_a_worker_stands_what_kills_its_commands(tmp_path):
    with Worker() as worker:
        assert worker.run("--version", cwd=tmp_path).status == 0
        killed = worker.run("train", "--episodes", 2, "--out", "a", cwd=tmp_path, fault=f"1:{int(signal.SIGKILL)}:0:0")
        assert (killed.status, len(killed.events)) == (-signal.SIGKILL, 1)
        assert "a" not in os.listdir(tmp_path)
        assert worker.run("--version", cwd=tmp_path).status == 0


def test_mutations_are_drawn_from_the_seed_alone():
    def drawn() -> list[tuple[bytes, str]]:
        rng = random.Random(5)
        value = {"episodes": 3, "quantizer": {"price_buckets": 4}, "actions": ["a", "b"]}
        text = json.dumps(value).encode()
        return [
            *(mutate.of_json(rng, value) for _ in range(200)),
            *(mutate.of_text(rng, text) for _ in range(200)),
            *(mutate.of_bytes(rng, text) for _ in range(200)),
        ]

    assert drawn() == drawn()
    assert len({data for data, _ in drawn()}) > 300


def test_the_command_prints_counts_and_writes_json(tmp_path, monkeypatch, capsys):
    options = ["--only", "configs", "--trials", "4", "--seed", "3", "--json", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["campaign", *options])
    assert main() == 0
    assert "0 faults in 4 trials" in capsys.readouterr().out
    found = json.loads(Path(tmp_path / "found.json").read_text())
    assert (found["trials"], found["faults"], list(found["counts"])) == (4, [], ["configs"])


def test_a_fault_is_listed_with_the_way_to_see_it_again(monkeypatch, capsys):
    def break_down(world, rng, trial):
        trial.kind, trial.what = "print-config", f"digit {rng.randrange(10)}"
        raise Fault("traceback", "it broke")

    monkeypatch.setattr(runner, "Worker", nullcontext)  # nothing is run
    monkeypatch.setitem(PARTS, "configs", (1.0, break_down))
    monkeypatch.setattr(sys, "argv", ["campaign", "--only", "configs", "--trials", "2", "--seed", "3"])
    assert main() == 1
    printed = capsys.readouterr().out
    assert "traceback: configs 1 (print-config), digit" in printed
    assert "python -m idi_fast.bench.campaign --seed 3 --only configs --trial 1" in printed

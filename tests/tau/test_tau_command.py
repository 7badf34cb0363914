"""`idi-fast tau check` and `idi-fast tau run` on the command line."""

import re
from pathlib import Path

import pytest
import typer
from cli_helpers import assert_mentions, finish, one_object, refused, run, snapshot, start, succeed
from places import ROOT
from tau_folders import fake_tau, make_folder, oracle_outputs, recorded_folder

from idi_fast.cli import tau
from idi_fast.tau.spec import load_spec

GROUP = typer.main.get_command(tau.app)


@pytest.fixture(autouse=True)
def _no_interpreter(monkeypatch):
    monkeypatch.delenv("TAU", raising=False)


def test_every_option_has_help_and_stands_in_the_docs():
    page = (ROOT / "docs/COMMANDS.md").read_text(encoding="utf-8")
    for name, command in GROUP.commands.items():
        section = page.split(f"## idi-fast tau {name}")[1].split("\n## ")[0]
        for parameter in command.params:
            assert parameter.help or parameter.name == "help"
            names = [option for option in parameter.opts if option.startswith("--")]
            assert [option for option in names if f"`{option}" not in section] == []


def test_every_code_stands_in_the_docs():
    page = (ROOT / "docs/TAU.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text() for path in (ROOT / "idi_fast/tau").glob("check*.py"))
    codes = set(re.findall(r'code="([a-z-]+)"|"(?:error|warning|note)", "([a-z-]+)"|_say\("([a-z-]+)"', sources))
    codes = {next(filter(None, groups)) for groups in codes} | {"syntax", "not-modelled", "unmirrored"}
    codes -= {"error", "warning", "note"}
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in page} == set()


@pytest.mark.parametrize("args", [["tau", "--help"], ["tau", "check", "-h"], ["tau", "run", "--help"]])
def test_nothing_heavy_is_imported_for_help(args):
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    status, stdout, stderr = finish(start(*args, code=code + "from idi_fast.cli import main; main()", fresh=True))
    assert (status, bool(stdout)) == (0, True)
    assert {"numba", "numpy", "polars", "pyarrow", "rich"}.isdisjoint(stderr.split())


def test_check_of_a_sound_folder(tmp_path):
    folder = recorded_folder(tmp_path, "mixed_lookback_aligned")
    expected = f"""\
folder         {folder}
specification  agent.tau
inputs         2
steps          24
lines          24 in each of 3 outputs
time           3 s to 16 s by the interpreter
nothing found
"""
    assert succeed("tau", "check", folder).stdout == expected


def test_check_of_a_defect(tmp_path):
    folder = recorded_folder(tmp_path, "mixed_lookback")
    status, stdout, stderr = run("tau", "check", folder)
    assert (status, stderr) == (1, "")
    expected = """\
error    agent.tau, line 2, column 1: i2 is first read at step 1, i1 at step 0  [misaligned]
         the file inputs/gate.in lags 1 step behind inputs/up.in: results are wrong, silently
         fix the first values, so that all are read from step 0 on: a clause (o1[0] = ...) and so on for every output \
(--fix does)

warning  agent.tau: no clause says what these outputs are at step 0: o1, o2, o3  [free-first-values]
         the interpreter chooses: 0 in every run on record, but nothing promises it
         fix the first values: a clause (o1[0] = ...) and so on for every output (--fix does)

1 error, 1 warning; --fix OUT fixes 2
"""
    assert stdout == expected


def test_check_as_json(tmp_path):
    folder = recorded_folder(tmp_path, "bv5_overflow")
    status, stdout, stderr = run("tau", "check", folder, "--json")
    report = one_object(stdout)
    assert (status, stderr, report["ok"], report["counts"]) == (1, "", False, {"error": 1, "warning": 0, "note": 0})
    (finding,) = report["findings"]
    assert (finding["code"], finding["file"], finding["line"], finding["step"]) == ("bad-line", "inputs/r.in", 3, 2)
    assert one_object(succeed("tau", "check", recorded_folder(tmp_path / "b", "echo_sbf"), "--json").stdout)["ok"]


def test_fix(tmp_path):
    folder, out = recorded_folder(tmp_path / "a", "holding_unmirrored"), tmp_path / "b"
    stdout = succeed("tau", "check", folder, "--fix", out).stdout
    assert_mentions(stdout, "[unmirrored]", f"fixed in {out}\n  2 mirrors added: o_mirror_i1, o_mirror_i2\n")
    assert succeed("tau", "check", out).stdout.endswith("nothing found\n")
    assert_mentions(succeed("tau", "check", out, "--fix", tmp_path / "c").stdout, "nothing was changed")
    before = snapshot(tmp_path)
    assert_mentions(refused(tmp_path, "tau", "check", folder, "--fix", out), "already exists; choose another name")
    assert_mentions(refused(tmp_path, "tau", "check", folder, "--fix", folder), "--force fixes it in place")
    assert_mentions(refused(tmp_path, "tau", "check", folder, "--force"), "--force goes with --fix")
    assert snapshot(tmp_path) == before
    report = one_object(succeed("tau", "check", folder, "--fix", folder, "--force", "--json").stdout)
    assert (report["ok"], report["after"]["findings"], len(report["before"]["findings"])) == (True, [], 4)


def test_fix_says_what_is_left(tmp_path):
    folder = recorded_folder(tmp_path / "a", "sbf_word_true")
    text = (folder / "agent.tau").read_text().replace(":=", "=")
    (folder / "agent.tau").write_text(text)
    status, stdout, stderr = run("tau", "check", folder, "--fix", tmp_path / "b")
    assert (status, stderr) == (1, "")
    assert stdout.endswith("left:\n  inputs/a.in, line 2: 'true' is not 0 or 1: write 0 or 1\n")
    (folder / "agent.tau").write_text(text.replace("= i1[t]", "= =")[:-2])
    status, stdout, stderr = run("tau", "check", folder, "--fix", tmp_path / "c")
    why = "agent.tau, line 3, column 10: found '='; expected a stream's value, as i1[t], or a constant"
    said = f"error: nothing was written: the specification cannot be read: {why}\n"
    assert (status, stdout, stderr) == (2, "", said)
    assert run("tau", "check", folder, "--fix", tmp_path / "c", "--json") == (2, "", said)
    status, stdout, _ = run("tau", "check", folder)
    assert (status, "--fix" in stdout) == (1, False)
    assert not (tmp_path / "c").exists()


def test_what_is_not_modelled_is_not_said_to_be_unreadable(tmp_path):
    declared = 'i1:sbf := in file("inputs/a.in").\no1:sbf := out file("outputs/b.out").\n'
    text = f"{declared}(o1[t] = i1[t]) && (ex x x = o1[t])"
    folder = make_folder(tmp_path / "a", text, {"inputs/a.in": "1\n"})
    status, stdout, stderr = run("tau", "check", folder, "--fix", tmp_path / "b")
    assert (status, stdout) == (2, "")
    why = "agent.tau, line 3, column 21: found 'ex'; it is not modelled here"
    assert stderr == f"error: nothing was written: the interpreter may accept it, but it is not modelled here: {why}\n"
    assert not (tmp_path / "b").exists()


def test_no_folder_of_a_specification(tmp_path):
    make_folder(tmp_path / "two", "", {"b.tau": ""})
    (tmp_path / "two/agent.tau").rename(tmp_path / "two/a.tau")
    (tmp_path / "empty").mkdir()
    for command in ("check", "run"):
        for name, expected in {"nowhere": "does not exist", "empty": "holds no .tau", "two": "a.tau, b.tau"}.items():
            assert_mentions(refused(tmp_path, "tau", command, tmp_path / name), expected)


def test_run_by_simulation(tmp_path):
    folder = recorded_folder(tmp_path, "mixed_lookback_aligned")
    expected = f"""\
folder         {folder}
specification  agent.tau
run by         the simulation: no interpreter is given (--tau PATH or TAU)
steps          24

output                   lines
outputs/twice.out           24
outputs/up_mirror.out       24
outputs/gate_mirror.out     24

3 outputs written
"""
    assert succeed("tau", "run", folder).stdout == expected


@pytest.mark.parametrize("by", ["--tau", "TAU"])
def test_run_by_an_interpreter(by, tmp_path, monkeypatch):
    folder = recorded_folder(tmp_path / "agent", "mixed_lookback_aligned")
    right = oracle_outputs(load_spec(folder / "agent.tau"), folder)
    (folder / "expected").mkdir()
    for path, text in right.items():
        (folder / "expected" / Path(path).name).write_text(text)
    script = fake_tau(tmp_path / "bin", "right", right)
    if by == "TAU":
        monkeypatch.setenv("TAU", str(script))
    stdout = succeed("tau", "run", folder, *(["--tau", script] if by == "--tau" else [])).stdout
    assert re.search(rf"^run by +{re.escape(str(script))}\n", stdout, re.M)
    assert re.search(r"^outputs/twice\.out +24 +equal +equal$", stdout, re.M)
    assert stdout.endswith("3 outputs written, equal to the simulation and expected/\n")
    assert one_object(succeed("tau", "run", folder, "--tau", script, "--json").stdout)["ok"]
    (folder / "expected/gone.out").write_text("1\n")
    status, stdout, stderr = run("tau", "run", folder, "--tau", script)
    assert (status, stderr) == (1, "")
    assert stdout.endswith("no output is expected/gone.out\n\ndifferent: expected/ holds files of no output\n")


def test_run_that_differs_or_fails(tmp_path):
    folder = recorded_folder(tmp_path / "agent", "mixed_lookback_aligned")
    right = oracle_outputs(load_spec(folder / "agent.tau"), folder)
    status, stdout, stderr = run("tau", "run", folder, "--tau", fake_tau(tmp_path / "a", "wrong", right))
    assert (status, stderr) == (1, "")
    assert_mentions(stdout, "outputs/gate_mirror.out     24  differs from line 6", "different: 1 of 3 outputs")
    assert re.search(r"differ first at step 5\nline +found +simulation +\n3 ", stdout)
    assert re.search(r"^6 +0 +1 +≠$", stdout, re.M)
    status, stdout, stderr = run("tau", "run", folder, "--tau", fake_tau(tmp_path / "b", "exit 1", right))
    assert status == 1
    assert stdout.endswith("failed; the outputs in the folder are unchanged\n")
    assert stderr.startswith("tau: the specification is refused\nerror: the interpreter ended with exit code 1\n")
    status, stdout, _ = run("tau", "run", folder, "--tau", fake_tau(tmp_path / "c", "error", right), "--json")
    assert (status, one_object(stdout)["failures"]) == (1, ["the interpreter said: (Error) something is wrong"])


def test_run_of_a_folder_with_errors(tmp_path):
    folder = recorded_folder(tmp_path, "holding_unmirrored")
    status, stdout, stderr = run("tau", "run", folder)
    assert (status, stderr) == (1, "error: the check finds 2 errors\n")
    assert stdout.count("[unmirrored]") == 2
    assert not list((folder / "outputs").iterdir())
    assert_mentions(succeed("tau", "run", folder, "--no-check").stdout, "1 output written")


def test_run_refuses_bad_options(tmp_path):
    folder = recorded_folder(tmp_path, "echo_sbf")
    assert_mentions(refused(tmp_path, "tau", "run", folder, "--tau", "nowhere"), "--tau is 'nowhere'", "does not exist")
    assert_mentions(refused(tmp_path, "tau", "run", folder, "--timeout", "0"), "the timeout is 0", "above 0")

"""Messages: the library names arguments, the command line the flags for them."""

import ast
import json
import re
from pathlib import Path

import cli_helpers as cli
import pytest
from market_data import random_walk
from places import ROOT
from typer.main import get_command

import idi_fast as idi
from idi_fast.cli import console
from idi_fast.cli.commands import app
from idi_fast.evidence.provers import ZeroKnowledge


def options(command) -> set[str]:
    """Every option of a command and of those below it."""
    found = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return found.union(*map(options, getattr(command, "commands", {}).values()))


OPTIONS = options(get_command(app))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it exists; `force=True` replaces it", "it exists; --force replaces it"),
        ("kept no trace (`trace=False`)", "kept no trace (--no-trace)"),
        ("`year_days=252` would", "--year-days 252 would"),
        ("say so (`time='none'`)", "say so (--time-col none)"),
        ("name it (`time='Gmt time'`)", "name it (--time-col 'Gmt time')"),
        ("give it: `initial=ARTIFACT`", "give it: --init-policy ARTIFACT"),
        ("no use for `data`", "no use for --data"),
        ("use `idi-fast train --out DIR` and `diff -r a b`", "use `idi-fast train --out DIR` and `diff -r a b`"),
        ("a price of 5, `", "a price of 5, `"),
    ],
)
def test_arguments_are_shown_as_flags(text, shown):
    assert console.as_flags(text) == shown


def strings(path: Path) -> list[str]:
    """The texts in a module, those with values in them as one, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inner):
            texts.append(node.value)
    return texts


LIBRARY = sorted((ROOT / "idi_fast").rglob("*.py"))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_names_no_flags(path):
    for text in strings(path):
        if text == ZeroKnowledge.trusted:  # a part of every proof that was ever written
            continue
        # A whole command may be named, as one to type.
        assert re.search(r"(?<![\w-])--[a-z]", text) is None or "idi-fast " in text, text


def test_every_argument_that_a_message_names_is_an_option():
    # A specification's README tells of files.
    paths = [path for path in LIBRARY if path.name != "spec_folder.py"]
    named = {found[0] for path in paths for text in strings(path) for found in console.ARGUMENT.finditer(text)}
    assert len(named) > 30
    for argument in named:
        flag = console.as_flags(argument).split(" ")[0]
        assert flag in OPTIONS, f"{argument} is shown as {flag}"


# --- what a newcomer is told


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    bars = random_walk(400, seed=3)
    config = {"episodes": 4, "episode_length": 16}
    idi.sweep(config, {"discount": [0.5]}, bars).save(folder / "one")
    idi.sweep(config, {"discount": [0.5]}, bars, seeds=range(3)).save(folder / "three")
    idi.walk_forward(config, bars).save(folder / "walk")
    run = idi.train(config, bars)
    idi.backtest(run.policy, bars).save(folder / "test")
    (folder / "runs").mkdir()
    run.save(folder / "runs/first")
    return folder


def test_a_sweep_with_one_policy_stands_for_it(folder):
    policy = idi.Policy.load(folder / "one")
    assert policy.identity() == idi.Policy.load(folder / "one/policies/0.parquet").identity()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("three", r"is a sweep with 3 policies of the chosen config, one per seed; .* such as .*policies.0\.parquet$"),
        ("walk", "is a walk-forward, which keeps no policy"),
        ("test", "is a backtest, which holds no policy; give the one that was tested"),
        ("runs", r"no policy in .*runs itself; give a folder in it that has one, such as .*first$"),
    ],
)
def test_other_folders_say_which_policy_to_give(folder, name, said):
    with pytest.raises(idi.ArtifactError, match=said):
        idi.Policy.load(folder / name)


def test_training_ends_with_a_verdict(tmp_path):
    outcome = cli.succeed("train", "--episodes", "20", "--out", tmp_path / "run")
    (said,) = [line for line in outcome.stdout.splitlines() if line.startswith("verdict")]
    assert re.fullmatch(r"verdict +(better|worse) than '\w+' \(.* against .*\), .*beyond chance.*", said)
    told = cli.succeed("train", "--episodes", "20", "--out", tmp_path / "again", "--json").stdout
    assert json.loads(told)["evaluation"]["has_learnt"] in (True, False)
    bars = tmp_path / "bars.parquet"
    idi.simulate_history(None, 500, bars)
    outcome = cli.succeed("train", "--data", bars, "--episodes", "20", "--out", tmp_path / "of bars")
    assert outcome.stdout.splitlines()[-1].endswith(", in sample: nothing is shown of what it earns on new bars")


def test_a_sweep_of_one_config_does_not_speak_of_luck(folder, tmp_path):
    verdict = (folder / "one/sweep.json").read_text()
    assert "luck" not in verdict


def test_force_is_only_named_where_it_would_help(tmp_path):
    run = idi.train({"episodes": 2, "episode_length": 4})
    run.save(tmp_path / "run")
    with pytest.raises(idi.OutputError, match="already exists; `force=True` replaces it"):
        run.save(tmp_path / "run")
    (tmp_path / "run/mine.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(idi.OutputError, match=r"holds mine\.txt, which idi-fast did not write; move it away"):
            run.save(tmp_path / "run", force=force)
        remedy = "`force=True` will not replace it" if force else "choose another name"
        with pytest.raises(idi.OutputError, match=f"holds something other than an output of idi-fast; {remedy}"):
            run.save(tmp_path / "other", force=force)


def test_a_report_takes_the_place_of_a_report_only(tmp_path):
    pytest.importorskip("plotly")
    report = idi.report(idi.train({"episodes": 2, "episode_length": 4}))
    page = tmp_path / "page.html"
    page.write_text("mine")
    for force in (False, True):
        remedy = "`force=True` will not replace it" if force else "choose another name"
        with pytest.raises(idi.OutputError, match=f"something other than a report of idi-fast; {remedy}"):
            report.save(page, force=force)
    page.unlink()
    report.save(page)
    with pytest.raises(idi.OutputError, match="already exists; `force=True` replaces it"):
        report.save(page)
    report.save(page, force=True)
    assert page.read_text(encoding="utf-8") == report.html

"""What `--help` shows of each command, and what the shell completes."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer
from cli_helpers import MAIN, run

from idi_fast.cli import app

GROUP = typer.main.get_command(app)
NESTED = {f"tau {name}": command for name, command in GROUP.commands["tau"].commands.items()}
COMMANDS = {name: command for name, command in GROUP.commands.items() if name != "tau"} | NESTED


def test_the_list_of_commands_says_in_a_line_what_each_does():
    lines = run("--help").stdout.split("Commands:\n")[1].splitlines()
    assert len(lines) == len(GROUP.commands)
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_it_takes(name):
    (example,) = re.findall(r"^Example: idi-fast (.+)$", COMMANDS[name].help, re.M)
    assert example.startswith(f"{name} ")
    assert COMMANDS[name].make_context(name, shlex.split(example.removeprefix(f"{name} ")))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("idi-fast train --env ", ["synthetic", "crypto", "history"]),
        ("idi-fast backtest --fill next", ["next-open", "next-close"]),
        ("idi-fast prove --prover z", ["zk"]),
    ],
)
def test_the_shell_completes_choices(words, names):
    environment = {"_IDI_FAST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", f"import sys; sys.argv[0] = 'idi-fast'; {MAIN}"]
    process = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == names

"""What a terminal shows beyond a pipe: colours and sparklines; a pipe gets plain text."""

import io
import json
import re
import sys

import pytest
from cli_helpers import QUICK, make_world, run

from idi_fast.cli import console
from idi_fast.display import BARS

ESCAPE = "\x1b["
SPARKS = re.compile(f"[{BARS}]+")


class Terminal(io.StringIO):
    """A stream that says it is a terminal of an encoding."""

    def __init__(self, encoding: str = "utf-8"):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def shown(*args: object, encoding: str = "utf-8") -> str:
    """What a command writes to a terminal."""
    terminal = Terminal(encoding)
    assert run(*args, stdout=terminal).status == 0
    return terminal.getvalue()


def backtest(world, out) -> tuple:
    return "backtest", world / "later.parquet", "--policy", world / "agent", "--out", out


def test_a_terminal_gets_the_equity_as_a_sparkline_and_a_pipe_does_not(world, tmp_path):
    text = shown(*backtest(world, tmp_path / "one"))
    line = next(line for line in text.splitlines() if line.startswith("equity"))
    assert len(SPARKS.search(line)[0]) == 60
    assert re.search(r" [\d.]+ to [\d.]+$", line)
    assert ESCAPE in text
    plain = run(*backtest(world, tmp_path / "two")).stdout
    assert not SPARKS.search(plain)
    assert ESCAPE not in plain
    without = re.sub(r"\x1b\[[\d;]*m", "", text).replace("one", "two").split("\n\nequity")[0]
    assert without == plain.rstrip("\n")


def test_a_training_shows_its_learning_curve(tmp_path):
    text = shown("train", "--out", tmp_path / "a", "--episodes", 100, "--episode-length", 16)
    assert re.search(r"^learning curve  .*▁.* to ", text, re.M)
    assert re.search(r"^verdict +\x1b\[1m", text, re.M)


def test_no_colour_is_respected(world, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(*backtest(world, tmp_path / "one"))
    assert ESCAPE not in text
    assert SPARKS.search(text)


def test_what_an_encoding_cannot_say_is_left_out(world, tmp_path):
    text = shown(*backtest(world, tmp_path / "one"), encoding="cp1252")
    assert "equity  " not in text


def test_json_is_the_same_on_a_terminal(world, tmp_path):
    told = json.loads(shown(*backtest(world, tmp_path / "one"), "--json"))
    assert -1.0 < told["kpis"]["total_return"] < 1.0


def test_errors_are_red_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    console.message("error: no such thing \x1b[31m: here")
    # Its own colours only: those in a name are not obeyed.
    assert terminal.getvalue() == "\x1b[31m\x1b[1merror:\x1b[0m no such thing \\x1b[31m: here\n"


def test_a_short_training_has_a_curve_of_its_own(tmp_path):
    text = shown("train", "--out", tmp_path / "a", *QUICK)
    assert len(SPARKS.search(text)[0]) == 4

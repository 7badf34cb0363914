"""The README: its examples run in order in an empty folder and give the outputs shown. Links of all pages are valid."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

README = ROOT.joinpath("README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```(?:\n```text\n(.*?)^```)?", README, re.M | re.S)
"""Language, code, and the output shown below it, if any. Blocks in `sh` install something and are not run here."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(((?!https?:)[^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)


def run(language: str, code: str, folder: Path) -> str:
    command = {"bash": ["bash", "-eu", "-c", code], "python": [sys.executable, "-c", code]}[language]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        text=True,
        encoding="utf-8",
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def shown(output: str) -> re.Pattern:
    """What an output has to match: `…` alone on a line is any lines, at the end of one the rest of it."""
    lines = ["(?:.*\n)*?" if line == "…" else re.escape(line) + "\n" for line in output.splitlines()]
    return re.compile("".join(lines).replace("…\n", ".*\n"))


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for bash")
def test_the_examples_run_in_order_and_give_what_is_shown(tmp_path):
    for language, code, output in BLOCKS:
        if language != "sh":
            found = run(language, code, tmp_path)
            assert shown(output).fullmatch(found) if output else True, f"{code}\n{found}"


def test_every_block_is_run_or_installs_something():
    assert {language for language, _, _ in BLOCKS} == {"sh", "bash", "python"}
    assert [code for language, code, _ in BLOCKS if language == "sh" and not code.startswith("pip install")] == []
    assert README.count("```") == 2 * (len(BLOCKS) + sum(bool(output) for _, _, output in BLOCKS))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_it_stays_a_front_door():
    assert len(README.splitlines()) <= 180

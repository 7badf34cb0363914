"""Folders of specifications, the oracle's runs of them, and a fake interpreter."""

import json
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from places import GOLDEN

from idi_fast.tau.formula import And, At, Bit, Bits, Not, Or, Term, Xor
from idi_fast.tau.spec import Spec
from oracle import tau as oracle

RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted((GOLDEN / "tau").glob("*"))}

JOINS = {And: "and", Or: "or", Xor: "xor"}

FAKE = """\
#!{python} -IS
import json, os, signal, subprocess, sys, time
with open({answers!r}) as file:
    mode, outputs, spec = json.load(file)
assert sys.argv[1:] == [spec, "-q"], sys.argv
assert sys.stdin.read() == ""
assert os.path.isfile(spec)
assert not any(os.path.exists(name) for name in outputs), "an output of an earlier run"
first = min(outputs)
if mode == "error":
    print("(Error) something is wrong")
if mode == "coloured":  # as the interpreter does it, even into a file
    print("(\033[31;1mError\033[0m) something is wrong")
if mode == "exit 1":
    print("the specification is refused", file=sys.stderr)
    sys.exit(1)
if mode in ("nothing", "killed"):
    outputs = {{}}
for name, text in outputs.items():
    lines = text.splitlines(keepends=True)
    if name == first:
        if mode == "wrong":
            lines[5] = "1\\n" if lines[5] == "0\\n" else "0\\n"
        if mode in ("short", "hang"):
            lines = lines[:7]
        if mode == "long":
            lines.append("0\\n")
    with open(name, "wb") as file:
        file.write(bytes(range(256)) * 9 if mode == "garbage" else "".join(lines).encode())
if mode == "killed":
    os.kill(os.getpid(), 9)
if mode == "hang":
    child = subprocess.Popen([sys.executable, "-IS", "-c", "import time; time.sleep(600)"])
    with open({pids!r}, "w") as file:
        json.dump([os.getpid(), child.pid], file)
    time.sleep(600)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode in ("stubborn", "daemon"):
    child = subprocess.Popen([sys.executable, "-IS", "-c", "import time; time.sleep(600)"])
    with open({pids!r}, "w") as file:
        json.dump([os.getpid(), child.pid], file)
if mode == "stubborn":
    time.sleep(600)
if mode == "slow":
    time.sleep(0.35)
"""


def make_folder(folder: Path, text: str | bytes, files: Mapping[str, str | bytes], outputs: str = "outputs") -> Path:
    """A specification's folder; files by their paths in it."""
    for name, data in {"agent.tau": text, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    (folder / outputs).mkdir(parents=True, exist_ok=True)
    return folder


def recorded_folder(folder: Path, name: str) -> Path:
    """The folder of a recorded run."""
    recorded = RECORDED[name]
    return make_folder(folder, recorded["spec"], {f"inputs/{k}": text for k, text in recorded["inputs"].items()})


def oracle_term(term: Term) -> tuple:
    """A term as the oracle has it."""
    if isinstance(term, At):
        return ("back", term.name, term.lookback) if term.index is None else ("fixed", term.name, term.index)
    if isinstance(term, Bit | Bits):
        return ("constant", term.value)
    if isinstance(term, Not):
        return ("not", oracle_term(term.term))
    return (JOINS[type(term)], *map(oracle_term, term.terms))


def oracle_machine(spec: Spec) -> oracle.Machine:
    """The oracle's machine of a specification."""
    clauses = {c.target.name: oracle_term(c.term) for c in spec.clauses if c.target.index is None}
    first = {(c.target.name, c.target.index): oracle_term(c.term) for c in spec.clauses if c.target.index is not None}
    return oracle.Machine({name: stream.width for name, stream in spec.streams.items()}, clauses, first)


def oracle_outputs(spec: Spec, folder: Path) -> dict[str, str]:
    """What the oracle's machine writes, by path, from the decimal values in a folder."""
    machine = oracle_machine(spec)
    lines = {s.name: [int(v) for v in (folder / s.path).read_text().split()] for s in spec.inputs}
    steps, _, _ = machine.run(lines)
    return {spec.streams[n].path: "".join(f"{v}\n" for v in machine.column(n, steps)) for n in machine.clauses}


def fake_tau(folder: Path, mode: str, outputs: Mapping[str, str]) -> Path:
    """An interpreter that writes these outputs, or fails to as `mode` says."""
    folder.mkdir(parents=True, exist_ok=True)
    answers, script = folder / "answers.json", folder / "tau"
    answers.write_text(json.dumps([mode, outputs, "agent.tau"]))
    script.write_text(FAKE.format(python=sys.executable, answers=str(answers), pids=str(folder / "pids.json")))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def still_alive(pids: Iterable[int], seconds: float = 10.0) -> list[int]:
    """Which of these processes run on: a process that was killed ends soon, but not at once."""
    deadline = time.monotonic() + seconds
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

"""A training in the background: `idi-fast train` in a process of its own, which ends with the lab."""

import csv
import json
import subprocess
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from idi_fast.child_process import IMPORTS, OWN_GROUP, import_path, interpreter
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import InputError
from idi_fast.lab.workspace import Workspace
from idi_fast.storage.hidden import CHECKPOINT
from idi_fast.storage.staging import Staging

# The end of its standard input is its Ctrl-C: it comes when it is asked to stop, and when the lab ends, however it
# does. The checkpoint is then saved as at any Ctrl-C.
CODE = (
    "import json, os, signal, sys, threading; a = json.loads(sys.stdin.buffer.readline()); "
    + IMPORTS
    + "sys.argv = ['idi-fast', *a['arguments']]; "
    # Not by sys.stdin, whose lock a thread must not hold when the interpreter ends.
    "stop = lambda: (os.read(0, 1), signal.raise_signal(signal.SIGINT)); "
    "threading.Thread(target=stop, daemon=True).start(); "
    "from idi_fast.cli import main; main()"
)
CHECKPOINT_EVERY = "5s"
PATIENCE = 4.0
"""Seconds that the lab waits at its end for that of a training."""
COLUMNS = ("time/episodes", "time/fps", "rollout/ep_rew_mean")


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    state: "running", "stopping", "done", "stopped" or "failed"; episodes, rewards: of each row of its progress so far,
    the episodes finished and the mean reward of those since the row before; speed: steps a second; said: what it wrote
    to stderr, its last line being the error of a failed one; can_resume: whether a stopped one has a checkpoint.
    """

    name: str
    state: str
    total_episodes: int
    episodes: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    speed: float | None = None
    said: str = ""
    can_resume: bool = False


class Trainings:
    """The trainings of a lab, one at a time; a context that ends the one that is running."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._ending = ExitStack()
        self._scratch: Path | None = None
        self._current: _Training | None = None
        self._is_closed = False

    def __enter__(self) -> "Trainings":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: str, config: TrainingConfig, seed: int, *, resume: bool = False) -> None:
        """Start a training that writes a run of this name. Raises InputError while another one goes on, or for a name
        that cannot be."""
        self._workspace.new_run(name)
        with self._lock:
            if self._is_closed:
                raise InputError("the lab is ending")
            if self._current is not None and self._current.is_running:
                raise InputError(f"{self._current.name} is still being trained; stop it first, or wait for its end")
            if self._current is not None:
                self._current.end()  # it has ended; its pipe is closed
            if self._scratch is None:
                self._scratch = self._ending.enter_context(Staging()).scratch(self._workspace.root)
            self._current = _Training(self._workspace.root, self._scratch, name, config, seed, resume)

    def stop(self) -> None:
        """Stop the training that is running, as Ctrl-C does."""
        with self._lock:
            if self._current is not None:
                self._current.stop()

    def resume(self) -> None:
        """Go on with the training that was stopped, from its checkpoint. Raises InputError where there is none."""
        stopped = self._current
        if stopped is None or not stopped.progress().can_resume:
            raise InputError("there is no training that could go on")
        self.start(stopped.name, stopped.config, stopped.seed, resume=True)

    def progress(self) -> Progress | None:
        """How far the last training is, None before the first one."""
        with self._lock:
            return None if self._current is None else self._current.progress()

    def close(self) -> None:
        """End what is running, and remove what the lab has left beside the runs."""
        with self._lock:
            self._is_closed = True
            if self._current is not None:
                self._current.end()
            self._ending.close()


class _Training:
    """One process, its files, and what it has said."""

    def __init__(self, root: Path, scratch: Path, name: str, config: TrainingConfig, seed: int, resume: bool) -> None:
        self.name, self.config, self.seed = name, config, seed
        self._checkpoint = root / f"{name}{CHECKPOINT}"
        self._rows, settings = scratch / f"{name}.csv", scratch / f"{name}.json"
        if not resume:
            self._rows.unlink(missing_ok=True)
        config.to_json(settings)
        options = {"config": settings, "seed": seed, "out": name, "progress-csv": self._rows}
        if not config.learning.plans:
            options["checkpoint-every"] = CHECKPOINT_EVERY
        arguments = ["train", *(f"--{option}={value}" for option, value in options.items())]
        if resume:
            arguments.append(f"--{'resume'}")
        self._said: list[str] = []
        self._is_stopped = False
        # -P: the folder is not imported from. Data are named relative to it, so that the run can move with it.
        command = [interpreter("trainings of the lab run"), "-P", "-c", CODE]
        self._process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **OWN_GROUP,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended already, and its stderr says why
            self._process.stdin.write(json.dumps({"path": import_path(), "arguments": arguments}).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._said.append(line.decode("utf-8", "replace").rstrip())

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end."""
        if self.is_running:
            self._is_stopped = True
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """Have it end, and wait a few seconds for that; it may go on to save a large checkpoint, and ends then."""
        self.stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)

    def progress(self) -> Progress:
        """How far it is."""
        state = self._state()
        if state not in ("running", "stopping"):
            self._listener.join(1.0)  # all it has said is there then
        found = self._read_rows()
        return Progress(
            name=self.name,
            state=state,
            total_episodes=self.config.drawn_episodes,
            episodes=[int(row[0]) for row in found],
            rewards=[row[2] for row in found],
            speed=found[-1][1] if found else None,
            said="\n".join(self._said),
            can_resume=state == "stopped" and self._checkpoint.is_dir(),
        )

    def _state(self) -> str:
        status = self._process.poll()
        if status is None:
            return "stopping" if self._is_stopped else "running"
        if status == 0:
            return "done"
        return "stopped" if self._is_stopped else "failed"

    def _read_rows(self) -> list[tuple[float, float, float]]:
        """The rows of the progress that are whole."""
        try:
            text = self._rows.read_text("utf-8")
        except FileNotFoundError:
            return []
        rows: list[dict[str, Any]] = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
        return [
            (float(row[COLUMNS[0]]), float(row[COLUMNS[1]]), float(row[COLUMNS[2]]))
            for row in rows
            if all(row.get(name) for name in COLUMNS)
        ]

"""The machine, versions and source behind the figures."""

import platform
import subprocess
from pathlib import Path

from idi_fast.parallel.worker_pool import usable_cores

CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def describe_machine() -> dict:
    """Processor, usable cores, system, and the bytes of each level of data cache if Linux reports them."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "caches": _caches(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _caches() -> dict[str, int]:
    caches = {}
    for folder in sorted(CPU_CACHES.glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            caches[f"L{level}"] = int(size[:-1]) * 1024
    return caches


def peak_memory() -> int | None:
    """Peak memory of this process in bytes, including mapped pages of files; None if Linux does not report it. The
    `ru_maxrss` of `getrusage` would begin with the peak of the parent process."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


def source_commit() -> dict | None:
    """The commit of the checkout that this package runs from, and whether it was changed since; None without one.

    A package installed into an environment inside somebody's repository does not belong to that repository.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        return None
    try:
        commit, changes = (_git(root, *args) for args in (["rev-parse", "HEAD"], ["status", "--porcelain"]))
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(changes.strip())}


def _git(root: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=True)
    return done.stdout

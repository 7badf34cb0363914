"""The cache of compiled kernels: whatever becomes of its files, kernels come to the same, and it is whole again."""

import errno
import inspect
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import cli_helpers as cli
import numpy as np
import pytest

from idi_fast.errors import CacheWarning
from idi_fast.file_lock import lock
from idi_fast.kernels import _cache, _jit


def halves(numbers):
    total = numbers[0] * 0
    for number in numbers:
        total += number / 2
    return total


CALLS = (np.arange(5.0), 3.75e0 + np.arange(4)), (np.arange(5), np.arange(4) * 2)
"""Two calls for each of two signatures."""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The cache, in a folder of its own."""
    monkeypatch.setattr(_cache, "CACHE_FOLDER", tmp_path / "cache")
    monkeypatch.setattr(_cache.KernelCache, "_told", False)
    return tmp_path / "cache"


def work(signatures: tuple[int, ...] = (0, 1)) -> tuple[int, int]:
    """Call a kernel anew, as another process would; how many signatures were loaded, and how many compiled."""
    made = _jit.kernel(halves)
    for which in signatures:
        for numbers in CALLS[which]:
            assert made(numbers) == halves(numbers)
    return sum(made.stats.cache_hits.values()), sum(made.stats.cache_misses.values())


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def test_kernels_are_compiled_once(folder):
    assert work() == (0, 2)
    assert [path.suffix for path in files(folder)] == [".nbc", ".nbc", ".nbi"]
    assert work() == (2, 0)


def test_a_compilation_is_told_when_there_is_one(folder):
    told: list[int] = []
    for expected in (1, 0, 0):
        _jit.on_compilation(lambda: told.append(1))
        work()
        assert sum(told) == expected
        told.clear()


COMPILE = f"""
import sys
import numpy as np
from idi_fast.kernels import _jit

{inspect.getsource(halves)}
sys.stdin.readline()
kernel = _jit.kernel(halves)
kernel(np.arange(5.0))
print(sum(kernel.stats.cache_hits.values()))
"""


def test_of_processes_that_need_a_kernel_at_once_one_compiles_it(tmp_path):
    script = tmp_path / "compile_it.py"
    script.write_text(COMPILE)
    environment = {**os.environ, "IDI_FAST_CACHE_DIR": str(tmp_path / "cache")}
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen([sys.executable, script], env=environment, stdin=pipe, stdout=pipe, text=True)
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("begin\n")
        worker.stdin.flush()
    loaded = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    assert sorted(loaded) == [0, 1, 1]
    assert [path.suffix for path in files(tmp_path / "cache")] == [".nbc", ".nbi"]


def test_a_process_that_keeps_its_turn_is_not_waited_for_for_ever(folder, monkeypatch):
    monkeypatch.setattr(_cache, "PATIENCE", 0.1)
    place = Path(_jit.kernel(halves)._cache._turn._path)
    place.parent.mkdir(parents=True)
    with open(place, "x") as file:
        assert lock(file.fileno())
        assert work((0,)) == (0, 1)
    assert work((0,)) == (1, 0)


def test_an_interrupted_compilation_leaves_the_turn_to_the_next(folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    kernel = _jit.kernel(halves)
    with monkeypatch.context() as patch:
        patch.setattr(kernel._compiler, "compile", interrupt)
        with pytest.raises(KeyboardInterrupt):
            kernel(CALLS[0][0])
    # The lock is gone, not only free for the same kernel: others of a name wait for it as well.
    assert list(folder.rglob("*.lock")) == []
    assert kernel(CALLS[0][0]) == halves(CALLS[0][0])
    assert [path.suffix for path in files(folder)] == [".nbc", ".nbi"]


def test_kernels_of_a_factory_have_files_of_their_own(folder):
    def made(step: int):
        def stepped(n):
            return n + step

        return _jit.variant(stepped, step)

    assert [made(step)(1) for step in (1, 2)] == [2, 3]
    assert len({path.name.partition("-")[0] for path in files(folder)}) == 2


def emptied(data: bytes, draw: random.Random) -> bytes:
    return b""


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def flipped(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def lengthened(data: bytes, draw: random.Random) -> bytes:
    return data + draw.randbytes(draw.randrange(1, 100))


def unpickled(data: bytes, draw: random.Random) -> bytes:
    """What would end the process if it were unpickled."""
    return pickle.dumps(_Exits())


class _Exits:
    def __reduce__(self):
        return os._exit, (1,)


def test_a_damaged_file_is_compiled_anew(folder, tmp_path):
    work()
    whole, draw = cli.snapshot(folder), random.Random(3)
    for damage in (emptied, cut, flipped, lengthened, unpickled):
        for path in files(folder):
            for _ in range(2):
                path.write_bytes(damage(path.read_bytes(), draw))
                loaded, compiled = work()
                assert compiled == (2 if path.suffix == ".nbi" else 1)
                assert loaded + compiled == 2
                assert work() == (2, 0)
    assert cli.snapshot(folder).keys() == whole.keys()


def test_files_that_stand_in_anothers_place_are_not_taken_for_it(folder):
    work()
    one, other, index = files(folder)
    for source, target in ((one, other), (other, one), (one, index), (index, one)):
        shutil.copy(source, target)
        assert work()[1] >= 1
        assert work() == (2, 0)


def test_a_name_that_two_processes_gave_away_at_once_is_nobodys(folder):
    work((0,))
    code, index = files(folder)
    floats = code.read_bytes()
    index.unlink()
    work((1,))
    code.write_bytes(floats)  # the other process wrote its index first and its code last
    assert work((1,)) == (0, 1)
    assert work() == (1, 1)
    assert work() == (2, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name")
def test_what_is_no_file_is_replaced(folder):
    work()
    for path in files(folder):
        path.unlink()
        os.mkfifo(path)
        assert work()[1] >= 1
        assert work() == (2, 0)


@pytest.mark.parametrize("way", ["folder", "file"])
def test_what_is_in_the_way_is_worked_around_with_one_warning(way, folder):
    work()
    index = files(folder)[-1]
    if way == "folder":
        index.unlink()
        index.mkdir()
    else:
        shutil.rmtree(index.parent)
        index.parent.write_bytes(b"")
    with pytest.warns(CacheWarning, match="cannot keep a compiled kernel in .*; the next run compiles it anew") as said:
        assert work() == (0, 2)
    assert len(said) == 1


def doubled(numbers):
    return numbers[0] * 2


def test_what_is_in_the_way_of_one_kernel_is_in_no_others(folder):
    work()
    index = files(folder)[-1]
    index.unlink()
    index.mkdir()
    with pytest.warns(CacheWarning, match=re.escape(f"in {index}: ")):
        work()
    for misses in (1, 0):
        made = _jit.kernel(doubled)
        assert made(CALLS[0][0]) == 0
        assert sum(made.stats.cache_misses.values()) == misses


def test_a_full_disk_is_worked_around_with_one_warning(folder, monkeypatch):
    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(CacheWarning, match="No space left on device") as said:
        assert work() == (0, 2)
    assert len(said) == 1
    assert files(folder) == []


def test_kernels_of_another_version_are_compiled_anew(folder, monkeypatch):
    work()
    monkeypatch.setattr(_cache.llvmlite, "__version__", "0.0")
    assert work() == (0, 2)
    assert work() == (2, 0)


def test_where_nothing_can_be_written_a_run_says_so_once_and_works(tmp_path):
    (tmp_path / "cache").write_bytes(b"")
    env = {"IDI_FAST_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "none"), "NUMBA_DISABLE_JIT": "0"}
    code = "import tempfile; tempfile.gettempdir = lambda: '/proc/none'\n" + cli.MAIN
    # Of all commands the one that compiles the fewest kernels.
    bars = "simulate", "--bars", 50, "--out"
    status, stdout, stderr = cli.finish(cli.start(*bars, tmp_path / "a.csv", env=env, code=code))
    assert (status, bool(stdout), stderr.count("\n")) == (0, True, 1)
    cli.assert_mentions(stderr, "warning: cannot write to", "every run compiles them anew", "IDI_FAST_CACHE_DIR")
    cli.succeed(*bars, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_without_a_home_kernels_go_to_a_temporary_folder_of_the_users_own(tmp_path, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("IDI_FAST_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    monkeypatch.setattr(_cache.tempfile, "tempdir", str(tmp_path))
    with pytest.warns(CacheWarning, match="there is no home folder .* are kept in") as said:
        folder = _cache._cache_folder()
    assert (len(said), folder.name) == (1, _cache.NAME)
    if os.name == "posix":
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        # Whoever can write there can have anything run.
        folder.parent.chmod(0o777)
        with pytest.warns(CacheWarning, match="are not kept"):
            assert _cache._cache_folder() is None


def test_a_warm_cache_that_is_read_only_is_used(folder, monkeypatch):
    work()
    monkeypatch.setattr(_cache, "_user_cache_root", lambda: folder)
    (folder / _cache.NAME).mkdir()
    for path in files(folder):
        shutil.copy(path, folder / _cache.NAME)
    monkeypatch.setattr(_cache, "_writable", lambda folder: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _cache._cache_folder() == folder / _cache.NAME

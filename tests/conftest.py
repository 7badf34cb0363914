"""One Hypothesis profile for all tests, and the fixtures of the command line."""

import os
from importlib.util import find_spec
from pathlib import Path

import cli_helpers
import pytest
from examples import examples
from hypothesis import settings

from idi_fast.parallel.worker_pool import usable_cores

SLOWEST = (
    "test_readme",
    "test_bench",
    "test_campaign",
    "test_signatures",
    "test_tau_run",
    "test_evidence_limits",
    "test_signals",
    "test_checkpoint",
    "test_cli_process",
    "test_evidence_tampering",
    "test_evidence_workflow",
    "test_report_browser",
    "test_lab_browser",
    "test_trainings",
    "test_releases",
    "test_warmup",
    "test_kills",
    "test_kernel_cache",
    "test_checkpoint_command",
    "test_lookahead",
    "test_evidence_provers",
    "test_sweep_command",
    "test_evidence_forgeries",
    "test_zk_forgeries",
    "test_tau_fix",
    "test_zk",
    "test_kernels_methods",
    "test_layers",
    "test_reader",
    "test_kernels_kpis",
    "test_kernels_features",
    "test_symbols",
    "test_storage",
    "test_cli_outputs",
)
"""Files of tests, which stay in one process each, in the order of their time: begun last, one would be waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files."""
    places = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores, for many tests wait: for processes, a browser, a disk."""
    return usable_cores() + 1


pytest_plugins = ["evidence_runs", "layer_plans"]

# No deadline: the first call of a kernel compiles it. In CI the examples are the same in every run.
settings.register_profile(
    "idi-fast", deadline=None, derandomize="CI" in os.environ, max_examples=examples(settings.default.max_examples)
)
settings.load_profile("idi-fast")


@pytest.fixture(scope="session", autouse=True)
def quick_disk():
    """Nothing that this process writes waits for the disk: what a crash leaves is tested in processes of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


ROOT = Path(__file__).parents[1]
SOURCES = {"": ROOT / "idi_fast", "kernels": ROOT / "kernels", "cli": ROOT / "cli", "bench": ROOT / "bench"}


def pytest_configure() -> None:
    """Name a module that is newer than the editable install, which is a tree of links to those that there were."""
    found = find_spec("idi_fast.kernels")
    installed = Path(found.origin).parents[1] if found is not None and found.origin else ROOT
    if not installed.is_relative_to(ROOT / "build"):
        return
    for folder, source in SOURCES.items():
        for file in source.rglob("*.py"):
            if not (installed / folder / file.relative_to(source)).exists():
                raise pytest.UsageError(f"{file} is not installed yet; run: pip install -e '.[dev,report]'")


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch) -> Path:
    """A state folder of each test's own, so that none sees to what another has killed."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("IDI_FAST_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def readers(monkeypatch):
    """The pool of readers: none runs before the test, none after it."""
    from idi_fast.storage.reader import client  # here, for a test may want to see the package imported

    pool = client._Pool()
    monkeypatch.setattr(client, "_pool", pool)
    yield pool
    pool.end()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with price histories and an agent of each kind."""
    return cli_helpers.make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(params=["small", "large"])
def any_size(request, monkeypatch):
    """Price histories are read as files of either size are, which takes one library or another."""
    from idi_fast.data import bar_files

    if request.param == "large":
        monkeypatch.setattr(bar_files, "SMALL_BYTES", -1)


@pytest.fixture
def old(world, tmp_path) -> Path:
    """An earlier artifact, alone in its folder."""
    return cli_helpers.copy_of(world / "agent", tmp_path / "old")


@pytest.fixture
def small_bench(monkeypatch):
    """A benchmark of a moment: the smallest sizes, one kind of training run, and no compiling into an empty cache."""
    # Here, not above: it imports the whole package, which a test may want to see imported.
    from dataclasses import replace

    from idi_fast.bench import suites, training
    from idi_fast.bench.sizes import Sizes

    kinds = training.kinds
    monkeypatch.setattr(training, "kinds", lambda sizes: kinds(sizes)[:1])
    monkeypatch.setattr(suites, "Sizes", lambda: replace(Sizes.smallest(), lanes=2))
    monkeypatch.setattr(suites, "compile_seconds", lambda names: {})


@pytest.fixture
def no_compiler(monkeypatch):
    """A benchmark builds no C yardsticks, which takes it most of its time where nothing else is long."""
    from idi_fast.bench import yardsticks

    monkeypatch.setattr(yardsticks, "COMPILERS", ())

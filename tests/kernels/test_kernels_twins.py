"""Every kernel has its oracle."""

import importlib
import inspect
import pkgutil

import pytest

import idi_fast.kernels

MODULES = [name for _, name, _ in pkgutil.iter_modules(idi_fast.kernels.__path__) if not name.startswith("_")]


def kernel_names(module) -> list[str]:
    """The kernels defined in a module (not those it imports), with or without their compiled form."""
    functions = {name: getattr(value, "py_func", value) for name, value in vars(module).items()}
    return [
        name
        for name, function in functions.items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    ]


def test_the_kernel_modules_are_found():
    assert {"rng", "learn", "features", "backtest"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_kernel_has_a_twin_of_its_name(name):
    kernels = kernel_names(importlib.import_module(f"idi_fast.kernels.{name}"))
    twins = importlib.import_module(f"oracle.{name}")
    assert kernels, "no kernels found: the search is broken"
    missing = [kernel for kernel in kernels if not inspect.isfunction(getattr(twins, kernel, None))]
    assert missing == []
    assert all(getattr(twins, kernel).__module__ == twins.__name__ for kernel in kernels)


def test_oracles_import_nothing_of_the_package():
    for _, name, _ in pkgutil.iter_modules(importlib.import_module("oracle").__path__):
        source = inspect.getsource(importlib.import_module(f"oracle.{name}"))
        imports = [line for line in source.splitlines() if line.lstrip().startswith(("import ", "from "))]
        assert not [line for line in imports if "idi_fast" in line or "numba" in line], name

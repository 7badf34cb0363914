"""Tau specifications: read, built, printed, checked, and run as the interpreter runs them.

>>> from idi_fast.tau import parse_spec, simulate
>>> spec = parse_spec('i1:sbf := in file("a.in").  o1:sbf := out file("a.out").  (o1[t] = i1[t])')
>>> simulate(spec, {"a.in": "1\\n0\\n1\\n"}).values["o1"]
array([1, 0, 1], dtype=uint8)

Inside, `formula` has the terms, `parsing` and `clauses` read them, `spec` has whole specifications, `model` what their
clauses define, `simulation` runs them; `check*` finds faults, `fix` corrects them, `run` calls the interpreter.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idi_fast.tau.check import check_folder
    from idi_fast.tau.check_findings import Finding, Report
    from idi_fast.tau.contract import Contract, find_contract, read_contract
    from idi_fast.tau.declarations import Declaration
    from idi_fast.tau.export import export_streams
    from idi_fast.tau.fix import Fixed, fix_folder
    from idi_fast.tau.formula import Clause, NotModelled, SpecError
    from idi_fast.tau.run import Run, run_folder
    from idi_fast.tau.simulation import Simulation, Stop, simulate, simulate_folder
    from idi_fast.tau.spec import Spec, anchored, load_spec, parse_spec
    from idi_fast.tau.spec_folder import write_spec

_HOMES = {
    "check": ("check_folder",),
    "check_findings": ("Finding", "Report"),
    "contract": ("Contract", "find_contract", "read_contract"),
    "declarations": ("Declaration",),
    "export": ("export_streams",),
    "fix": ("Fixed", "fix_folder"),
    "formula": ("Clause", "NotModelled", "SpecError"),
    "run": ("Run", "run_folder"),
    "simulation": ("Simulation", "Stop", "simulate", "simulate_folder"),
    "spec": ("Spec", "anchored", "load_spec", "parse_spec"),
    "spec_folder": ("write_spec",),
}
"""Where each public name is."""
_MODULES = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "Clause",
    "Contract",
    "Declaration",
    "Finding",
    "Fixed",
    "NotModelled",
    "Report",
    "Run",
    "Simulation",
    "Spec",
    "SpecError",
    "Stop",
    "anchored",
    "check_folder",
    "export_streams",
    "find_contract",
    "fix_folder",
    "load_spec",
    "parse_spec",
    "read_contract",
    "run_folder",
    "simulate",
    "simulate_folder",
    "write_spec",
]


def __getattr__(name: str):
    # Loaded on first use: reading a specification needs no kernels.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

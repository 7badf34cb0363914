"""Fixing a specification's clauses: a mirror of every input, and no free first values."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from posixpath import normpath

from idi_fast.tau.declarations import Declaration
from idi_fast.tau.formula import At, Clause, NotModelled, fold, largest, shifted
from idi_fast.tau.model import Model
from idi_fast.tau.parts import Unsatisfiable, as_term, least
from idi_fast.tau.solving import Solver
from idi_fast.tau.spec import Spec, anchored


@lru_cache(maxsize=8)
def fix_spec(spec: Spec) -> Spec:
    """The same clauses with a mirror of every used input and fixed first values: all inputs are read in step from 0 on.

    Values before time 0 are 0, except first values that the clauses for fixed indices determine. Existing clauses stay.
    An input that no clause uses is left alone. Raises NotModelled if the clauses do not define their outputs,
    Unsatisfiable if nothing satisfies them, or would with the first values fixed.
    """
    Model.of(spec)
    mirrored = _mirrored(spec)
    plain = _equations(mirrored)
    added = anchored(plain).clauses[len(plain.clauses) :]
    fixed = _with_first(mirrored, added)
    try:
        Model.of(fixed)
    except Unsatisfiable:
        # If a first value is a constant, its clauses no longer share outputs, and hold from other times.
        fixed = mirrored
        for clause in added:
            fixed = _with_first(fixed, [clause])
        Model.of(fixed)
    return fixed


def corrected(spec: Spec) -> tuple[Spec, str]:
    """The result of `fix_spec`, or the specification itself if that is not modelled; and why neither may be written.

    The latter is empty unless the interpreter would not start the result.
    """
    try:
        return fix_spec(spec), ""
    except NotModelled:
        return spec, ""
    except Unsatisfiable as error:
        why = f"the interpreter would not start it; {error}"
    try:
        Model.of(spec)
    except Unsatisfiable:
        return spec, why
    return spec, f"with its first values fixed {why}"


def _mirrored(spec: Spec) -> Spec:
    taken = {*spec.streams}
    paths = {normpath(stream.path) for stream in spec.streams.values()}
    used = {value.name for value in spec.values}
    for name in [s.name for s in spec.inputs if s.name in used and not _is_mirrored(spec, s.name)]:
        stem = name.removeprefix("i_") if name != "i_" else name
        mirror = _free(f"o_mirror_{stem}", taken)
        taken.add(mirror)
        folder = os.path.dirname(spec.outputs[0].path) if spec.outputs else "outputs"
        path = _free(os.path.join(folder, f"mirror_{stem}"), paths, ".out")
        paths.add(normpath(path))
        stream = Declaration(mirror, path, spec.streams[name].width)
        spec = replace(spec, outputs=(*spec.outputs, stream), clauses=(*spec.clauses, Clause(At(mirror), At(name))))
    return spec


def _is_mirrored(spec: Spec, name: str) -> bool:
    """Whether some output equals the input, perhaps delayed, at every time at which it is defined."""
    fixed = [clause for clause in spec.clauses if clause.target.index is not None]
    for clause in spec.clauses:
        term, mirror = clause.term, clause.target
        if mirror.index is None and isinstance(term, At) and term.name == name:
            first = [c for c in fixed if c.target.name == mirror.name and c.target.time >= term.lookback]
            if all(c.term == shifted(term, c.target.time) for c in first):
                return True
    return False


def _free(name: str, taken: set[str], end: str = "") -> str:
    free, n = f"{name}{end}", 2
    while normpath(free) in taken or free in taken:
        free, n = f"{name}_{n}{end}", n + 1
    return free


def _equations(spec: Spec) -> Spec:
    """The specification with an equation for each output that other formulas constrain: first values are derived from
    it."""
    if spec.lookback == 0 or not any(clause.text for clause in spec.clauses):
        return spec
    model = Model.of(spec)
    runner = model.runner()
    explicit = runner.explicit() if isinstance(runner, Solver) else (clause for clause in model.clauses if clause.text)
    there = {clause.target: Clause(clause.target, clause.term) for clause in explicit}
    clauses = [clause for clause in spec.clauses if not clause.text and clause.target not in there]
    return replace(spec, clauses=(*clauses, *there.values()))


def _with_first(spec: Spec, added: Sequence[Clause]) -> Spec:
    """The specification with first values, changed where its clauses require another one."""
    model = Model.of(spec)
    order = {clause.target.name: place for place, clause in enumerate(model.clauses)}
    clauses = []
    for clause in added:
        target, term, width = clause.target, clause.term, spec.streams[clause.target.name].width
        mask = largest(width)
        for wanted in model.choices.wanted(target, lambda value: order.get(value.name, -1)):
            term = least(as_term(fold(wanted(term), lambda value: None, mask), mask, width), width, mask)
        clauses.append(replace(clause, term=term))
    return replace(spec, clauses=(*spec.clauses, *clauses))

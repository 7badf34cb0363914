"""Contracts: the streams and equations of an agent's specification, declared once as data.

The specification, its simulation and the README of a folder are all derived from one declaration. The built-in agents
are files of this package, in the same form as users' own (docs/TAU.md). Equations are Tau's terms over plain names of
streams; in the specification an input is called ``i_name`` and an output ``o_name``.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from idi_fast.agents.streams import CONTRACT_FILES
from idi_fast.config.arguments import check_path
from idi_fast.config.block import REQUIRED, Block, SettingError, setting
from idi_fast.errors import ConfigError, InputError, nearest
from idi_fast.storage.json_files import read_json
from idi_fast.tau.declarations import Declaration, typed
from idi_fast.tau.formula import At, Chain, Clause, Not, NotModelled, SpecError, Term, type_name, values_of
from idi_fast.tau.model import Model
from idi_fast.tau.parsing import WORDS, Parser, parse_term
from idi_fast.tau.spec import Spec, anchored

EMOTES = "q_emote_"
"""Prefix of the inputs that say what the agent communicates."""

WIDEST = 32
"""The most bits of a stream: those of a trace's values."""

MIRROR = "mirror_"
"""Prefix of the name of an input's mirror."""

NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
PREFIX = re.compile(r"\w*", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Input(Block):
    """A stream that is read."""

    name: str = setting(REQUIRED, "What equations call it.")
    type: str = setting("sbf", "Its Tau type: sbf, or bv[1] to bv[32].")
    meaning: str = setting("", "What its values say, in a line of ASCII.")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Output(Block):
    """A stream that is written."""

    name: str = setting(REQUIRED, "What equations call it.")
    equation: str = setting(REQUIRED, "Its value at t: a term over values of streams at t and before.")
    type: str = setting("sbf", "Its Tau type: sbf, or bv[1] to bv[32].")
    meaning: str = setting("", "What its values say, in a line of ASCII.")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Guarantee(Block):
    """Something that never happens, for any inputs."""

    never: str = setting(REQUIRED, "A term of type sbf that is 0 at every t.")
    meaning: str = setting(REQUIRED, "What that guarantees, in a line of ASCII.")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Contract(Block):
    """An agent's streams and equations. All values before the first tick are 0.

    Raises SettingError, SpecError or NotModelled, which name the key: for names that Tau does not accept or that occur
    twice, undeclared streams in an equation, types that do not fit, outputs that are defined by one another.
    """

    name: str = setting(REQUIRED, "What the agent is called, in a line of ASCII.", minLength=1)
    meaning: str = setting("", "What it does, in a line of ASCII.")
    inputs: tuple[Input, ...] = setting(REQUIRED, "The streams that it reads.", minItems=1)
    outputs: tuple[Output, ...] = setting(REQUIRED, "The streams that it writes.", minItems=1)
    guarantees: tuple[Guarantee, ...] = setting((), "What never happens.")

    @property
    def types(self) -> dict[str, str]:
        """The Tau type of each input, in their order."""
        return {stream.name: type_name(width_of(stream.type)) for stream in self.inputs}

    @property
    def mirrors(self) -> tuple[Output, ...]:
        """The outputs that make the interpreter read every input at every tick, in the order of the inputs."""
        return tuple(
            Output(name=MIRROR + i.name, equation=f"{i.name}[t]", type=i.type, meaning=f"{i.name}, as it was read")
            for i in self.inputs
        )

    def specification(self, prefix: str = "") -> Spec:
        """What the interpreter runs: the equations, a mirror of every input, and all of it at time 0.

        prefix: inserted before every name, after its ``i_`` or ``o_``; the files are ``inputs/name.in`` and
        ``outputs/name.out``, also with the prefix. Raises InputError for a prefix that names cannot begin with.
        """
        return self._specification((*self.outputs, *self.mirrors), prefix)

    def guarded(self, prefix: str = "") -> Spec:
        """The same with an output ``o_0``, ``o_1``, … for each guarantee, 1 where it is broken; prefix as above."""
        nevers = [Output(name=str(number), equation=each.never) for number, each in enumerate(self.guarantees)]
        return self._specification((*self.outputs, *self.mirrors, *nevers), prefix)

    def _specification(self, outputs: tuple[Output, ...], prefix: str) -> Spec:
        if not PREFIX.fullmatch(prefix):
            raise InputError(f"found the prefix {prefix!r}; expected letters of ASCII, digits or _")
        names = {stream.name: _declaration(stream, prefix).name for stream in (*self.inputs, *outputs)}
        clauses = [Clause(At(names[output.name]), _term(output, names)) for output in outputs]
        read, written = (
            tuple(_declaration(stream, prefix) for stream in streams) for streams in (self.inputs, outputs)
        )
        return anchored(Spec(read, written, tuple(clauses)))

    def without_emotes(self) -> "Contract":
        """The contract without its emote inputs, the outputs that need them, and the guarantees about these.

        Raises InputError if it has none, or if nothing is left.
        """
        gone = {stream.name for stream in self.inputs if stream.name.startswith(EMOTES)}
        if not gone:
            raise InputError(f"the contract {self.name!r} reads no emotes: no input's name begins with {EMOTES}")
        while needing := {o.name for o in self.outputs if o.name not in gone and gone & _used(o.equation)}:
            gone |= needing
        inputs, outputs = (tuple(s for s in streams if s.name not in gone) for streams in (self.inputs, self.outputs))
        if not inputs or not outputs:
            raise InputError(f"without emotes nothing is left of the {'out' if inputs else 'in'}puts of {self.name!r}")
        guarantees = tuple(each for each in self.guarantees if not gone & _used(each.never))
        return replace(self, inputs=inputs, outputs=outputs, guarantees=guarantees)

    def _cross_check(self) -> None:
        streams: dict[str, Input | Output] = {f"inputs[{k}]": stream for k, stream in enumerate(self.inputs)}
        streams |= {f"outputs[{k}]": stream for k, stream in enumerate(self.outputs)}
        _check_names(streams, self.mirrors)
        lines = {"name": self.name, "meaning": self.meaning}
        lines |= {f"{key}.meaning": stream.meaning for key, stream in streams.items()}
        lines |= {f"guarantees[{number}].meaning": each.meaning for number, each in enumerate(self.guarantees)}
        for key, text in lines.items():
            if not text.isascii() or not text.isprintable():
                raise SettingError(key, f"is {text!r}; expected a line of printable ASCII")
        declared: dict[str, Declaration] = {}
        for key, stream in streams.items():
            with _at(f"{key}.type"):
                declared[stream.name] = _declaration(stream, "")
        checked = {f"outputs[{k}].equation": output for k, output in enumerate(self.outputs)}
        for number, each in enumerate(self.guarantees):
            checked[f"guarantees[{number}].never"] = output = Output(name=str(number), equation=each.never)
            declared[output.name] = _declaration(output, "")
        names = {name: declaration.name for name, declaration in declared.items()}
        for key, output in checked.items():
            with _at(key):
                typed(Clause(At(names[output.name]), _term(output, names)), {d.name: d for d in declared.values()})
        with _at("outputs"):
            self._refuse_circles(names)
            Model.of(self.guarded())

    def _refuse_circles(self, names: Mapping[str, str]) -> None:
        """Raise NotModelled for outputs that need one another at one time: the interpreter would choose a solution, and
        a contract must determine its outputs."""
        outputs = {output.name for output in self.outputs}
        graph = {
            output.name: [value.name for value in values_of(parse_term(output.equation)) if value.lookback == 0]
            for output in self.outputs
        }
        try:
            TopologicalSorter({name: outputs.intersection(needed) for name, needed in graph.items()}).prepare()
        except CycleError as error:
            around = ", ".join(f"{names[name]}[t]" for name in error.args[1])
            raise NotModelled(f"outputs that are defined by one another: {around}; expected no circle") from None


@contextmanager
def _at(key: str) -> Iterator[None]:
    """Name the key of the contract, and the place in its text, in errors."""
    try:
        yield
    except (SpecError, NotModelled) as error:
        where = "" if error.offset is None else f", column {error.offset + 1}"
        raise type(error)(f"{key}{where}: {error.reason or error}") from None


def _check_names(streams: Mapping[str, Input | Output], mirrors: tuple[Output, ...]) -> None:
    taken = {stream.name.lower(): f"the mirror of inputs[{number}]" for number, stream in enumerate(mirrors)}
    for key, stream in streams.items():
        if not NAME.fullmatch(stream.name) or stream.name in WORDS:
            why = ", a word of Tau" if stream.name in WORDS else ""
            raise SettingError(
                f"{key}.name", f"is {stream.name!r}{why}; expected letters of ASCII, digits or _, a digit not first"
            )
        # Files are named after streams, and some disks ignore case.
        if (other := taken.setdefault(stream.name.lower(), key)) != key:
            raise SettingError(f"{key}.name", f"is {stream.name!r}, the name of {other} too, but perhaps for case")


def width_of(kind: str) -> int | None:
    """The bits of a type ``bv[n]``, None for ``sbf``. Raises SpecError, NotModelled for another text."""
    parser = Parser(kind, "the type")
    first, width = parser.next, parser.type()
    if width and width > WIDEST:
        parser.fail(f"found {type_name(width)}; expected 1 to {WIDEST} bits", first, NotModelled)
    parser.end()
    return width


def _declaration(stream: Input | Output, prefix: str) -> Declaration:
    letter, end = ("i", "in") if isinstance(stream, Input) else ("o", "out")
    name = prefix + stream.name
    return Declaration(f"{letter}_{name}", f"{end}puts/{name}.{end}", width_of(stream.type), stream.meaning)


def _term(output: Output, names: Mapping[str, str]) -> Term:
    """An output's equation over the names of a specification."""
    term = parse_term(output.equation, names)
    for value in values_of(term):
        if value.index is not None:
            raise NotModelled(f"found {value}; expected {value.name}[t] or {value.name}[t-k]: before time 0 all is 0")
    return _renamed(term, names)


def _renamed(term: Term, names: Mapping[str, str]) -> Term:
    if isinstance(term, At):
        return replace(term, name=names[term.name])
    if isinstance(term, Not):
        return Not(_renamed(term.term, names))
    return type(term)(tuple(_renamed(part, names) for part in term.terms)) if isinstance(term, Chain) else term


def _used(equation: str) -> set[str]:
    return {value.name for value in values_of(parse_term(equation))}


@cache
def agent(name: str) -> Contract:
    """A built-in contract, "v38" or "layered"."""
    return read_contract(CONTRACT_FILES[name])


def read_contract(path: str | os.PathLike[str]) -> Contract:
    """Read the contract in a JSON file.

    Parameters
    ----------
    path
        Of the file, see docs/TAU.md.

    Returns
    -------
    Contract

    Raises
    ------
    ConfigError
        By file and key.
    """
    tree = read_json(path)
    try:
        return Contract.from_dict(tree)
    except (SettingError, SpecError, NotModelled) as error:
        raise ConfigError(f"{path}: {error}") from None


def find_contract(kind: str | Path, others: Collection[str] = ()) -> Contract:
    """The contract that a kind names.

    Parameters
    ----------
    kind
        "v38", "layered", or the path of a file, which has a folder or ``.json`` in it.
    others
        Names that are good besides, for messages.

    Returns
    -------
    Contract

    Raises
    ------
    ConfigError
        For a file that is none.
    InputError
        For an unknown name.

    Examples
    --------
    >>> from idi_fast.tau import find_contract
    >>> find_contract("v38").types["price"]
    'sbf'
    """
    kind = kind if isinstance(kind, Path) else str(check_path("kind", kind))
    if kind in CONTRACT_FILES:
        return agent(kind)
    if isinstance(kind, Path) or kind.endswith(".json") or os.path.dirname(kind):
        return read_contract(kind)
    known = [*CONTRACT_FILES, *others]
    raise InputError(f"no kind {kind!r}; expected {', '.join(known)} or a FILE.json.{nearest(kind, known)}")

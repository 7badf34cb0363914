"""A block of settings: declared fields, checked values, JSON in and out, overrides, JSON Schema.

`idi_fast.config.settings` declares the blocks. The type hint, default, bounds and description of each field are the
only source: validation, conversion, overrides and schema all read them, so they cannot disagree.

``python -m idi_fast.config.block > idi_fast/schemas/config.schema.json`` rewrites the schema.
"""

import contextlib
import dataclasses
import json
import math
import operator
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeGuard, TypeVar, Union, get_args, get_origin

from idi_fast.errors import ConfigError, nearest
from idi_fast.storage.json_files import json_text

REQUIRED: Any = dataclasses.MISSING
FIRST_FORMAT = 1
"""Of configs; settings that a later one adds are left out of fingerprints and artifacts while at their default."""

NO_NUL = r"^[^\u0000]*$"
"""Pattern of a path in JSON Schema."""
ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
SPLIT = ISO_DATE + r"|^([1-9][0-9]?([.][0-9]{1,4})?|0[.][0-9]{1,4})%$"
SNAKE_CASE = r"^[a-z][a-z0-9_]{0,39}(?!\n)$"
"""Pattern of a name that is a column's as well; Python's $ matches before a newline too."""
_PATTERNS = {
    NO_NUL: " without null characters",
    SPLIT: ", a time as 2020-01-01 or a share above 0% and below 100% as 70%",
    SNAKE_CASE: " of 1 to 40 lower-case letters, digits and underscores, a letter first",
}
_BOUNDS = {
    "minimum": (">=", operator.ge),
    "exclusiveMinimum": (">", operator.gt),
    "maximum": ("<=", operator.le),
    "exclusiveMaximum": ("<", operator.lt),
}
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_NOUNS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
_INTEGER_KEY = "0|-?[1-9][0-9]{0,17}"  # one spelling a number, and no more than 64 bits

AnyBlock = TypeVar("AnyBlock", bound="Block")


class SettingError(ConfigError):
    """A refused setting.

    key: its path from the refusing block; problem: what is wrong; others: the keys it conflicts with.
    """

    def __init__(self, key: str, problem: str, *others: str) -> None:
        super().__init__(key, problem, *others)
        self.key, self.problem, self.others = key, problem, others

    def __str__(self) -> str:
        return f"{self.key} {self.problem}"

    def within(self, block: str) -> Self:
        """The same error, seen from the block above."""
        return type(self)(f"{block}.{self.key}", self.problem, *(f"{block}.{key}" for key in self.others))


class FrozenMapping(Mapping):
    """An immutable, hashable mapping, sorted by key; unlike a mappingproxy it pickles and copies."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping) -> None:
        self._entries = dict(sorted(entries.items()))

    def __getitem__(self, key: Any) -> Any:
        return self._entries[key]

    def __iter__(self) -> Iterator:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(tuple(self._entries.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._entries!r})"


def setting(
    default: Any, doc: str, *, since: int = FIRST_FORMAT, derive: Callable[[Any], Any] | None = None, **limits: Any
) -> Any:
    """Declare one field of a block: its default (a value, a block's class or `REQUIRED`), meaning and bounds.

    `limits` go by their names in JSON Schema; those of a list, but for ``minItems``, hold for each entry.
    `derive` works out from the block's other fields what a default of None stands for.
    `since` is the format that added the field. One newer than `FIRST_FORMAT` changes no earlier fingerprint, as long as
    its default is never changed (see `Block.canonical`).
    """
    metadata = {"doc": doc, "since": since, "derive": derive, "limits": limits}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Block:
    """Base of the frozen dataclasses of the config: every value is checked, however it arrives."""

    __slots__ = ()
    if TYPE_CHECKING:  # each subclass is a dataclass
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    _ignored: ClassVar[tuple[str, ...]] = ()
    """Keys that may stand in a mapping besides, with a text that means nothing here."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _accept(field.type, field.metadata["limits"], getattr(self, field.name), field.name)
            object.__setattr__(self, field.name, value)
        for field in fields(self):
            if field.metadata["derive"] and getattr(self, field.name) is None:
                object.__setattr__(self, field.name, field.metadata["derive"](self))
        self._cross_check()

    def __repr__(self) -> str:
        """What differs from the defaults, as Python would make it."""
        pairs = ((field, getattr(self, field.name)) for field in fields(self))
        given = [f"{field.name}={value!r}" for field, value in pairs if value != _default(field, self)]
        return f"{type(self).__name__}({', '.join(given)})"

    def _cross_check(self) -> None:
        """Raise SettingError for fields that are valid alone but not together."""

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Self:
        """Build the block from plain values; an absent key takes its default, an unknown one is refused.

        overrides: values by dotted key, merged with the others before the check.
        """
        if overrides:
            from idi_fast.config.draft import Draft  # not above: the draft imports this module

            return Draft(cls, mapping).override(overrides).build()
        if not isinstance(mapping, Mapping):
            raise SettingError("the top level", f"is {shown(mapping)}; expected an object")
        for key in cls._ignored:
            if key in mapping:
                _accept(str, {}, mapping[key], key)
        mapping = {key: value for key, value in mapping.items() if key not in cls._ignored}
        for key in mapping:
            field_named(cls, key)
        for field in fields(cls):
            if _is_required(field) and field.name not in mapping:
                wanted = expected(field.type, field.metadata["limits"])
                raise SettingError(field.name, f"is missing; expected {wanted}")
        return cls(**mapping)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, nested, in the types of JSON."""
        return {field.name: _plain(getattr(self, field.name), Block.to_dict) for field in fields(self)}

    def canonical(self) -> dict[str, Any]:
        """Return what a fingerprint is taken of, nested, in the types of JSON: the same for equal blocks for ever.

        Fields newer than `FIRST_FORMAT` are left out at their default, so that adding one changes no earlier value.
        """
        named = [field.name for field in fields(self) if not self._is_new_default(field)]
        return {name: _plain(getattr(self, name), Block.canonical) for name in named}

    def _is_new_default(self, field: dataclasses.Field) -> bool:
        if field.metadata["since"] == FIRST_FORMAT or _is_required(field):
            return False
        factory: Any = field.default_factory
        default = field.default if factory is REQUIRED else factory()
        if field.metadata["derive"] and default is None:
            default = field.metadata["derive"](self)
        return getattr(self, field.name) == default


def is_block(kind: Any) -> TypeGuard[type[Block]]:
    """Whether a type hint is that of a block."""
    return isinstance(kind, type) and is_dataclass(kind)


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a type hint without None allows: of a union, one of a list and one of anything else."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def block_in(hint: Any) -> type[Block] | None:
    """The block that a type hint allows besides None and lists."""
    return next(filter(is_block, alternatives(without_none(hint)[0])), None)


def entry_of(hint: Any) -> type[Block] | None:
    """The block of which a type hint allows a list."""
    lists = (one for one in alternatives(without_none(hint)[0]) if get_origin(one) is tuple)
    return next((get_args(one)[0] for one in lists if is_block(get_args(one)[0])), None)


def _chosen(kind: Any, value: Any) -> Any:
    """Of the alternatives of a type hint that which a value is to be of."""
    origin = tuple if isinstance(value, list | tuple) else Literal if isinstance(value, str) else None
    return next((one for one in alternatives(kind) if get_origin(one) is origin), alternatives(kind)[0])


def expected(hint: Any, limits: Mapping[str, Any]) -> str:
    """Say what a field of this type hint and these bounds accepts, for an error message."""
    kind, nullable = without_none(hint)
    if len(alternatives(kind)) > 1:
        text = ", or ".join(expected(one, limits) for one in alternatives(kind))
    elif is_block(kind):
        text = f"an object ({kind.__name__})"
    elif get_origin(kind) is Literal:
        choices = get_args(kind)
        text = ("one of " if len(choices) > 1 else "") + ", ".join(map(repr, choices))
    elif get_origin(kind) is tuple:
        noun = "a non-empty list" if "minItems" in limits else "a list"
        text = f"{noun}, each entry {expected(get_args(kind)[0], limits)}"
    elif get_origin(kind) is Mapping:
        text = "an object of integer keys and texts"
    else:
        signs = [f"{sign} {limits[name]}" for name, (sign, _) in _BOUNDS.items() if name in limits]
        adjective = "non-empty " if "minLength" in limits else ""
        noun = "a finite number" if kind is float and not signs else _NOUNS[kind]
        text = " ".join([adjective + noun, " and ".join(signs)]).rstrip()
        text += _PATTERNS.get(limits.get("pattern", ""), "")
    return f"{text} or null" if nullable else text


def _accept(hint: Any, limits: Mapping[str, Any], value: Any, key: str) -> Any:
    """Return the value as the config stores it, or raise SettingError under this key."""
    kind, nullable = without_none(hint)
    kind = _chosen(kind, value)
    origin = get_origin(kind)
    if value is None and nullable:
        return None
    if is_block(kind):
        if isinstance(value, kind):
            return value
        if isinstance(value, Mapping):
            try:
                return kind.from_dict(value)
            except SettingError as error:
                raise error.within(key) from None
    elif origin is Literal:
        if type(value) is str and value in get_args(kind):
            return value
        guess = nearest(value, get_args(kind)) if isinstance(value, str) else ""
        stop = "." if guess else ""
        raise SettingError(key, f"is {shown(value)}; expected {expected(hint, limits)}{stop}{guess}")
    elif origin is tuple:
        if isinstance(value, list | tuple) and len(value) >= limits.get("minItems", 0):
            entry = get_args(kind)[0]
            return tuple(_accept(entry, limits, item, f"{key}[{i}]") for i, item in enumerate(value))
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return _accept_mapping(value, key)
    elif (scalar := _scalar(kind, value)) is not None and _within(scalar, limits):
        return scalar
    unfit = _unfit(value) if type(value) is kind else ""
    raise SettingError(key, f"is {shown(value)}; expected {expected(hint, limits)}{unfit}")


def _accept_mapping(value: Mapping, key: str) -> FrozenMapping:
    entries: dict[int, str] = {}
    for name, text in value.items():
        number = int(name) if isinstance(name, str) and re.fullmatch(_INTEGER_KEY, name) else name
        if type(number) is not int or abs(number) >= 10**18:
            raise SettingError(key, f"has the key {shown(name)}; expected integers as keys")
        if number in entries:
            raise SettingError(key, f"has the key {number} twice, as a number and as text; expected it once")
        entries[number] = _accept(str, {}, text, f"{key}.{number}")
    return FrozenMapping(entries)


def _scalar(kind: type, value: Any) -> Any:
    """Return the value as exactly a bool, int, float or str, or None if it is none of these."""
    if kind is float and (type(value) is int or isinstance(value, float)):
        with contextlib.suppress(OverflowError):  # an int beyond the range of a float
            number = float(value) + 0.0  # -0.0 becomes 0.0: equal configs must have equal fingerprints
            return number if math.isfinite(number) else None
    return value if type(value) is kind and not _unfit(value) else None


def _within(value: Any, limits: Mapping[str, Any]) -> bool:
    if isinstance(value, str):
        return len(value) >= limits.get("minLength", 0) and re.search(limits.get("pattern", ""), value) is not None
    return all(holds(value, limits[name]) for name, (_, holds) in _BOUNDS.items() if name in limits)


def _unfit(value: Any) -> str:
    """Say what else is expected of an integer or text that cannot be stored; empty if it can."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return " that fits in 64 bits"  # the kernels' integers
    if type(value) is str and re.search(r"[\ud800-\udfff]", value):
        return " without lone surrogates"  # which UTF-8 cannot encode
    return ""


def shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # more than 4300 digits; nested too deep
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= 80 else f"{text[:79]}…"


def _plain(value: Any, of_block: Callable[[Block], dict[str, Any]]) -> Any:
    """A value of a field in the types of JSON; of_block: `to_dict` or `canonical`."""
    if isinstance(value, Block):
        return of_block(value)
    if isinstance(value, tuple):
        return [_plain(entry, of_block) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): text for key, text in value.items()}
    return value


def without_none(hint: Any) -> tuple[Any, bool]:
    """Split ``X | None`` into X and whether null is allowed."""
    args = get_args(hint)
    return (args[0], True) if NoneType in args else (hint, False)


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is REQUIRED and field.default_factory is REQUIRED


def _default(field: dataclasses.Field, block: Block) -> Any:
    """What a field is where nothing is given for it; REQUIRED where something must be."""
    if field.metadata["derive"]:
        return field.metadata["derive"](block)
    return field.default_factory() if callable(field.default_factory) else field.default


def field_named(block: type, name: Any, prefix: str = "") -> dataclasses.Field:
    known = {field.name: field for field in fields(block)}
    if name not in known:
        hint = nearest(str(name), known) or f" The known keys are {', '.join(known)}."
        raise SettingError(f"{prefix}{name}", f"is not a known key.{hint}")
    return known[name]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of TrainingConfig; rules between fields are not part of it."""
    from idi_fast.config.settings import TrainingConfig  # not above: the config imports this module

    definitions: dict[str, Any] = {}
    _define(TrainingConfig, definitions)
    root = definitions.pop(TrainingConfig.__name__)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "idi-fast training config"}
    # No property, since it has no default and no meaning; unless it is named, editors call it an unknown key.
    named = {"patternProperties": {r"^\$schema$": {"type": "string"}}}
    return {**head, **root, **named, "$defs": dict(sorted(definitions.items()))}


def _define(block: type[Block], definitions: dict[str, Any]) -> None:
    """Add the schema of a block, and of the blocks in it, by class name."""
    head = {"description": block.__doc__, "type": "object", "additionalProperties": False}
    properties, required = {}, []
    for field in fields(block):
        for inner in (block_in(field.type), entry_of(field.type)):
            if inner is not None:
                _define(inner, definitions)
        node = {"description": field.metadata["doc"], **_schema(field.type, field.metadata["limits"])}
        if _is_required(field):
            required.append(field.name)
        else:  # an absent block is the empty one: the defaults of its fields stand with them
            node["default"] = {} if field.default is REQUIRED else _plain(field.default, Block.to_dict)
        properties[field.name] = node
    needs = {"required": required} if required else {}
    definitions[block.__name__] = {**head, **needs, "properties": properties}


def _schema(hint: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    kind, nullable = without_none(hint)
    if len(alternatives(kind)) > 1:
        nodes = [_schema(one, limits) for one in alternatives(kind)]
        return {"anyOf": [*nodes, {"type": "null"}] if nullable else nodes}
    if is_block(kind):
        node = {"$ref": f"#/$defs/{kind.__name__}"}
        return {"anyOf": [node, {"type": "null"}]} if nullable else node
    if get_origin(kind) is Literal:
        return {"enum": [*get_args(kind), *([None] if nullable else [])]}
    if get_origin(kind) is tuple:
        of_list = {name: limit for name, limit in limits.items() if name == "minItems"}
        of_entry = {name: limit for name, limit in limits.items() if name != "minItems"}
        return {"type": "array", "items": _schema(get_args(kind)[0], of_entry), **of_list}
    if get_origin(kind) is Mapping:
        keys = {"pattern": f"^({_INTEGER_KEY})$"}
        return {"type": "object", "propertyNames": keys, "additionalProperties": {"type": "string"}}
    return {"type": [_JSON_TYPES[kind], "null"] if nullable else _JSON_TYPES[kind], **limits}


if __name__ == "__main__":
    sys.stdout.write(json_text(json_schema()))

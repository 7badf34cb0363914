"""Settings before they are checked: defaults, a file, `--set`, flags and a grid are merged first, as plain values."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, Generic, Self

from idi_fast.config.block import AnyBlock, Block, SettingError, block_in, entry_of, field_named, shown, without_none
from idi_fast.errors import ConfigError
from idi_fast.storage.json_files import parse_json


class Draft(Generic[AnyBlock]):
    """Unchecked settings of a block: plain values, merged one after another, and checked once, by `build`.

    Each has a source, such as the name of a file; an error begins with the source of the wrong value.
    """

    def __init__(self, block: type[AnyBlock], tree: Mapping[str, Any], source: str = "") -> None:
        if not isinstance(tree, Mapping):
            raise _explained(SettingError("the top level", f"is {shown(tree)}; expected an object"), source)
        self._block, self._tree, self._sources = block, _copied(block, tree), dict.fromkeys(_keys(block, tree), source)
        # A stored value that is derived follows an override of what it is derived from.
        _release_derived(block, self._tree)

    @classmethod
    def of(cls, config: AnyBlock) -> Self:
        """A draft of the same values without sources."""
        return cls(type(config), config.to_dict())

    def copy(self) -> Self:
        """Another draft of the same values."""
        draft = copy.copy(self)
        draft._tree, draft._sources = _copied(self._block, self._tree), dict(self._sources)
        return draft

    def override(self, values: Mapping[str, Any], source: str = "") -> Self:
        """Set values by dotted key, in any order; return the draft.

        A field of a null block creates the block. An object given for a block sets the fields it names, before any
        field given on its own. Raises ConfigError for an unknown key.
        """
        for key, value in sorted(values.items(), key=lambda item: item[0].count(".")):
            try:
                self._assign(self._block, self._tree, key.split("."), value, source)
            except SettingError as error:
                raise _explained(error, source) from None
        return self

    def unset(self, keys: Iterable[str]) -> list[str]:
        """Leave values at their defaults, by dotted key; the keys that had one."""
        gone = []
        for key in keys:
            *blocks, name = key.split(".")
            tree: Any = self._tree
            for block in blocks:
                tree = tree.get(block) if isinstance(tree, dict) else None
            if isinstance(tree, dict) and name in tree:
                del tree[name]
                gone.append(key)
        return gone

    def build(self) -> AnyBlock:
        """The block of these values. Raises ConfigError."""
        try:
            return self._block.from_dict(self._tree)
        except SettingError as error:
            source = self._source(error.key)
            others = {key: self._source(key) for key in error.others}
            also = [f"{key} is from {other}" for key, other in others.items() if other not in ("", source)]
            raise _explained(error, source, also) from None

    def _source(self, key: str) -> str:
        """The source of the value of a key, or of its block, or of any value within it."""
        exact, key = key, re.sub(r"\[\d+\]", "", key)
        above = [exact, key] + [key[: dot.start()] for dot in reversed([*re.finditer(r"\.", key)])]
        below = [name for name in self._sources if name.startswith(f"{key}.")]
        return next((self._sources[name] for name in [*above, *below[::-1]] if name in self._sources), "")

    def _assign(
        self, block: type[Block], tree: dict[str, Any], names: list[str], value: Any, source: str, prefix: str = ""
    ) -> None:
        name, *rest = names
        key = f"{prefix}{name}"
        hint = field_named(block, name, prefix).type
        kind, is_list = block_in(hint), entry_of(hint) is not None and isinstance(tree.get(name), list | tuple)
        if kind and is_list and rest:
            self._assign_entry(tree, name, rest, value, source, key)
        elif kind and (rest or isinstance(value, Mapping)):
            if tree.get(name) is None or is_list:
                tree[name] = {}
            if not rest and not value:
                self._sources[key] = source
            for inner, inner_value in [(rest, value)] if rest else [([name], value[name]) for name in value]:
                if isinstance(tree[name], dict):  # from_dict refuses anything else
                    self._assign(kind, tree[name], inner, inner_value, source, f"{key}.")
        elif rest:
            raise SettingError(f"{prefix}{'.'.join(names)}", f"is not a known key; set {key} as a whole")
        else:
            tree[name] = value
            self._sources = {old: where for old, where in self._sources.items() if not old.startswith(f"{key}.")}
            self._sources.pop(key, None)  # the last given comes last
            self._sources[key] = source

    def _assign_entry(
        self, tree: dict[str, Any], name: str, rest: list[str], value: Any, source: str, key: str
    ) -> None:
        """Set a key of the entry with a name in a list of blocks."""
        entry, *inner = rest
        entries = [dict(one) if isinstance(one, Mapping) else one for one in tree[name]]
        named = [one for one in entries if isinstance(one, dict) and one.get("name") == entry]
        if len(inner) != 1 or len(named) != 1:
            names = [str(one["name"]) for one in entries if isinstance(one, dict) and "name" in one]
            wanted = f"{key}.NAME.KEY with one of the names {', '.join(names)}" if names else f"{key} as a whole"
            raise SettingError(f"{key}.{'.'.join(rest)}", f"names no entry of the list; expected {wanted}")
        named[0][inner[0]] = value
        tree[name] = entries
        self._sources[f"{key}[{entries.index(named[0])}].{inner[0]}"] = source


def _explained(error: SettingError, source: str, also: Sequence[str] = ()) -> ConfigError:
    """The error with the source of its value, and the sources of the values it conflicts with."""
    if not source and not also:
        return error
    return ConfigError((f"{source}: " if source else "") + str(error) + (f" ({', '.join(also)})" if also else ""))


def _keys(block: type[Block], tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of the values in a block's tree."""
    kinds = {field.name: block_in(field.type) for field in fields(block)}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value and (kind := kinds.get(name)):
            yield from _keys(kind, value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _copied(block: type[Block], tree: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a tree; its blocks can be changed without changing the original."""
    kinds = {field.name: block_in(field.type) for field in fields(block)}
    plain = {name: value.to_dict() if isinstance(value, Block) else value for name, value in tree.items()}
    return {
        name: _copied(kind, value) if isinstance(value, Mapping) and (kind := kinds.get(name)) else value
        for name, value in plain.items()
    }


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of two trees; where both have one that is no object, that of `above`."""
    both = {key for key in below if isinstance(below[key], Mapping) and isinstance(above.get(key), Mapping)}
    return {**below, **above, **{key: _overlaid(below[key], above[key]) for key in both}}


def assigned(assignments: Iterable[str]) -> dict[str, Any]:
    """Values by dotted key from texts ``a.b.c=value``: JSON, or else taken as text; of two for a key the last
    counts."""
    return dict(map(_split, assignments))


def _split(assignment: str) -> tuple[str, Any]:
    key, sign, text = assignment.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"{assignment!r} is not an assignment; expected key=value, as in episodes=256")
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        value = text
    return key.strip(), value


def _release_derived(block: type[Block], tree: dict[str, Any]) -> None:
    """Set each derived value to null."""
    given = SimpleNamespace(**{field.name: tree.get(field.name, field.default) for field in fields(block)})
    for field in fields(block):
        kind = block_in(field.type)
        value, derive = tree.get(field.name), field.metadata["derive"]
        if kind and isinstance(value, dict):
            _release_derived(kind, value)
        elif (entry := entry_of(field.type)) and isinstance(value, list | tuple):
            tree[field.name] = [dict(one) if isinstance(one, Mapping) else one for one in value]
            for one in tree[field.name]:
                if isinstance(one, dict):
                    _release_derived(entry, one)
        elif derive and value == derive(given):
            tree[field.name] = None


def is_schema(block: type[Block], tree: Any) -> bool:
    """Whether a JSON value is a JSON Schema of a block rather than its values, which may name a ``$schema`` too."""
    if not isinstance(tree, Mapping) or any(field.name in tree for field in fields(block)):
        return False
    refers = isinstance(tree.get("$ref"), str) and ("$defs" in tree or "definitions" in tree)
    return isinstance(tree.get("properties"), Mapping) or isinstance(tree.get("allOf"), list) or refers


def schema_defaults(block: type[Block], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the ``default``s of a JSON Schema, at any depth, give for a block.

    A block that is null by default is set only if the schema requires it or has a default for it as a whole.
    Raises ConfigError for a reference that leads nowhere, or in a circle.
    """
    return _Schema(schema).defaults(block, schema)


class _Schema:
    """A JSON Schema whose references are followed."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._resolved: dict[str, dict[str, Any] | None] = {}

    def defaults(self, block: type[Block] | None, node: Any) -> dict[str, Any]:
        """Values by key of the properties that have any; block: None for a mapping of texts."""
        node = self._merged(node)
        known = {field.name: field for field in fields(block)} if block else {}
        found: dict[str, Any] = {}
        for name, given in node["properties"].items():
            inner = self._merged(given)
            hint = known[name].type if name in known else None
            kind, nullable = block_in(hint), without_none(hint)[1]
            has_default, is_needed = "default" in inner, name in node["required"]
            if inner["properties"] and name in known and (has_default or is_needed or not nullable):
                below = self.defaults(kind, given)
                default = inner.get("default", {})
                if not isinstance(default, Mapping):
                    found[name] = default
                elif below or has_default:
                    found[name] = _overlaid(below, default)
            elif has_default and not name.startswith("$"):
                found[name] = inner["default"]
        return found

    def _merged(self, node: Any) -> dict[str, Any]:
        """A schema merged with those that it refers to or combines; its own keys take precedence."""
        if not isinstance(node, Mapping):  # true and false are schemas too
            return {"properties": {}, "required": set()}
        parts = [self._referred(node["$ref"])] if isinstance(node.get("$ref"), str) else []
        for word in ("allOf", "anyOf", "oneOf"):
            parts += map(self._merged, node[word] if isinstance(node.get(word), list) else ())
        own, required = node.get("properties"), node.get("required")
        merged: dict[str, Any] = {}
        for part in reversed(parts):
            merged |= part
        properties = {key: value for part in reversed(parts) for key, value in part["properties"].items()}
        properties |= own if isinstance(own, Mapping) else {}
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        return {**merged, **node, "properties": properties, "required": needed.union(*(p["required"] for p in parts))}

    def _referred(self, reference: str) -> dict[str, Any]:
        if reference not in self._resolved:
            self._resolved[reference] = None  # on its way
            self._resolved[reference] = self._merged(self._looked_up(reference))
        found = self._resolved[reference]
        if found is None:
            raise ConfigError(f"the schema's reference {reference!r} leads back to itself")
        return found

    def _looked_up(self, reference: str) -> Any:
        path, *steps = reference.split("/")
        found: Any = self._root if path == "#" else None
        for step in steps:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is None:
            raise ConfigError(f"the schema refers to {reference!r}, which is not in it")
        return found

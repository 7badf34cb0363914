"""JSON from others, read strictly: bounded, no repeated keys, no NaN, and every key of its type."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from idi_fast.errors import EvidenceError
from idi_fast.storage.json_files import MAX_JSON

MAX_VALUES = 4_000_000
"""Most commas and opening brackets of a JSON file: values of two bytes each take fifty times the file's length."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(data: bytes, name: str, limit: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object from the bytes of a file; EvidenceError, naming it by `name`, for anything else."""
    if len(data) > limit:
        raise EvidenceError(f"{name} has {len(data):,} bytes; expected at most {limit:,}")
    values = sum(map(data.count, (b",", b"[", b"{")))
    if values > MAX_VALUES:
        raise EvidenceError(f"{name} holds some {values:,} values; expected at most {MAX_VALUES:,}")
    try:
        tree = parse_json(data)
    except EvidenceError as error:
        raise EvidenceError(f"{name} {error}") from None
    if not isinstance(tree, dict):
        raise EvidenceError(f"{name} holds {type(tree).__name__}; expected an object")
    return tree


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8 without a byte order mark; otherwise EvidenceError, whose text begins with a
    verb."""
    try:
        text = data.decode("utf-8")
        tree = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
        # Only an escape can produce one; printing or writing it would fail.
        if SURROGATE.search(text) and _has_surrogate(tree):
            raise EvidenceError("is not UTF-8 text: it escapes half of a surrogate pair")
    except UnicodeDecodeError as error:
        raise EvidenceError(f"is not UTF-8 text (at byte {error.start})") from None
    except RecursionError:
        raise EvidenceError("is nested too deep") from None
    except ValueError as error:
        raise EvidenceError(f"is not JSON: {error}") from None
    return tree


def _has_surrogate(tree: Any) -> bool:
    if isinstance(tree, str):
        return any("\ud800" <= letter <= "\udfff" for letter in tree)
    if isinstance(tree, dict):
        return any(map(_has_surrogate, tree.values()))  # keys are compared with known ones, or are paths: `check_name`
    return isinstance(tree, list) and any(map(_has_surrogate, tree))


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise EvidenceError(f"has the key {key[:80]!r}, which occurs twice in one object")
        found[key] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise EvidenceError(f"holds the number {text[:20]}, which no double is")
    return value


def _no_constant(text: str) -> None:
    raise EvidenceError(f"holds {text}: {text} is not JSON")


def take(fields: Mapping[str, Any], key: str, kind: type | tuple[type, ...], name: str) -> Any:
    """The value of a required key of a type; otherwise EvidenceError. A bool is not a number."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    nouns = {str: "text", int: "a whole number", float: "a number", dict: "an object", list: "a list", bool: "a truth"}
    if key not in fields:
        raise EvidenceError(f"{name}: {key} is missing; expected {nouns[kinds[-1]]}")
    value = fields[key]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise EvidenceError(f"{name}: {key} is {_shown(value)}; expected {nouns[kinds[-1]]}")
    return value


def integer(value: Any, lowest: int, highest: int, name: str) -> int:
    """An integer within bounds; otherwise EvidenceError."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise EvidenceError(f"{name} is {_shown(value)}; expected a whole number from {lowest} to {highest}")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a number beyond 64 bits"
    return repr(value)[:80]

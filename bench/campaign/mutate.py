"""Mutations of bytes, of text and of JSON, drawn from a `random.Random`; each says what it did."""

import copy
import json
import random
from collections.abc import Callable

Mutation = tuple[bytes, str]
"""The mutated bytes, and what was done."""

ODD = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    8001,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(2**63),
    0.0,
    -0.0,
    0.1,
    0.5,
    1.0,
    1.5,
    -0.5,
    5e-324,
    1e-300,
    1e16,
    1e300,
    1.7976931348623157e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "0",
    "1",
    "-1",
    "nan",
    "null",
    "true",
    "x",
    "\0",
    "\n",
    "🙂",
    "𝔘" * 40,
    "a" * 5000,
    "../x",
    "/",
    "\ud800",
    "synthetic",
    "crypto",
    "history",
    "idi_iann",
    "mt19937",
    "zscore",
    "next_open",
    [],
    {},
    [[]],
    [0],
    [1, 2, 3],
    ["silent"],
    [None],
    [1.5, "x"],
    {"": 0},
    {"a": {"b": []}},
    {"0": "x"},
)


class Pairs(list):
    """A JSON object as its pairs, so that a key can stand there twice."""


def of_bytes(rng: random.Random, data: bytes, begin: int = 0) -> Mutation:
    """Damage bytes from `begin` on: some are flipped, cut, doubled, zeroed, inserted or moved."""
    if begin >= len(data):
        return data + bytes([rng.randrange(256)]), "a byte at the end"
    at, n = rng.randrange(begin, len(data)), rng.choice((1, 1, 2, 4, 16, 200))
    kind = rng.choice(("flip", "flip", "flip", "byte", "cut", "zero", "double", "insert", "remove", "random", "move"))
    if kind in ("flip", "byte"):
        changed = bytearray(data)
        places = [at, *(rng.randrange(begin, len(data)) for _ in range(rng.choice((0, 0, 0, 1, 3))))]
        for place in places:
            changed[place] = changed[place] ^ (1 << rng.randrange(8)) if kind == "flip" else rng.randrange(256)
        return bytes(changed), f"{kind} at {', '.join(map(str, places))}"
    end = min(at + n, len(data))
    changes = {
        "cut": lambda: data[:at],
        "zero": lambda: data[:at] + bytes(end - at) + data[end:],
        "double": lambda: data[:end] + data[at:],
        "insert": lambda: data[:at] + rng.randbytes(n) + data[at:],
        "remove": lambda: data[:at] + data[end:],
        "random": lambda: data[:at] + rng.randbytes(end - at) + data[end:],
        "move": lambda: data[:begin] + data[at:end] + data[begin:at] + data[end:],
    }
    return changes[kind](), f"{kind} {end - at} bytes at {at}"


def of_text(rng: random.Random, data: bytes) -> Mutation:
    """Change how a text is written, or damage its bytes."""
    text = data.decode()
    lines = text.split("\n")
    changes: dict[str, Callable[[], bytes]] = {
        "byte order mark": lambda: b"\xef\xbb\xbf" + data,
        "UTF-16": lambda: text.encode("utf-16"),
        "UTF-32": lambda: text.encode("utf-32"),
        "Latin 1": lambda: (text + "ä").encode("latin-1", "replace"),
        "CR LF": lambda: data.replace(b"\n", b"\r\n"),
        "CR": lambda: data.replace(b"\n", b"\r"),
        "no last newline": lambda: data.rstrip(b"\n"),
        "empty": lambda: b"",
        "blank": lambda: b" \n\n",
        "NUL": lambda: data + b"\0",
        "twice": lambda: data + data,
        "line twice": lambda: "\n".join(_inserted(rng, lines, rng.choice(lines))).encode(),
        "line gone": lambda: "\n".join(_without(rng, lines)).encode(),
        "lines swapped": lambda: "\n".join(rng.sample(lines, len(lines))).encode(),
        "empty line": lambda: "\n".join(_inserted(rng, lines, "")).encode(),
        "long line": lambda: "\n".join(_inserted(rng, lines, "9" * 200_000)).encode(),
    }
    if rng.random() < 0.5:
        return of_bytes(rng, data)
    kind = rng.choice(sorted(changes))
    return changes[kind](), kind


def of_json(rng: random.Random, value: object) -> Mutation:
    """Change values, keys and types of a JSON value, a few times; sometimes its text as well."""
    root = _paired(value)
    done = [_change(rng, root) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    text = _written(root)
    if rng.random() < 0.15:
        kind = rng.choice(("deep", "digits", "comma", "comment", "two", "bytes"))
        done.append(kind)
        text = {
            "deep": lambda: text.replace(":", ":" + "[" * 100_000, 1),
            "digits": lambda: text.replace(":", ": " + "9" * 6000 + ', "x":', 1),
            "comma": lambda: text.replace("}", ",}", 1),
            "comment": lambda: "// by hand\n" + text,
            "two": lambda: text + text,
            "bytes": lambda: text,
        }[kind]()
    data = text.encode("utf-8", "surrogatepass")
    if done[-1] == "bytes":
        data, how = of_text(rng, text.encode("utf-8", "replace"))
        done.append(how)
    return data, ", ".join(done)


def _change(rng: random.Random, root: object) -> str:
    places = list(_places(root))
    if not places:
        return "nothing to change"
    holder, index, path = rng.choice(places)
    kind = rng.choice(
        ("odd", "odd", "near", "near", "near", "gone", "renamed", "twice", "unknown", "nested", "swapped")
    )
    is_object = isinstance(holder, Pairs)
    value = holder[index][1] if is_object else holder[index]

    def put(new: object) -> None:
        holder[index] = (holder[index][0], new) if is_object else new

    if kind == "near" and isinstance(value, int | float) and not isinstance(value, bool):
        put(
            rng.choice((-value, value + 1, value * 1e6, value / 1e6, value - 1, float(value), str(value), value * 1000))
        )
    elif kind == "gone":
        del holder[index]
    elif kind == "renamed" and is_object:
        key = holder[index][0]
        holder[index] = (rng.choice((key.upper(), key + "s", key[:-1], " " + key, "$" + key, "")), value)
    elif kind == "twice" and is_object:
        holder.insert(rng.randrange(len(holder) + 1), (holder[index][0], rng.choice((value, *ODD))))
    elif kind == "unknown" and is_object:
        holder.insert(index, (rng.choice(("unknown", "__proto__", "ключ", "$schema", "a" * 300)), rng.choice(ODD)))
    elif kind == "nested":
        put(rng.choice(([value], Pairs([("value", value)]), [[[value]]], _paired({"type": "object", "x": 1}))))
    elif kind == "swapped":
        other, at, _ = rng.choice(places)
        if at < len(other) and other is not value:
            put(copy.deepcopy(other[at][1] if isinstance(other, Pairs) else other[at]))
    else:
        put(_paired(rng.choice(ODD)))
    return f"{path}: {kind}"


def _places(value: object, path: str = "") -> list[tuple[list, int, str]]:
    """Every value in a tree as its holder, its index there and its path."""
    found = []
    if isinstance(value, list):
        for k, entry in enumerate(value):
            below = entry[1] if isinstance(value, Pairs) else entry
            name = f"{path}.{entry[0]}" if isinstance(value, Pairs) else f"{path}[{k}]"
            found.append((value, k, name.lstrip(".")[:60]))
            found += _places(below, name)
    return found


def _paired(value: object) -> object:
    if isinstance(value, dict):
        return Pairs((key, _paired(below)) for key, below in value.items())
    return [_paired(below) for below in value] if isinstance(value, list) else value


def _written(value: object) -> str:
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {_written(below)}" for key, below in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value)


def _inserted(rng: random.Random, lines: list[str], line: str) -> list[str]:
    at = rng.randrange(len(lines) + 1)
    return [*lines[:at], line, *lines[at:]]


def _without(rng: random.Random, lines: list[str]) -> list[str]:
    at = rng.randrange(len(lines))
    return [*lines[:at], *lines[at + 1 :]]

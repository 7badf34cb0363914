"""JSON Schemas (draft 2020-12) of the files that idi-fast reads and writes: NAME.schema.json beside this module.

`idi-fast schema` prints them. That of the config is generated (`idi_fast.config.block`).
"""

import json
from pathlib import Path
from typing import Any

from idi_fast.errors import InputError, nearest

ENDING = ".schema.json"


def schema_names() -> list[str]:
    """The names of all schemas, sorted: config, manifest, trace, run, kpis and others."""
    return sorted(path.name.removesuffix(ENDING) for path in Path(__file__).parent.glob(f"*{ENDING}"))


def load_schema(name: str) -> dict[str, Any]:
    """Return a JSON Schema.

    Parameters
    ----------
    name
        One of `schema_names`, such as ``"kpis"``.

    Raises
    ------
    InputError
        Where there is no such schema.

    Examples
    --------
    >>> from idi_fast.schemas import load_schema
    >>> load_schema("trace")["required"]
    ['metadata', 'ticks']
    """
    if name not in schema_names():
        known = schema_names()
        raise InputError(f"no schema {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}")
    return json.loads((Path(__file__).parent / f"{name}{ENDING}").read_text(encoding="utf-8"))

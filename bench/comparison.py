"""Comparison with the results of an earlier run."""

import os
from pathlib import Path

from idi_fast.bench import SCHEMA_VERSION
from idi_fast.errors import InputError
from idi_fast.storage.json_files import load_json


def read_results(path: Path) -> dict:
    """Results that `idi-fast bench --json` printed; InputError for anything else, or another schema."""
    if not os.path.isfile(path):
        raise InputError(f"--compare {path}: not a file; `idi-fast bench --json` prints one")
    try:
        results = load_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--compare {path}: cannot be read as JSON: {error}") from None
    version = results.get("schema_version") if isinstance(results, dict) else None
    is_ours = version == SCHEMA_VERSION and results.get("kind") == "bench" and isinstance(results.get("cases"), list)
    if not is_ours:
        raise InputError(
            f"--compare {path}: its schema_version is {version!r}; expected the results of "
            f"`idi-fast bench --json` with schema_version {SCHEMA_VERSION}"
        )
    try:
        compare(results, results)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(
            f"--compare {path}: these are not whole results of `idi-fast bench --json` ({error!r})"
        ) from None
    return results


def compare(old: dict, new: dict) -> dict:
    """Old time per unit over new for each common case, the names of the others, and how the machines differ."""
    before, after = _times(old), _times(new)
    return {
        "cases": [
            {"name": name, "old_seconds": before[name], "new_seconds": time, "ratio": before[name] / time}
            for name, time in after.items()
            if name in before
        ],
        "only_old": [name for name in before if name not in after],
        "only_new": [name for name in after if name not in before],
        "differences": [
            f"{fact}: {old['machine'][fact]}, now {new['machine'][fact]}"
            for fact in ("processor", "cores", "system")
            if old["machine"][fact] != new["machine"][fact]
        ],
    }


def _times(results: dict) -> dict[str, float]:
    return {
        f"{case['suite']}: {case['name']}": case["seconds"]["median"] / case["units"]
        for case in results["cases"]
        if case["equal"]
    }

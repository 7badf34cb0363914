"""The reference's formats of evidence, by their definition: every byte put together by hand, trees by recursion."""

import hashlib
import json


def artifact_digest(manifest: bytes, streams: dict[str, bytes], extras: dict[str, bytes]) -> str:
    """SHA-256 over name, length in eight bytes, data: the manifest, the streams by name, the extras by key."""
    text = bytearray()
    names = ["manifest"] + ["streams/" + name for name in sorted(streams)] + ["extra/" + key for key in sorted(extras)]
    everything = {"manifest": manifest}
    everything.update({"streams/" + name: data for name, data in streams.items()})
    everything.update({"extra/" + key: data for key, data in extras.items()})
    for name in names:
        data = everything[name]
        size = len(data)
        text += name.encode("utf-8")
        text += bytes((size >> 8 * k) & 255 for k in range(8))
        text += data
    return hashlib.sha256(bytes(text)).hexdigest()


def fixed_point(value: float) -> int:
    """Q16.16, truncated toward zero."""
    sign = -1 if value < 0 else 1
    return sign * int(abs(value) * 65536 // 1)


def leaf(key: str, hold: int, buy: int, sell: int) -> bytes:
    """The hash of a state's row."""
    text = b"qtable_entry" + key.encode("utf-8")
    for number in (hold, buy, sell):
        bits = number % 2**32
        text += bytes((bits >> 8 * k) & 255 for k in range(4))
    return hashlib.sha256(text).digest()


def root_and_paths(entries: dict[str, tuple[int, int, int]]) -> tuple[bytes, dict[str, list[tuple[bytes, bool]]]]:
    """The root, and of every state the siblings up to it, each with whether it stands on the right."""
    keys = sorted(entries)
    if not keys:
        return hashlib.sha256(b"").digest(), {}
    root, paths = _climb([(leaf(key, *entries[key]), [number]) for number, key in enumerate(keys)])
    return root, {key: paths.get(number, []) for number, key in enumerate(keys)}


def _climb(nodes: list[tuple[bytes, list[int]]]) -> tuple[bytes, dict[int, list[tuple[bytes, bool]]]]:
    """Of nodes, each with the leaves below it."""
    if len(nodes) == 1:
        return nodes[0][0], {}
    above, steps = [], {}
    for at in range(0, len(nodes), 2):
        left, below = nodes[at]
        right, beside = nodes[at + 1] if at + 1 < len(nodes) else (left, [])
        above.append((hashlib.sha256(left + right).digest(), below + beside))
        steps.update(dict.fromkeys(below, (right, True)))
        steps.update(dict.fromkeys(beside, (left, False)))
    root, paths = _climb(above)
    return root, {number: [step, *paths.get(number, [])] for number, step in steps.items()}


def manifest_text(config_path, config: bytes, streams: dict[str, bytes], metadata: dict, generated_at) -> str:
    """`artifact_manifest.json`; a stream's length counts its lines that are not empty."""
    rows = []
    for name in sorted(streams):
        lines = [line for line in streams[name].decode("utf-8").split("\n") if line != ""]
        rows.append({"name": name, "sha256": hashlib.sha256(streams[name]).hexdigest(), "length": len(lines)})
    tree = {"schema_version": "idi-manifest-v1", "generated_at": generated_at, "config_path": config_path}
    tree["config_sha256"] = hashlib.sha256(config).hexdigest()
    tree["streams"] = rows
    tree["metadata"] = metadata
    return json.dumps(tree, indent=2)

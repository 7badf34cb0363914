"""Small outputs of idi-fast with two files, for the tests of the storage."""

import json

from idi_fast.storage.files import digest


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ours(folder, text):
    """An output of idi-fast: a commitment whose root is the text."""
    about = {"format": "idi-fast-commitment-1", "root": text, "size": 1, "actions": 3, "q_scale": 1}
    put(folder / "commitment.json", json.dumps(about))
    files = {"commitment.json": digest(folder / "commitment.json")}
    put(folder / "manifest.json", json.dumps({"schema_version": 2, "config_sha256": "0" * 64, "files": files}))
    return folder


def told(folder):
    return json.loads((folder / "commitment.json").read_bytes())["root"]

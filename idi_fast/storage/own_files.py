"""Which files of a folder `--force` may delete: those whose content shows that idi-fast wrote them.

A manifest does not show it, since anybody can write one that lists other files, with their true digests. So each file
must have the format that its name implies: tables our columns, JSON our keys, a specification what spec.json beside it
says. Files that a person might have written or edited must also be the listed ones.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from idi_fast.storage.json_files import UnfitFile, load_json, open_regular, read_regular

LOOKED_AT = 2**16
"""Bytes at the beginning of a long file that show its format."""
MOST_FOOTER = 2**26
"""Bytes of a Parquet file's footer that are read."""
PICTURE = b"tEXtSoftware\0idi-fast"
"""The mark of our pictures: a chunk of PNG without its length and checksum."""

_HEX = re.compile("[0-9a-f]{64}")
_PARENTS = r"(?P<part>((seeds/[^/]+|best|combined|policies|spec|artifact)/)*)"
MADE_LATER = re.compile(f"{_PARENTS}outputs/[^/]+\\.out")
"""Names of files that the user's interpreter makes in an output."""
TIMED = re.compile(f"{_PARENTS}timings\\.json")
"""Names of files that no manifest lists."""


def foreign_file(folder: Path, names: Iterable[str], manifest: dict) -> str | None:
    """The first file that cannot be recognised as idi-fast's, with the reason; None if there is none.

    names: the files of the folder, except its own manifest.json; manifest: its content. Raises OSError.
    """
    listed, later = manifest["files"], manifest.get("later", ())
    if not is_manifest(manifest):
        return "manifest.json, which idi-fast did not write: it is not a manifest of ours"
    if not stat.S_ISREG(os.lstat(folder / "manifest.json").st_mode):
        return "manifest.json, which idi-fast did not write: it is not a regular file"
    for name in names:
        # Links are not followed, and a pipe would block until somebody writes to it.
        if not stat.S_ISREG(os.lstat(folder / name).st_mode):
            return f"{name}, which idi-fast did not write: it is not a regular file"
        found = next(((form, match) for form in FORMS if (match := re.fullmatch(form.names, name))), None)
        is_expected = name in listed or TIMED.fullmatch(name)
        if not is_expected and isinstance(later, list) and name in later:
            is_expected = MADE_LATER.fullmatch(name)
        if found is None or not is_expected:
            return f"{name}, which idi-fast did not write"
        form, match = found
        if not _fits(form, folder / name, folder / match["part"]):
            return f"{name}, which does not have the format that idi-fast writes under this name"
        if form.is_digested and not _is_as_listed(folder / name, listed.get(name)):
            return f"{name}, which was changed since idi-fast wrote it, or never was its own"
    return None


def is_manifest(value: Any) -> bool:
    """Whether a JSON value is a manifest of ours, going by its first keys."""
    if not isinstance(value, dict) or value.get("schema_version") not in (1, 2, 3):
        return False
    fingerprint, files = value.get("config_sha256"), value.get("files")
    return isinstance(fingerprint, str) and bool(_HEX.fullmatch(fingerprint)) and isinstance(files, dict)


def _fits(form: "Form", path: Path, part: Path) -> bool:
    try:
        return form.fits(path, part)
    except (ValueError, KeyError, TypeError, AttributeError):  # JSON of another form
        return False
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, UnfitFile):  # what has to be beside it is not
        return False


def _is_as_listed(path: Path, entry: object) -> bool:
    if not isinstance(entry, dict) or entry.get("bytes") != path.stat().st_size:
        return False
    with open_regular(path) as file:
        return entry.get("sha256") == hashlib.file_digest(file, "sha256").hexdigest()


# --- the formats: each a function of a file and of the folder of its output


def _keys(*keys: str) -> Callable[[Path, Path], bool]:
    """A JSON object with these keys."""

    def fits(path: Path, part: Path) -> bool:
        found = load_json(path)
        return isinstance(found, dict) and set(keys) <= set(found)

    return fits


def _is_run(path: Path, part: Path) -> bool:
    """run.json with the config that the manifest beside it names."""
    run = load_json(path)
    told = run["policy"]["fingerprint"] if "policy" in run else run["fingerprint"]
    named = load_json(part / "manifest.json")["config_sha256"]
    return {"schema_version", "kind", "versions"} <= set(run) and told == named


def _is_config(path: Path, part: Path) -> bool:
    return load_json(path) == load_json(part / "run.json")["config"]


def _is_other_manifest(path: Path, part: Path) -> bool:
    return is_manifest(load_json(path))


def _is_timings(path: Path, part: Path) -> bool:
    """Seconds by name, beside a manifest of ours."""
    found = load_json(path, LOOKED_AT)
    are_seconds = set(found) <= {"jobs", "training_seconds"} and all(map(_is_number, found.values()))
    return are_seconds and is_manifest(load_json(part / "manifest.json"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _columns(*alternatives: str) -> Callable[[Path, Path], bool]:
    """A Parquet table with all columns of one of these alternatives."""
    # In the footer a name follows its length.
    wanted = [[bytes([len(name)]) + name.encode() for name in columns.split()] for columns in alternatives]

    def fits(path: Path, part: Path) -> bool:
        footer = _footer(path)
        return any(all(name in footer for name in names) for names in wanted)

    return fits


def _is_told_by_metadata(path: Path, part: Path) -> bool:
    """A Parquet table with metadata of ours."""
    footer = _footer(path)
    return b"\x08idi_fast" in footer and b"idi-fast-" in footer


def _footer(path: Path) -> bytes:
    """The footer of a Parquet file, empty if it has none."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < 12 or file.read(4) != b"PAR1":
            return b""
        file.seek(size - 8)
        end = file.read(8)
        length = int.from_bytes(end[:4], "little")
        if end[4:] != b"PAR1" or length > min(size - 12, MOST_FOOTER):
            return b""
        file.seek(size - 8 - length)
        return file.read(length)


def _is_index(path: Path, part: Path) -> bool:
    streams = load_json(path)["streams"]
    return all(file == f"{name}.in" for name, file in streams.items())


def _is_stream(path: Path, part: Path) -> bool:
    """A stream that streams.json beside it names, or spec.json above."""
    index, about = path.with_name("streams.json"), part / "spec.json"
    is_named = os.path.isfile(index) and path.name in load_json(index)["streams"].values()
    if not is_named:
        about = load_json(about)
        expected = f"outputs/{path.name}" if path.parent.name == "expected" else f"{path.parent.name}/{path.name}"
        is_named = expected in [stream["file"] for stream in (*about["inputs"], *about["outputs"])]
    return is_named and _has_only(path, b"0123456789\r\n")


def _has_only(path: Path, letters: bytes) -> bool:
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            if block.translate(None, letters):
                return False
    return True


def _is_specification(path: Path, part: Path) -> bool:
    """agent.tau, which declares the streams that spec.json lists."""
    about, text = load_json(part / "spec.json"), read_regular(path)
    streams = (*about["inputs"], *about["outputs"])
    return bool(streams) and all(f'file("{stream["file"]}")'.encode() in text for stream in streams)


def _is_readme(path: Path, part: Path) -> bool:
    with open_regular(path) as file:
        return re.search(rb"(?m)^idi-fast \S+ wrote this folder from ticks ", file.read(LOOKED_AT)) is not None


def _is_of_returns(path: Path, part: Path) -> bool:
    """returns.csv of a backtest, beside the backtest's other files: a number for each bar's time or tick."""
    if not _is_kpis(part / "kpis.json", part) or not _is_run(part / "run.json", part):
        return False
    with open_regular(path) as file:
        lines = file.read(LOOKED_AT).split(b"\n")[:-1]
    number = rb"-?\d+(\.\d+)?([eE][+-]?\d+)?|NaN|"
    return lines[:1] in ([b"time,return"], [b"tick,return"]) and all(
        re.fullmatch(rb"[0-9T:.-]+,(" + number + rb")", line) for line in lines[1:]
    )


_is_kpis = _keys("schema_version", "assumptions", "kpis")
_is_claim = _keys("schema_version", "prover", "proven", "trusted")


def _is_proof(path: Path, part: Path) -> bool:
    """The digest that the receipt beside it names, or bytes of another prover beside its other files."""
    claim = load_json(part / "proof/proof.json")
    if claim["prover"] == "digest":
        return read_regular(path) == load_json(part / "proof/receipt.json")["digest"].encode()
    beside = {"zk": "commitment.json", "command": "proof/receipt.json"}[claim["prover"]]
    return _is_claim(part / "proof/proof.json", part) and os.path.isfile(part / beside)


def _is_of_paths(path: Path, part: Path) -> bool:
    """qtable.proofs.json, which may be long: an object whose keys are states."""
    with open_regular(path) as file:
        return re.match(rb'\{\s*("\(\d+(, ?\d+)*,?\)"|\})', file.read(LOOKED_AT)) is not None


def _is_picture(path: Path, part: Path) -> bool:
    with open_regular(path) as file:
        return PICTURE in file.read(LOOKED_AT)


class Form(NamedTuple):
    """The names of files, relative to their output, a pattern that is compiled when it is needed; the test of their
    content; and whether they must also be the very file that was listed."""

    names: str
    fits: Callable[[Path, Path], bool]
    is_digested: bool = False


def _form(names: str, fits: Callable[[Path, Path], bool], *, is_digested: bool = False) -> Form:
    return Form(f"{_PARENTS}(?:{names})", fits, is_digested)


FORMS = (
    _form(r"run\.json", _is_run),
    _form(r"config\.json", _is_config),
    _form(r"manifest\.json", _is_other_manifest),
    _form(r"artifact_manifest\.json", _keys("schema_version", "config_sha256", "streams")),
    _form(r"timings\.json", _is_timings),
    _form(r"kpis\.json", _is_kpis),
    _form(r"walkforward\.json", _keys("schema_version", "assumptions", "by_seed")),
    _form(r"sweep\.json", _keys("schema_version", "assumptions", "chosen")),
    _form(r"(policy|\d+|trace)\.parquet", _is_told_by_metadata),
    _form(r"episodes\.parquet", _columns("episode reward exploration"), is_digested=True),
    _form(
        r"equity\.parquet",
        _columns("equity drawdown buy_and_hold", "seed window tick buy_and_hold equity"),
        is_digested=True,
    ),
    _form(
        r"trades\.parquet",
        _columns("entry_bar exit_bar direction entry_price exit_price profit bars"),
        is_digested=True,
    ),
    _form(r"candles\.parquet", _columns("tick close bars"), is_digested=True),
    _form(r"symbols\.parquet", _columns("symbol bars in_sample dropped_rows total_return"), is_digested=True),
    _form(r"windows\.parquet", _columns("window train_first test_first seed total_return"), is_digested=True),
    _form(r"points\.parquet", _columns("point score min_seed max_seed"), is_digested=True),
    _form(r"trials\.parquet", _columns("point seed score"), is_digested=True),
    _form(r"summary\.parquet", _columns("seed mean_reward evaluation evaluation_standard_error"), is_digested=True),
    _form(r"returns\.csv", _is_of_returns, is_digested=True),
    _form(r"(streams|inputs)/streams\.json", _is_index),
    _form(r"(streams|inputs)/[^/]+\.in|(expected|outputs)/[^/]+\.out", _is_stream),
    _form(r"spec\.json", _keys("schema_version", "kind", "ticks", "inputs", "outputs", "contract")),
    _form(r"agent\.tau", _is_specification, is_digested=True),
    _form(r"README\.md", _is_readme, is_digested=True),
    _form(r"proof/proof\.json", _is_claim),
    _form(r"proof/receipt\.json", _keys("timestamp", "digest", "prover"), is_digested=True),
    _form(r"proof/proof\.bin", _is_proof, is_digested=True),
    _form(r"proof/statement\.json", _keys("schema_version", "format", "kind", "fingerprint"), is_digested=True),
    _form(r"commitment\.json", _keys("format", "root", "size", "actions", "q_scale")),
    _form(r"qtable\.commit\.json", _keys("root", "leaf_encoding", "q_scale", "size")),
    _form(r"qtable\.proofs\.json", _is_of_paths, is_digested=True),
    _form(r"[a-z-]+\.png", _is_picture, is_digested=True),
)

"""Copies of files that polars cannot read as they are: other encodings, archives, runs of spaces, Arrow streams."""

import codecs
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from idi_fast.data.dialect import SPACED, open_bytes
from idi_fast.errors import DataError

MOST_DESCRIPTORS = 200
"""Up to which number copies keep one; a process may have 256 or 1024 in all."""
BLOCK_BYTES = 2**20


def place_for_copy(copies: ExitStack) -> Path:
    """Where a copy of a file is written. It vanishes with this process, however that ends, where the system lets it and
    there are not too many: each holds a descriptor then."""
    if sys.platform.startswith("linux"):
        file = copies.enter_context(TemporaryFile())  # noqa: SIM115 -- closed with the others
        if file.fileno() < MOST_DESCRIPTORS:
            return Path(f"/proc/self/fd/{file.fileno()}")
        file.close()
    return Path(copies.enter_context(TemporaryDirectory(prefix="idi-fast-"))) / "copy.csv"


def transcoded(file: Path, encoding: str, target: Path, *, is_spaced: bool = False) -> None:
    """Write a text file, decompressed, as UTF-8, in bounded memory. Raises DataError for other bytes.

    is_spaced: whether its fields are separated by runs of spaces, which become a tab each.
    """
    decoder, rest = codecs.getincrementaldecoder(encoding)(), ""
    with open_bytes(file) as source, open(target, "wb") as out:
        try:
            while block := source.read(BLOCK_BYTES):
                text = rest + decoder.decode(block)
                rest = ""
                if is_spaced:  # a run of spaces may reach into the next block
                    text, _, rest = text.rpartition("\n") if "\n" in text else ("", "", text)
                    text = separated_by_tabs(f"{text}\n") if text else ""
                out.write(text.encode())
            text = rest + decoder.decode(b"", final=True)
            out.write((separated_by_tabs(text) if is_spaced else text).encode())
        except UnicodeError as error:
            raise DataError(f"{file}: it is no {encoding} text ({error}); name its encoding (`encoding`)") from None


def separated_by_tabs(text: str) -> str:
    """Text whose fields are separated by runs of spaces, with a tab in place of each."""
    return re.sub(SPACED, "\t", re.sub(r"(?m)^[ \t]+|[ \t\r]+$", "", text))


def without_mark(file: Path, target: Path) -> None:
    """Write a text file, decompressed, without the byte order mark that it begins with."""
    with open_bytes(file) as source, open(target, "wb") as out:
        source.read(len(codecs.BOM_UTF8))
        while block := source.read(BLOCK_BYTES):
            out.write(block)


def as_arrow_file(stream: Path, target: Path) -> None:
    """Write an Arrow stream as an Arrow file, a batch at a time."""
    import pyarrow as pa

    with (
        pa.OSFile(str(stream)) as source,
        pa.ipc.open_stream(source) as reader,
        pa.OSFile(str(target), "wb") as sink,
        pa.ipc.new_file(sink, reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)

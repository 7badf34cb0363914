"""What cannot be a stream: invalid columns of a user, and values that the interpreter does not accept."""

import shutil
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest

from idi_fast.agents.streams import stream_files, stream_text
from idi_fast.errors import ArtifactError

COLUMNS = {
    "whole": pl.DataFrame({"good": [0, 1] * 8, "large": [0] * 15 + [2], "text": ["1"] * 16, "half": [0.5] * 16}),
    "null": pl.DataFrame({"good": [0, None] * 8}),
    "short": pl.DataFrame({"good": [0, 1] * 4}),
    "shifted": pl.DataFrame({"good": [0, 1] * 8, "tick": range(1, 17)}),
}


@pytest.mark.parametrize("command", ["spec", "export"])
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--stream", "price"], ["--stream is 'price'; expected NAME=COLUMN"]),
        (["--stream", "=good"], ["--stream is '=good'; expected NAME=COLUMN"]),
        (["--stream", "price=q_buy", "--stream", "price=q_sell"], ["gives 'price' twice"]),
        (["--stream", "prise=good"], ["--stream prise=…", "v38 reads no such stream", "'price'?"]),
        (["--stream", "price=q_by"], ["--stream price=q_by: no such column in the trace of agent", "'q_buy'?"]),
        (["--stream", "price=close"], ["'price': column 'close' is of type Float64; expected whole numbers"]),
        (["--stream", "price=state"], ["stream 'price' has the value", "sbf takes 0 to 1"]),
        (["--columns", "whole.csv"], ["--columns without --stream has no effect"]),
        (["--columns", "whole.csv", "--stream", "price=god"], ["no such column in whole.csv nor in", "'good'?"]),
        (["--columns", "whole.csv", "--stream", "price=large"], ["'price' has the value 2 at tick 15", "0 to 1"]),
        (["--columns", "whole.parquet", "--stream", "price=text"], ["column 'text' is of type String"]),
        (["--columns", "whole.csv", "--stream", "price=half"], ["column 'half' is of type Float64"]),
        (["--columns", "null.csv", "--stream", "price=good"], ["column 'good' is null at tick 1"]),
        (["--columns", "null.parquet", "--stream", "price=good"], ["column 'good' is null at tick 1"]),
        (["--columns", "short.csv", "--stream", "price=good"], ["short.csv has 8 rows; expected 16"]),
        (["--columns", "shifted.parquet", "--stream", "price=good"], ["shifted.parquet: its column 'tick' is not"]),
        (["--columns", "none.csv", "--stream", "price=good"], ["cannot read none.csv: No such file"]),
        (["--columns", "w*.csv", "--stream", "price=good"], ["cannot read w*.csv: No such file"]),
        (["--columns", "own.txt", "--stream", "price=good"], ["'own.txt'; expected a file named .csv or .parquet"]),
        (["--columns", "damaged.parquet", "--stream", "price=good"], ["cannot read damaged.parquet"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_columns_that_cannot_be_streams(options, parts, command, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "agent", "agent")
    for name, frame in COLUMNS.items():
        frame.write_csv(f"{name}.csv")
        frame.write_parquet(f"{name}.parquet")
    Path("damaged.parquet").write_bytes(b"PAR1 nothing PAR1")
    target = "--out" if command == "spec" else "--to"
    message = cli.refused(tmp_path, command, "agent", "--kind", "v38", target, "made/here", *options)
    cli.assert_mentions(message, *parts)


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({"q_buy": [0, 1], "q_sell": [0]}, "'q_sell' has 1 ticks and 'q_buy' 2; expected equal lengths"),
        ({"q_buy": [], "q_sell": []}, "has no ticks"),
        ({"q_buy": [0, 2]}, "'q_buy' has the value 2 at tick 1; sbf takes 0 to 1"),
        ({"q_regime": [31, 32]}, r"'q_regime' has the value 32 at tick 1; bv\[5\] takes 0 to 31"),
    ],
)
def test_streams_that_the_interpreter_would_choke_on(streams, message):
    with pytest.raises(ArtifactError, match=message):
        stream_files({name: np.array(values, np.int64) for name, values in streams.items()})


@pytest.mark.parametrize("values", [[0], [99, 100, 0], [2**32 - 1, 7]])
def test_a_line_is_a_value_however_large(values):
    lines = "\n".join(map(str, values))
    assert stream_text(np.array(values, np.uint32)).decode() == lines + "\n"
    assert stream_text(np.array(values, np.uint32), newline=False).decode() == lines

"""`idi-fast data`: looking at price files, checking and converting them."""

import json

import cli_helpers as cli
import polars as pl
from history_files import assert_mentions, text

HOURS = [f"18.02.2021 {hour:02d}:00;{100 + hour},5;{hour}" for hour in range(24)]


def test_show_says_what_was_recognised(tmp_path):
    path = text(tmp_path / "x.csv", "\n".join(["Datum;Schluss;Volumen", *HOURS]))
    shown = cli.succeed("data", "show", path).stdout
    assert_mentions(shown, "bars           24", "time: Datum, close: Schluss, volume: Volumen", "1 hour (100% of them)")
    assert_mentions(shown, "100.5 to 123.5", "▁", "█", "is read as: ';' separated, decimal comma, day first")
    report = json.loads(cli.succeed("data", "show", path, "--json").stdout)["histories"][0]
    assert (report["bars"], report["spacing_seconds"], report["gaps"], report["problems"]) == (24, 3600.0, 0, [])
    assert report["columns"] == {"time": "Datum", "close": "Schluss", "volume": "Volumen"}
    some = json.loads(cli.succeed("data", "show", path, "--end", "2021-02-18T06:00", "--json").stdout)
    assert some["histories"][0]["bars"] == 6


def test_each_symbol_is_shown_and_checked(tmp_path):
    frame = cli.bars(40)
    times = pl.DataFrame({"time": frame["time"], "close": frame["close"]})
    both = pl.concat([times.with_columns(name=pl.lit(name)) for name in "AB"])
    both.write_csv(tmp_path / "both.csv")
    report = cli.one_object(cli.succeed("data", "show", tmp_path / "both.csv", "--symbol-col", "name", "--json").stdout)
    assert [(each["symbol"], each["bars"]) for each in report["histories"]] == [("A", 40), ("B", 40)]
    folder = tmp_path / "each"
    folder.mkdir()
    times.write_csv(folder / "A.csv")
    times.gather([0, 1, 2, *range(20, 40)]).write_csv(folder / "B.csv")
    outcome = cli.run("data", "check", folder, "--symbol-files")
    assert outcome.status == 1
    assert f"{folder}, A: nothing found" in outcome.stdout
    assert "gap" in outcome.stdout.partition(f"{folder}, B:")[2]
    assert "symbol" in cli.succeed("data", "show", folder, "--symbol-files").stdout


def test_check_finds_what_is_wrong(tmp_path):
    good = text(tmp_path / "good.csv", "\n".join(["Datum;Schluss;Volumen", *HOURS]))
    assert cli.succeed("data", "check", good).stdout == f"{good}: nothing found\n"
    rows = [*HOURS[:5], HOURS[4], *HOURS[17:20], "18.02.2021 20:00;;3", *HOURS[21:]]
    bad = text(tmp_path / "bad.csv", "\n".join(["Datum;Schluss;Volumen", *rows]))
    outcome = cli.run("data", "check", good, bad, tmp_path / "none.csv")
    assert outcome.status == 1
    assert_mentions(outcome.stdout, "1 row with missing values", "1 copy of the row before", "1 gap; the longest")
    assert_mentions(outcome.stdout, "from 2021-02-18T04:00:00Z to 2021-02-18T17:00:00Z", "no such file")
    found = json.loads(cli.run("data", "check", good, bad, "--json").stdout)
    assert [len(each["problems"]) for each in found["histories"]] == [0, 3]
    ohlc = text(tmp_path / "ohlc.csv", "time,open,high,low,close\n2024-01-01,1,3,1,2\n2024-01-02,1,3,1,4\n")
    outcome = cli.run("data", "check", ohlc)
    assert (outcome.status, "1 bar whose open or close lies outside" in outcome.stdout) == (1, True)


def test_convert_writes_one_file(tmp_path):
    path = text(tmp_path / "x.csv", "\n".join(["Datum;Schluss;Volumen", *HOURS]))
    out = tmp_path / "bars.parquet"
    outcome = cli.succeed("data", "convert", path, "--to", out, "--resample", "6h")
    assert_mentions(outcome.stdout, "bars          4", "2021-02-18T18:00:00Z")
    assert_mentions(outcome.stderr, "note:", "decimal comma")
    assert pl.read_parquet(out)["volume"].to_list() == [15.0, 51.0, 87.0, 123.0]
    again = cli.run("data", "convert", path, "--to", out)
    assert (again.status, pl.read_parquet(out).height) == (2, 4)
    assert_mentions(cli.run("data", "convert", path).stderr, "--to is missing")
    cli.succeed("data", "convert", path, "--to", out, "--force", "--json")
    assert pl.read_parquet(out).height == 24


def test_files_of_ones_own_work_at_the_first_try(tmp_path):
    """A dump of an exchange without a header, and a file with semicolons: no option is needed."""
    dump = [
        f"{1_613_606_400_000 + 3_600_000 * row},{100 + row % 7},{108 + row % 7},99,{101 + row % 5},{row % 11},0,0,0"
        for row in range(700)
    ]
    german = ["Datum;Eröffnung;Schluss;Volumen"]
    for row in range(700):
        day = f"{1 + row // 24 % 28:02d}.{1 + row // 672:02d}.2021 {row % 24:02d}:00"
        german.append(f"{day};{row % 9 + 50},5;{row % 7 + 50},25;3")
    for name, lines in (("dump", dump), ("german", german)):
        path = text(tmp_path / f"{name}.csv", "\n".join([*lines, ""]))
        cli.succeed("train", "--data", path, "--out", tmp_path / name, *cli.QUICK)
        outcome = cli.succeed("backtest", path, "--policy", tmp_path / name, "--out", tmp_path / f"{name}_test")
        assert_mentions(outcome.stderr, f"note: {path} is read as: ")
        cli.succeed("walkforward", path, "--out", tmp_path / f"{name}_walk", *cli.QUICK)

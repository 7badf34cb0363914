"""Reports as files: where they are written, what is refused, and the command."""

import json
import os
import shutil
import sys
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
import typer
from cli_helpers import assert_mentions, snapshot
from report_runs import EXPECTED, make_runs, unsealed
from typer.testing import CliRunner

from idi_fast import reporting as reports
from idi_fast.cli.report import report as command
from idi_fast.errors import ArtifactError, InputError, OutputError, WriteError
from idi_fast.reporting import page, write_report
from idi_fast.storage import exchange

LIBRARY = "window.Plotly = {}; // not plotly.js: what is written around it is looked at here"


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch):
    """A report without plotly.js: 5 MB less, and nothing to install."""
    monkeypatch.setattr(reports, "plotly_js", lambda: LIBRARY)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


# --- the file


def test_the_file_stands_beside_the_run(runs, tmp_path):
    run = unsealed(runs / "training", tmp_path / "my.run")
    before = snapshot(run)
    told = write_report(run)
    assert told == {
        "schema_version": 1,
        "run": str(run),
        "kind": "train",
        "out": str(tmp_path / "my.run.html"),
        "figures": EXPECTED["training"],
        "png": None,
    }
    assert (snapshot(run), sorted(os.listdir(tmp_path))) == (before, ["my.run", "my.run.html"])


def test_force_replaces_reports_and_nothing_else(runs, tmp_path):
    target = tmp_path / "report.html"
    write_report(runs / "training", target)
    first = target.read_bytes()
    with pytest.raises(OutputError, match="already exists; `force=True` replaces it"):
        write_report(runs / "backtest", target)
    assert target.read_bytes() == first
    write_report(runs / "backtest", target, force=True)
    assert target.read_bytes() != first
    target.write_text("ten years of work")
    with pytest.raises(OutputError, match="something other than a report of idi-fast"):
        write_report(runs / "backtest", target, force=True)
    assert target.read_text() == "ten years of work"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is not a file"):
        write_report(runs / "backtest", tmp_path / "folder", force=True)


def test_neither_report_nor_pictures_are_put_into_the_run_nor_the_one_among_the_others(runs, tmp_path):
    run = runs / "backtest"
    within = (
        "the output {} would lie in {}, an output of idi-fast that holds nothing but its own files; "
        "choose a place outside"
    )
    among = "{} would lie among the pictures, a folder that is replaced whole; name another place"
    among_them = {"out": tmp_path / "png" / "r.html", "png": tmp_path / "png"}
    for options, message in (
        ({"out": run / "r.html"}, within.format(run / "r.html", run)),
        ({"png": run / "png"}, within.format(run / "png", run)),
        (among_them, among.format(among_them["out"])),
    ):
        with pytest.raises(OutputError) as refused:
            write_report(run, **{"out": tmp_path / "r.html", **options})
        assert str(refused.value) == message
    # A link to a folder of the run is in the run, though no folder above the link has a manifest.
    run = Path(shutil.copytree(run, tmp_path / "run"))
    (run / "inside").mkdir()
    (tmp_path / "link").symlink_to(run / "inside")
    with pytest.raises(OutputError) as refused:
        write_report(run, tmp_path / "link" / "r.html")
    place = tmp_path / "link" / "r.html"
    assert str(refused.value) == f"{place} would lie in the run, whose manifest lists all it holds; name another place"
    assert (sorted(os.listdir(tmp_path)), os.listdir(run / "inside")) == (["link", "run"], [])


@pytest.mark.parametrize("had_one", [False, True])
def test_a_report_appears_whole_or_not_at_all(runs, tmp_path, had_one):
    if had_one:
        write_report(runs / "backtest", tmp_path / "report.html")
    before = snapshot(tmp_path)
    full = OSError(28, "No space left on device")
    with mock.patch.object(exchange, "_call", side_effect=full), pytest.raises(WriteError, match="No space left"):
        write_report(runs / "training", tmp_path / "report.html", force=True)
    assert snapshot(tmp_path) == before


def pictures(figures, folder: Path) -> None:
    """In place of the browser: a file for each figure."""
    for figure in figures:
        (folder / f"{figure.name}.png").write_bytes(b"png")


def test_pictures_appear_with_the_report_or_not_at_all(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "check_kaleido", lambda: None)
    monkeypatch.setattr(reports, "write_pictures", pictures)
    write_report(runs / "walkforward", tmp_path / "one.html", png=tmp_path / "png")
    assert sorted(os.listdir(tmp_path / "png")) == ["equity.png", "manifest.json", "windows.png"]
    with pytest.raises(OutputError, match="`force=True` replaces it"):
        write_report(runs / "walkforward", tmp_path / "two.html", png=tmp_path / "png")
    write_report(runs / "backtest", tmp_path / "two.html", png=tmp_path / "png", force=True)
    assert "drawdown.png" in os.listdir(tmp_path / "png")

    def fails(figures, folder):
        raise InputError("no browser")

    monkeypatch.setattr(reports, "write_pictures", fails)
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="no browser"):
        write_report(runs / "backtest", tmp_path / "three.html", png=tmp_path / "other")
    assert snapshot(tmp_path) == before


# --- what is refused


def test_what_is_no_run(runs, tmp_path):
    cases = {
        runs / "trainin": ["no run at", "Did you mean 'training'?"],
        runs / "training" / "run.json": ["is a file; expected the folder"],
        tmp_path: ["holds no run.json"],
    }
    for folder, parts in cases.items():
        with pytest.raises(ArtifactError) as caught:
            write_report(folder)
        assert_mentions(str(caught.value), *parts)
    (tmp_path / "run.json").write_text(json.dumps({"kind": "spec"}))
    with pytest.raises(
        ArtifactError, match=r"of the kind 'spec', of which there is no report; expected a training run"
    ):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ArtifactError, match="holds list in place of an object"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ArtifactError, match="is damaged"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "kpis.json", "equity.parquet"])
@pytest.mark.parametrize(
    ("target", "found"),
    [("/dev/zero", "is a link to a device"), ("none", "is a link that leads nowhere"), (".", "is a link to a folder")],
)
def test_what_is_no_file_is_not_called_missing(runs, tmp_path, name, target, found):
    run = unsealed(runs / "backtest", tmp_path / "run")
    (run / name).unlink()
    (run / name).symlink_to(target)
    with pytest.raises(ArtifactError) as caught:
        write_report(run, tmp_path / "report.html")
    assert_mentions(str(caught.value), str(run / name), f"{found}; expected a regular file")


def test_a_damaged_run_is_refused(runs, tmp_path):
    def refusal(change) -> str:
        run = unsealed(runs / "backtest", tmp_path / "run")
        change(run)
        with pytest.raises(ArtifactError) as caught:
            write_report(run, tmp_path / "report.html")
        shutil.rmtree(run)
        return str(caught.value)

    frame = pl.read_parquet(runs / "backtest" / "equity.parquet")
    assert_mentions(refusal(lambda run: (run / "kpis.json").unlink()), "holds no kpis.json")
    assert_mentions(refusal(lambda run: (run / "kpis.json").write_text("{}")), "says nothing of 'assumptions'")
    assert_mentions(
        refusal(lambda run: frame.drop("equity").write_parquet(run / "equity.parquet")), "has no column 'equity'"
    )
    assert_mentions(refusal(lambda run: frame.clear().write_parquet(run / "equity.parquet")), "has no rows")
    assert_mentions(refusal(lambda run: (run / "equity.parquet").write_bytes(b"PAR1")), "cannot read")
    assert os.listdir(tmp_path) == []


def test_a_file_that_was_changed_is_refused(runs, tmp_path):
    shutil.copytree(runs / "backtest", tmp_path / "run")
    data = bytearray((tmp_path / "run" / "equity.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "run" / "equity.parquet").write_bytes(data)
    with pytest.raises(ArtifactError, match="was changed or damaged"):
        write_report(tmp_path / "run")


def test_what_is_not_installed_is_named_with_the_way_to_it(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "plotly_js", page.plotly_js)
    with mock.patch.dict(sys.modules, {"plotly.offline": None}), pytest.raises(InputError) as caught:
        write_report(runs / "training", tmp_path / "report.html")
    assert str(caught.value) == "a report needs plotly; install it with: pip install 'idi-fast[report]'"
    monkeypatch.setattr(reports, "plotly_js", lambda: LIBRARY)
    with mock.patch.dict(sys.modules, {"kaleido": None}), pytest.raises(InputError) as caught:
        write_report(runs / "training", tmp_path / "report.html", png=tmp_path / "png")
    assert str(caught.value) == "`png` needs kaleido; install it with: pip install 'idi-fast[report]'"
    assert os.listdir(tmp_path) == []


# --- the command


def invoke(*args: object):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*map(str, args)])


def test_the_command(runs, tmp_path):
    done = invoke(runs / "walkforward", "--out", tmp_path / "report.html")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"report   {tmp_path / 'report.html'}\nfigures  2\n"
    done = invoke(runs / "walkforward", "--out", tmp_path / "report.html", "--json")
    assert isinstance(done.exception, OutputError)
    done = invoke(runs / "walkforward", "--out", tmp_path / "report.html", "--json", "--force")
    told = json.loads(done.stdout)
    assert (told["kind"], told["figures"], told["png"]) == ("walkforward", ["equity", "windows"], None)

"""Reports as files: what a page says, that it stands by itself, and what is refused."""

import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
import typer
from cli_helpers import assert_mentions, snapshot
from report_runs import KINDS, make_runs, report_figures, report_page, unsealed
from typer.testing import CliRunner

from idi_fast import reporting as reports
from idi_fast.cli.report import report as command
from idi_fast.errors import ArtifactError, InputError, OutputError, WriteError
from idi_fast.reporting import course, page, theme, write_report
from idi_fast.reporting.formats import number
from idi_fast.reporting.parts import Note
from idi_fast.reporting.pictures import picture
from idi_fast.storage import exchange

LIBRARY = "window.Plotly = {}; // not plotly.js: what is written around it is looked at here"


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch):
    """A report without plotly.js: 5 MB less, and nothing to install."""
    monkeypatch.setattr(reports, "plotly_js", lambda: LIBRARY)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


# --- the page


class Outline(HTMLParser):
    """Tags with their attributes, and the text of each script and of all else."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.scripts, self.text, self._script = [], [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = tag == "script"

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        (self.scripts if self._script else self.text).append(data)


def written(run: Path, target: Path) -> str:
    write_report(run, target)
    return target.read_text("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_stands_by_itself_and_is_the_same_each_time(runs, tmp_path, kind):
    html = written(runs / kind, tmp_path / "one.html")
    assert html == written(runs / kind, tmp_path / "two.html")
    outline = Outline(html)
    assert not [tag for tag, attributes in outline.tags if {"src", "srcset"} & attributes.keys()]
    links = [attributes["href"] for _, attributes in outline.tags if "href" in attributes]
    names = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert all(link.startswith("#") and link[1:] in names for link in links)
    policy = next(a["content"] for _, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "url(" not in html
    assert "@import" not in html
    assert LIBRARY in html
    # The folder's name, but not where it lies.
    assert kind in "".join(outline.text)
    assert str(runs) not in html


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_and_table_can_be_read_without_seeing_it(runs, tmp_path, kind):
    tags = Outline(written(runs / kind, tmp_path / "report.html")).tags
    plots = [attributes for tag, attributes in tags if attributes.get("class") == "plot"]
    assert plots
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 20 for plot in plots)
    count = {
        name: sum(tag == name for tag, _ in tags) for name in ("figure", "figcaption", "table", "caption", "thead")
    }
    assert count["figure"] == count["figcaption"] == len(plots)
    assert count["table"] == count["caption"] == count["thead"]
    assert all(attributes["scope"] in ("row", "col") for tag, attributes in tags if tag == "th")


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_painted_in_roles_that_both_palettes_have(runs, kind):
    light, dark = theme.PALETTES.values()
    assert light.keys() == dark.keys()
    for figure in report_page(runs / kind).figures:
        text = page.figure_json(figure.data, figure.layout)
        assert set(re.findall(r"var\(--([a-z-]+)\)", text)) <= light.keys()
        painted = json.loads(theme.painted(text, light))
        assert "var(--" not in json.dumps(painted)
        assert picture(figure)["layout"]["height"] > figure.layout["height"]
    # The script of the page finds them by the same expression.
    assert r'/"var\(--([a-z-]+)\)"/g' in page._asset("page.js")


def contrast(one: str, other: str) -> float:
    """Of two colours #rrggbb, from 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        light = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", theme.PALETTES.values(), ids=theme.PALETTES)
def test_texts_stand_out_from_what_is_behind_them(palette):
    colours = {theme.role(name): colour for name, colour in palette.items()} | {"#ffffff": "#ffffff"}
    on_areas = [(theme.ink(colour), colour) for colour in {*theme.SIDES.values(), *theme.SPEECH}]
    on_page = [(theme.role(text), theme.role(back)) for text in ("text", "muted", "blue") for back in ("page", "panel")]
    weak = [pair for pair in (*on_areas, *on_page) if contrast(*(colours[name] for name in pair)) < 4.5]
    assert weak == []


@pytest.mark.parametrize("kind", ["backtest", "training"])
def test_names_of_a_users_are_text(runs, tmp_path, kind):
    run = unsealed(runs / kind, tmp_path / '<img src=x onerror="alert(1)"> & so on')
    outline = Outline(written(run, tmp_path / "report.html"))
    assert run.name in "".join(outline.text)
    assert "img" not in {tag for tag, _ in outline.tags}
    # Every script is closed where it ends, whatever the agent says.
    assert sum(tag == "script" for tag, _ in outline.tags) == len(outline.scripts)
    data = next(json.loads(text) for text in outline.scripts if "wave" in text)
    known = {"Silent", "Alert", "&lt;b&gt;wave&lt;/b&gt;", "&lt;/script&gt;"}
    assert {trace["name"] for trace in data["data"]} <= known


def test_names_of_symbols_are_text(runs, tmp_path):
    outline = Outline(written(runs / "symbols", tmp_path / "report.html"))
    assert "<i>2</i>" in outline.text
    assert "i" not in {tag for tag, _ in outline.tags}
    data = next(json.loads(text) for text in outline.scripts if "As much as holding" in text)
    assert data["data"][1]["text"] == [f"&lt;i&gt;{k}&lt;/i&gt;" for k in range(3)]


def test_a_library_cannot_end_its_script(monkeypatch, runs, tmp_path):
    monkeypatch.setattr(reports, "plotly_js", lambda: "const text = '</script><b>';")
    outline = Outline(written(runs / "training", tmp_path / "report.html"))
    assert "b" not in {tag for tag, _ in outline.tags}


EXPECTED = {
    "backtest": ["equity", "drawdown", "price", "months", "sharpe", "action-mix", "comm-action-mix", "alerts"],
    "training": [
        "evaluation-figure",
        "learning-curve",
        "exploration",
        "visits",
        "greedy",
        "q-values",
        "action-mix",
        "comm-action-mix",
    ],
    "symbols": ["equity", "drawdown", "months", "sharpe", "by-symbol"],
    "walkforward": ["equity", "windows"],
}
EXPECTED["population"] = ["spread", "against-training", *EXPECTED["training"]]


@pytest.mark.parametrize("kind", KINDS)
def test_which_figures_a_report_has(runs, kind):
    assert list(report_figures(runs / kind)) == EXPECTED[kind]


def opening(run: Path) -> list[tuple[str, bool]]:
    """The notes that a page begins with, and whether they are warnings."""
    return [(note.text, note.is_warning) for note in report_page(run).opening if isinstance(note, Note)]


def test_the_page_of_a_walk_forward_has_its_verdict_and_notes(runs, tmp_path):
    run = unsealed(runs / "walkforward", tmp_path / "run")
    told = json.loads((run / "walkforward.json").read_text())
    verdict = f"{told['verdict'].capitalize()}."
    assert opening(run)[1:] == [(verdict, False), (f"{told['notes'][0].capitalize()}.", True)]
    (run / "walkforward.json").write_text(json.dumps({**told, "notes": ["it is short"]}))
    assert opening(run)[1:] == [(verdict, False), ("It is short.", True)]
    del told["notes"]  # an earlier version's
    (run / "walkforward.json").write_text(json.dumps(told))
    assert opening(run)[1:] == [(verdict, False)]


def test_the_page_of_a_population_has_the_baselines(runs, tmp_path):
    run = unsealed(runs / "population", tmp_path / "run")
    about = json.loads((run / "run.json").read_text())
    evaluation = about["evaluation"]
    best = evaluation["best_baseline"]
    mean = evaluation["baselines"][best]["mean"]
    assert opening(run)[0] == (f"{evaluation['verdict'].capitalize()}.", False)
    facts = dict(next(part for part in report_page(run).opening if not isinstance(part, Note)).facts)
    assert facts[f"Best baseline, {best}"] == number(mean)
    figure = report_figures(run)["spread"]
    assert figure.data[1]["y"] == pytest.approx([mean, mean], rel=1e-5)
    assert_mentions(figure.caption, f"Dotted: the best baseline, {best}.")
    for name in ("baselines", "best_baseline", "verdict"):
        del evaluation[name]  # an earlier version's
    (run / "run.json").write_text(json.dumps(about))
    assert len(opening(run)) == 1
    assert len(report_figures(run)["spread"].data) == 1


def test_what_a_backtest_assumes_stands_before_its_report_figures(runs, tmp_path):
    run = unsealed(runs / "backtest", tmp_path / "run")
    texts = {}
    for in_sample in (True, False, None):
        result = json.loads((run / "kpis.json").read_text())
        result["assumptions"]["in_sample"] = in_sample
        result["kpis"] |= {"liquidated_at": 77, "unvisited_states": 0.25}
        (run / "kpis.json").write_text(json.dumps(result))
        found = report_page(run)
        texts[in_sample] = [(note.text, note.is_warning) for note in found.opening if isinstance(note, Note)]
        facts = dict(found.sections[0].parts[0].facts)
        assert list(facts)[:3] == ["Periods per year", "Fee per side", "Slippage per side"]
        assert (facts["Periods per year"], facts["Fee per side"], facts["Fill"]) == ("365.0", "5 bps", "Next open")
    assert texts[True][0] == (
        "In sample: the policy was trained on some of these bars. The result says nothing about new ones.",
        True,
    )
    assert_mentions(texts[False][0][0], "Out of sample: no bar with this time and close")
    assert_mentions(texts[None][0][0], "cannot be told")
    assert texts[True][1] == ("Liquidated at bar 77: nothing was left, and trading ended there.", True)
    assert_mentions(texts[True][2][0], "25% of the bars")


def test_a_backtest_of_kpis_only_says_so(runs, tmp_path):
    run = unsealed(runs / "backtest", tmp_path / "run")
    for name in ("equity", "trace", "trades"):
        (run / f"{name}.parquet").unlink()
    found = report_page(run)
    assert [figure.name for figure in found.figures] == ["alerts"]
    assert "there is no course of the account" in "".join(part.text for part in found.opening if isinstance(part, Note))
    write_report(run)


def test_a_run_without_times_and_trades(runs, tmp_path):
    run = unsealed(runs / "backtest", tmp_path / "run")
    pl.read_parquet(run / "equity.parquet").drop("time").write_parquet(run / "equity.parquet")
    pl.read_parquet(run / "trades.parquet").clear().write_parquet(run / "trades.parquet")
    found = report_figures(run)
    assert "months" not in found
    assert found["equity"].layout["xaxis"]["range"] == [0, 399]
    assert_mentions(found["price"].caption, "with the 0 trades")
    (run / "trades.parquet").unlink()
    assert "trades" not in report_figures(run)["price"].caption


def test_a_thinned_figure_says_so(runs):
    with mock.patch.object(course, "MOST_POINTS", 100):
        found = report_figures(runs / "backtest")
    assert_mentions(found["equity"].caption, "the lowest and the highest value of every 8 bars")
    assert_mentions(
        found["price"].caption, "the lowest and the highest of every 8 bars", "the mean position of every 8"
    )
    assert_mentions(found["sharpe"].caption, "over the last 96 bars")


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
    (tmp_path / "run.json").write_text(json.dumps({"kind": "sweep"}))
    with pytest.raises(
        ArtifactError, match=r"of the kind 'sweep', of which there is no report; expected a training run"
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

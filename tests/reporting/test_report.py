"""Reports: what a page says, and that it stands by itself."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from cli_helpers import assert_mentions
from report_runs import EXPECTED, KINDS, make_runs, report_figures, report_page, unsealed

from idi_fast import reporting as reports
from idi_fast.reporting import course, page, theme, write_report
from idi_fast.reporting.formats import number
from idi_fast.reporting.parts import Note
from idi_fast.reporting.pictures import picture

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
    about = ("Out of sample: each window was tested on bars after those it was trained on.", False)
    assert opening(run) == [(verdict, False), about, (f"{told['notes'][0].capitalize()}.", True)]
    (run / "walkforward.json").write_text(json.dumps({**told, "notes": ["it is short"]}))
    assert opening(run) == [(verdict, False), about, ("It is short.", True)]
    del told["notes"]  # an earlier version's
    (run / "walkforward.json").write_text(json.dumps(told))
    assert opening(run) == [(verdict, False), about]


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
    names = {"hold": "Always hold", "buy": "Always buy", "sell": "Always sell"}
    lines = {line["name"]: line["y"] for line in figure.data[1:]}
    assert lines[names.get(best, best.capitalize())] == pytest.approx([mean, mean], rel=1e-5)
    assert len(lines) == len(evaluation["baselines"])
    assert_mentions(figure.caption, f"the best of them is '{best}'")
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
    kpis, held = result["kpis"], result["buy_and_hold"]
    verdict = texts[False][0][0]
    assert_mentions(verdict, "Better than" if kpis["total_return"] > held["total_return"] else "Worse than", "chance")
    assert texts[True][1] == texts[None][0] == (verdict, False)
    assert_mentions(texts[False][1][0], "Out of sample: no bar with this time and close")
    assert_mentions(texts[None][1][0], "cannot be told")
    assert texts[True][2] == ("Liquidated at bar 77: nothing was left, and trading ended there.", True)
    assert_mentions(texts[True][3][0], "25% of the bars")


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

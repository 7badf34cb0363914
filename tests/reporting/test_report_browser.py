"""Reports in a real browser, over file://."""

import asyncio
import base64
from io import BytesIO
from pathlib import Path

import pytest
from browser import PATIENCE, PHONE, PageRecord, Tab, browse, needs_browser
from report_runs import KINDS, make_runs

from idi_fast.reporting import write_report

pytest.importorskip("plotly", reason="the extra `report` is not installed")
pytestmark = needs_browser

SCREEN = 1100
SCREENS = [(width, scheme) for width in (PHONE, SCREEN) for scheme in ("light", "dark")]
FIGURES = """
[...document.querySelectorAll("figure")].map((figure) => {
  const svg = figure.querySelector("svg.main-svg");
  const box = svg.getBoundingClientRect();
  const found = (shapes) => [...figure.querySelectorAll(shapes)];
  const marks = found("path.js-line, path.js-fill, .points path, .bars path, .heatmaplayer image");
  return {
    name: figure.id, width: box.width, height: box.height, room: figure.getBoundingClientRect().width,
    marks: marks.filter((mark) => mark.getBBox().width + mark.getBBox().height > 0).length,
    labels: found(".xtick text, .ytick text, .x2tick text").filter((text) => text.textContent).length,
  };
})
"""
PAGE = """({
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  widest: Math.max(...[...document.querySelectorAll("main *, header *, footer *")]
    .filter((part) => !part.closest("svg")).map((part) => part.getBoundingClientRect().right)),
  background: getComputedStyle(document.body).backgroundColor,
  text: getComputedStyle(document.querySelector("figure .xtick text, figure .ytick text")).fill,
  unpainted: [...document.querySelectorAll("figure svg *")]
    .some((part) => (part.getAttribute("style") || "").includes("var(--")),
})"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    """A report of each kind."""
    runs = make_runs(tmp_path_factory.mktemp("runs"))
    for kind in KINDS:
        write_report(runs / kind)
    return runs


@pytest.fixture(scope="module")
def seen(reports) -> dict[tuple[str, int, str], PageRecord]:
    """Every report on every screen."""

    async def visit(tab: Tab):
        found = {}
        now = PageRecord()
        await tab.listen(now)
        for kind in KINDS:
            for width, scheme in SCREENS:
                now.__init__()
                await tab.show(reports / f"{kind}.html", width, scheme)
                now.figures, now.page = await tab.evaluate(FIGURES), await tab.evaluate(PAGE)
                found[kind, width, scheme] = PageRecord(**vars(now))
        return found

    return browse(visit)


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_drawn_without_complaint_and_without_a_network(seen, reports, kind, width, scheme):
    found = seen[kind, width, scheme]
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith("data:")] == [(reports / f"{kind}.html").as_uri()]
    assert found.figures
    for figure in found.figures:
        assert figure["marks"] > 0, figure
        assert figure["labels"] > 1, figure
        assert figure["height"] >= 100, figure
        assert figure["room"] - 1 <= figure["width"] <= figure["room"] + 1, figure
    assert not found.page["unpainted"]


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wider_than_the_screen(seen, kind, width, scheme):
    page = seen[kind, width, scheme].page
    assert page["overflow"] <= 0
    assert page["widest"] <= width


@pytest.mark.parametrize("width", [PHONE, SCREEN])
@pytest.mark.parametrize("kind", KINDS)
def test_page_and_figures_follow_the_colour_scheme(seen, kind, width):
    light, dark = (seen[kind, width, scheme].page for scheme in ("light", "dark"))
    assert (light["background"], dark["background"]) == ("rgb(255, 255, 255)", "rgb(18, 22, 27)")
    assert light["text"] != dark["text"]


def test_a_change_of_the_colour_scheme_repaints_the_figures_and_the_switch_makes_them_logarithmic(reports):
    async def visit(tab: Tab):
        await tab.show(reports / "backtest.html", SCREEN, "light")
        ink = "getComputedStyle(document.querySelector('#equity .scatterlayer path.js-line')).stroke"
        kind = "document.querySelector('#equity .plot').layout.yaxis.type"
        before = await tab.evaluate(ink), await tab.evaluate(kind)
        await tab.evaluate("document.querySelector('#equity [data-scale=log]').click()")
        await tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        async with asyncio.timeout(PATIENCE):
            while await tab.evaluate(ink) == before[0]:
                await asyncio.sleep(0.05)
        pressed = "[...document.querySelectorAll('#equity button')].map((b) => b.getAttribute('aria-pressed'))"
        return before, (await tab.evaluate(ink), await tab.evaluate(kind)), await tab.evaluate(pressed)

    before, after, pressed = browse(visit)
    assert before == ("rgb(135, 146, 160)", "linear")
    assert after == ("rgb(125, 137, 151)", "log")
    assert pressed == ["false", "true"]


def test_figures_over_the_same_bars_are_zoomed_together(reports):
    async def visit(tab: Tab):
        await tab.show(reports / "backtest.html", SCREEN, "light")
        await tab.evaluate(
            "Plotly.relayout(document.querySelector('#drawdown .plot'),"
            "{'xaxis.range[0]': '1970-03-01', 'xaxis.range[1]': '1970-04-01'}).then(() => null)"
        )
        ranges = (
            "Object.fromEntries(['equity', 'drawdown', 'price', 'sharpe', 'action-mix'].map((name) =>"
            "[name, document.querySelector(`#${name} .plot`).layout.xaxis.range.map(String)]))"
        )
        async with asyncio.timeout(PATIENCE):
            while (found := await tab.evaluate(ranges))["sharpe"][0] != "1970-03-01":
                await asyncio.sleep(0.05)
        return found

    found = browse(visit)
    zoomed = ["1970-03-01", "1970-04-01"]
    assert found == {**dict.fromkeys(("equity", "drawdown", "price", "sharpe"), zoomed), "action-mix": ["0", "1"]}


def test_print_is_light_and_fits_the_page(reports):
    async def visit(tab: Tab):
        await tab.show(reports / "backtest.html", SCREEN, "dark")
        # What the figures are like at the moment of printing: the page is told of it before, and after it.
        await tab.evaluate(
            "addEventListener('beforeprint', () => { window.printed = [...document.querySelectorAll('figure')].map("
            "(figure) => [figure.querySelector('svg.main-svg').getAttribute('width'),"
            "figure.querySelector('.plot').layout.font.color]) }); null"
        )
        printed = await tab.ask("Page.printToPDF", preferCSSPageSize=True)
        after = "document.querySelector('.plot').layout.font.color"
        return base64.b64decode(printed["data"]), await tab.evaluate("window.printed"), await tab.evaluate(after)

    pdf, printed, after = browse(visit)
    assert pdf.startswith(b"%PDF")
    assert {tuple(figure) for figure in printed} == {("680", "#1a2027")}
    assert after == "#e8ecf0"


def test_pictures(reports, tmp_path):
    pytest.importorskip("kaleido", reason="the extra `report` is not installed")
    image = pytest.importorskip("PIL.Image", reason="Pillow, which comes with matplotlib, is not installed")
    told = write_report(reports / "walkforward", tmp_path / "report.html", png=tmp_path / "png")
    for name in told["figures"]:
        picture = image.open(BytesIO((tmp_path / "png" / f"{name}.png").read_bytes()))
        assert picture.width == 1920
        assert picture.height > 300
        assert len(picture.convert("RGB").getcolors(10**6)) > 20

"""The lab in a real browser: every slider, a training begun and stopped, states clicked, runs sorted."""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dash", reason="the extra `lab` is not installed")

from browser import PATIENCE, PHONE, PageRecord, Tab, browse, needs_browser

import idi_fast as idi
from idi_fast.lab.market_page import ALL, market_config, market_settings
from idi_fast.lab.server import Lab
from idi_fast.reporting.simulations import simulated_path

pytestmark = needs_browser

SCREEN = 1400
SCREENS = [(width, scheme) for width in (PHONE, SCREEN) for scheme in ("light", "dark")]
DONE, STOPPED = ("value_iteration", "Done"), ("q_learning", "Stopped")
TRAININGS = dict(zip(SCREENS, (DONE, STOPPED, STOPPED, DONE), strict=True))
"""On each screen a training ends, or is stopped."""
PLAN: dict[str, Any] = {"episode_length": 16, "environment": {"kind": "crypto"}}
PLAN["learning"] = {"algorithm": "value_iteration", "bars": 2_000, "shrinkage": 50}
READY = """document.documentElement?.dataset.ready === 'true' &&
  ["prices", "autocorrelation"].every((name) => document.querySelector(`#${name} .main-svg`)) &&
  !!document.querySelector("#runs-table tbody") && !!document.querySelector("#state-tables table")"""
PRICES = "document.querySelector('#prices .js-plotly-plot').data[0]"
SORTED = "[...document.querySelectorAll('#runs-table tbody th')].map((cell) => cell.innerText)"
CHOSEN = "document.querySelector('#state-tables caption').innerText"
FRAME = "document.querySelector('#map-one .js-plotly-plot').layout.shapes[0]"
STATE = "document.getElementById('train-state').innerText"
SIZES = """(() => {
  const section = document.querySelector("main section:not([hidden])");
  const free = [...section.querySelectorAll("*")].filter((part) => !part.closest(".table, pre, .js-plotly-plot"));
  const inputs = [...section.querySelectorAll("input:not([aria-hidden])")];
  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    widest: Math.max(...free.map((part) => part.getBoundingClientRect().right)),
    background: getComputedStyle(document.body).backgroundColor,
    unpainted: section.querySelectorAll('svg [style*="var(--"]').length,
    unnamed: inputs.filter((input) => !input.labels.length && !input.getAttribute("aria-label")).map(({ id }) => id),
  };
})()"""
PLACE = """(([x, y]) => {
  const plot = document.querySelector("#map-one .js-plotly-plot");
  plot.scrollIntoView({ block: "center", behavior: "instant" });
  const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
  return [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)];
})"""


@dataclass
class Found(PageRecord):
    """What there was to be seen of the lab on a screen."""

    sizes: dict[str, dict] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    line: dict[str, list] = field(default_factory=dict)
    orders: list[list[str]] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    training: str = ""


async def press(tab: Tab, key: str, code: int):
    """Press a key where the focus is."""
    for kind in ("keyDown", "keyUp"):
        await tab.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


async def differs(tab: Tab, expression: str, before: Any):
    """Wait until an expression has another value; returns that."""
    await tab.until(f"JSON.stringify({expression}) !== {json.dumps(json.dumps(before, ensure_ascii=False))}")
    return await tab.evaluate(expression)


async def move_sliders(tab: Tab, found: Found):
    """Move each of them a step to the right by the keyboard."""
    drawn = f"{PRICES}.y.slice(0, 100)"
    for knob in ALL:
        found.before[knob.name] = await tab.evaluate(f"Number(document.getElementById('{knob.name}').value)")
        before = await tab.evaluate(drawn)
        await tab.evaluate(f"document.getElementById('{knob.name}').focus()")
        await press(tab, "ArrowRight", 39)
        told = f"Number(document.getElementById('{knob.name}-number').value)"
        found.values[knob.name] = await differs(tab, told, found.before[knob.name])
        if knob.name not in ("fee_bps", "bars"):  # no price knows of these
            await differs(tab, drawn, before)
    await tab.until(f"{PRICES}.x.at(-1) === {found.values['bars'] - 1}")
    found.line = await tab.evaluate(f"(({{ x, y }}) => ({{ x, y }}))({PRICES})")


async def sort_runs(tab: Tab, found: Found):
    """By a figure, by the same turned round, and by name again."""
    for key, order in (("reward", "descending"), ("reward", "ascending"), ("name", "ascending")):
        head = f'document.getElementById(\'{{"sort":"{key}"}}\')'
        await tab.evaluate(f"{head}.click()")
        await tab.until(f"{head}?.closest('th').getAttribute('aria-sort') === '{order}'")
        found.orders.append(await tab.evaluate(SORTED))


async def click_state(tab: Tab, found: Found):
    """Click another cell of a visited state."""
    found.chosen.append(await tab.evaluate(CHOSEN))
    await tab.until("document.querySelector('#map-one .heatmaplayer image')?.getBoundingClientRect().width > 100")
    chosen = await tab.evaluate(f"[{FRAME}.x0 + 0.5, {FRAME}.y0 + 0.5]")
    rows = await tab.evaluate("document.querySelector('#map-one .js-plotly-plot').data[0].z")
    visited = [[x, y] for y, row in enumerate(rows) for x, cell in enumerate(row) if cell is not None]
    other = next(cell for cell in visited if cell != chosen)
    async with asyncio.timeout(PATIENCE):
        # Again and again, for the map moves while it takes its width.
        while (now := await tab.evaluate(CHOSEN)) == found.chosen[0]:
            left, top = await tab.evaluate(f"{PLACE}({other})")
            for kind, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
                where = {"x": left, "y": top, "button": button, "clickCount": 1}
                await tab.ask("Input.dispatchMouseEvent", type=kind, **where)
                await asyncio.sleep(0.1)  # plotly.js looks for what is under the pointer twenty times a second
    found.chosen.append(now)


async def train(tab: Tab, found: Found, name: str, algorithm: str, ends: str):
    """Begin a training, and stop it if it is to end so."""
    fields = {"train-name": name, "train-algorithm": algorithm, "train-episodes": 10_000_000}
    for field_id, value in fields.items():
        await tab.evaluate(f"dash_clientside.set_props('{field_id}', {{ value: {json.dumps(value)} }})")
    await tab.until(f"document.getElementById('train-name').value === '{name}'")
    await tab.evaluate("document.getElementById('train-start').click()")
    if ends == "Stopped":
        await tab.until("!document.getElementById('train-stop').disabled")
        await tab.evaluate("document.getElementById('train-stop').click()")
    await tab.until(f"{STATE}.includes('{ends}: {name}')")
    found.training = await tab.evaluate("document.querySelector('#page-train .shown').innerText")


async def visit_all(tab: Tab, lab: Lab) -> dict[tuple[int, str], Found]:
    """All of it on all screens."""
    now, seen = Found(), {}
    await tab.listen(now)
    for width, scheme in SCREENS:
        now.__init__()
        await tab.screen(width, scheme)
        if scheme == "light":  # the dark one comes to a page that is there
            await tab.ask("Page.navigate", url=lab.address)
            await tab.until(READY)
        else:
            await tab.evaluate("document.getElementById('link-market').click()")
            await tab.until("!document.getElementById('page-market').hidden")
        await move_sliders(tab, now)
        for page in ("market", "train", "policy", "runs"):
            await tab.evaluate(f"document.getElementById('link-{page}').click()")
            await tab.until(f"!document.getElementById('page-{page}').hidden")
            if page == "runs":
                await sort_runs(tab, now)
            if page == "policy":
                await click_state(tab, now)
            if page == "train":
                await train(tab, now, f"{scheme}-{width}", *TRAININGS[width, scheme])
            await asyncio.sleep(0.05)
            now.sizes[page] = await tab.evaluate(SIZES)
        seen[width, scheme] = Found(**vars(now))
    return seen


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    for seed in (1, 2):
        idi.train(PLAN, seed=seed).save(folder / f"plan-{seed}")
    with Lab(folder) as made:
        made.load()
        thread = threading.Thread(target=made.serve)
        thread.start()
        yield made
        made.stop()
        thread.join()


@pytest.fixture(scope="module")
def seen(lab) -> dict[tuple[int, str], Found]:
    return browse(lambda tab: visit_all(tab, lab))


@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_complains_and_no_other_host_is_asked(seen, lab, screen):
    found = seen[screen]
    assert found.complaints == []
    own = lab.address.partition("?")[0]
    assert [url for url in found.requests if not url.startswith((own, "data:", "blob:"))] == []


@pytest.mark.parametrize("screen", SCREENS)
def test_every_slider_moves_and_the_price_is_that_of_the_library(seen, screen):
    found = seen[screen]
    assert found.values == pytest.approx({knob.name: found.before[knob.name] + knob.step for knob in ALL})
    config = market_config(market_settings(found.values, "normal"))
    path = simulated_path(config, int(found.values["bars"]), int(found.values["seed"]))
    np.testing.assert_allclose(found.line["y"], path.close[found.line["x"]], rtol=1e-5)  # six digits are sent


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_fits_the_screen_and_names_its_inputs(seen, screen):
    for page, sizes in seen[screen].sizes.items():
        assert sizes["overflow"] <= 0, page
        assert sizes["widest"] <= screen[0], page
        assert (sizes["unpainted"], sizes["unnamed"]) == (0, []), page


@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_pages_follow_the_colour_scheme(seen, width):
    light, dark = (seen[width, scheme].sizes["market"]["background"] for scheme in ("light", "dark"))
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(18, 22, 27)")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_click_chooses_a_state_and_heads_sort_the_runs(seen, lab, screen):
    found = seen[screen]
    assert len(set(found.chosen)) == 2
    assert all("State " in text for text in found.chosen)
    rewards = {run.name: run.figures["reward"] for run in idi.list_runs(lab.workspace.root).runs}
    falling, rising, by_name = found.orders
    assert [rewards[name] for name in falling] == sorted((rewards[name] for name in falling), reverse=True)
    assert [rewards[name] for name in rising] == sorted(rewards[name] for name in falling)
    assert by_name == sorted(falling)


@pytest.mark.parametrize("screen", SCREENS)
def test_trainings_end_or_are_stopped(seen, lab, screen):
    (width, scheme), (_, ends) = screen, TRAININGS[screen]
    told, run = seen[screen].training, lab.workspace.root / f"{scheme}-{width}"
    assert f"{ends}: {run.name}" in told
    assert ("Open the report" in told, (run / "run.json").exists()) == (ends == "Done",) * 2

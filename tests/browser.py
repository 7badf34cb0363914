"""A real browser for tests: headless Chromium with every host name out of reach.

It is driven through choreographer, which comes with the extra `report`.
"""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)

choreographer = pytest.importorskip("choreographer", reason="the extra `report` is not installed")
needs_browser = pytest.mark.skipif(BROWSER is None, reason=f"there is no browser, none of {', '.join(BROWSERS)}")

PHONE = 390
PATIENCE = 60.0
"""Seconds until a page must be drawn."""


class Offline(choreographer.browsers.Chromium if BROWSER else object):
    """Chromium without a network."""

    def get_cli(self):
        """The command line, by which no host name but this machine has an address."""
        return [*super().get_cli(), "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@dataclass
class PageRecord:
    """What there was to be seen of a page."""

    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    figures: list = field(default_factory=list)
    page: dict = field(default_factory=dict)


class Tab:
    """A page of the browser."""

    def __init__(self, tab):
        self._tab = tab

    async def ask(self, method: str, **params):
        """The browser's answer to a command of the DevTools protocol."""
        answer = await self._tab.send_command(method, params=params)
        assert "error" not in answer, answer
        return answer["result"]

    async def evaluate(self, expression: str):
        """The value of an expression of JavaScript, awaited if it is a promise."""
        how = {"returnByValue": True, "awaitPromise": True}
        answer = await self.ask("Runtime.evaluate", expression=expression, **how)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str):
        """Wait until an expression of JavaScript is true."""
        async with asyncio.timeout(PATIENCE):
            while await self.evaluate(expression) is not True:
                await asyncio.sleep(0.05)

    async def drawn(self):
        """Wait until all figures are drawn."""
        await self.until("document.documentElement?.dataset.drawn === 'true'")

    async def listen(self, seen: PageRecord):
        """Note what the page complains of and asks for."""

        async def complaint(event):
            params = event["params"]
            if event["method"] != "Runtime.consoleAPICalled" or params["type"] in ("error", "warning", "assert"):
                seen.complaints.append(params)

        async def request(event):
            seen.requests.append(event["params"]["request"]["url"])

        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.ask(f"{domain}.enable")
        for event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self._tab.subscribe(event, complaint, repeating=True)
        self._tab.subscribe("Network.requestWillBeSent", request, repeating=True)

    async def screen(self, width: int, scheme: str):
        """Have a screen of this width, light or dark."""
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width == PHONE}
        await self.ask("Emulation.setDeviceMetricsOverride", **size)
        await self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def show(self, path: Path, width: int, scheme: str):
        """Open a file on a screen of this width, light or dark, and wait until it is drawn."""
        await self.screen(width, scheme)
        await self.ask("Page.navigate", url=path.as_uri())
        await self.drawn()


def browse(visit):
    """The outcome of a coroutine function of a Tab, in a browser of its own."""

    async def run():
        async with choreographer.Browser(path=BROWSER, browser_cls=Offline, headless=True) as browser:
            return await visit(Tab(await browser.create_tab("about:blank")))

    return asyncio.run(run())

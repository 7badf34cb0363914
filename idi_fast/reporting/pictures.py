"""Figures of a report as PNG files, drawn by a browser through kaleido."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from idi_fast.errors import InputError
from idi_fast.reporting.page import figure_json
from idi_fast.reporting.parts import Figure
from idi_fast.reporting.theme import PALETTES, painted
from idi_fast.storage.own_files import PICTURE

WIDTH = 960
SCALE = 2
"""Pixels of the file per pixel of the figure."""
BORDER = 24
TITLE_ROOM = 44


def check_kaleido() -> None:
    """InputError if kaleido is not installed."""
    try:
        import kaleido  # noqa: F401
    except ImportError:
        raise InputError("`png` needs kaleido; install it with: pip install 'idi-fast[report]'") from None


def write_pictures(figures: Sequence[Figure], folder: Path) -> None:
    """Write `<name>.png` for each figure into a folder: light, with its title, 1,920 pixels wide.

    Raises InputError if kaleido finds no browser that starts.
    """
    import kaleido
    from choreographer.errors import BrowserFailedError, ChromeNotFoundError

    made = [
        {"fig": picture(figure), "path": folder / f"{figure.name}.png", "opts": {"scale": SCALE}} for figure in figures
    ]
    try:
        # Without MathJax, which kaleido would load from the network.
        kaleido.write_fig_from_object_sync(made, kopts={"mathjax": False})
    except ChromeNotFoundError:
        raise InputError(
            "`png` draws with Chrome or Chromium, and none is installed; install one, as with `apt install chromium`, "
            "or run kaleido_get_chrome"
        ) from None
    except BrowserFailedError as error:
        raise InputError(f"`png` draws with Chrome or Chromium, which does not start here: {error}") from error


def mark_pictures(folder: Path) -> None:
    """Mark the PNG files in a folder as ours."""
    for path in folder.glob("*.png"):
        path.write_bytes(marked(path.read_bytes()))


def marked(picture: bytes) -> bytes:
    """A PNG file with our mark, which `--force` requires before it deletes it.

    Source: Portable Network Graphics (W3C, 2003), 11.3.4.3: a textual chunk, here after the header of 33 bytes.
    """
    length = (len(PICTURE) - 4).to_bytes(4, "big")
    return picture[:33] + length + PICTURE + zlib.crc32(PICTURE).to_bytes(4, "big") + picture[33:]


def picture(figure: Figure, palette: str = "light", width: int | None = WIDTH) -> dict:
    """A figure as plotly.js takes it, in the colours of a palette, with its title above it; width: None for that of
    where it is shown."""
    made = json.loads(painted(figure_json(figure.data, figure.layout), PALETTES[palette]))
    layout, page = made["layout"], PALETTES[palette]["page"]
    height = layout["height"] + TITLE_ROOM + BORDER
    for part in (layout["legend"], layout.get("coloraxis", {}).get("colorbar", {})):
        if part.get("yref") == "container":  # it is at the very top, where the title goes
            part["y"] = 1.0 - TITLE_ROOM / height
    made["layout"] = {
        **layout,
        **({} if width is None else {"width": width}),
        "height": height,
        "paper_bgcolor": page,
        "plot_bgcolor": page,
        "margin": {"l": BORDER, "r": BORDER, "b": BORDER, "t": layout["margin"]["t"] + TITLE_ROOM},
        "title": {
            "text": f"<b>{figure.title}</b>",
            "x": 0,
            "xanchor": "left",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 16, "l": BORDER},
        },
    }
    return made

"""Paths of the simulated market as one self-contained page, or their prices as a picture."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast.config.arguments import check_config, check_integer, check_path
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import versions
from idi_fast.environments.simulation import simulated_frames
from idi_fast.errors import InputError, OutputError
from idi_fast.reporting import write_html
from idi_fast.reporting.formats import number, percent, plural, setting, words
from idi_fast.reporting.markets import MarketPath, market_figures, moments_table, price_figure
from idi_fast.reporting.page import plotly_js, render
from idi_fast.reporting.parts import KeyFigures, Page, Section
from idi_fast.reporting.pictures import check_kaleido, marked, write_pictures
from idi_fast.storage.failures import explained
from idi_fast.storage.files import check_place, check_replaceable_file
from idi_fast.storage.own_files import PICTURE
from idi_fast.storage.staging import Staging

LEAST_BARS = 3
MOST_PATHS = 100
"""Of a plot: more lines are one blot."""


def simulated_path(config: TrainingConfig, bars: int, seed: int) -> MarketPath:
    """A path of the simulated market, the bars of `simulate_history`. Raises as `simulated_frames`."""
    frames = simulated_frames(config, bars, seed, 0, 1)
    table = pl.concat([frame.select("close", "regime") for frame in frames])
    return MarketPath(f"Seed {seed}", table["close"].to_numpy(), table["regime"].to_numpy())


def simulated_paths(config: TrainingConfig, bars: int, seed: int, paths: int) -> list[MarketPath]:
    """Paths of the simulated market from a seed and those after it, with moments. Raises as `simulated_frames`."""
    return [simulated_path(config, check_integer("bars", bars, least=LEAST_BARS), seed + k) for k in range(paths)]


def plot_simulation(
    config: TrainingConfig | Mapping[str, Any] | None,
    bars: int,
    out: str | Path,
    *,
    seed: int = 0,
    paths: int = 1,
    force: bool = False,
) -> dict:
    """Draw paths of the simulated market; they are those of `simulate_history`.

    Parameters
    ----------
    config
        The settings, or a dict of them, of which `environment.market` and `engine.rng` count; None: the default.
    bars
        Of each path, 3 or more.
    out
        A file whose name ends in .html, for a page that needs no network: prices with their regimes, returns, tails,
        volatility and autocorrelation; or in .png, for a picture of the prices, which needs kaleido and a browser.
    seed
        An integer, 0 or more.
    paths
        How many, 1 to 100, from `seed` and the seeds after it.
    force
        Whether an earlier page or picture is replaced.

    Returns
    -------
    dict
        plot (the file) and figures (their names).

    Raises
    ------
    OutputError
        If the file exists and `force` is not given, or no file may be there.
    InputError
        If another argument cannot be used, or plotly or kaleido is not installed.
    """
    out, config = check_path("out", out), check_config(config)
    seed, paths = check_integer("seed", seed), check_integer("paths", paths, least=1)
    check_plot(out, force)
    if paths > MOST_PATHS:
        raise InputError(f"paths is {paths}; expected at most {MOST_PATHS} of a plot")
    library = plotly_js()
    made = simulated_paths(config, bars, seed, paths)
    if out.suffix.lower() == ".html":
        page = _page(config, made, seed)
        write_html(render(page, library), out, force=force)
        return {"plot": str(out), "figures": [figure.name for figure in page.figures]}
    target, figure = Path(os.path.abspath(out)), price_figure(made)
    with Staging() as staging:
        staging.watch(target)
        with explained(target):
            folder = staging.scratch(target.parent)
            write_pictures([figure], folder)
            staging.reserve(target).write_bytes(marked((folder / f"{figure.name}.png").read_bytes()))
        staging.swap([target])
    return {"plot": str(out), "figures": [figure.name]}


def check_plot(out: Path, force: bool) -> None:
    """Raise where no plot may be written to a place: OutputError; InputError for another ending, or without plotly or
    kaleido."""
    suffix = out.suffix.lower()
    if suffix not in (".html", ".png"):
        raise InputError(f"the plot {out} ends in neither .html nor .png")
    plotly_js()
    if suffix == ".png":
        check_kaleido()
    check_place(out)
    target = Path(os.path.abspath(out))
    check_replaceable_file(target, force, "plot")
    if suffix == ".png" and target.exists():
        with explained(target), open(target, "rb") as file:
            if PICTURE not in file.read(4096):
                raise OutputError(f"{out} is something other than a picture of idi-fast; choose another name")


def _page(config: TrainingConfig, paths: list[MarketPath], seed: int) -> Page:
    market = config.environment.market
    settings = [(words(name), _told(value)) for name, value in market.canonical().items() if name != "regimes"]
    if market.regimes:
        settings.append(("Regimes", ", ".join(regime.name for regime in market.regimes)))
    ends = np.array([path.close[-1] / path.close[0] - 1.0 for path in paths])
    change = percent(ends[0]) if len(paths) == 1 else f"{percent(ends.min(), 0)} to {percent(ends.max(), 0)}"
    table = moments_table(paths)
    seeds = f"seed {seed}" if len(paths) == 1 else f"seeds {seed} to {seed + len(paths) - 1}"
    bars = paths[0].close.size
    prices, *others = market_figures(paths)
    return Page(
        kind="Simulated market",
        title=f"{plural(len(paths), 'path')}, {seeds}",
        lead=f"{plural(bars, 'bar')} each" if len(paths) > 1 else plural(bars, "bar"),
        opening=[
            KeyFigures(
                [
                    ("Change of the price", change),
                    ("Volatility per bar", table.rows[1][1]),
                    ("Excess kurtosis", table.rows[3][1]),
                    ("First close", number(float(paths[0].close[0]))),
                    *([("Last close", number(float(paths[0].close[-1])))] if len(paths) == 1 else []),
                ],
                is_large=True,
            )
        ],
        sections=[
            Section("market", "Market", [prices, KeyFigures(settings)]),
            Section("moments", "Returns", [table, *others]),
        ],
        footer=f"Made by idi-fast {versions()['idi_fast']}: {seeds}, generator {config.engine.rng}.",
    )


def _told(value: object) -> str:
    return setting(value) if isinstance(value, int | float) else words(str(value))

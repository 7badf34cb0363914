"""Paths of the simulated market: in one file, on a page, as a picture."""

import json
import re

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest

import idi_fast as idi
from idi_fast.reporting.markets import MarketPath, market_figures, moments_table, price_figure
from idi_fast.reporting.pictures import marked

pytest.importorskip("plotly", reason="the extra `report` is not installed")


def page_figures(path) -> dict:
    """The figures on a page, by name."""
    text = path.read_text("utf-8")
    found = re.findall(
        r'<figure id="([a-z-]+)">.*?<script class="wide" type="application/json">(.*?)</script>', text, re.S
    )
    return {name: json.loads(data) for name, data in found}


def test_several_paths_share_a_file_and_are_read_as_symbols(tmp_path):
    out = tmp_path / "bars.parquet"
    told = cli.one_object(
        cli.succeed("simulate", "--bars", 500, "--paths", 3, "--seed", 4, "--out", out, "--json").stdout
    )
    table = pl.read_parquet(out)
    assert table["path"].unique(maintain_order=True).to_list() == ["4", "5", "6"]
    for k, (_, own) in enumerate(table.group_by("path", maintain_order=True)):
        single = tmp_path / f"{k}.parquet"
        about = idi.simulate_history(None, 500, single, seed=4 + k)
        assert own.drop("path").equals(pl.read_parquet(single))
        assert told["last_closes"][k] == about["last_close"]
    assert (told["paths"], told["bars"], sum(told["regimes"].values())) == (3, 500, 1_500)
    agent = tmp_path / "agent"
    plan = ("--algorithm", "value_iteration", "--set", "learning.shrinkage=100")
    cli.succeed("train", "--data", out, "--symbol-col", "path", "--out", agent, *plan)
    assert [bars["symbol"] for bars in idi.Policy.load(agent).trained_on] == ["4", "5", "6"]


def test_the_page_shows_the_bars_of_the_file(tmp_path):
    bars, page = tmp_path / "bars.parquet", tmp_path / "page.html"
    market = ("--vol-base", 0.02, "--stress", "panic")
    cli.succeed("simulate", "--bars", 900, "--seed", 2, "--out", bars, "--plot", page, *market)
    close, drawn = pl.read_parquet(bars)["close"].to_numpy(), page_figures(page)
    assert list(drawn) == ["prices", "returns", "tails", "volatility", "autocorrelation"]
    (line,) = (
        trace for trace in drawn["prices"]["data"] if trace.get("name") == "Seed 2" and trace["type"] == "scatter"
    )
    np.testing.assert_allclose(line["y"], close[line["x"]], rtol=1e-5)  # six digits
    assert (line["x"][0], line["x"][-1]) == (0, 899)
    rolled = pl.Series(np.diff(np.log(close))).rolling_std(64)
    (line,) = drawn["volatility"]["data"]
    np.testing.assert_allclose(line["y"], [rolled[x - 1] for x in line["x"]], rtol=1e-5)
    moments = idi.return_moments(pl.DataFrame({"close": close}))
    np.testing.assert_allclose(drawn["autocorrelation"]["data"][1]["y"], moments.autocorrelation, rtol=1e-5)
    assert "https://" not in page.read_text("utf-8").split("<script>")[0]


def test_without_a_file_of_bars_only_the_page_is_written_and_the_same_again(tmp_path):
    one, other = (idi.plot_simulation(None, 50, tmp_path / name, paths=2) for name in ("a.html", "b.html"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert one["figures"] == other["figures"]
    assert len(page_figures(tmp_path / "a.html")["prices"]["data"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_regimes_stand_behind_a_single_path():
    regime = np.repeat([0, 3, 1], [30, 50, 20]).astype(np.uint8)
    path = MarketPath("market", np.exp(np.linspace(0.0, 1.0, 100)), regime)
    areas = price_figure([path]).layout["shapes"]
    assert [area["path"] for area in areas] == [
        "M-0.5,0V1H29.5V0Z",
        "M79.5,0V1H99.5V0Z",
        "M29.5,0V1H79.5V0Z",
    ]
    assert price_figure([path, path]).layout["shapes"] == []


def test_a_history_stands_beside_the_market_with_its_distances():
    rng = np.random.default_rng(0)
    market, history = (
        MarketPath(name, 50 * np.exp(np.cumsum(rng.normal(0, 0.01, 400)))) for name in ("market", "<b>real")
    )
    line = price_figure([market], history).data[-1]
    assert line["name"] == "&lt;b&gt;real"
    assert line["y"][0] == pytest.approx(market.close[0])
    table = moments_table([market], history)
    assert table.heads == ("", "Market", "<b>real", "Distance")
    assert len(table.rows) == len(market.moments.figures())
    assert [len(figure.data) for figure in market_figures([market], history)] == [2, 3, 3, 2, 4]


def test_bars_that_never_move_are_drawn_too():
    flat = MarketPath("flat", np.full(10, 5.0))
    figures = market_figures([flat], flat)
    assert [figure.name for figure in figures] == ["prices", "returns", "tails", "volatility", "autocorrelation"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--plot", "a.pdf"], ["a.pdf ends in neither .html nor .png"]),
        (["--plot", "kept.html"], ["kept.html already exists; --force replaces it"]),
        (["--plot", "kept.html", "--force"], ["kept.html is something other than a report of idi-fast"]),
        (["--plot", "kept.png", "--force"], ["kept.png is something other than a picture of idi-fast"]),
        (["--plot", "a.html", "--bars", "2"], ["bars is 2; expected 3 or more"]),
        (["--plot", "a.html", "--paths", "0"], ["paths is 0; expected 1 or more"]),
        (["--plot", "a.html", "--paths", "101"], ["paths is 101; expected at most 100 of a plot"]),
        (["--out", "a.csv", "--paths", "0"], ["paths is 0; expected 1 or more"]),
        (["--out", "a.csv", "--plot", "a.txt"], ["a.txt ends in neither .html nor .png"]),
    ],
)
def test_refusals(options, parts, tmp_path, monkeypatch):
    (tmp_path / "kept.html").write_text("mine")
    (tmp_path / "kept.png").write_text("mine")
    monkeypatch.chdir(tmp_path)
    cli.assert_mentions(cli.refused(tmp_path, "simulate", *options), *parts)


def test_a_picture_of_the_prices(tmp_path, monkeypatch):
    pytest.importorskip("kaleido", reason="the extra `report` is not installed")
    header = b"\x89PNG\r\n\x1a\n" + bytes(25)

    def write(figures, folder):
        for figure in figures:
            (folder / f"{figure.name}.png").write_bytes(header)

    monkeypatch.setattr(
        "idi_fast.reporting.simulations.write_pictures", write
    )  # the browser's part: test_report_browser
    out = tmp_path / "prices.png"
    for _ in range(2):
        assert idi.plot_simulation(None, 50, out, force=True)["figures"] == ["prices"]
        assert out.read_bytes() == marked(header)
    assert list(tmp_path.iterdir()) == [out]

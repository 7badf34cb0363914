"""`idi-fast simulate`: a price history of the simulated market."""

import itertools

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from idi_fast import TrainingConfig, load_history, simulate_history
from idi_fast.environments.environment import CryptoEnvironment
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rng import make_generators
from idi_fast.environments.simulation import parse_interval, simulated_frames
from idi_fast.errors import IdiFastError, InputError

HOUR = 3_600_000_000_000


def config(rng: str = "sfc64", kind: str = "crypto", **market) -> TrainingConfig:
    return TrainingConfig.from_dict({"engine": {"rng": rng}, "environment": {"kind": kind, "market": market}})


def frame(made_by: TrainingConfig, bars: int, seed: int = 0, **options) -> pl.DataFrame:
    return pl.concat(simulated_frames(made_by, bars, seed, 0, HOUR, **options))


@settings(max_examples=examples(30))
@given(bars=st.integers(1, 300), chunk_bars=st.integers(20, 310), seed=st.integers(0, 2**40))
def test_a_history_is_the_same_however_it_is_made(bars, chunk_bars, seed):
    whole = frame(config(), bars, seed)
    assert whole.equals(frame(config(), bars, seed, chunk_bars=chunk_bars))
    assert whole.equals(frame(config(), 300, seed)[:bars])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("rng", ["sfc64", "mt19937"])
def test_the_bars_written_and_read_are_those_that_the_environment_shows(suffix, rng, tmp_path):
    made_by = config(rng, stress_scenario="normal" if rng == "sfc64" else "extreme_shock")
    path, n = tmp_path / f"bars.{suffix}", 5_000
    simulate_history(made_by, n, path, seed=7)
    environment = CryptoEnvironment(made_by, make_generators(made_by.engine, 7), None)
    tape, facts = environment.facts(n)

    history = load_history(path)
    shown = HistoryBars(config(kind="history"), history, environment.encoder).bars
    # The logarithm of a price that was written is off by some units in the last place, which a bucket's edge could fall
    # between; these 5,000 bars have no such edge.
    assert np.array_equal(shown.observation, tape.observation)
    np.testing.assert_allclose(np.log(history.close / 1000.0), facts.value, atol=1e-12)
    table = pl.read_parquet(path) if suffix == "parquet" else pl.read_csv(path)
    assert np.array_equal(table["regime"].to_numpy(), facts.regime)
    assert np.array_equal(table["risk"].to_numpy(), facts.risk)


def test_each_bar_opens_at_the_close_before_and_an_interval_later():
    bars = frame(config(), 1_000, 3)
    assert bars.columns == ["time", "open", "close", "volume", "regime", "risk"]
    assert bars["open"][0] == 1000.0
    assert bars["open"][1:].equals(bars["close"][:-1].alias("open"))
    assert (bars["time"].to_physical().diff().drop_nulls() == HOUR).all()
    assert bars["volume"].min() > 0


def test_every_knob_of_the_market_counts():
    plain = frame(config(), 500)
    knobs = {
        "drift_bull": 0.01,
        "drift_bear": -0.01,
        "drift_chop": 0.01,
        "vol_base": 0.02,
        "vol_panic": 0.1,
        "shock_prob": 0.5,
        "shock_scale": 0.1,
        "stress_scenario": "panic",
    }
    made = [plain, *(frame(config(**{name: value}), 500) for name, value in knobs.items())]
    assert not any(one["close"].equals(other["close"]) for one, other in itertools.combinations(made, 2))


def test_the_command_trains_and_tests_an_agent(tmp_path):
    bars = tmp_path / "bars.parquet"
    options = ["--bars", "3000", "--seed", "5", "--interval", "1d", "--drift-bull", "0.01"]
    report = cli.one_object(cli.succeed("simulate", *options, "--out", bars, "--json").stdout)
    assert (report["bars"], report["seed"], report["first"]) == (3000, "5", "2020-01-01T00:00:00+00:00")
    table = pl.read_parquet(bars)
    assert report["regimes"] == {
        name: (table["regime"] == number).sum() for number, name in enumerate(("bull", "bear", "chop", "panic"))
    }
    assert report["risk_events"] == table["risk"].sum()
    assert table["close"].equals(frame(config(drift_bull=0.01), 3000, 5)["close"])
    cli.succeed("train", "--data", bars, "--out", tmp_path / "agent", *cli.QUICK)
    cli.succeed("backtest", bars, "--policy", tmp_path / "agent", "--out", tmp_path / "test", "--risk-col", "risk")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["--out is missing"]),
        (["--out", "bars.txt"], ["bars.txt ends in neither .parquet nor .csv"]),
        (["--out", "a.csv", "--bars", "0"], ["bars is 0; expected 1 or more"]),
        (["--out", "a.csv", "--seed", "-1"], ["the seed is -1; expected an integer >= 0"]),
        (["--out", "a.csv", "--interval", "1y"], ["interval is '1y'; expected a time such as 30s, 5m, 2h or 1d"]),
        (["--out", "a.csv", "--start", "soon"], ["start is 'soon'; expected a date"]),
        (["--out", "a.csv", "--bars", "100000", "--interval", "1d"], ["beyond the year 2262"]),
        (["--out", "a.csv", "--set", "engine.compat=idi_iann"], ["compat"]),
        (["--out", "kept.csv"], ["kept.csv already exists; --force replaces it"]),
        (["--out", "folder.csv", "--force"], ["folder.csv exists and is not a file"]),
        (["--out", "link.csv", "--force"], ["link.csv exists and is not a file"]),
        (["--out", "n" * 300 + ".csv"], ["File name too long"]),
    ],
)
def test_refusals(options, parts, tmp_path, monkeypatch):
    (tmp_path / "kept.csv").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    cli.link(tmp_path / "link.csv", tmp_path / "kept.csv")
    monkeypatch.chdir(tmp_path)
    cli.assert_mentions(cli.refused(tmp_path, "simulate", *options), *parts)


def test_prices_that_overflow_leave_the_old_file(tmp_path):
    out = tmp_path / "bars.csv"
    out.write_text("mine")
    for drift, error in ((5.0, "overflowed"), (-5.0, "fell to 0")):
        market = {"drift_bull": drift, "drift_bear": drift, "drift_chop": drift}
        with pytest.raises(IdiFastError, match=error):
            simulate_history(config(**market), 400, out, force=True)
    assert (out.read_text(), list(tmp_path.iterdir())) == ("mine", [out])
    simulate_history(config(), 3, out, force=True)
    assert pl.read_csv(out).height == 3


@pytest.mark.parametrize("text", ["", "0h", "1.5h", "-1d", "h", "1 h", "1w"])
def test_intervals_that_are_none(text):
    with pytest.raises(InputError, match="interval is"):
        parse_interval(text)

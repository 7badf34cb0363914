"""A feature with a single bucket needs neither its column nor its window, anywhere."""

import cli_helpers as cli
import pytest

FLOW = ("features.volume.column=flow", "features.volume.transform=zscore", "features.volume.window=100000")
SETTINGS = {"by default": (), "of another column": FLOW}


def options(*settings: str) -> list[str]:
    return [part for setting in ("quantizer.volume_buckets=1", *settings) for part in ("--set", setting)]


@pytest.fixture(params=SETTINGS)
def settings(request) -> list[str]:
    return options(*SETTINGS[request.param])


def test_a_policy_without_volume_needs_none(world, settings, tmp_path):
    agent, closes = tmp_path / "agent", world / "later_closes.parquet"
    cli.succeed("train", "--data", world / "bars.csv", "--out", agent, *cli.QUICK, *settings)
    cli.succeed("backtest", closes, "--policy", agent, "--out", tmp_path / "b")
    cli.succeed("backtest", closes, "--policy", agent, "--out", tmp_path / "c", "--check-lookahead")
    cli.succeed("evaluate", agent, "--data", closes)
    cli.succeed(
        "train",
        "--data",
        world / "closes.parquet",
        "--init-policy",
        agent,
        "--out",
        tmp_path / "d",
        *cli.QUICK,
        *settings,
    )


def test_it_is_the_same_policy_whatever_the_volumes(world, tmp_path):
    cli.bars().with_columns(volume=1.0).write_csv(tmp_path / "bars.csv")
    for name, data in (("one", world / "bars.csv"), ("two", tmp_path / "bars.csv")):
        cli.succeed("train", "--data", data, "--open-col", "open", "--out", tmp_path / name, *cli.QUICK, *options())
    one, two = (cli.snapshot(tmp_path / name) for name in ("one", "two"))
    assert one["streams/q_buy.in"] == two["streams/q_buy.in"]
    assert one["episodes.parquet"] == two["episodes.parquet"]


def test_its_window_is_no_embargo(world, settings, tmp_path):
    closes = world / "closes.parquet"
    sizes = ("--train-bars", 40, "--test-bars", 10, *cli.QUICK[:2], "--episode-length", 8)
    short = ("--set", "features.scarcity.transform=zscore", "--set", "features.scarcity.window=4")
    result = cli.one_object(
        cli.succeed("walkforward", closes, "--out", tmp_path / "w", "--json", *sizes, *short, *settings).stdout
    )
    assert result["assumptions"]["embargo"] == 32  # that of the regime
    cli.succeed(
        "sweep",
        closes,
        "--validation-bars",
        16,
        "--test-bars",
        16,
        "--grid",
        "learning_rate=0.1,0.2",
        "--out",
        tmp_path / "s",
        *cli.QUICK[:2],
        "--episode-length",
        8,
        *short,
        *settings,
    )


def test_a_feature_in_use_still_needs_its_column(world, tmp_path):
    parts = ("--data", world / "bars.csv", "--out", tmp_path / "a", *cli.QUICK)
    cli.assert_mentions(cli.refused(tmp_path, "train", *parts, *options(*FLOW)[2:]), "no column 'flow'")

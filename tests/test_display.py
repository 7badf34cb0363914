"""What results are shown by: sparklines, small charts, shares, links."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idi_fast import display
from idi_fast.backtesting.kpi_units import SHARES, shown_kpi, shown_row
from idi_fast.reporting.formats import percent
from idi_fast.reporting.merits import GROUPS


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=200), st.integers(2, 60))
def test_a_sparkline_has_its_extremes_at_its_ends_of_the_scale(values, width):
    line = display.sparkline(values, width)
    assert len(line) == min(width, len(values))
    assert set(line) <= set(display.BARS)
    means = [part.mean() for part in np.array_split(np.array(values), len(line))]
    if max(means) > min(means):
        assert line[int(np.argmax(means))] == "█"
        assert line[int(np.argmin(means))] == "▁"


def test_a_sparkline_needs_two_finite_values():
    assert display.sparkline([]) == display.sparkline([1.0]) == display.sparkline([math.nan, 1.0, math.inf]) == ""
    assert display.sparkline([1.0, 1.0]) == "▁▁"
    assert display.sparkline(range(8)) == "▁▂▃▄▅▆▇█"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.123, "12.3%"),
        (-0.123, "-12.3%"),
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (39.6577, "3,966%"),
        (0.00078, "0.078%"),
        (-0.0000004, "-0.000040%"),
        (-1e-300, "0.00000000000000000%"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_shares_are_percentages(share, text):
    assert display.format_share(share) == text
    assert shown_kpi("cagr", share) == text
    assert shown_kpi("calmar", share) is share


def test_reports_and_the_terminal_agree_on_what_is_a_share():
    shares = {name for group in GROUPS.values() for name, shown in group.items() if shown is percent}
    others = {name for group in GROUPS.values() for name, shown in group.items() if shown is not percent}
    assert shares <= SHARES
    assert not others & SHARES
    assert shown_row("max_drawdown", -0.5, "", None) == ("max drawdown", "-50.0%", "", "–")


def test_a_map_has_a_cell_for_each_value_and_no_more_than_can_be_seen():
    values = np.array([[0.0, 1.0], [2.0, np.nan]])
    text = display.map_chart({"flat": values}, ("hold", "buy", "sell"))
    assert [text.count(f'fill="{colour}"') for colour in display.ACTION_COLOURS] == [1, 1, 1]
    assert display.map_chart({"flat": np.full((2, 2), np.nan)}, ("hold", "buy", "sell")) == ""
    large = display.map_chart({"a": np.ones((500, 300)), "b": np.ones((3, 400))}, ("hold", "buy", "sell"))
    assert large.count("<rect") == 24 * 24 + 3 * 24
    # Rows go up: the first is at the bottom.
    heights = [float(y) for y in re.findall(r'<rect x="[\d.]+" y="([\d.]+)"', text)]
    assert heights == sorted(heights, reverse=True)


def test_intervals_are_drawn_to_scale():
    text = display.interval_chart([("policy", 1.0, 0.5), ("<b>", 3.0, None), ("undefined", math.nan, None)])
    assert "&lt;b&gt;" in text
    assert "undefined" not in text
    starts, stops = ([float(x) for x in re.findall(rf'{name}="([\d.]+)"', text)] for name in ("x1", "x2"))
    centres = [float(x) for x in re.findall(r'cx="([\d.]+)"', text)]
    assert starts[0] < centres[0] < stops[0] < centres[1] == starts[1] == stops[1]
    assert display.interval_chart([]) == ""


def test_links_are_to_what_is_still_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = SimpleNamespace()
    assert display.saved_at(result) is None
    display.remember_place(result, "a <run>")
    assert display.saved_at(result) is None
    (tmp_path / "a <run>").mkdir()
    assert display.file_links(display.saved_at(result)) == (
        '<p><small>Saved: <a href="a%20%3Crun%3E">a &lt;run&gt;</a></small></p>'
    )
    (tmp_path / "a <run>.html").touch()
    assert display.file_links(display.saved_at(result)).count("<a ") == 2
    elsewhere = display.file_links(tmp_path.parent)
    assert f'href="{tmp_path.parent.resolve().as_uri()}"' in elsewhere
    assert display.file_links(None) == ""

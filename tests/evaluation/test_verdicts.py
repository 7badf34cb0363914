"""Verdicts in plain words: better or worse, with the figures, and what chance may have done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idi_fast.evaluation.verdicts import beside, beyond_chance, plain_number, signed_percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (-0.6863, "−68.6%"),
        (1.42, "+142%"),
        (10.2641, "+1,026%"),
        (-1.0, "−100%"),
        (0.0312, "+3.12%"),
        (0.0, "0%"),
        (-0.0, "0%"),
        (0.00005, "+0.00500%"),
        (float("inf"), "+inf%"),
    ],
)
def test_a_return_as_a_percentage(share, text):
    assert signed_percent(share, 3) == text


@pytest.mark.parametrize(
    ("own", "other", "figure", "text"),
    [
        (-0.6863, 1.42, signed_percent, "worse than hold (−68.6% against +142%)"),
        (0.2, -0.1, signed_percent, "better than hold (+20.0% against −10.0%)"),
        (0.5, 0.5, signed_percent, "the same as hold (+50.0%)"),
        (0.12345, 0.12349, signed_percent, "worse than hold (+12.345% against +12.349%)"),
        (79.4398, 85.7732, plain_number, "worse than hold (79.4 against 85.8)"),
        (-48.8, -48.81, plain_number, "better than hold (−48.80 against −48.81)"),
        (1234.5, 0.0, plain_number, "better than hold (1,234 against 0)"),
    ],
)
def test_a_figure_beside_another(own, other, figure, text):
    assert beside(own, other, "hold", figure) == text


@given(st.floats(-1.0, 1e6), st.floats(-1.0, 1e6), st.sampled_from([signed_percent, plain_number]))
def test_figures_that_differ_are_told_apart(own, other, figure):
    text = beside(own, other, "hold", figure)
    verb, _, figures = text.partition(" hold (")
    assert verb == {0: "the same as", 1: "better than", -1: "worse than"}[(own > other) - (own < other)]
    if own != other:
        mine, others = figures.removesuffix(")").split(" against ")
        assert mine != others


@pytest.mark.parametrize(
    ("seeds", "of", "text"),
    [
        (0, 1, "not beyond chance"),
        (1, 1, "beyond chance"),
        (0, 5, "beyond chance for no seed"),
        (2, 5, "beyond chance for 2 of 5 seeds"),
        (5, 5, "beyond chance for all 5 seeds"),
    ],
)
def test_for_how_many_seeds(seeds, of, text):
    assert beyond_chance(seeds, of) == text

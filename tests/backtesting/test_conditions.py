"""Conditions on figures: evaluated as Python would, refusals, and unknown values."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idi_fast.backtesting.conditions import DEEPEST, LONGEST, parse_condition
from idi_fast.errors import InputError

NAMES = ("max_drawdown", "sharpe_annualised", "trades", "win_rate", "buy_and_hold.sharpe_annualised")


def evaluate(text: str, **values: float | None) -> bool | None:
    return parse_condition(text, values).evaluate(values)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("max_drawdown < -0.3", True),
        ("max_drawdown<-30%", True),
        ("max_drawdown < -44.1%", False),
        ("max_drawdown <= -44.1%", True),
        ("  max_drawdown\n>=\t-.5  ", True),
        ("trades == 10", True),
        ("trades != 1e1", False),
        ("trades > 10.", False),
        ("2 + 3 * 4 == 14 and (2 + 3) * 4 == 20", True),
        ("2 - 3 - 4 == -5 and 16 / 4 / 2 == 2", True),
        ("-trades * 2 + 1 == -19", True),
        ("- - trades == +trades", True),
        ("abs(max_drawdown) > 0.4", True),
        ("min(trades, 3, 5) == 3 and max(trades, 3) == 10", True),
        ("trades < 5 and trades < 5 or trades > 5", True),  # (… and …) or …
        ("trades > 5 or trades < 5 and trades < 5", True),  # … or (… and …)
        ("(trades > 5 or trades < 5) and trades < 5", False),
        ("not trades < 5 and trades > 5", True),  # (not …) and …
        ("not (trades < 5 or trades > 5)", False),
        ("held.trades < trades", True),
        ("min_trades == 4", True),
    ],
)
def test_a_condition_means_what_it_says(text, truth):
    values = {"max_drawdown": -0.441, "trades": 10, "held.trades": 1, "min_trades": 4}
    assert parse_condition(text, values).evaluate(values) is truth
    assert parse_condition(text, values).holds(values) is truth


# Texts of the four features of the language that Python has too, with parentheses or without.
numbers = st.recursive(
    st.sampled_from(["a", "b", "c", "0", "1.5", "2e-1", ".25", "7."]),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("({})".format, inner),
        st.builds("{}{}".format, st.sampled_from("+-"), inner),
        st.builds("abs({})".format, inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
    ),
    max_leaves=8,
)
comparisons = st.builds("{} {} {}".format, numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers)
truths = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("({})".format, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=5,
)
values = st.fixed_dictionaries(dict.fromkeys("abc", st.floats(-8, 8)))


@given(text=truths, values=values)
def test_a_condition_is_what_python_makes_of_it(text, values):
    try:
        expected = eval(text, {"__builtins__": {"abs": abs, "min": min, "max": max}}, dict(values))
    except ZeroDivisionError:
        return  # Python stops there, or never comes there; see the tests of what is undefined
    assert parse_condition(text, values).evaluate(values) in (expected, None if "/" in text else expected)


@given(text=truths, values=values, undefined=st.sets(st.sampled_from("abc")))
def test_what_an_undefined_value_leaves_known_is_so_whatever_it_is(text, values, undefined):
    condition = parse_condition(text, values)
    truth = condition.evaluate({name: None if name in undefined else value for name, value in values.items()})
    assert truth in (None, condition.evaluate(values))
    if not undefined & set(condition.names) and "/" not in text:
        assert truth is not None


@given(st.text(alphabet="abnotrdmxi (),.<>=!+-*/%01e9_\n\té²", max_size=40))
@example("9" * LONGEST)
@example("1" + "+1" * 499)
@example("a<b or " * 142 + "a<b")
@example("\x00")
def test_any_text_is_a_condition_or_refused(text):
    try:
        condition = parse_condition(text, ["a", "b"])
    except InputError:
        return
    assert condition.evaluate({"a": 1.0, "b": 2}) in (True, False, None)
    assert condition.evaluate({"a": math.inf, "b": None}) in (True, False, None)


@pytest.mark.parametrize(
    ("text", "at", "what"),
    [
        ("", 0, "found the end, expected a name, a number or '('"),
        ("max_drawdwn < -0.3", 0, "found the unknown name 'max_drawdwn'. Did you mean 'max_drawdown'?"),
        ("trades < 1 or sharpe < 0", 14, "unknown name 'sharpe'. Did you mean 'sharpe_annualised'?"),
        ("buy_and_holds.sharp < 0", 0, "Did you mean 'buy_and_hold.sharpe_annualised'?"),
        ("nan < 3", 0, "found the unknown name 'nan'. Expected one of max_drawdown, sharpe_annualised, trades, "),
        ("__import__ < 3", 0, "found the unknown name '__import__'"),
        ("trades", 0, "found a number without a comparison, expected one such as trades < 10"),
        ("trades <", 8, "found the end, expected a name, a number or '('"),
        ("trades < 3 3", 11, "found '3', expected an operator or the end"),
        ("3trades < 3", 1, "found 'trades', expected an operator or the end"),
        ("trades = 3", 7, "found '=', expected '=='"),
        ("trades ** 3 < 3", 8, "found '*', expected a name, a number or '('"),
        ("trades < 3 & 1 < 2", 11, "found '&', expected names, numbers, + - * / and comparisons"),
        ("trades < 3 AND 1 < 2", 11, "found 'AND', expected an operator or the end"),
        ("trades[0] < 3", 6, "found '['"),
        ("'trades' < 3", 0, 'found "\'"'),
        ("0 < trades < 3", 0, "found a comparison, expected a number for '<'; join comparisons with 'and' or 'or'"),
        ("3 < (1 < trades)", 4, "found a comparison, expected a number for '<'"),
        ("-(1 < trades) < 3", 1, "found a comparison, expected a number for '-'"),
        ("trades < 3 and win_rate", 15, "found a number, expected a comparison for 'and'"),
        ("not trades", 4, "found a number, expected a comparison for 'not'"),
        ("(trades < 3", 11, "found the end, expected an operator or ')'"),
        ("trades < 3)", 10, "found ')', expected an operator or the end"),
        ("min < 3", 4, "found '<', expected '(' after min"),
        ("min(trades) < 3", 0, "found 1 number in min(), expected 2 or more"),
        ("abs(trades, 1) < 3", 0, "found 2 numbers in abs(), expected 1"),
        ("abs() < 3", 4, "found ')', expected a name, a number or '('"),
        ("max(trades, 1 < 3", 12, "found a comparison, expected a number for 'max'"),
        ("max(trades, 1 3) < 3", 14, "found '3', expected ',' or ')'"),
        ("defined(trades) < 3", 0, "found a comparison, expected a number for '<'"),
        ("trades(3) < 3", 6, "found '(', expected an operator or the end"),
        ("trades < 1e999", 9, "found a number too large"),
        ("trades < " + "9" * 400, 9, "found a number too large"),
        ("(" * 900, DEEPEST, f"found more than {DEEPEST} levels"),
        ("-" * 900 + "1 < 2", DEEPEST, f"found more than {DEEPEST} levels"),
        ("not " * 200 + "1 < 2", 4 * DEEPEST, f"found more than {DEEPEST} levels"),
    ],
)
def test_a_refusal_marks_the_place_and_says_what_was_expected(text, at, what):
    with pytest.raises(InputError) as refused:
        parse_condition(text, NAMES)
    said, shown, mark = str(refused.value).split("\n")
    assert what in said
    assert said.startswith(f"the condition, character {at + 1}: ")
    assert (shown, mark) == (f"  {text}", " " * (at + 2) + "^")


def test_a_condition_of_any_length_is_refused():
    with pytest.raises(InputError, match="has 100,000 characters; expected at most 1,000"):
        parse_condition("(" * 100_000, NAMES)
    assert evaluate("a < " + "(" * 40 + "1" + ")" * 40, a=0.0)


class TestUndefined:
    """What is unknown stays so as far as it matters, and what stays unknown fails."""

    @pytest.mark.parametrize("undefined", [None, math.nan, np.nan])
    @pytest.mark.parametrize(
        ("text", "truth"),
        [
            ("x < 1", None),
            ("x == x", None),
            ("x != 1", None),
            ("not x < 1", None),
            ("abs(x) + 1 < 1", None),
            ("min(0, x) < 1", None),
            ("max(x, 0) < 1", None),
            ("-x < 1", None),
            ("0 * x == 0", None),
            ("x < 1 or a < 1", None),
            ("x < 1 or a > 1", True),
            ("x < 1 and a < 1", False),
            ("a < 1 and x < 1", False),
            ("x < 1 and a > 1", None),
            ("defined(x)", False),
            ("defined(a)", True),
            ("defined(a / 0) or defined(x + a)", False),
            ("defined(x) and x < 1", False),
            ("not defined(x) or x < 1", True),
        ],
    )
    def test_of_a_figure(self, text, truth, undefined):
        condition = parse_condition(text, ["a", "x"])
        figures = {"a": 2.0, "x": undefined}
        assert condition.evaluate(figures) is truth
        assert condition.holds(figures) is (truth is not False)

    def test_of_what_has_no_value(self):
        assert evaluate("a / b < 1", a=1.0, b=0.0) is None
        assert evaluate("a / b < 1", a=0.0, b=-0.0) is None
        assert evaluate("a - a < 1", a=math.inf) is None
        assert evaluate("a * 10 > 1", a=1e308) is True
        assert evaluate("a * 10 > 1", a=np.float64(1e308)) is True
        assert evaluate("a > 1.2", a=math.inf) is True


class TestFailure:
    condition = parse_condition("max_drawdown < -30% or win_rate<trades", NAMES)

    def test_it_says_the_condition_and_the_values_in_it_once(self):
        condition = parse_condition("max_drawdown  < -30% or max_drawdown > 0", NAMES)
        said = condition.failure({"max_drawdown": -0.441, "trades": 3})
        assert said == "max_drawdown  < -30% or max_drawdown > 0 (max_drawdown is -0.441)"

    def test_there_is_none_where_the_condition_is_false(self):
        assert self.condition.failure({"max_drawdown": -0.1, "win_rate": 0.5, "trades": 0}) is None

    def test_it_says_that_a_condition_cannot_be_judged_and_why(self):
        figures = {"max_drawdown": -0.1, "win_rate": math.nan, "trades": 0}
        text = "max_drawdown < -30% or win_rate<trades cannot be evaluated (max_drawdown is -0.1, win_rate is undefined"
        assert self.condition.failure(figures) == f"{text}, trades is 0)"
        assert self.condition.failure(figures, {"win_rate": "no trade"}) == f"{text}: no trade, trades is 0)"

    def test_it_names_nothing_where_there_is_nothing(self):
        assert parse_condition("1 < 2", NAMES).failure({}) == "1 < 2"
        assert parse_condition("1 < 1 / 0", NAMES).failure({}) == "1 < 1 / 0 cannot be evaluated"

    def test_a_figure_that_is_not_there_is_an_error(self):
        with pytest.raises(KeyError, match="win_rate"):
            self.condition.holds({"max_drawdown": -0.1, "trades": 1})


def test_names_come_in_the_order_of_the_text():
    assert TestFailure.condition.names == ("max_drawdown", "win_rate", "trades")
    assert parse_condition("min < 3 and min(min, 4) < 3", ["min"]).names == ("min",)

"""Features by functions of a bar and a state: the same bits in any chunks, in a policy, and what is refused."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from kernel_strategies import CHUNKS, pieces
from market_data import random_walk
from numpy.testing import assert_array_equal
from own_functions import as_before

import idi_fast as idi
from idi_fast.environments.history_bars import log_columns
from idi_fast.environments.series import Series, SeriesStream, computed

BARS = random_walk(400, 4)
SOURCE = """\
def traded_average(state, values, window):
    close, volume = values
    state[0] += (close * volume - state[0]) / window
    state[1] += (volume - state[1]) / window
    return close / (state[0] / state[1]) - 1.0 if state[1] > 0.0 else 0.0


traded_average.columns = ("close", "volume")
traded_average.state_size = 2


def helper(state, values):
    return 0.0
"""


@pytest.fixture(autouse=True)
def registered():
    with as_before():
        yield


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "own.py"
    path.write_text(SOURCE)
    return path


def by_definition(close, volume, window):
    """The close over the average price, weighted by volume that fades; in Python."""
    money = traded = 0.0
    values = []
    for price, amount in zip(close.tolist(), volume.tolist(), strict=True):
        money += (price * amount - money) / window
        traded += (amount - traded) / window
        values.append(price / (money / traded) - 1.0 if traded > 0.0 else 0.0)
    return values


def test_any_chunks_give_the_values_of_the_definition(plugin):
    columns = log_columns(BARS)

    @given(CHUNKS)
    @settings(max_examples=examples(15))
    def check(chunks):
        stream, out = SeriesStream(series), np.empty(len(BARS))
        for part in pieces(len(BARS), chunks):
            resumed = SeriesStream(series)
            for name, values in stream.state.items():
                resumed.state[name][...] = values
            stream = resumed
            stream.push(tuple(column[part] for column in series.inputs(columns)), out[part])
        assert_array_equal(out, expected)

    assert idi.load_plugin(plugin) == ["traded_average"]
    series = Series("traded_average", ("close", "volume"), (8,))
    expected = by_definition(BARS.close, BARS.volume, 8)
    assert_array_equal(computed(series, columns), expected)
    check()


def test_a_policy_uses_it_in_training_and_backtest(plugin, tmp_path):
    idi.load_plugin(plugin)
    features = [{"name": "traded", "transform": "traded_average", "window": 8, "buckets": 3}]
    config = idi.TrainingConfig.from_dict({"environment": {"kind": "history"}, "episodes": 8, "features": features})
    run = idi.train(config, BARS)
    edges = run.policy.encoder.edges[0]
    expected = np.searchsorted(edges, by_definition(BARS.close, BARS.volume, 8), "right")
    assert_array_equal(run.trace.frame()["traded_bucket"], expected[-65:-1])
    run.policy.save(tmp_path / "policy.parquet")
    assert idi.Policy.load(tmp_path / "policy.parquet").encoder.plugins == run.policy.encoder.plugins
    seen = idi.backtest(run.policy, BARS).trace.frame()["traded_bucket"]
    assert_array_equal(seen, expected[-len(seen) :])


def beyond(state, values, window):
    state[int(values[0]) * 0 + window] += 1.0
    return 0.0


def undefined(state, values, window):
    state[0] += 1.0
    return 1.0 / (state[0] - 3.0)


def texts(state, values, window):
    return "high" + values[0]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (beyond, "'beyond' returned nan for bar 0, or raised an error there; .* no place beyond the 8 of its state"),
        (undefined, "'undefined' returned inf for bar 2, or"),
        (texts, "'texts' of state, values and window (cannot be compiled: |returned nan)"),
    ],
)
def test_what_a_step_may_not_do(step, message):
    idi.register_feature(step)
    with pytest.raises(idi.InputError, match=message):
        computed(Series(step.__name__, ("close",), (8,)), log_columns(BARS))


def test_a_state_of_no_size_is_refused():
    beyond.state_size = "2"
    try:
        with pytest.raises(idi.InputError, match="the state_size of feature function 'beyond' is '2'; expected 0 to"):
            idi.register_feature(beyond)
    finally:
        del beyond.state_size

"""Features by functions of the user's: the same bits in any chunks, no look-ahead, known by their source."""

import hashlib

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces
from market_data import random_walk
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.environments import own_features
from idi_fast.environments.series import Series, SeriesStream, computed
from idi_fast.training.run_description import describe_run

BARS = random_walk(500, 4)
WINDOW = 8


@pytest.fixture(autouse=True)
def known():
    """The transforms as they were before, after each test."""
    before = dict(TRANSFORMS)
    yield
    TRANSFORMS.clear()
    TRANSFORMS.update(before)


# --- functions of users


def mean_ratio(columns, window):
    close = columns["close"]
    total = np.cumsum(close)
    mean = np.full(close.size, np.nan)
    mean[window:] = (total[window:] - total[:-window]) / window
    return close / mean - 1


def momentum(columns, window):
    """Of a window that follows the bar's distance to the bars of a call, by a loop."""
    values, level = np.zeros(columns["close"].size), 0.0
    for place, (close, volume) in enumerate(zip(columns["close"], columns["volume"], strict=True)):
        level += (close * np.log1p(volume) - level) / window
        values[place] = level
    return values


momentum.columns = ("close", "volume")
momentum.lookback = lambda window: 3 * window


def shifted(columns, window):
    return np.append(np.diff(columns["close"]), 0.0)


def centred(columns, window):
    return np.convolve(columns["close"], np.ones(5) / 5, "same")


def standardised(columns, window):
    close = columns["close"]
    return (close - close.mean()) / close.std()


def filled_from_later(columns, window):
    close = columns["close"]
    known = np.flatnonzero(np.arange(close.size) % 4 == 3)
    return close[known[np.minimum(np.searchsorted(known, np.arange(close.size)), known.size - 1)]]


def last_of_all(columns, window):
    """Looks ahead only behind bar 300."""
    values = columns["close"].copy()
    values[300:] = columns["close"][-1]
    return values


def random_numbers(columns, window):
    return np.random.default_rng().normal(size=columns["close"].size)


def series(function, **fields) -> Series:
    """What a feature of this function computes."""
    idi.register_feature(function)
    columns = getattr(function, "columns", ("close",))
    return Series(function.__name__, tuple(columns), (fields.get("window", WINDOW),))


def columns_of(bars: idi.History) -> dict[str, np.ndarray]:
    from idi_fast.environments.history_bars import log_columns

    return log_columns(bars)


@pytest.mark.parametrize("function", [mean_ratio, momentum])
@given(st.integers(1, 30), CHUNKS)
@settings(max_examples=examples(15))
def test_any_chunks_give_the_same_bits(function, block, chunks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_features, "BLOCK_BARS", block)
        wanted, columns = series(function), columns_of(BARS)
        whole = computed(wanted, columns)
        stream, out = SeriesStream(wanted), np.empty(len(BARS))
        for piece in pieces(len(BARS), chunks):
            stream.push(tuple(values[piece] for values in wanted.inputs(columns)), out[piece])
    assert_array_equal(out, whole)


def test_a_value_is_that_of_a_call_with_the_bars_of_its_block_and_of_the_look_back(monkeypatch):
    monkeypatch.setattr(own_features, "BLOCK_BARS", 50)
    found = computed(series(momentum), columns_of(BARS))
    lookback = 3 * WINDOW
    assert_array_equal(found[:lookback], np.zeros(lookback))
    for start in range(0, len(BARS), 50):
        first = max(0, start - lookback)
        bars = {"close": BARS.close[first : start + 50], "volume": BARS.volume[first : start + 50]}
        expected = momentum(bars, WINDOW)[start - first :]
        begin = lookback if start == 0 else 0
        assert_array_equal(found[start + begin : start + 50], expected[begin:])


def test_a_stream_goes_on_from_its_state():
    wanted, columns = series(mean_ratio), columns_of(BARS)
    (close,) = wanted.inputs(columns)
    first, second, out = SeriesStream(wanted), SeriesStream(wanted), np.empty(len(BARS))
    first.push((close[:123],), out[:123])
    for name, array in first.state.items():
        second.state[name][...] = array
    second.push((close[123:],), out[123:])
    assert_array_equal(out, computed(wanted, columns))


# --- what is refused


@pytest.mark.parametrize(
    ("function", "bar"),
    [
        (shifted, WINDOW),
        (centred, WINDOW),
        (standardised, WINDOW),
        (filled_from_later, WINDOW),
        (last_of_all, 300),
    ],
)
def test_a_function_that_looks_ahead_is_refused_with_its_first_bar(function, bar):
    idi.register_feature(function)
    feature = {"name": "mine", "transform": function.__name__, "window": WINDOW}
    config = {"environment": {"kind": "history"}, "episodes": 1, "features": [feature]}
    time = str(np.datetime64(int(BARS.time[bar]), "ns").astype("datetime64[s]"))
    with pytest.raises(idi.InputError, match=rf"{function.__name__}' looks ahead: its value of bar {bar} \({time}"):
        idi.train(config, BARS)
    if bar > WINDOW:  # behind the bars of the first windows
        return
    with pytest.raises(idi.InputError, match="looks ahead: its value of bar"):
        idi.walk_forward(config, BARS)
    with pytest.raises(idi.InputError, match="looks ahead: its value of bar"):
        idi.sweep(config, {"discount": [0.5]}, BARS)


def not_finite(columns, window):
    close = columns["close"]
    return np.where((close == BARS.close[3]) | (close == BARS.close[60]), np.nan, close)


def infinite(columns, window):
    return columns["close"] / np.where(columns["close"] == BARS.close[70], 0.0, 1.0)


def short(columns, window):
    return columns["close"][1:]


def writing(columns, window):
    columns["close"][:] = 0.0
    return columns["close"]


def reading_more(columns, window):
    return columns["high"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (not_finite, r"returned nan for bar 60; expected finite numbers from bar 8 on, the lookback"),
        (infinite, r"returned inf for bar 70"),
        (short, r"returned the shape \(499,\) for 500 bars"),
        (writing, r"raised ValueError: assignment destination is read-only"),
        (reading_more, r"raised KeyError: 'high'; its columns are close, others are named by its attribute columns"),
        (random_numbers, r"returns other values when it gets the same bars again"),
    ],
)
def test_what_a_function_may_not_return(function, message):
    with pytest.raises(idi.InputError, match=message):
        computed(series(function), columns_of(BARS))


def zscore(columns, window):
    return columns["close"]


def Mine(columns, window):
    return columns["close"]


def texts(columns, window):
    return columns["close"]


def far(columns, window):
    return columns["close"]


def around(number):
    def inner(columns, window):
        return columns["close"] * number

    return inner


texts.columns = "close"
far.lookback = -1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (zscore, "has the name of a transform of idi-fast"),
        (Mine, "is called 'Mine'; expected a name in snake_case"),
        (texts, "columns of feature function 'texts' is 'close'; expected a list of names"),
        (far, "lookback of feature function 'far' is -1; expected 0 to"),
        (around(2.0), "'inner' depends on number of a function around it"),
        (np.log, "expected a function that stands in a file or a cell"),
        (eval("lambda columns, window: columns['close']"), "the source of '<lambda>' cannot be read"),
    ],
)
def test_functions_that_are_refused(function, message):
    with pytest.raises(idi.InputError, match=message):
        idi.register_feature(function)


SOURCE = "def mine(columns, window):\n    return columns['close'] * {}\n\n\ndef helper(x):\n    return x"


def plugin(folder, factor=2, name="own.py", ending="\n"):
    path = folder / name
    path.write_bytes(SOURCE.format(factor).replace("\n", ending).encode())
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def f(:", "is not a Python file"),
        ("raise RuntimeError('no')", "raised RuntimeError: no"),
        (
            "def f(x):\n    return x",
            r"has no function of the parameters of one: \(columns, window\), a feature function, ",
        ),
    ],
)
def test_files_that_are_refused(tmp_path, content, message):
    (tmp_path / "own.py").write_text(content)
    with pytest.raises(idi.InputError, match=message):
        idi.load_plugin(tmp_path / "own.py")
    with pytest.raises(idi.InputError, match=r"cannot read the plugin .*none\.py: No such file"):
        idi.load_plugin(tmp_path / "none.py")


# --- policies


CONFIG = {
    "environment": {"kind": "history"},
    "episodes": 8,
    "features": [{"name": "own", "transform": "mine"}, {"name": "rsi", "transform": "rsi"}],
}


def test_a_policy_asks_for_the_source_that_it_was_trained_with(tmp_path):
    assert idi.load_plugin(plugin(tmp_path)) == ["mine"]
    config = idi.TrainingConfig.from_dict(CONFIG)
    policy = idi.train(config, BARS).policy
    sha256 = hashlib.sha256((SOURCE.format(2) + "\n").encode()).hexdigest()
    assert policy.encoder.plugins == {"mine": sha256}
    assert describe_run(config, 0, None)["plugins"] == {"mine": sha256}
    policy.save(tmp_path / "policy.parquet")
    assert idi.Policy.load(tmp_path / "policy.parquet").encoder.to_dict() == policy.encoder.to_dict()
    expected = idi.backtest(policy, BARS).kpis
    # The ends of lines are none of the source.
    idi.load_plugin(plugin(tmp_path, ending="\r\n"))
    assert idi.backtest(idi.Policy.load(tmp_path / "policy.parquet"), BARS).kpis == expected
    # Another function under the same name is not applied, to a policy in memory either.
    idi.load_plugin(plugin(tmp_path, factor=3))
    for act in (lambda: idi.Policy.load(tmp_path / "policy.parquet"), lambda: idi.backtest(policy, BARS)):
        with pytest.raises(idi.ArtifactError, match=f"'mine' of a plugin .* SHA-256 {sha256}, but that of"):
            act()
    del TRANSFORMS["mine"]
    with pytest.raises(idi.ArtifactError, match=f"cannot be applied: it needs the function 'mine'.*{sha256}"):
        idi.Policy.load(tmp_path / "policy.parquet")
    with pytest.raises(idi.ConfigError, match=r"'mine', which is none\..* One of your own has to be loaded first"):
        idi.TrainingConfig.from_dict(CONFIG)


def test_a_function_has_the_hash_of_its_file(tmp_path, monkeypatch):
    plugin(tmp_path, name="own_for_import.py")
    monkeypatch.syspath_prepend(tmp_path)
    import own_for_import

    idi.register_feature(own_for_import.mine)
    registered = TRANSFORMS["mine"]
    idi.load_plugin(tmp_path / "own_for_import.py")
    assert TRANSFORMS["mine"].sha256 == registered.sha256

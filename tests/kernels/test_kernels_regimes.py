"""The market of any number of regimes: equal to its twin to the bit, and distributed as it says."""

import math

import numpy as np
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, WORDS_64, pieces, uint64_rows
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.config.environment_settings import RegimeConfig
from idi_fast.environments.simulation import regime_parameters
from idi_fast.kernels import regimes as kernels
from oracle import regimes as oracle

SHARES = st.lists(st.integers(0, 8), min_size=4, max_size=4).filter(any)
REGIMES = st.lists(
    st.tuples(
        SHARES,
        st.integers(-100, 100).map(lambda n: n / 1e4),
        st.sampled_from([0.0, 0.01, 0.2, 0.5]),
        st.none() | st.floats(2.001, 1000.0),
        st.sampled_from([(0.0, 0.0), (0.1, 0.85), (0.5, 0.0), (0.0, 0.9)]),
        st.sampled_from(["bull", "bear", "chop", "panic"]),
    ),
    min_size=1,
    max_size=4,
)


def drawn(seed: int, n: int) -> np.ndarray:
    return np.random.SFC64(seed).random_raw(n * 4).reshape(n, 4)


def listed(chosen) -> kernels.Regimes:
    """Regimes of a config, as the kernel takes them."""
    blocks = []
    for place, (shares, drift, volatility, degrees, (alpha, beta), counts_as) in enumerate(chosen):
        shares = shares[: len(chosen)] if any(shares[: len(chosen)]) else [1] * len(chosen)
        chances = [share / sum(shares) for share in shares]
        blocks.append(
            RegimeConfig(
                name=f"r{place}",
                next=tuple(chances),
                drift=drift,
                volatility=volatility,
                degrees=degrees,
                garch_alpha=alpha,
                garch_beta=beta,
                counts_as=counts_as,
            )
        )
    found = regime_parameters(blocks)
    assert found is not None
    return found


def as_oracle(regimes: kernels.Regimes) -> list[dict]:
    names = [name for name in regimes._fields if name != "share"]
    return [{name: getattr(regimes, name)[k].tolist() for name in names} for k in range(regimes.drift.size)]


def bars(words: np.ndarray, regimes: kernels.Regimes, state: np.ndarray, chunks=(10**9,)) -> tuple[np.ndarray, ...]:
    n = len(words)
    out = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    for piece in pieces(n, list(chunks)):
        kernels.regime_bars(words[piece], regimes, state, *(array[piece] for array in out))
    return out


@given(SEEDS, st.lists(WORDS_64, max_size=16), REGIMES, CHUNKS)
@settings(max_examples=examples(60))
def test_regime_bars(seed, words, chosen, chunks):
    rows = np.concatenate([drawn(seed, 60), uint64_rows(words, 4)])
    regimes, start = listed(chosen), (0.5, len(chosen) - 1, -0.25, 1.0)
    state = np.array(start, np.float64)
    made = bars(rows, regimes, state, chunks)
    expected, end = oracle.regime_bars(rows, as_oracle(regimes), regimes.share, start)
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)
    assert_array_equal(state, end)


def alone(**fields) -> kernels.Regimes:
    found = regime_parameters([RegimeConfig(name="only", volatility=0.01, **fields)])
    assert found is not None
    return found


def test_students_t_has_its_quantiles_and_its_variance():
    n = 400_000
    close, *_ = bars(drawn(3, n), alone(degrees=5.0), np.array([0.0, 0.0, 0.0, 1.0]))
    z = np.sort(np.diff(close) / 0.01) * math.sqrt(5 / 3)
    # Quantiles of t with 5 degrees of freedom, from tables; five standard errors, by the density there.
    for share, quantile, density in ((0.9, 1.4759, 0.1325), (0.99, 3.3649, 0.0103), (0.999, 5.8934, 0.00087)):
        error = math.sqrt(share * (1 - share) / n) / density
        assert abs(z[int(share * z.size)] - quantile) < 5 * error
    assert_allclose(np.diff(close).std(), 0.01, rtol=0.02)


def test_garch_keeps_the_variance_and_clusters_it():
    n, state = 400_000, np.array([0.0, 0.0, 0.0, 1.0])
    close, *_ = bars(drawn(4, n), alone(garch_alpha=0.1, garch_beta=0.8), state)
    squares = (np.diff(close) / 0.01) ** 2
    assert_allclose(squares.mean(), 1.0, rtol=0.03)
    # Of squares in a GARCH(1,1): ρ₁ = α (1 − αβ − β²) / (1 − 2αβ − β²) = 0.14, ρₖ = (α + β)ᵏ⁻¹ ρ₁ (Bollerslev 1988).
    centred = squares - squares.mean()
    found = [float((centred[lag:] * centred[:-lag]).mean() / centred.var()) for lag in (1, 5)]
    assert_allclose(found, [0.14, 0.14 * 0.9**4], rtol=0, atol=0.03)


def test_the_chain_has_its_chances():
    blocks = [
        RegimeConfig(name="a", volatility=0.01, next=(0.9, 0.1, 0.0), counts_as="bull"),
        RegimeConfig(name="b", volatility=0.01, next=(0.0, 0.8, 0.2), counts_as="bear"),
        RegimeConfig(name="c", volatility=0.01, next=(0.5, 0.0, 0.5), counts_as="panic"),
    ]
    regimes = regime_parameters(blocks)
    assert regimes is not None
    *_, regime, risk = bars(drawn(5, 200_000), regimes, np.array([0.0, 0.0, 0.0, 1.0]))
    moves = np.zeros((4, 4))
    np.add.at(moves, (regime[:-1], regime[1:]), 1)
    found = moves[[0, 1, 3]][:, [0, 1, 3]]
    assert_allclose(found / found.sum(axis=1, keepdims=True), [block.next for block in blocks], rtol=0, atol=0.01)
    assert (found == 0).tolist() == [[share == 0 for share in block.next] for block in blocks]
    assert risk[regime == 3].all()

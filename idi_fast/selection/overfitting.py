"""How far the choice of the best of many configs can be trusted, from what all of them earned on validation data."""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np

BLOCKS = 16
"""Consecutive parts that the validation is cut into: 12,870 ways to choose half of them."""
SPLITS_AT_A_TIME = 256
MOST_SPANS = 1024
"""Returns are correlated over at most so many spans of bars, so that the matrix stays small."""


class Overfitting(NamedTuple):
    """What choosing on one half of the validation was worth on the other, over all splits into halves.

    probability: share of the splits in which the config chosen on one half does no better than the median of all on
    the other; probability_of_loss: share in which its score there is below 0; median_rank: median of its relative rank
    there, 0 (worst) to 1 (best); splits: how many.
    """

    probability: float
    probability_of_loss: float
    median_rank: float
    splits: int


def probability_of_overfitting(
    earned: np.ndarray, *, is_sharpe: bool = True, blocks: int = BLOCKS
) -> Overfitting | None:
    """The probability of backtest overfitting, by combinatorially symmetric cross-validation (Bailey, Borwein, López de
    Prado & Zhu 2017).

    Parameters
    ----------
    earned
        What each config earned on each bar, or in each episode, float64 (configs, n).
    is_sharpe
        Whether the score is the Sharpe ratio, 0 where nothing was earned or lost; else it is the mean.
    blocks
        Consecutive parts of equal length, an even number; what does not fill the last is left out.

    Returns
    -------
    Overfitting or None
        None for a single config, several that earned the same, or fewer than two bars a block: there is nothing to
        choose among, or by.
    """
    configs, n = earned.shape
    length = n // blocks
    if length < 2 or (earned == earned[:1]).all():
        return None
    parts = earned[:, : length * blocks].reshape(configs, blocks, length)
    sums, squares = parts.sum(axis=2), np.einsum("cbl,cbl->cb", parts, parts)
    halves = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, chosen in enumerate(combinations(range(blocks), blocks // 2)):
        halves[row, chosen] = 1.0
    bars = length * blocks // 2
    ranks, scores = [], []
    for first in range(0, halves.shape[0], SPLITS_AT_A_TIME):
        here = halves[first : first + SPLITS_AT_A_TIME]
        of_choice = _scores(here @ sums.T, here @ squares.T, bars, is_sharpe)
        there = 1.0 - here
        of_rest = _scores(there @ sums.T, there @ squares.T, bars, is_sharpe)
        best = of_rest[np.arange(here.shape[0]), np.argmax(of_choice, axis=1)][:, np.newaxis]
        # Of equals the mean of their ranks, 1 to configs.
        rank = (of_rest < best).sum(axis=1) + ((of_rest == best).sum(axis=1) + 1) / 2
        ranks.append(rank / (configs + 1))
        scores.append(best[:, 0])
    rank, score = np.concatenate(ranks), np.concatenate(scores)
    return Overfitting(float(np.mean(rank <= 0.5)), float(np.mean(score < 0.0)), float(np.median(rank)), rank.size)


def _scores(sums: np.ndarray, squares: np.ndarray, n: int, is_sharpe: bool) -> np.ndarray:
    """The score of each config in each split, from sums over its n bars."""
    mean = sums / n
    if not is_sharpe:
        return mean
    variance = (squares - sums * mean) / (n - 1)
    # What rounding leaves of returns that are all the same is no variance.
    moves = variance > 1e-14 * squares / n
    return np.divide(mean, np.sqrt(np.where(moves, variance, 1.0)), out=np.zeros_like(mean), where=moves)


def effective_trials(earned: np.ndarray) -> float:
    """How many independent configs these amount to: those that earn alike count as one.

    The best of many stands out by what tells it from the others, not by what all share, such as the market that all
    are in. So it is one more than the participation ratio (Σ λ)² / Σ λ² (as Bouchaud & Potters 2003) of the
    eigenvalues λ of the covariances of their earnings, each of mean 0 and deviation 1, less the mean over all configs:
    n for n configs of which any two are equally correlated, k for k equally large groups of equal ones. (Such groups
    are what López de Prado & Lewis 2019 look for by clustering, to deflate a Sharpe ratio by.)

    Parameters
    ----------
    earned
        What each config earned on each bar, or in each episode, float64 (configs, n).

    Returns
    -------
    float
        From 1 to the number of configs.
    """
    configs, n = earned.shape
    spans = min(n, MOST_SPANS)
    borders = np.linspace(0, n, spans, endpoint=False).astype(np.int64)
    series = np.add.reduceat(earned, borders, axis=1)
    series -= series.mean(axis=1, keepdims=True)
    size = np.sqrt(np.einsum("cs,cs->c", series, series))[:, np.newaxis]
    # What rounding leaves of a config that earned the same everywhere is no move, nor is it of configs that are equal.
    moves = size > 1e-12 * np.abs(earned).sum(axis=1, keepdims=True)
    standard = np.divide(series, size, out=np.zeros_like(series), where=moves)
    standard -= standard.mean(axis=0)
    # Σ λ is the sum of the squares, Σ λ² that of the squared covariances: of the smaller of two matrices with that sum.
    total = float(np.einsum("cs,cs->", standard, standard))
    if total < 1e-20 * configs:
        return 1.0
    products = standard @ standard.T if configs <= spans else standard.T @ standard
    return min(float(configs), 1.0 + total**2 / float(np.einsum("ij,ij->", products, products)))

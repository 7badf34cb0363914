"""How certain the values of a planned table are."""

from typing import NamedTuple

import numpy as np
import polars as pl

from idi_fast.config.settings import LearningConfig


def certainty_columns(learning: LearningConfig) -> tuple[str, ...]:
    """The columns of a policy's table that these settings add."""
    if not learning.plans:
        return ()
    return ("se_buy", "se_sell", "n", *(("agreement",) if learning.bootstrap else ()))


class Certainty(NamedTuple):
    """Of each row of a table of actions.

    errors float64 (n_rows, 2): standard errors of the advantage of buy and of sell over hold, infinite where there is
    none; bars float64 (n_rows,): bars of equal weight that would make as good a mean; agreement float64 (n_rows,), or
    None without resamples: share of the resamples whose best action is that of the table. optimism: share of chance in
    what the table earns on its own bars, from 0 to 1, by bars left out; None if none were, or it earns nothing.
    """

    errors: np.ndarray
    bars: np.ndarray
    agreement: np.ndarray | None
    optimism: float | None = None

    def columns(self, rows: np.ndarray) -> dict[str, pl.Series]:
        """The columns of these rows in a policy's table; null where there is no standard error."""
        errors = np.where(np.isfinite(self.errors[rows]), self.errors[rows], np.nan)
        columns = {"se_buy": errors[:, 0], "se_sell": errors[:, 1], "n": self.bars[rows]}
        if self.agreement is not None:
            columns["agreement"] = self.agreement[rows]
        return {name: pl.Series(name, values, nan_to_null=True) for name, values in columns.items()}

    @classmethod
    def of(
        cls, frame: pl.DataFrame, rows: np.ndarray, n_rows: int, optimism: float | None = None
    ) -> "Certainty | None":
        """The inverse of `columns`; None for a table that was learnt. Raises ValueError."""
        if optimism is not None and not 0.0 <= optimism <= 1.0:
            raise ValueError("the optimism is no share from 0 to 1")
        if "se_buy" not in frame.columns:
            return None
        errors, bars = np.full((n_rows, 2), np.inf), np.zeros(n_rows)
        errors[rows] = frame.select(pl.col("se_buy", "se_sell").cast(pl.Float64).fill_null(np.inf)).to_numpy()
        bars[rows] = frame["n"].cast(pl.Float64).to_numpy()
        agreement = None
        if "agreement" in frame.columns:
            agreement = np.zeros(n_rows)
            agreement[rows] = frame["agreement"].cast(pl.Float64).to_numpy()
        for name, values in {"se_buy or se_sell": errors, "n": bars, "agreement": agreement}.items():
            if values is not None and (values < 0.0).any():
                raise ValueError(f"{name} is below 0")
        return cls(errors, bars, agreement, optimism)


def of_chance(optimism: float | None) -> str:
    """How much of an in-sample figure is chance, as the end of a sentence about it; nothing if that is not known, or
    none: what all bars have in common, as a drift, bars that are left out cannot show to be chance."""
    if optimism is None or optimism < 0.005:
        return ""
    return f"; by bars left out in turn at least {optimism:.0%} of what it earns on them is chance"

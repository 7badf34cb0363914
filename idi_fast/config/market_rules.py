"""The rules within the block of the simulated market: a list of regimes, and what it takes the place of."""

from typing import TYPE_CHECKING

from idi_fast.config.block import SettingError

if TYPE_CHECKING:
    from idi_fast.config.environment_settings import MarketConfig

OF_FOUR = (
    *("drift_bull", "drift_bear", "drift_chop", "vol_base", "vol_panic", "shock_prob", "shock_scale"),
    "stress_scenario",
)
"""The settings of the market of four regimes."""
MOST_REGIMES = 1000


def check_regimes(market: "MarketConfig") -> None:
    """Raise SettingError for a regime that is named twice or whose chances are of other regimes, and for settings that
    have no effect beside a list of them."""
    regimes = market.regimes
    if not regimes:
        return
    if len(regimes) > MOST_REGIMES:
        raise SettingError("regimes", f"has length {len(regimes)}; expected at most {MOST_REGIMES}")
    default = type(market)()
    for name in OF_FOUR:
        if getattr(market, name) != getattr(default, name):
            problem = f"is {getattr(market, name)!r}, but the regimes of the list have numbers of their own; remove it"
            raise SettingError(name, problem, "regimes")
    names = [regime.name for regime in regimes]
    for place, regime in enumerate(regimes):
        if regime.name in names[:place]:
            problem = f"is {regime.name!r} as that of regimes[{names.index(regime.name)}]; expected each name once"
            raise SettingError(f"regimes[{place}].name", problem)
        if regime.next is not None and len(regime.next) != len(regimes):
            problem = f"has length {len(regime.next)}; expected {len(regimes)}, one for each regime of the list"
            raise SettingError(f"regimes[{place}].next", problem, "regimes")

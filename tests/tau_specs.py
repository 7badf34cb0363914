"""Random sets of equations, for the oracle and as a Spec; and the two agents' specifications."""

from dataclasses import dataclass

from hypothesis import strategies as st

from idi_fast.tau.declarations import Declaration
from idi_fast.tau.formula import And, At, Bit, Bits, Clause, Not, Or, Term, Xor
from idi_fast.tau.spec import Spec, anchored, parse_spec

JOINS = {"and": And, "or": Or, "xor": Xor}


@dataclass(frozen=True)
class System:
    """Equations: the width of each stream, None for sbf; the term of each output at t; those at fixed indices."""

    widths: dict[str, int | None]
    clauses: dict[str, tuple]
    first: dict[tuple[str, int], tuple]

    @property
    def spec(self) -> Spec:
        """The same as a specification."""
        streams = [
            Declaration(name, f"{'inputs' if name[0] == 'i' else 'outputs'}/{name}", width)
            for name, width in self.widths.items()
        ]
        clauses = [Clause(At(name), term_of(term, self.widths[name])) for name, term in self.clauses.items()]
        for (name, index), term in self.first.items():
            clauses.append(Clause(At(name, 0, index), term_of(term, self.widths[name])))
        return Spec(
            tuple(s for s in streams if s.is_input), tuple(s for s in streams if not s.is_input), tuple(clauses)
        )


def term_of(term: tuple, width: int | None) -> Term:
    """An oracle's term as ours."""
    kind, *parts = term
    if kind == "back":
        return At(*parts)
    if kind == "fixed":
        return At(parts[0], 0, parts[1])
    if kind == "constant":
        return Bit(parts[0]) if width is None else Bits(parts[0], width)
    terms = tuple(term_of(part, width) for part in parts)
    return Not(*terms) if kind == "not" else JOINS[kind](terms)


def terms(leaves: list[tuple], width: int | None) -> st.SearchStrategy[tuple]:
    """Terms over some leaves and constants."""
    constants = st.integers(0, 1 if width is None else 2**width - 1).map(lambda value: ("constant", value))
    leaf = st.sampled_from(leaves) | st.sampled_from(leaves) | constants if leaves else constants
    return st.recursive(
        leaf,
        lambda inner: (
            st.tuples(st.just("not"), inner)
            | st.builds(
                lambda kind, parts: (kind, *parts),
                st.sampled_from(list(JOINS)),
                st.lists(inner, min_size=2, max_size=3),
            )
        ),
        max_leaves=5,
    )


def lookback_of(clauses: dict[str, tuple]) -> int:
    """The largest lookback of some clauses."""

    def back(term: tuple) -> int:
        own = term[2] if term[0] == "back" else 0
        return max([own, *(back(part) for part in term[1:] if isinstance(part, tuple))])

    return max(map(back, clauses.values()))


@st.composite
def systems(draw, *, mirrored: bool, widths=(None,), inputs: int = 3, farthest: int = 2) -> System:
    """Equations whose outputs are defined one after the other, over inputs all of which are `mirrored` or not."""
    chosen = {f"i{k}": draw(st.sampled_from(widths)) for k in range(draw(st.integers(1, inputs)))}
    names = list(chosen)
    mirrors = {f"o_{name}": ("back", name, 0) for name in names} if mirrored else {}
    own = [f"o{k}" for k in range(draw(st.integers(1, 3)))]
    chosen |= {f"o_{name}": chosen[name] for name in names} if mirrored else {}
    chosen |= {name: draw(st.sampled_from(widths)) for name in own}
    clauses: dict[str, tuple] = {}
    for place, name in enumerate(own):
        leaves = [("back", i, k) for i in names for k in range(farthest + 1)]
        leaves += [("back", o, k) for o in (*own, *mirrors) for k in range(1, farthest + 1)]
        leaves += [("back", o, 0) for o in (*own[:place], *mirrors)]
        alike = [leaf for leaf in leaves if chosen[leaf[1]] == chosen[name]]
        clauses[name] = draw(terms(alike, chosen[name]))
    clauses |= mirrors
    order = draw(st.permutations(list(clauses)))
    first: dict[tuple[str, int], tuple] = {}
    for index in range(lookback_of(clauses)):
        for name in [name for name in clauses if draw(st.booleans())]:
            leaves = [("fixed", i, k) for i in names for k in range(index + 1)]
            leaves += [("fixed", o, k) for o in clauses for k in range(index)]
            leaves += [("fixed", o, index) for o in clauses if (o, index) in first]
            alike = [leaf for leaf in leaves if chosen[leaf[1]] == chosen[name]]
            first[name, index] = draw(terms(alike, chosen[name]))
    return System(chosen, {name: clauses[name] for name in order}, first)


def streams(names: dict[str, str]) -> str:
    """Declarations of streams of type sbf, but for those said to be another; an input's mirror is named after it."""
    lines = [f'{name}:{kind} := {"in" if name[0] == "i" else "out"} file("{name}").' for name, kind in names.items()]
    return "\n".join(lines) + "\n"


V38_INPUTS = (
    "price",
    "volume",
    "trend",
    "profit_guard",
    "failure_echo",
    "q_buy",
    "q_sell",
    "risk_budget_ok",
    "q_regime",
    "q_emote_positive",
    "q_emote_alert",
)

V38_CLAUSES = """
(o_executing[t] =
  (o_executing[t-1]' & i_price[t]' & i_volume[t] & i_trend[t] & o_holding[t-1]' & (o_timer_b1[t-1] & o_timer_b0[t-1])'
   & o_nonce[t-1]' & i_failure_echo[t]' & i_risk_budget_ok[t])
  | (o_executing[t-1] & (i_price[t] & o_holding[t-1])' & (o_timer_b1[t-1] & o_timer_b0[t-1])' & i_volume[t]
     & i_failure_echo[t]' & i_risk_budget_ok[t])) &&
(o_buy_signal[t] = i_q_buy[t] & i_risk_budget_ok[t] & o_executing[t] & o_executing[t-1]' & o_holding[t-1]') &&
(o_sell_signal[t] = i_q_sell[t] & o_executing[t-1] & o_executing[t]' & o_holding[t-1]) &&
(o_holding[t] = o_buy_signal[t] | (o_sell_signal[t]' & o_holding[t-1])) &&
(o_timer_b0[t] = o_executing[t] & o_timer_b0[t-1]') &&
(o_timer_b1[t] = o_executing[t] & (o_timer_b1[t-1] ^ o_timer_b0[t-1])) &&
(o_nonce[t] = o_buy_signal[t] | (o_executing[t-1] & o_sell_signal[t]' & o_nonce[t-1])) &&
(o_entry_price[t] = (o_buy_signal[t] & i_price[t])
  | (o_executing[t-1] & o_buy_signal[t]' & o_sell_signal[t]' & o_entry_price[t-1])) &&
(o_profit[t] = o_sell_signal[t] & i_price[t] & o_entry_price[t-1]' & i_profit_guard[t]) &&
(o_has_burned[t] = o_has_burned[t-1] | o_profit[t]) &&
(o_emote_positive[t] = o_executing[t] & i_q_emote_positive[t]) &&
(o_emote_alert[t] = o_executing[t] & i_q_emote_alert[t]) &&
(o_emote_persistence[t] = (i_q_emote_positive[t] & o_emote_persistence[t-1]')
  | (o_emote_persistence[t-1] & i_q_emote_alert[t]'))
"""

V38_OUTPUTS = (
    "executing",
    "buy_signal",
    "sell_signal",
    "holding",
    "timer_b0",
    "timer_b1",
    "nonce",
    "entry_price",
    "profit",
    "has_burned",
    "emote_positive",
    "emote_alert",
    "emote_persistence",
)

LAYERED_INPUTS = ("price_up", "price_down", "weight_momentum", "weight_contra", "weight_trend")

LAYERED_CLAUSES = """
(o_momentum_vote[t] = (i_price_up[t] & i_price_up[t-1] & o_position[t-1]')
  | (i_price_down[t] & i_price_down[t-1] & o_position[t-1])) &&
(o_contrarian_vote[t] = (i_price_down[t] & o_position[t-1]') | (i_price_up[t] & o_position[t-1])) &&
(o_trend_vote[t] = (i_price_up[t] & o_position[t-1]') | (i_price_down[t] & o_position[t-1])) &&
(o_buy_signal[t] = o_position[t-1]' & ((i_weight_momentum[t] & o_momentum_vote[t] & i_price_up[t])
  | (i_weight_contra[t] & o_contrarian_vote[t] & i_price_down[t])
  | (i_weight_trend[t] & o_trend_vote[t] & i_price_up[t]))) &&
(o_sell_signal[t] = o_position[t-1] & ((i_weight_momentum[t] & o_momentum_vote[t] & i_price_down[t])
  | (i_weight_contra[t] & o_contrarian_vote[t] & i_price_up[t])
  | (i_weight_trend[t] & o_trend_vote[t] & i_price_down[t]))) &&
(o_position[t] = o_buy_signal[t] | (o_position[t-1] & o_sell_signal[t]'))
"""

LAYERED_OUTPUTS = ("momentum_vote", "contrarian_vote", "trend_vote", "buy_signal", "sell_signal", "position")


def agent(inputs: tuple[str, ...], outputs: tuple[str, ...], clauses: str) -> Spec:
    """An agent's specification: its clauses and a mirror of every input, from time 0 on."""
    kinds = {f"i_{name}": "bv[5]" if name == "q_regime" else "sbf" for name in inputs}
    kinds |= {f"o_{name}": "sbf" for name in outputs}
    kinds |= {f"o_mirror_{name}": kinds[f"i_{name}"] for name in inputs}
    mirrors = " && ".join(f"(o_mirror_{name}[t] = i_{name}[t])" for name in inputs)
    return anchored(parse_spec(f"{streams(kinds)}{clauses.strip()} && {mirrors}"))


V38 = agent(V38_INPUTS, V38_OUTPUTS, V38_CLAUSES)
LAYERED = agent(LAYERED_INPUTS, LAYERED_OUTPUTS, LAYERED_CLAUSES)

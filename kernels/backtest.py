"""The account of a backtest: orders filled, costs paid, equity marked at every close."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel, lowest_bit

NEXT_OPEN, NEXT_CLOSE, SAME_CLOSE = 0, 1, 2
HASH = np.uint64(0x9E3779B97F4A7C15)


TRADE_COLUMNS = ("entry_bar", "exit_bar", "direction", "entry_price", "exit_price", "profit", "fees", "slippage")


class AccountState(NamedTuple):
    """What an account goes on from.

    money float64 (11,): units held, cash, fees, slippage and notional traded so far, equity at the entry of the open
    trade; interest earned, borrowing fees and funding paid so far, interest up to that entry, the last close;
    at int64 (4,): bars so far, position held, position decided on at the last close, bar of liquidation or −1;
    trade float64 (8,): the open trade, a row as of `account`'s trades.
    """

    money: np.ndarray
    at: np.ndarray
    trade: np.ndarray


class Financing(NamedTuple):
    """What money and positions held at the last close earn and cost up to the close of each bar, or arrays of no bars.

    interest float64 (n,): on idle cash; borrow float64 (n,): what a short pays, funding float64 (n,): what a long pays
    and a short receives, both per unit of notional at the last close. All are shares of the amount, for the bar.
    """

    interest: np.ndarray
    borrow: np.ndarray
    funding: np.ndarray


UNITS, CASH, FEES, SLIPPAGE, TRADED, STAKE, INTEREST, BORROW, FUNDING, ENTRY_INTEREST, LAST_CLOSE = range(11)
MONEY = 11
BARS, HELD, DECIDED, LIQUIDATED = range(4)
ENTRY_BAR, EXIT_BAR, DIRECTION, ENTRY_PRICE, EXIT_PRICE, PROFIT, TRADE_FEES, TRADE_SLIPPAGE = range(8)


@kernel(inline=True)
def rebalance(units, cash, target, price, fee_rate, size):
    """Close what is held at `price` and put a share `size` of the equity that is left, with the entry's fee, into the
    position target (−1, 0, 1).

    With equity E before the trade, u the units held and f the fee rate, the new notional N solves
    N + f N = size (E − f |u| price). Returns units, cash, fee and notional traded.
    """
    equity = cash + units * price
    closing = abs(units) * price
    notional = size * (equity - fee_rate * closing) / (1.0 + fee_rate) if target != 0 else 0.0
    fee = fee_rate * (closing + notional)
    new_units = target * notional / price
    return new_units, equity - fee - new_units * price, fee, closing + notional


WIDE = 64
"""Bars that are looked at together, in vectors."""


@kernel(inline=True)
def _run_end(target, first, held):
    """The first bar from `first` on that is decided to hold something else, or the end."""
    wanted = np.int8(held)
    while first + WIDE <= target.size:
        others = np.uint64(0)
        for k in range(WIDE):
            others |= np.uint64(target[index(first + k)] != wanted) << np.uint64(k)
        if others:
            return first + np.int64(lowest_bit(others))
        first += WIDE
    while first < target.size and target[index(first)] == wanted:
        first += 1
    return first


@kernel(inline=True)
def _hold_on(first, target, prices, close, is_open, held, units, cash, equity, position):
    """Mark the bars from `first` on that go on with what is held and leave something of it; return the first that does
    not. prices: those of the fills, at which it must be worth something as well; is_open: whether they are other prices
    than the closes. Mutates: equity, position, also beyond those bars, where later ones are marked."""
    stop, at, ruined, wanted = _run_end(target, first, held), first, 0, np.int8(held)
    while at < stop and at + WIDE <= target.size:
        for k in range(WIDE):
            worth = cash + units * close[index(at + k)]
            equity[index(at + k)] = worth
            ruined += worth <= 0.0  # a NaN is no ruin, as in the account
        if is_open:
            for k in range(WIDE):
                ruined += cash + units * prices[index(at + k)] <= 0.0
        for k in range(WIDE):
            position[index(at + k)] = wanted
        at += WIDE
    for t in range(at, stop):
        equity[index(t)], position[index(t)] = cash + units * close[index(t)], wanted
        ruined += equity[index(t)] <= 0.0 or cash + units * prices[index(t)] <= 0.0
    if ruined > 0:  # perhaps only beyond the last of these bars
        while first < stop and not (cash + units * close[first] <= 0.0 or cash + units * prices[first] <= 0.0):
            first += 1
        return first
    return stop


@kernel(inline=True)
def _financed(t, units, cash, entry_price, financing, last_close, money):
    """What bar t adds to the cash, before its fill: interest on the idle cash less the costs of what is held.

    A short's collateral, as much as its notional at entry, and the proceeds of its sale are not idle. Mutates: money.
    """
    notional = units * last_close
    interest = financing.interest[t] * (cash + 2.0 * min(units, 0.0) * entry_price)
    borrow, funding = financing.borrow[t] * max(-notional, 0.0), financing.funding[t] * notional
    money[INTEREST] += interest
    money[BORROW] += borrow
    money[FUNDING] += funding
    return interest - borrow - funding


@kernel(inline=True)
def _record(trade, trades, count):
    for k in range(trade.size):
        trades[count, k] = trade[k]
    return count + 1


@kernel
def account(target, open_, close, fill, fee_rate, slippage_rate, size, financing, state, equity, position, trades):
    """Equity at each close of the next bars, and the trades that end in them.

    target int8 (n,): position decided on at the close of bar t; open_, close float64 (n,): prices; fill int64: when a
    decision is filled; fee_rate, slippage_rate: shares of the traded notional and of the price, which a buyer pays more
    and a seller gets less; size: the share of the equity that is put into a position at its entry, and no more while it
    is held; financing: a `Financing`. equity float64 (n,); position int8 (n,): held at the close of bar t; trades
    float64 (m, 8), m no less than the trades that end: entry bar, exit bar, direction, entry price, exit price, profit
    after costs as a share of the equity at entry, fees, slippage. Bars count from the account's first. Equity of 0 or
    less ends trading.
    Returns the number of trades. Mutates: state and the outputs.
    """
    money, at, trade = state.money, state.at, state.trade
    units, cash = money[UNITS], money[CASH]
    held, decided = at[HELD], at[DECIDED]
    prices = open_ if fill == NEXT_OPEN else close
    is_financed = financing.interest.size > 0
    count, t = 0, np.int64(0)
    while t < close.size:
        if at[LIQUIDATED] < 0 and held == decided and not is_financed:
            # Most bars change nothing: what they are worth is worked out without a branch a bar.
            is_open = fill == NEXT_OPEN
            t = _hold_on(t, target, prices, close, is_open, held, units, cash, equity, position)
            if t == close.size:
                break
        wanted, price = np.int64(0), prices[t]
        if at[LIQUIDATED] < 0:
            if is_financed:
                last = close[t - 1] if t > 0 else money[LAST_CLOSE]
                cash += _financed(t, units, cash, trade[ENTRY_PRICE], financing, last, money)
            wanted = np.int64(target[t]) if fill == SAME_CLOSE else decided
            decided = np.int64(target[t])
            if cash + units * price <= 0.0:
                wanted = np.int64(0)
            if wanted != held:
                paid = price * (1.0 + slippage_rate) if wanted > held else price * (1.0 - slippage_rate)
                before, old_units, slipped = cash + units * paid, abs(units), abs(paid - price)
                old_fee = fee_rate * old_units * paid
                # Ruin as well: nothing is left after the costs of closing what is held.
                if before <= old_fee:
                    wanted = np.int64(0)
                units, cash, fee, traded = rebalance(units, cash, wanted, paid, fee_rate, size)
                money[FEES] += fee
                money[SLIPPAGE] += slipped * (old_units + abs(units))
                money[TRADED] += traded
                if held != 0:
                    trade[EXIT_BAR], trade[EXIT_PRICE] = at[BARS] + t, paid
                    earned = money[INTEREST] - money[ENTRY_INTEREST]  # by the idle cash, not by the trade
                    trade[PROFIT] = max(-1.0, (before - old_fee - earned) / money[STAKE] - 1.0)
                    trade[TRADE_FEES] += old_fee
                    trade[TRADE_SLIPPAGE] += slipped * old_units
                    count = _record(trade, trades, count)
                if wanted != 0:
                    money[STAKE], money[ENTRY_INTEREST] = before - old_fee, money[INTEREST]
                    trade[ENTRY_BAR], trade[EXIT_BAR], trade[DIRECTION] = at[BARS] + t, -1.0, wanted
                    trade[ENTRY_PRICE], trade[EXIT_PRICE], trade[PROFIT] = paid, np.nan, np.nan
                    trade[TRADE_FEES], trade[TRADE_SLIPPAGE] = fee - old_fee, slipped * abs(units)
                held = wanted
            if cash + units * close[t] <= 0.0:
                at[LIQUIDATED] = at[BARS] + t
                if held != 0:
                    trade[EXIT_BAR], trade[EXIT_PRICE], trade[PROFIT] = at[BARS] + t, close[t], -1.0
                    count = _record(trade, trades, count)
                units, cash, held = 0.0, 0.0, np.int64(0)
        equity[t] = cash + units * close[t]
        position[t] = held
        t += 1
    money[UNITS], money[CASH] = units, cash
    if is_financed and close.size > 0:
        money[LAST_CLOSE] = close[close.size - 1]
    at[BARS] += close.size
    at[HELD], at[DECIDED] = held, decided
    return count


@kernel
def count_alerts(state, moods, comm, regime, risk, alert, last, counts):
    """Count the bars of each mood and regime, the alerts said on them, and the risk events that followed.

    state int64, comm int16, regime uint8, risk uint8 (n,): of the next bars; moods uint8 (n_states,): of each state;
    alert: the communication action that is one. last int64 (3,): mood, regime and whether alert was said on the bar
    before, mood −1 if there is none. counts int64 (n_moods, regimes, 4): bars that another followed, alerts, risk
    events, both. Mutates: last, counts.
    """
    n_moods, n_regimes = counts.shape[0], counts.shape[1]
    # One number a bar, by whether alert was said and whether the event came: four sums would wait for each other.
    bars = np.zeros(n_moods * n_regimes * 4, np.int64)
    first = 1 if last[0] < 0 and state.size else 0  # nothing came before the first bar of all
    if first:
        last[0], last[1], last[2] = moods[state[0]], regime[0], comm[0] == alert
    place = (last[0] * n_regimes + last[1]) * 4 + last[2] * 2
    for t in range(first, state.size):
        bars[index(place + np.int64(risk[t] > 0))] += 1
        said = np.int64(comm[t] == alert)
        place = (np.int64(moods[index(state[t])]) * n_regimes + np.int64(regime[t])) * 4 + said * 2
    last[0], last[1], last[2] = place // 4 // n_regimes, place // 4 % n_regimes, place // 2 % 2
    for mood in range(n_moods):
        for of in range(n_regimes):
            silent, missed, false, right = bars.reshape(n_moods, n_regimes, 4)[mood, of]
            counts[mood, of, 0] += silent + missed + false + right
            counts[mood, of, 1] += false + right
            counts[mood, of, 2] += missed + right
            counts[mood, of, 3] += right


@kernel
def count_marked(places, marks):
    """How many of the places int64 (n,) are marked. marks bool (m,)."""
    count = 0
    for t in range(places.size):
        count += marks[index(places[t])]
    return count


@kernel
def find_hashes(values, table, found):
    """Which of the values may be among those that a table of hashes knows: their places, the first `count` of `found`.

    values uint64 (n,): the bits of numbers; table bool (16384,): by 14 bits of the product with 2⁶⁴ / φ (Knuth
    1998, 6.4); found int64 (n,). Returns count. Mutates: found.
    """
    count = 0
    for t in range(values.size):
        found[count] = t
        count += table[(values[t] * HASH) >> np.uint64(50)]
    return count


@kernel
def reference_account(action, price, fee_bps, pnl):
    """The reference backtest's PnL in price units, its fee on every bar that comes in with a position. Mutates: pnl."""
    position = 0
    last = price[0]
    fee_rate = fee_bps / 1e4
    for t in range(price.size):
        pnl[t] = (price[t] - last) * position
        if position != 0:
            pnl[t] -= price[t] * fee_rate
        if action[t] == 1:
            position = 1
        elif action[t] == 2:
            position = -1
        last = price[t]

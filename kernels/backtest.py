"""The account of a backtest: orders filled, costs paid, equity marked at every close."""

import numpy as np

from idi_fast.kernels._jit import kernel

NEXT_OPEN, NEXT_CLOSE, SAME_CLOSE = 0, 1, 2


@kernel(inline=True)
def rebalance(units, cash, target, price, fee_rate):
    """Trade at `price` until the position is worth target (−1, 0, 1) times the equity that is left after the fee.

    With equity E before the trade, u the units held and f the fee rate, the new notional N solves
    N = E − f (|N target − u price|), whose sign is known when the position closes, opens or flips.
    Returns units, cash, fee and notional traded.
    """
    equity = cash + units * price
    closing = abs(units) * price
    notional = (equity - fee_rate * closing) / (1.0 + fee_rate) if target != 0 else 0.0
    fee = fee_rate * (closing + notional)
    new_units = target * notional / price
    return new_units, equity - fee - new_units * price, fee, closing + notional


@kernel
def account(target, open_, close, fill, fee_rate, equity, position, trades, totals):
    """Equity at each close, starting from 1, and the list of trades.

    target int8 (n,): position decided on at the close of bar t; open_, close float64 (n,): prices; fill int64: when a
    decision is filled. equity float64 (n,); position int8 (n,): held at the close of bar t; trades float64 (m, 7):
    entry bar, exit bar, direction, entry price, exit price, profit after fees as a share of the equity at entry, fees;
    totals float64 (3,): fees, notional traded, bar of liquidation or −1. Equity at or below 0 ends trading.
    Returns the number of trades; the last is still open when its exit bar is −1. Mutates: the outputs.
    """
    units, cash, held = 0.0, 1.0, np.int64(0)
    count = 0
    entry_equity = 1.0
    totals[0], totals[1], totals[2] = 0.0, 0.0, -1.0
    for t in range(close.size):
        if totals[2] < 0.0:
            if fill == SAME_CLOSE:
                wanted, price = np.int64(target[t]), close[t]
            else:
                wanted = np.int64(target[t - 1]) if t > 0 else np.int64(0)
                price = open_[t] if fill == NEXT_OPEN else close[t]
            before = cash + units * price
            old_fee = fee_rate * abs(units) * price
            # Ruin: nothing is left, or nothing after the fee of closing what is held.
            if before <= 0.0 or (wanted != held and before <= old_fee):
                wanted = np.int64(0)
            if wanted != held:
                units, cash, fee, traded = rebalance(units, cash, wanted, price, fee_rate)
                totals[0] += fee
                totals[1] += traded
                if held != 0:
                    trades[count - 1, 1], trades[count - 1, 4] = t, price
                    trades[count - 1, 5] = max(-1.0, (before - old_fee) / entry_equity - 1.0)
                    trades[count - 1, 6] += old_fee
                if wanted != 0:
                    entry_equity = before - old_fee
                    trades[count, 0], trades[count, 1], trades[count, 2] = t, -1.0, wanted
                    trades[count, 3], trades[count, 4] = price, np.nan
                    trades[count, 5], trades[count, 6] = np.nan, fee - old_fee
                    count += 1
                held = wanted
            if cash + units * close[t] <= 0.0:
                totals[2] = t
                if held != 0:
                    trades[count - 1, 1], trades[count - 1, 4], trades[count - 1, 5] = t, close[t], -1.0
                units, cash, held = 0.0, 0.0, np.int64(0)
        equity[t] = cash + units * close[t]
        position[t] = held
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

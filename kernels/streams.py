"""What must be computed tick by tick to write the streams of a trace."""

import numpy as np

from idi_fast.kernels._jit import kernel

POSITIVE, ALERT, PERSIST = 1, 2, 3


@kernel
def emote_bits(mood, comm, palette, meaning, linger_ticks, lingers, positive, alert, persistence):
    """The three communication cues of each of the next ticks.

    mood int64 (n,); comm int16 (n,): communication action; palette uint8 (n_moods, 2): whether a mood's text is
    positive, and alert; meaning int64 (n_comm,): 1 positive, 2 alert, 3 persist, 0 any other action, which leaves
    the cues to the palette. A cue lingers for `linger_ticks`. lingers int64 (1,): ticks that the last one still lingers
    for, 0 at first. Outputs uint8. Mutates: lingers, positive, alert, persistence.
    """
    linger = lingers[0]
    for t in range(mood.size):
        says = meaning[comm[t]]
        if says == 0:
            positive[t], alert[t] = palette[mood[t], 0], palette[mood[t], 1]
        else:
            positive[t], alert[t] = says != ALERT, says == ALERT
        linger = linger_ticks if positive[t] or alert[t] else max(0, linger - 1)
        persistence[t] = says == PERSIST or linger > 0
    lingers[0] = linger


@kernel
def open_profit(position, entry, value, cost, open_trade, profit):
    """Whether the position held at each of the next ticks is in profit after the costs of opening and closing it.

    position int8 (n,): held at tick t; entry float64 (n,): log price at which a position first held at t was entered;
    value float64 (n,): log price at t; cost float64: of both trades together; open_trade float64 (2,): position and log
    price at which it was entered, both 0 at first. profit uint8 (n,). Mutates: open_trade, profit.
    """
    held, entered = np.int64(open_trade[0]), open_trade[1]
    for t in range(position.size):
        if position[t] != held:
            held, entered = np.int64(position[t]), entry[t]
        profit[t] = held * (value[t] - entered) > cost if held != 0 else False
    open_trade[0], open_trade[1] = held, entered

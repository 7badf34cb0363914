"""Features by functions of a bar and a state, which are the caller's."""

from idi_fast.kernels._jit import kernel


@kernel
def run_steps(step, columns, window, values, state, out):
    """What a function returns of one bar after another, whose state it keeps.

    step: `step(state, values, window)` with values float64 (k,) of a bar, and returns float64; columns float64 (k, n);
    window int; values float64 (k,), whose content does not matter; state float64 (m,): zeros before the first bar;
    out float64 (n,). Mutates: values, state, out.
    """
    for t in range(out.size):
        for k in range(values.size):
            values[k] = columns[k, t]
        out[t] = step(state, values, window)

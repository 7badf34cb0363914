"""The clauses of a Tau specification, compiled to a flat program and run tick by tick."""

import numpy as np

from idi_fast.kernels._jit import index, kernel

LOAD, CONSTANT, FLIP, AND, OR, XOR, STORE = range(7)
"""Operations of a program: what stands in the second to fourth place is said by `run_clauses`."""


@kernel
def run_clauses(program, streams, registers, start, stop):
    """Work out the outputs of the ticks from `start` to `stop` from what stands in the streams.

    program int64 (n, 4): operations in order, each an operation's number and three operands: LOAD register, stream, k:
    the stream's value k ticks ago; CONSTANT register, value; FLIP register, mask: change the bits of the mask; AND, OR,
    XOR register, other: put into the first what the operation makes of both; STORE stream, register. streams uint32
    (n_streams, n): a row a stream, a column a tick, `start` no less than the largest k; registers uint32 (m,): scratch.
    Mutates: the stored streams, registers.
    """
    for t in range(start, stop):
        for line in range(program.shape[0]):
            operation, target = program[line, 0], index(program[line, 1])
            first, second = program[line, 2], program[line, 3]
            if operation == LOAD:
                registers[target] = streams[index(first), index(t - second)]
            elif operation == CONSTANT:
                registers[target] = np.uint32(first)
            elif operation == FLIP:
                registers[target] ^= np.uint32(first)
            elif operation == AND:
                registers[target] &= registers[index(first)]
            elif operation == OR:
                registers[target] |= registers[index(first)]
            elif operation == XOR:
                registers[target] ^= registers[index(first)]
            else:
                streams[target, index(t)] = registers[index(first)]

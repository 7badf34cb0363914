"""The learning loop: tabular Q-learning (Watkins 1989) over the rows of a tape.

An agent is agent int64 (4,): rows of the episode done, position (0, 1, 2 for −1, 0, 1), mood (mood bucket, or the
sign of the PnL), state index; and sums float64 (2,): PnL and reward of the episode. `DONE` … and `PNL` … name them.
"""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel, prefetch

FEW_STATES = 256
"""Up to here the best communication of each state is kept in a table: few states come again within a step or two, and
their values, just learnt, would have to be waited for."""

MANY_STATES = 30_000
"""With more of them the tables do not fit the second-level cache, and what the tape says of the states to come is asked
for AHEAD rows before it is needed: half the time of a step at 100,000 states and more."""
AHEAD = 16
FETCHED_STATES = 16
"""States of one observation up to which that is worth it: which of them it will be depends on mood and position."""


DONE, POSITION, MOOD, STATE = range(4)
PNL, REWARD = range(2)

MOOD_RISES_ABOVE, MOOD_FALLS_BELOW = 0.5, -0.2
"""The rewards before the mood term between which the mood stays as it is."""


class Tape(NamedTuple):
    """What the market shows, a row a tick.

    reward_by_position float64 (n, 3 or 9): reward before the mood term, by new position or by old * 3 + new;
    observation int32 (n,): the observed buckets as one number; alert uint8 (n,): whether an alert is right.
    """

    reward_by_position: np.ndarray
    observation: np.ndarray
    alert: np.ndarray


class Rules(NamedTuple):
    """How actions, observations and rewards are put together.

    next_position int64 (9,): position after, by position * 3 + action; strides int64 (3,): weight of observation, mood
    and position in the state index; n_moods int64: mood buckets, 0 where the mood is the sign of the PnL; clarity
    float64: reward per mood bucket; comm_bonus float64 (2, n_comm): added to the communication's reward, by
    `Tape.alert`.
    """

    next_position: np.ndarray
    strides: np.ndarray
    n_moods: int
    clarity: float
    comm_bonus: np.ndarray


class Tables(NamedTuple):
    """q float64 (n_states, 3), comm_q float64 (n_states, n_comm): expected discounted reward; greedy uint8, comm_greedy
    int16 (n_states,): the first best action of each of their rows, the latter kept only where it is read; visits int64
    (n_states,): times the agent came to a state; comm_counts int64 (n_comm,): communication actions taken."""

    q: np.ndarray
    comm_q: np.ndarray
    greedy: np.ndarray
    comm_greedy: np.ndarray
    visits: np.ndarray
    comm_counts: np.ndarray


class Memory(NamedTuple):
    """The last TD targets of each entry (state * 3 + action); an agent without episodic memory has k = 0.

    targets float64 (n_states * 3, k): a ring a row; written, kept int64 (n_states * 3,): how many were ever put into
    it, how many are still remembered; weights float64 (k,), newest first; alpha float64, the estimate's share.
    Where the memory has a capacity, order int64 (capacity,) is the ring of entries in the order they were written,
    total int64 (1,) their number, and displaced int64 (n_states * 3,) how many of them have left their entry's ring.
    """

    targets: np.ndarray
    written: np.ndarray
    kept: np.ndarray
    weights: np.ndarray
    alpha: float
    order: np.ndarray
    total: np.ndarray
    displaced: np.ndarray


class Learner(NamedTuple):
    """An agent that learns: agent int64 (4,) and sums float64 (2,), its place in the episode, see the module;
    episode_length int64; learning_rate, discount float64."""

    rules: Rules
    tables: Tables
    memory: Memory
    agent: np.ndarray
    sums: np.ndarray
    episode_length: int
    learning_rate: float
    discount: float

    @property
    def is_plain(self) -> bool:
        """Whether it has moods and no episodic memory, as most do: their kernel is without what others need."""
        return self.rules.n_moods > 0 and self.memory.weights.size == 0

    @property
    def says_one_of_four(self) -> bool:
        """Whether it has the usual four communication actions, whose comparison unrolls, and many states."""
        return self.tables.comm_counts.size == 4 and self.tables.visits.size > FEW_STATES


class Rows(NamedTuple):
    """What an agent does at n rows of a tape.

    action int8 (n,), comm int16 (n,): explored actions, −1 where the greedy one is taken; steps uint8 (n, 3 or 9): see
    `mood_steps`, read where the learner `is_plain`. Written by the first table, read by the second: seen int32 (n,),
    the state at each row, ~state on a reset row; reward float64 (n,), the step's reward, 0 on a reset row.
    """

    action: np.ndarray
    comm: np.ndarray
    steps: np.ndarray
    seen: np.ndarray
    reward: np.ndarray


@kernel(inline=True)
def best_of_three(hold, buy, sell):
    """The place of the first best of three values."""
    # Sums of comparisons, not branches: which action is best cannot be predicted.
    sells = np.int64(sell > max(hold, buy))
    return (np.int64(buy > hold) & ~sells) | (sells << 1)


@kernel(inline=True)
def best3(q, at):
    """The first best of the three values from q[at] on."""
    return best_of_three(q[index(at)], q[index(at + 1)], q[index(at + 2)])


@kernel(inline=True)
def best_of(table, at, n):
    """The first best of the n values from table[at] on."""
    if n == 4:
        # Two independent pairs instead of a chain of three comparisons, for the usual four actions.
        a, b, c, d = table[index(at)], table[index(at + 1)], table[index(at + 2)], table[index(at + 3)]
        low, high = np.int64(b > a), 2 + np.int64(d > c)
        return high if max(c, d) > max(a, b) else low
    best = 0
    for action in range(1, n):
        if table[index(at + action)] > table[index(at + best)]:
            best = action
    return best


@kernel(inline=True)
def max3(q, at):
    """The largest of the three values from q[at] on."""
    return max(max(q[index(at)], q[index(at + 1)]), q[index(at + 2)])


@kernel(inline=True)
def max_of(table, at, n):
    """The largest of the n values from table[at] on."""
    if n == 4:
        return max(max(table[index(at)], table[index(at + 1)]), max(table[index(at + 2)], table[index(at + 3)]))
    largest = table[index(at)]
    for action in range(1, n):
        largest = max(largest, table[index(at + action)])
    return largest


@kernel(inline=True)
def mood_step(reward):
    """Which way a reward before its mood term moves the mood: 1 up, −1 down, 0 neither."""
    # A difference, not a branch: which way the mood moves cannot be predicted.
    return np.int64(reward > MOOD_RISES_ABOVE) - np.int64(reward < MOOD_FALLS_BELOW)


@kernel(inline=True)
def next_mood(mood, pnl, reward, n_moods):
    """The mood after a reward before its mood term; without moods, whether the PnL is ≥ 0."""
    if n_moods == 0:
        return np.int64(pnl >= 0.0)
    return max(0, min(n_moods - 1, mood + mood_step(reward)))


@kernel(inline=True)
def reset_mood(n_moods):
    """The mood at the start of an episode: the lowest mood, or the sign of a PnL of 0."""
    return np.int64(n_moods == 0)


@kernel
def remember(memory, entry, target):
    """Blend a TD target with the weighted mean of those remembered for its entry, then remember it. Mutates: memory."""
    k = memory.weights.size
    if memory.kept[entry] > 0:
        weighted, weight = 0.0, 0.0
        for age in range(memory.kept[entry]):
            slot = (memory.written[entry] - 1 - age) % k
            weighted += memory.weights[age] * memory.targets[entry, slot]
            weight += memory.weights[age]
        target = memory.alpha * (weighted / weight) + (1.0 - memory.alpha) * target
    memory.targets[entry, memory.written[entry] % k] = target
    memory.written[entry] += 1
    displaces = memory.kept[entry] == k
    if not displaces:
        memory.kept[entry] += 1
    if memory.order.size > 0:
        memory.displaced[entry] += displaces
        _forget_oldest(memory, entry)
    return target


@kernel
def _forget_oldest(memory, entry):
    """Note what was written last; beyond the capacity forget what was written first. Mutates: memory."""
    place = memory.total[0] % memory.order.size
    if memory.total[0] >= memory.order.size:
        oldest = memory.order[place]
        if memory.displaced[oldest] > 0:
            memory.displaced[oldest] -= 1
        else:
            memory.kept[oldest] -= 1
    memory.order[place] = entry
    memory.total[0] += 1


@kernel
def mood_steps(reward_by_position, steps):
    """`mood_step` of each reward as bits, which are cheap to test later: bit 0 up, bit 1 down.

    reward_by_position as in `Tape`; steps uint8 of its shape. Mutates: steps.
    """
    rewards, bits = reward_by_position.reshape(-1), steps.reshape(-1)
    for k in range(rewards.size):
        rises, falls = rewards[k] > MOOD_RISES_ABOVE, rewards[k] < MOOD_FALLS_BELOW
        bits[k] = np.uint8(rises) | (np.uint8(falls) << np.uint8(1))


def learn_actions(tape, rows, learner, totals) -> int:
    """Train the first table over all rows of a tape; return how many episodes ended.

    rows: `Rows`; totals float64 (≥ the number of episodes that can end): the reward of each that ended.
    Mutates: rows.seen, rows.reward, learner but for comm_q, visits and counts, totals.
    """
    act = learn_plain_actions if learner.is_plain else learn_any_actions
    return act(tape, rows, learner, totals)


@kernel
def learn_plain_actions(tape, rows, learner, totals):
    """`learn_actions` of a learner that `is_plain`."""
    return _act(tape, rows, learner, totals, True)


@kernel
def learn_any_actions(tape, rows, learner, totals):
    """`learn_actions` of any learner."""
    return _act(tape, rows, learner, totals, False)


@kernel(splice=True)
def _act(tape, rows, learner, totals, is_plain):
    # No branch in the inner loop but one depends on the data, and the way from one state to the next is short: greedy
    # action, position, mood step, mood – all of them bits of words loaded ahead. What the update of q costs lies beside
    # that way: a greedy action is stored where it has changed, which is rare, since in markets a state comes again
    # within a step or two, whose load would wait for the store (8.4 ns a step instead of 12). Among many states none
    # comes again so soon, and most have been learnt too little for that branch to be predicted.
    rules, memory, agent, sums = learner.rules, learner.memory, learner.agent, learner.sums
    episode_length, learning_rate, discount = learner.episode_length, learner.learning_rate, learner.discount
    rewards, observation = tape.reward_by_position.reshape(-1), tape.observation
    q, greedy = learner.tables.q.reshape(-1), learner.tables.greedy
    action, steps, seen, reward = rows.action, rows.steps.reshape(-1), rows.seen, rows.reward
    width, n_moods, clarity = tape.reward_by_position.shape[1], rules.n_moods, rules.clarity
    per_observation, per_mood, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    from_old = 3 if width == 9 else 0
    is_sparse = greedy.size > MANY_STATES
    fetches = is_sparse and per_observation <= FETCHED_STATES
    moves = np.int64(0)
    for chosen in range(9):
        moves |= rules.next_position[chosen] << (8 * (chosen // 3) + 2 * (chosen % 3))
    done, position, mood, state = agent[DONE], agent[POSITION], agent[MOOD], agent[STATE]
    pnl, total = sums[PNL], sums[REWARD]
    ended, row = 0, 0
    while row < observation.size:
        if done == 0:
            position, mood, pnl, total = 1, reset_mood(n_moods), 0.0, 0.0
            state = observation[row] * per_observation + mood * per_mood + position * per_position
            seen[row], reward[row] = ~state, 0.0
            row += 1
            done = 1
        stop = min(observation.size, row + episode_length + 1 - done)
        done += stop - row
        allowed = moves >> (position << 3)
        for at in range(row, stop):
            if fetches:
                coming = np.int64(observation[index(min(at + AHEAD, observation.size - 1))]) * per_observation
                prefetch(greedy, coming)
                # As many lines of 64 bytes as those states may lie in.
                for place in range(coming * 3, (coming + per_observation) * 3 + 7, 8):
                    prefetch(q, place)
            explored = np.int64(action[index(at)])
            a = explored if explored >= 0 else np.int64(greedy[index(state)])
            column = position * from_old
            position = (allowed >> (a << 1)) & 3
            allowed = moves >> (position << 3)
            earned = at * width + column + position
            before_mood = rewards[index(earned)]
            if is_plain:
                step = np.int64(steps[index(earned)])
                mood += (step & (mood < n_moods - 1)) - ((step >> 1) & (mood > 0))
            else:
                pnl += before_mood
                mood = next_mood(mood, pnl, before_mood, n_moods)
            following = observation[index(at)] * per_observation + mood * per_mood + position * per_position
            gained = before_mood + clarity * mood if is_plain or n_moods > 0 else before_mood
            target = gained + discount * max3(q, following * 3)
            entry = state * 3 + a
            if not is_plain and memory.weights.size > 0:
                target = remember(memory, entry, target)
            q[index(entry)] += learning_rate * (target - q[index(entry)])
            best = best3(q, state * 3)
            if is_sparse or best != np.int64(greedy[index(state)]):
                greedy[index(state)] = best
            seen[index(at)] = following
            reward[index(at)] = gained
            state = following
            total += gained
        row = stop
        if done > episode_length:
            totals[ended] = total
            ended += 1
            done = 0
    agent[DONE], agent[POSITION], agent[MOOD], agent[STATE] = done, position, mood, state
    sums[PNL], sums[REWARD] = pnl, total
    return ended


def learn_communication(tape, rows, learner, state) -> None:
    """Train the second table over the rows of a tape that the first was trained on, and count states and actions.

    state: the one before the first row. Mutates: learner.tables.comm_q, .comm_greedy, .visits and .comm_counts.
    """
    communicate = learn_four_communications if learner.says_one_of_four else learn_any_communication
    communicate(tape, rows, learner, state)


@kernel
def learn_four_communications(tape, rows, learner, state):
    """`learn_communication` of a learner that `says_one_of_four`."""
    alert, comm, seen, reward = tape.alert, rows.comm, rows.seen, rows.reward
    learning_rate, discount = learner.learning_rate, learner.discount
    comm_q, bonuses = learner.tables.comm_q.reshape(-1), learner.rules.comm_bonus.reshape(-1)
    visits, counts = learner.tables.visits, np.zeros(4, np.int64)
    fetches = visits.size > MANY_STATES
    # The values of a state are loaded once, as those of the step that comes to it: 7.3 ns a row instead of 10.8.
    a, b, c, d = _four(comm_q, state)
    for row in range(seen.size):
        if fetches:
            coming = np.int64(seen[index(min(row + AHEAD, seen.size - 1))])
            coming = max(coming, ~coming)
            prefetch(visits, coming)
            prefetch(comm_q, coming * 4)
        following = np.int64(seen[row])
        if following < 0:
            state = ~following
            visits[index(state)] += 1
            a, b, c, d = _four(comm_q, state)
            continue
        explored = np.int64(comm[row])
        low, high = np.int64(b > a), 2 + np.int64(d > c)
        best = high if max(c, d) > max(a, b) else low
        chosen = explored if explored >= 0 else best
        gained = reward[row] + bonuses[index(alert[row] * 4 + chosen)]
        a, b, c, d = _four(comm_q, following)
        target = gained + discount * max(max(a, b), max(c, d))
        entry = index(state * 4 + chosen)
        comm_q[entry] += learning_rate * (target - comm_q[entry])
        if following == state:
            a, b, c, d = _four(comm_q, following)
        counts[index(chosen)] += 1
        visits[index(following)] += 1
        state = following
    for chosen in range(4):
        learner.tables.comm_counts[chosen] += counts[chosen]


@kernel(inline=True)
def _four(table, state):
    """The four values of a state."""
    at = state * 4
    return table[index(at)], table[index(at + 1)], table[index(at + 2)], table[index(at + 3)]


@kernel
def learn_any_communication(tape, rows, learner, state):
    """`learn_communication` of any learner."""
    alert, n_comm = tape.alert, learner.tables.comm_counts.size
    tables, comm, seen, reward = learner.tables, rows.comm, rows.seen, rows.reward
    learning_rate, discount = learner.learning_rate, learner.discount
    comm_q, bonuses = tables.comm_q.reshape(-1), learner.rules.comm_bonus.reshape(-1)
    greedy, visits = tables.comm_greedy, tables.visits
    # Counted aside: a small array may share a cache line with another lane's, which both cores would then fight over.
    counts = np.zeros(tables.comm_counts.size, np.int64)
    fetches = visits.size > MANY_STATES
    for row in range(seen.size):
        if fetches:
            coming = np.int64(seen[index(min(row + AHEAD, seen.size - 1))])
            coming = max(coming, ~coming)
            prefetch(visits, coming)
            prefetch(comm_q, coming * n_comm)
        following = np.int64(seen[row])
        if following < 0:
            state = ~following
            visits[index(state)] += 1
            continue
        explored = np.int64(comm[row])
        c = explored if explored >= 0 else np.int64(greedy[index(state)])
        gained = reward[row] + bonuses[index(alert[row] * n_comm + c)]
        target = gained + discount * max_of(comm_q, following * n_comm, n_comm)
        entry = index(state * n_comm + c)
        comm_q[entry] += learning_rate * (target - comm_q[entry])
        best = np.int64(best_of(comm_q, state * n_comm, n_comm))
        if best != np.int64(greedy[index(state)]):
            greedy[index(state)] = best
        counts[index(c)] += 1
        visits[index(following)] += 1
        state = following
    for c in range(counts.size):
        tables.comm_counts[c] += counts[c]

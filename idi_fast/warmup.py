"""Compiling kernels before they are needed, in several processes at a time.

In one process Numba compiles one kernel after the other. Work that needs kernels is cut into jobs here, small uses of
the library, which processes share; of a kernel that two of them need, one compiles it and the other takes it from the
cache.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from idi_fast.child_process import IMPORTS, OWN_GROUP, import_path, interpreter
from idi_fast.errors import Cancelled, IdiFastError, InputError
from idi_fast.kernels._cache import CACHE_FOLDER, IS_COMPILED
from idi_fast.parallel.worker_pool import WorkerPool, usable_cores

BARS = 300


def _learner(kind: str, **blocks: dict) -> None:
    """An agent that learns from a tape of nothing, and its greedy rollout."""
    agent, tape, finish = _agent(kind, **blocks)
    agent.learn(tape, np.zeros(1))
    finish()


def _agent(kind: str, **blocks: dict):
    """An agent, a tape of nothing, and a function that follows the agent over it."""
    from idi_fast.agents.learner import Agent
    from idi_fast.agents.trace import greedy_trace
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.environments.history_environment import MarketFacts
    from idi_fast.environments.rng import make_generators
    from idi_fast.environments.state_space import StateSpace, make_rules
    from idi_fast.kernels.learn import Tape

    config = TrainingConfig.from_dict({"environment": {"kind": kind}, **blocks})
    space = StateSpace.of(config)
    rules, n = make_rules(config, space), config.episode_length + 1
    agent = Agent(config, space, rules, make_generators(config.engine, 0).agent)
    tape = Tape(np.zeros((n, 9 if space.is_market else 3)), np.zeros(n, np.int32), np.zeros(n, np.uint8))

    def finish() -> None:
        zeros, flags = np.zeros(n), np.zeros(n, np.uint8)
        facts = MarketFacts(zeros, zeros, flags, flags, np.zeros(n, np.int8), zeros)
        greedy_trace(config, space, rules, agent.values(), agent.tables.comm_q, tape, facts)

    return agent, tape, finish


def _synthetic_learner() -> None:
    """What `idi-fast train` needs after the rows of its default market: both tables, and the greedy rollout."""
    from idi_fast.kernels.learn import Rows, learn_actions, learn_communication

    agent, tape, finish = _agent("synthetic")
    n = tape.observation.size
    none, steps = np.full(n, -1), np.zeros(tape.reward_by_position.shape, np.uint8)
    rows = Rows(none.astype(np.int8), none.astype(np.int16), steps, np.zeros(n, np.int32), np.zeros(n))
    learn_actions(tape, rows, agent.learner, np.zeros(1))
    learn_communication(tape, rows, agent.learner, 0)
    finish()


def _training(kind: str, **blocks: Any) -> None:
    """A short training, as `idi-fast train` does it, of a simulated environment."""
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.evaluation.evaluator import Evaluator
    from idi_fast.training.trainer import create_trainer

    config = TrainingConfig.from_dict({"episodes": 2, "environment": {"kind": kind}, **blocks})
    policy, _ = create_trainer(config).run()
    policy.frame()
    evaluator = Evaluator(config, 0, episodes=2)
    evaluator.evaluate(policy)
    evaluator.agent_rewards(policy, lambda states: np.zeros(len(states), np.int64))


def _planner() -> None:
    """A plan with and without moods, on bars as on resamples of them, and its backtest."""
    from idi_fast.backtesting.backtest import backtest
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.training.trainer import create_trainer

    learning = {"algorithm": "value_iteration", "bars": BARS, "bootstrap": 1}
    for moods in (1, 4):
        blocks = {"environment": {"kind": "crypto"}, "quantizer": {"mood_buckets": moods}, "learning": learning}
        policy, _ = create_trainer(TrainingConfig.from_dict(blocks | {"rewards": {"objective": "log"}})).run()
    backtest(policy, _bars())


def _regimes() -> None:
    """A few bars of a market with a list of regimes."""
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.environments.rng import make_generators
    from idi_fast.environments.simulation import CryptoMarket

    market = {"regimes": [{"name": "only", "volatility": 0.01}]}
    config = TrainingConfig.from_dict({"environment": {"kind": "crypto", "market": market}})
    CryptoMarket(config).bars(make_generators(config.engine, 0).calibration, 4)


def _bars(*, has_times: bool = True):
    import polars as pl

    from idi_fast.data.history import History

    close = 100.0 + np.arange(BARS) * 7 % 13
    frame = pl.DataFrame({"open": close, "close": close, "volume": close, "risk": np.zeros(BARS, np.uint8)})
    hours = pl.Series("time", np.arange(BARS) * 3_600_000_000_000).cast(pl.Datetime("ns"))
    return History.from_frame(frame.with_columns(hours) if has_times else frame)


def _history() -> None:
    """Training and backtests on bars."""
    from idi_fast.backtesting.backtest import backtest
    from idi_fast.backtesting.compat import compat_backtest
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.training.trainer import create_trainer

    history = _bars()
    config = TrainingConfig.from_dict({"episodes": 2, "environment": {"kind": "history"}})
    policy, _ = create_trainer(config, history=history).run()
    for bars in (history, _bars(has_times=False)):
        backtest(policy, bars)
    market = {"kind": "history", "market": {"borrow_bps": 1.0}}
    charged = {"episodes": 1, "environment": market, "rewards": {"objective": "log"}}
    backtest(create_trainer(TrainingConfig.from_dict(charged), history=history).run()[0], history)
    backtest([policy, policy], history)
    reference = TrainingConfig.from_dict({"episodes": 2, "engine": {"compat": "idi_iann"}})
    compat_backtest(create_trainer(reference).run()[0], history)


def _account() -> None:
    """The account and the KPIs of a backtest, also of one that has too many bars to keep all returns."""
    from idi_fast.backtesting.account import AccountSimulator, TradingAssumptions
    from idi_fast.backtesting.kpi_accumulator import KpiAccumulator
    from idi_fast.data.bar_frequency import BarTimes
    from idi_fast.kernels import tails

    history, flags, figures = _bars(), np.zeros(BARS, np.uint8), KpiAccumulator(BARS)
    positions = (np.arange(BARS) % 3 - 1).astype(np.int8)
    equity, position, trades = AccountSimulator(TradingAssumptions("next_open", 1.0)).push(positions, history)
    figures.push(equity, position, equity)
    figures.push_trades(trades)
    figures.push_decisions(positions, positions, flags, flags)
    tails.keep_lowest(equity, tails.Lowest(np.array([0.0, 1.0]), np.empty(BARS), 1))
    times = BarTimes()
    times.push(history.column("time"))
    figures.result(times.frequency())


def _decisions() -> None:
    """What a backtest does with bars that are encoded, but for the account: decisions, alerts, a trace, jumps."""
    from idi_fast.agents.trace import GreedyRollout, make_steps
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.data.spikes import SpikeDetector
    from idi_fast.environments.features import Bars, empty_bars
    from idi_fast.environments.history_environment import MarketFacts
    from idi_fast.environments.rewards import reward_weights
    from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
    from idi_fast.evaluation.alerts import AlertCounts
    from idi_fast.kernels.backtest import count_marked

    config, history, spikes = TrainingConfig.from_dict({"environment": {"kind": "history"}}), _bars(), SpikeDetector()
    space, bars = StateSpace.of(config), Bars(*map(np.zeros_like, empty_bars(BARS)))
    names, _ = comm_columns(config)
    q, comm_q = np.zeros((space.n_states, 3)), np.zeros((space.n_states, len(names)))
    rollout, steps = GreedyRollout(config, space, make_rules(config, space), q, comm_q), make_steps(BARS)
    rollout.follow_bars(bars, reward_weights(config), steps)
    AlertCounts(space, names).push(steps.state, steps.comm, bars.regime, bars.risk)
    count_marked(steps.state, np.zeros(space.n_states, bool))
    rest = history.close, history.time, history.after_gap
    facts = MarketFacts(history.close, history.close, bars.regime, bars.risk, bars.move, *rest)
    rollout.trace(steps, facts, np.zeros(BARS))
    spikes.push(history)
    spikes.note()


def _evidence() -> None:
    """Commitments and their openings; specifications."""
    from idi_fast.evidence.merkle import commit
    from idi_fast.tau import parse_spec, simulate

    commit(np.zeros((4, 3), np.int32))
    spec = 'i1:sbf := in file("a.in").\no1:sbf := out file("b.out").\n(o1[t] = i1[t])\n'
    simulate(parse_spec(spec), {"a.in": "1\n0\n"})


def _last(state, values, window):
    return values[0]


def _transforms() -> None:
    """The transforms of features that a config may name."""
    from idi_fast.config.transforms import TRANSFORMS
    from idi_fast.environments.own_steps import compiled_step
    from idi_fast.environments.series import transform_kernel
    from idi_fast.kernels.steps import run_steps

    run_steps(compiled_step(_last), np.ones((1, 2)), 1, np.ones(1), np.zeros(1), np.empty(2))
    values, time = np.ones(2), np.ones(2, np.int64)
    for transform in TRANSFORMS.values():
        if transform.kernel is not None:
            chosen = [parameter.default for parameter in transform.parameters]
            inputs = [time if name == "time" else values for name in transform.inputs]
            transform_kernel(transform)(*inputs, *chosen, np.zeros(transform.state_size(*chosen)), np.empty(2))


def _every(tables: str, **blocks: dict) -> None:
    """All kernels of a table, of which a training compiles one: the others have its signature."""
    from idi_fast.kernels import blocks as learning
    from idi_fast.kernels import methods

    {"block": _learner, "synthetic": _training, "method": _learner}[tables]("synthetic", **blocks)
    kernels = {"block": learning.KERNELS, "synthetic": learning.SYNTHETIC_KERNELS, "method": methods.KERNELS}[tables]
    signatures = {signature for kernel in kernels.values() for signature in kernel.signatures}
    for kernel in kernels.values():
        for signature in signatures:
            kernel.compile(signature)


COMPAT = {"engine": {"compat": "idi_iann"}}
JOBS: dict[str, Callable[[], None]] = {
    "history": _history,
    "crypto": lambda: _training("crypto"),
    "account": _account,
    "decisions": _decisions,
    "planner": _planner,
    "market learner": lambda: _learner("crypto"),
    "synthetic learner": _synthetic_learner,
    "synthetic": lambda: _training("synthetic"),
    "compat crypto": lambda: _training("crypto", **COMPAT),
    "compat tiles": lambda: _training("synthetic", tile_coder={}, **COMPAT),
    "mt19937": lambda: _training("crypto", engine={"rng": "mt19937"}),
    "regimes": _regimes,
    "tiles": lambda: _learner("synthetic", tile_coder={"table_size": 100}),
    "transforms": _transforms,
    "evidence": _evidence,
    "all learners": lambda: _every("block"),
    "all synthetic learners": lambda: _every("synthetic"),
    "all methods": lambda: _every("method", learning={"algorithm": "q_lambda"}),
}
"""What kernels are compiled for, the longest first."""


BOOT = f"import json, sys; a = json.loads(sys.argv[1]); {IMPORTS}from idi_fast import warmup; warmup._work()"


class _Worker:
    """A process that does one job after the other, and ends with this one. Raises OSError, IdiFastError.

    answers: whether it says what it has done.
    """

    def __init__(self, *, answers: bool = True) -> None:
        # -P: nothing is imported from the working directory.
        command = [interpreter("kernels are compiled"), "-P", "-c", BOOT, json.dumps({"path": import_path()})]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            **OWN_GROUP,
        )
        self._is_cancelled = False

    def ask(self, jobs: Iterable[str]) -> None:
        """Have it do jobs."""
        assert self.process.stdin is not None  # as it is a pipe
        with suppress(OSError):  # it has ended, which the answer tells
            self.process.stdin.write("".join(f"{job}\n" for job in jobs))
            self.process.stdin.flush()

    def do(self, job: str) -> None:
        """Have it do a job, and wait; raises IdiFastError if that fails, Cancelled if it has been cancelled."""
        assert self.process.stdout is not None  # as it is a pipe
        self.ask([job])
        answer = self.process.stdout.readline().rstrip("\n")
        if self._is_cancelled:
            raise Cancelled(f"cancelled in compiling {job!r}")
        if answer != job:
            raise IdiFastError(f"the kernels of {job!r} could not be compiled: {answer or 'the process ended'}")

    def cancel(self) -> None:
        """End it at once."""
        self._is_cancelled = True
        self.process.kill()

    def close(self) -> None:
        """End it at once, and wait for that."""
        self.cancel()
        with suppress(OSError), self.process:  # which closes its pipes, and waits
            pass


def _work() -> None:
    """What a worker does: jobs, whose names it reads; it ends when an empty line comes, or its parent is gone."""
    jobs = SimpleQueue[str]()

    def listen() -> None:
        for line in sys.stdin:
            jobs.put(line.rstrip("\n"))
        os._exit(0)

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # output of a library is no answer
    Thread(target=listen, daemon=True).start()
    while job := jobs.get():
        try:
            JOBS[job]()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the parent tells it
            answers.write(f"{type(error).__name__}: {error}".replace("\n", " ") + "\n")
        else:
            answers.write(f"{job}\n")
        answers.flush()


_ahead: list[_Worker] = []


def compile_ahead(jobs: Iterable[str]) -> None:
    """Have a process compile the kernels of these jobs beside this one, which goes on at once; it ends when they are
    done, or with this process. Nothing is done with a single core, where kernels cannot be kept, or a second time."""
    if _ahead or usable_cores() < 2 or not IS_COMPILED or CACHE_FOLDER is None:
        return
    with suppress(OSError, IdiFastError):  # then this process compiles them by itself
        _ahead.append(worker := _Worker(answers=False))
        atexit.register(worker.close)  # it would end by itself, a little later
        worker.ask([*jobs, ""])


def warmup(
    jobs: Iterable[str] | None = None,
    *,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Compile kernels into the cache, so that no later run has to.

    Parameters
    ----------
    jobs
        Names of `JOBS`; by default all, after which nothing is compiled any more.
    processes
        How many compile at a time, by default the usable cores.
    progress
        Called with the number of jobs that are done, and of all.

    Raises
    ------
    InputError
        If a job is unknown, if NUMBA_DISABLE_JIT is set, or if there is no folder to keep kernels in.
    IdiFastError
        If a job fails.
    """
    chosen = list(JOBS if jobs is None else jobs)
    if unknown := sorted(set(chosen) - JOBS.keys()):
        raise InputError(f"there is no job {unknown[0]!r}; expected some of {', '.join(JOBS)}")
    if not IS_COMPILED or CACHE_FOLDER is None:
        reason = "there is no folder to keep kernels in" if IS_COMPILED else "NUMBA_DISABLE_JIT is set"
        raise InputError(f"nothing can be compiled ahead: {reason}")
    pool, idle, done = WorkerPool(processes, len(chosen)), SimpleQueue[_Worker](), SimpleQueue[str]()

    def work(job: str) -> None:
        worker = idle.get()
        with pool.training(worker):
            worker.do(job)
        done.put(job)
        idle.put(worker)

    with ExitStack() as workers:
        for _ in range(pool.jobs):
            try:
                idle.put(worker := _Worker())
            except OSError as error:
                raise IdiFastError(f"cannot start a process to compile kernels: {error.strerror}") from error
            workers.callback(worker.close)
        pool.each(work, chosen, lambda: progress(done.qsize(), len(chosen)))
    progress(len(chosen), len(chosen))

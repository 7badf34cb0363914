"""Threads that train side by side: all work is done, or else all of it ends soon and the first item's error is told."""

import threading
import time

import pytest
from test_trainer import config

from idi_fast import create_trainer
from idi_fast.errors import Cancelled, InputError
from idi_fast.parallel.worker_pool import WorkerPool, usable_cores

PATIENCE = 30.0
"""Seconds that nothing here takes, unless it hangs."""


def endless():
    """A trainer that would take a minute."""
    return create_trainer(config(episodes=10**8))


@pytest.mark.parametrize(("jobs", "items"), [(1, 5), (2, 5), (5, 2), (3, 0)])
def test_every_item_is_worked_on_once(jobs, items):
    workers, done = WorkerPool(jobs, items), []
    workers.each(done.append, range(items))
    assert sorted(done) == list(range(items))
    workers.each(done.append, range(items, items + 3))  # more items than the pool was made for
    assert sorted(done) == list(range(items + 3))
    assert not workers.stopped.is_set()


def test_one_thread_works_in_the_order_of_the_items():
    done = []
    WorkerPool(1, 9).each(done.append, range(9))
    assert done == list(range(9))


def test_no_more_items_are_worked_on_at_a_time_than_there_are_jobs():
    running, most, together = set(), [], threading.Barrier(3, timeout=PATIENCE)

    def work(item):
        running.add(item)
        most.append(len(running))
        together.wait()  # which three at a time pass, and no fewer
        running.discard(item)

    WorkerPool(3, 12).each(work, range(12))
    assert max(most) == 3


def test_how_many_threads_there_are():
    assert WorkerPool(None, 10**6).jobs == usable_cores()
    assert [WorkerPool(jobs, items).jobs for jobs, items in ((8, 3), (2, 3), (2, 0))] == [3, 2, 1]
    for jobs in (0, -1):
        with pytest.raises(InputError, match=f"jobs is {jobs}; expected 1 or more"):
            WorkerPool(jobs, 4)


def test_of_several_errors_the_first_items_is_raised():
    later_failed, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        if item == 0:
            assert later_failed.wait(PATIENCE)
        later_failed.set()
        raise ValueError(f"of item {item}")

    with pytest.raises(ValueError, match="of item 0"):
        WorkerPool(2, 5).each(work, range(5))
    assert sorted(begun) == [0, 1]


def test_an_error_cancels_what_trains_and_is_the_one_that_is_raised():
    training, ends = threading.Event(), []

    def work(item):
        if item == 1:
            assert training.wait(PATIENCE)
            raise ValueError("of item 1")
        trainer = endless()
        with workers.training(trainer):
            try:
                trainer.train(lambda progress: training.set())
            except Cancelled as error:
                ends.append(error)
                raise

    workers = WorkerPool(2, 3)
    with pytest.raises(ValueError, match="of item 1"):
        workers.each(work, range(3))
    assert len(ends) == 1


def test_who_cancels_a_trainer_while_the_others_go_on_is_told_of_it():
    def work(item):
        trainer = endless()
        trainer.cancel()
        with workers.training(trainer):
            trainer.train()

    workers = WorkerPool(1, 1)
    with pytest.raises(Cancelled, match="cancelled after 0 of"):
        workers.each(work, [0])


def test_a_pool_that_was_stopped_begins_nothing():
    workers, done = WorkerPool(2, 4), []
    workers.stop()
    workers.each(done.append, range(4))
    assert done == []
    trainer = endless()
    with workers.training(trainer), pytest.raises(Cancelled, match="cancelled after 0 of"):
        trainer.train()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("enough")], ids=repr)
def test_an_exception_of_the_watch_stops_all(error):
    training, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        trainer = endless()
        with workers.training(trainer):
            trainer.train(lambda progress: training.set())

    def watch():
        if training.is_set():
            raise error

    workers, started = WorkerPool(2, 6), time.monotonic()
    with pytest.raises(type(error)):
        workers.each(work, range(6), watch)
    assert time.monotonic() - started < PATIENCE
    assert workers.stopped.is_set()
    assert sorted(begun) in ([0], [0, 1])


def test_the_watch_looks_on_while_there_is_work():
    looks, thrice = [], threading.Event()

    def watch():
        looks.append(threading.current_thread())
        if len(looks) == 3:
            thrice.set()

    WorkerPool(1, 1).each(lambda item: thrice.wait(PATIENCE), [0], watch)
    assert thrice.is_set()
    assert set(looks) == {threading.main_thread()}


def test_what_is_no_error_but_an_exit_ends_all_too():
    def leave(item):
        raise SystemExit(item)

    with pytest.raises(SystemExit):
        WorkerPool(1, 2).each(leave, range(2))


def test_items_that_cannot_be_had_end_all():
    def items():
        yield 0
        raise ValueError("no more items")

    done = []
    with pytest.raises(ValueError, match="no more items"):
        WorkerPool(1, 2).each(done.append, items())
    assert done == [0]

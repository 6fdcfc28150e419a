import asyncio
import threading
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from django_async_ext import on_loop
from django_async_ext.db.backends.worker import Worker
from tests.db.server import until


@pytest.fixture
def worker() -> Any:
    worker = Worker()
    yield worker
    ended = threading.Event()
    worker.stop(ended.set)
    assert ended.wait(10)


async def test_a_call_runs_in_the_workers_thread(worker: Worker) -> None:
    def call() -> tuple[str, int]:
        return threading.current_thread().name, threading.get_ident()

    name, first = await on_loop(worker.call)(call)
    _, second = await on_loop(worker.call)(call)
    assert name == "django_async_ext-worker"
    assert first == second != threading.get_ident()


def test_outside_the_bridge_a_call_blocks_its_thread(worker: Worker) -> None:
    here = threading.get_ident()
    assert worker.call(threading.get_ident) not in (None, here)
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0)


def test_a_call_that_makes_a_call_waits_for_nobody(worker: Worker) -> None:
    assert worker.call(lambda: worker.is_current() and worker.call(int, "7")) == 7


async def test_a_call_sees_the_context_of_its_task(worker: Worker) -> None:
    variable = ContextVar[int]("variable")
    variable.set(7)
    assert await on_loop(worker.call)(variable.get) == 7


async def test_what_is_posted_comes_first_and_may_fail(worker: Worker) -> None:
    seen: list[int] = []
    worker.post(lambda: 1 / 0)
    worker.post(lambda: seen.append(1))
    assert await on_loop(worker.call)(lambda: [*seen, 2]) == [1, 2]


async def test_a_stop_iteration_of_the_call_is_told(worker: Worker) -> None:
    with pytest.raises(RuntimeError) as caught:
        await on_loop(worker.call)(next, iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_a_call_that_does_not_give_up_is_given_up(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    started, go_on = threading.Event(), threading.Event()
    worker.limit = 0.05

    def call() -> None:
        started.set()
        go_on.wait(10)

    task = asyncio.create_task(on_loop(worker.call)(call))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.lost
    assert "statement not stopped" in caplog.text
    go_on.set()


async def test_an_interruption_that_hangs_does_not_hold_the_task(
    worker: Worker,
) -> None:
    started, go_on = threading.Event(), threading.Event()
    worker.limit, worker.interrupt = 0.05, lambda: go_on.wait(10)

    def call() -> None:
        started.set()
        go_on.wait(10)

    task = asyncio.create_task(on_loop(worker.call)(call))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.lost
    go_on.set()


async def test_an_error_of_the_call_is_raised(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        await on_loop(worker.call)(lambda: 1 / 0)
    assert await on_loop(worker.call)(lambda: 1) == 1


async def test_other_tasks_run_while_a_call_does(worker: Worker) -> None:
    go_on = threading.Event()
    task = asyncio.create_task(on_loop(worker.call)(go_on.wait, 10))
    await asyncio.sleep(0)
    go_on.set()
    assert await task is True


async def test_a_cancelled_call_is_interrupted_and_has_ended(worker: Worker) -> None:
    started, interrupted = threading.Event(), threading.Event()
    ended: list[bool] = []
    worker.interrupt = interrupted.set

    def call() -> None:
        started.set()
        ended.append(interrupted.wait(10))

    task = asyncio.create_task(on_loop(worker.call)(call))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_a_call_cancelled_before_it_begins_is_interrupted_when_it_has(
    worker: Worker,
) -> None:
    go_on, running = threading.Event(), threading.Event()
    interrupted = threading.Event()
    worker._calls.put(lambda: go_on.wait(10))

    def interrupt() -> None:
        # As with SQLite, what does not run yet cannot be interrupted.
        if running.is_set():
            interrupted.set()
        go_on.set()

    worker.interrupt = interrupt

    def call() -> bool:
        running.set()
        return interrupted.wait(10)

    task = asyncio.create_task(on_loop(worker.call)(call))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert interrupted.is_set()


async def test_an_idle_worker_keeps_nothing_of_a_call_alive(worker: Worker) -> None:
    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)
    await on_loop(worker.call)(str, thing)
    del thing
    # The thread lets go after it has given the result.
    await until(lambda: alive() is None)
    assert alive() is None

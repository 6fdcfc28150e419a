"""What no loop can wait for runs in threads, and only where it must."""

import asyncio
import os
import signal
import threading
from contextvars import ContextVar

import pytest

from django_async_ext.bridge import on_loop
from django_async_ext.driving import reserved_waits
from django_async_ext.threads import Threads, processors

name: ContextVar[str] = ContextVar("name")
in_thread = threading.get_ident


@pytest.fixture
def threads() -> Threads:
    return Threads("test", lambda: 2)


def test_code_that_may_block_calls_it_where_it_is(threads: Threads) -> None:
    assert threads.call(in_thread) == in_thread()


async def test_in_the_bridge_it_is_a_thread(threads: Threads) -> None:
    assert await on_loop(threads.call)(in_thread) != in_thread()


async def test_in_a_driven_coroutine_it_is_a_thread(threads: Threads) -> None:
    @reserved_waits
    async def view() -> int:
        return threads.call(in_thread)

    assert await view() != in_thread()


async def test_in_a_coroutine_that_cannot_wait_it_is_a_plain_call(
    threads: Threads,
) -> None:
    assert threads.call(in_thread) == in_thread()


async def test_a_call_inside_a_call_needs_no_second_thread() -> None:
    threads = Threads("test", lambda: 1)
    found = await on_loop(threads.call)(lambda: threads.call(in_thread))
    assert found != in_thread()


async def test_context_arguments_and_errors_cross(threads: Threads) -> None:
    name.set("seen")

    def fn(*args: int, **kwargs: int) -> tuple[object, ...]:
        return name.get(), args, kwargs

    assert await on_loop(threads.call)(fn, 1, b=2) == ("seen", (1,), {"b": 2})
    with pytest.raises(ZeroDivisionError):
        await on_loop(threads.call)(lambda: 1 / 0)


async def test_there_are_never_more_than_allowed(threads: Threads) -> None:
    together = threading.Barrier(2)
    seen = set()

    def meet() -> None:
        seen.add(in_thread())
        together.wait(10)

    await asyncio.gather(*(on_loop(threads.call)(meet) for _ in range(8)))
    assert len(seen) == 2


@pytest.mark.parametrize("outlasting", [False, True])
async def test_a_call_that_is_cancelled_before_its_turn_is_not_made(
    outlasting: bool,
) -> None:
    threads, go = Threads("test", lambda: 1, outlasting=outlasting), threading.Event()
    calls: list[str] = []
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def first() -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait(10)

    one = asyncio.create_task(on_loop(threads.call)(first))
    await started.wait()
    two = asyncio.create_task(on_loop(threads.call)(calls.append, "made"))
    await asyncio.sleep(0)
    two.cancel()
    with pytest.raises(asyncio.CancelledError):
        await two
    go.set()
    await one
    assert await on_loop(threads.call)(lambda: calls) == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_call_that_writes_is_over_when_its_cancelled_task_is(
    fails: bool,
) -> None:
    threads, go = Threads("test", lambda: 1, outlasting=True), threading.Event()
    started, written = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def write() -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait(10)
        written.append("all")
        if fails:
            raise ZeroDivisionError

    task = asyncio.create_task(on_loop(threads.call)(write))
    await started.wait()
    # However often it is told.
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
        assert not task.done()
    go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert written == ["all"]


def test_they_serve_one_loop_after_the_other(threads: Threads) -> None:
    for _ in range(2):
        assert asyncio.run(on_loop(threads.call)(in_thread)) != in_thread()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
def test_a_child_process_starts_its_own(threads: Threads) -> None:
    asyncio.run(on_loop(threads.call)(in_thread))
    child = os.fork()
    if child == 0:
        # It would wait for the parent's for ever.
        signal.alarm(10)
        theirs = asyncio.run(on_loop(threads.call)(in_thread))
        os._exit(0 if theirs != in_thread() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_processors_are_counted() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)

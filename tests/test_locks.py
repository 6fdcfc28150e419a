import asyncio
import threading

import pytest

from django_async_ext import on_loop
from django_async_ext.bridge import await_
from django_async_ext.exceptions import NoBridgeError
from django_async_ext.locks import Lock


async def test_tasks_of_one_thread_exclude_each_other() -> None:
    lock, log = Lock(), list[str]()

    def work(name: str) -> None:
        with lock:
            log.append(f"{name} in")
            await_(asyncio.sleep(0))
            log.append(f"{name} out")

    await asyncio.gather(*(on_loop(work)(name) for name in "abc"))
    assert log == ["a in", "a out", "b in", "b out", "c in", "c out"]


async def test_a_task_waits_for_a_thread() -> None:
    lock, held, release = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait()

    def work() -> str:
        with lock:
            return "entered"

    thread = asyncio.create_task(asyncio.to_thread(hold))
    await asyncio.to_thread(held.wait)
    task = asyncio.create_task(on_loop(work)())
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    assert await task == "entered"
    await thread


async def test_a_cancelled_waiter_leaves_the_lock_to_the_next() -> None:
    lock = Lock()

    def work() -> str:
        with lock:
            return "entered"

    lock.__enter__()
    first, second = (asyncio.create_task(on_loop(work)()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    lock.__exit__()
    assert await second == "entered"
    assert not lock.locked()


async def test_a_coroutine_does_not_block_the_loop_for_it() -> None:
    lock = Lock()
    with lock, pytest.raises(NoBridgeError):
        lock.__enter__()
    assert not lock.locked()

import asyncio
import threading

import pytest

from django_async_ext import on_loop
from django_async_ext.bridge import await_
from django_async_ext.exceptions import NoBridgeError
from django_async_ext.locks import Lock, Slots


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


# Slots


class RefusedError(Exception):
    pass


def work(slots: Slots, log: list[str], name: str, go: asyncio.Event) -> None:
    slots.acquire()
    try:
        log.append(name)
        await_(go.wait())
    finally:
        slots.release()


async def test_no_more_tasks_than_slots_and_in_turn() -> None:
    slots, log, go = Slots(2, None, RefusedError), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(on_loop(work)(slots, log, n, go)) for n in "abcd"]
    await asyncio.sleep(0)
    assert log == ["a", "b"]
    go.set()
    await asyncio.gather(*tasks)
    assert log == ["a", "b", "c", "d"]


async def test_who_waits_too_long_is_refused_and_the_others_are_not() -> None:
    slots, log, go = Slots(1, 0.05, RefusedError), list[str](), asyncio.Event()
    holder = asyncio.create_task(on_loop(work)(slots, log, "holder", go))
    await asyncio.sleep(0)
    late = [asyncio.create_task(on_loop(work)(slots, log, n, go)) for n in "ab"]
    answers = await asyncio.gather(*late, return_exceptions=True)
    assert [type(answer) for answer in answers] == [RefusedError, RefusedError]
    next_one = asyncio.create_task(on_loop(work)(slots, log, "next", go))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(holder, next_one)
    assert log == ["holder", "next"]


@pytest.mark.parametrize("served_first", [True, False])
async def test_a_slot_is_not_lost_when_its_taker_is_cancelled(
    served_first: bool,
) -> None:
    slots, log, go = Slots(1, None, RefusedError), list[str](), asyncio.Event()
    go.set()
    slots.acquire()
    first, second = (
        asyncio.create_task(on_loop(work)(slots, log, name, go)) for name in "ab"
    )
    await asyncio.sleep(0)
    if served_first:
        slots.release()
        first.cancel()
    else:
        first.cancel()
        slots.release()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert log == ["b"]
    slots.acquire()
    with pytest.raises(NoBridgeError):
        slots.acquire()

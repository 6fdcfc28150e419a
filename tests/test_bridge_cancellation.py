"""Cancellation and timeouts: where and when they reach synchronous code."""

import asyncio

import pytest

from django_async_ext.bridge import await_, on_loop
from tests.waiting import Waiting, answer, current_task


@pytest.fixture
async def waiting() -> Waiting:
    return Waiting()


# Where it arrives


async def test_a_task_cancelled_before_it_starts_never_runs(waiting: Waiting) -> None:
    task = asyncio.create_task(on_loop(waiting.work)())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting.log == []


async def test_cancellation_is_raised_at_the_wait(waiting: Waiting) -> None:
    task = await waiting.started()
    task.cancel("the reason")
    with pytest.raises(asyncio.CancelledError, match="the reason"):
        await task
    assert task.cancelled()
    assert waiting.log == ["cancelled", "cleaned up"]


async def test_cancellation_after_the_wait_comes_too_late(waiting: Waiting) -> None:
    task = await waiting.started()
    waiting.go.set()
    assert await task == "done"
    assert not task.cancel()
    assert waiting.log == ["went on", "cleaned up"]


async def test_code_that_cancels_its_own_task_is_stopped_at_its_next_wait() -> None:
    log: list[str] = []

    def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        log.append("before the wait")
        await_(answer(None))
        log.append("after the wait")

    task = asyncio.create_task(on_loop(work)())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["before the wait"]


async def test_cancellation_between_two_waits_is_raised_at_the_second() -> None:
    task: asyncio.Task[None]
    log: list[str] = []

    async def cancels() -> None:
        task.cancel()

    def work() -> None:
        await_(cancels())
        log.append("first")
        await_(answer(None))
        log.append("second")

    task = asyncio.create_task(on_loop(work)())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["first"]


async def test_what_is_waited_for_is_cancelled_too(waiting: Waiting) -> None:
    inner = await waiting.started()
    outer = asyncio.create_task(on_loop(await_)(inner))
    await answer(None)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert inner.cancelled()
    assert waiting.log == ["cancelled", "cleaned up"]


async def test_a_cancelled_awaitable_does_not_cancel_the_task() -> None:
    def work() -> str:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await_(future)
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"


async def test_sync_code_may_refuse_to_be_cancelled(waiting: Waiting) -> None:
    def work() -> str:
        try:
            waiting.wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            assert task.uncancel() == 0
        return await_(answer("goes on"))

    task = asyncio.create_task(on_loop(work)())
    await waiting.reached.wait()
    task.cancel()
    assert await task == "goes on"


async def test_a_second_cancellation_reaches_the_clean_up(waiting: Waiting) -> None:
    cleaning = Waiting()

    def work() -> None:
        try:
            waiting.wait()
        finally:
            cleaning.work()

    task = asyncio.create_task(on_loop(work)())
    await waiting.reached.wait()
    task.cancel()
    await cleaning.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaning.log == ["cancelled", "cleaned up"]


# asyncio's tools


async def test_a_timeout_around_sync_code_cancels_its_wait(waiting: Waiting) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await on_loop(waiting.work)()
    assert waiting.log == ["cancelled", "cleaned up"]
    assert not current_task().cancelling()


async def test_a_timeout_inside_leaves_sync_code_running(waiting: Waiting) -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0):
            await waiting.go.wait()

    def work() -> str:
        with pytest.raises(TimeoutError):
            await_(impatient())
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"
    assert not current_task().cancelling()


async def test_wait_for_ends_sync_code_before_it_gives_up(waiting: Waiting) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(on_loop(waiting.work)(), 0.001)
    assert waiting.log in ([], ["cancelled", "cleaned up"])


async def test_wait_for_inside_sync_code_times_out(waiting: Waiting) -> None:
    def work() -> str:
        with pytest.raises(TimeoutError):
            await_(asyncio.wait_for(waiting.go.wait(), 0))
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"


async def test_a_task_group_cancels_sync_code_when_a_sibling_fails(
    waiting: Waiting,
) -> None:
    async def fails() -> None:
        await waiting.reached.wait()
        raise KeyError("sibling")

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(on_loop(waiting.work)())
            tasks.create_task(fails())

    with pytest.raises(ExceptionGroup) as caught:
        await group()
    assert caught.group_contains(KeyError, match="sibling")
    assert waiting.log == ["cancelled", "cleaned up"]


async def test_a_task_group_runs_inside_sync_code() -> None:
    async def group() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            children = [tasks.create_task(answer(n)) for n in range(3)]
        return [child.result() for child in children]

    assert await on_loop(await_)(group()) == [0, 1, 2]

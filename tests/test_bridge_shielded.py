"""shielded(): waits that cancellation must not break, and what is owed after."""

import asyncio
from collections.abc import Iterator

import pytest

from django_async_ext.bridge import await_, in_bridge, on_loop, shielded
from tests.waiting import Waiting, answer, current_task


@pytest.fixture
async def waiting() -> Waiting:
    return Waiting()


class Shielded(Waiting):
    """Waits shielded; then without."""

    def work(self) -> str:
        try:
            with shielded():
                self.wait()
                self.log.append("completed")
            await_(answer(None))
            self.log.append("waited once more")
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return "done"


@pytest.fixture
async def in_shield() -> Shielded:
    return Shielded()


async def test_a_shielded_wait_completes_before_it_is_cancelled(
    in_shield: Shielded,
) -> None:
    task = await in_shield.started()
    task.cancel()
    await answer(None)
    assert in_shield.log == []
    in_shield.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert in_shield.log == ["completed", "cancelled"]


async def test_a_shielded_wait_withstands_many_cancellations(
    in_shield: Shielded,
) -> None:
    task = await in_shield.started()
    for _ in range(5):
        task.cancel()
        await answer(None)
    in_shield.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert in_shield.log == ["completed", "cancelled"]


async def test_a_shielded_wait_gives_its_result_and_its_error() -> None:
    async def fails() -> None:
        await answer(None)
        raise KeyError("error")

    def work() -> str:
        with shielded():
            with pytest.raises(KeyError, match="error"):
                await_(fails())
            return await_(answer("result"))

    assert await on_loop(work)() == "result"


async def test_a_cancellation_is_owed_when_the_bridge_is_left(waiting: Waiting) -> None:
    def work() -> str:
        with shielded():
            waiting.wait()
        return "lost"

    async def caller() -> str:
        return await on_loop(work)()

    task = asyncio.create_task(caller())
    await waiting.reached.wait()
    task.cancel("the reason")
    waiting.go.set()
    with pytest.raises(asyncio.CancelledError, match="the reason"):
        await task
    assert task.cancelled()


async def test_an_error_does_not_swallow_the_cancellation_owed(
    waiting: Waiting,
) -> None:
    def work() -> None:
        with shielded():
            waiting.wait()
        raise KeyError("a failed COMMIT")

    async def caller() -> None:
        with pytest.raises(asyncio.CancelledError):
            await on_loop(work)()
        raise asyncio.CancelledError

    task = asyncio.create_task(caller())
    await waiting.reached.wait()
    task.cancel()
    waiting.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_owed_cancellation_is_raised_only_once(waiting: Waiting) -> None:
    def work() -> str:
        with shielded():
            waiting.wait()
        with pytest.raises(asyncio.CancelledError):
            await_(answer("closed, not awaited"))
        return await_(answer("goes on"))

    task = asyncio.create_task(on_loop(work)())
    await waiting.reached.wait()
    task.cancel()
    waiting.go.set()
    assert await task == "goes on"


async def test_an_owed_cancellation_cancels_what_would_have_been_waited_for(
    waiting: Waiting,
) -> None:
    future = asyncio.get_running_loop().create_future()

    def work() -> None:
        with shielded():
            waiting.wait()
        await_(future)

    task = asyncio.create_task(on_loop(work)())
    await waiting.reached.wait()
    task.cancel()
    waiting.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_the_inner_of_two_shields_does_not_end_the_outer(
    waiting: Waiting,
) -> None:
    log: list[str] = []

    def work() -> None:
        with shielded():
            with shielded():
                waiting.wait()
            log.append(await_(answer("still shielded")))
        log.append("left")
        await_(answer(None))

    task = asyncio.create_task(on_loop(work)())
    await waiting.reached.wait()
    task.cancel()
    waiting.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["still shielded", "left"]


async def test_a_timeout_waits_for_the_shield(in_shield: Shielded) -> None:
    async def lets_go() -> None:
        await in_shield.reached.wait()
        timeout.reschedule(0)
        await answer(None)
        assert current.cancelling()
        in_shield.go.set()

    async def limited() -> None:
        async with timeout:
            helper = asyncio.create_task(lets_go())
            await on_loop(in_shield.work)()
            await helper

    current, timeout = current_task(), asyncio.timeout(None)
    with pytest.raises(TimeoutError):
        await limited()
    assert in_shield.log == ["completed", "cancelled"]
    assert not current.cancelling()


async def test_a_shielded_future_that_is_cancelled_itself_raises() -> None:
    def work() -> str:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.cancel)
        with shielded(), pytest.raises(asyncio.CancelledError):
            await_(future)
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"
    assert not current_task().cancelling()


async def test_the_next_call_inherits_neither_shield_nor_debt(
    in_shield: Shielded,
) -> None:
    def generator() -> Iterator[None]:
        with shielded():
            yield

    left_open = generator()
    await on_loop(next)(left_open)
    task = await in_shield.started()
    task.cancel()
    in_shield.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    later = Waiting()
    task = await later.started()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert later.log == ["cancelled", "cleaned up"]
    left_open.close()
    again = Shielded()
    task = await again.started()
    task.cancel()
    again.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert again.log == ["completed", "cancelled"]


def test_shielded_does_nothing_outside_the_bridge() -> None:
    with pytest.raises(ZeroDivisionError), shielded(), shielded():
        assert not in_bridge()
        raise ZeroDivisionError

"""Code that waited when its task was destroyed: it ends, and nothing hangs."""

import asyncio
import gc
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_async_ext.bridge import await_, on_loop
from django_async_ext.driving import implicit_waits
from django_async_ext.exceptions import BridgeAbandonedError
from tests.waiting import answer

ABANDONED = (
    "Cannot wait for {!r}: the task that ran this code was destroyed, so nothing can "
    "resume it. Clean up without waiting, and let tasks end before their loop is "
    "closed (asyncio.run() does). See https://django-async-ext.readthedocs.io/en/"
    "latest/reference/errors.html#bridge-abandoned"
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio reports each task that it destroys: here that is the subject."""
    logging.getLogger("asyncio").disabled = True
    yield
    logging.getLogger("asyncio").disabled = False
    gc.collect()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda each: found.append(each.exc_value)
    )
    return found


def abandon(work: Callable[[], Any]) -> None:
    """Run ``work`` until it waits, then close its loop and drop its task.

    It has to wait for the loop's next turn: a future would keep the task alive,
    and the stack of a greenlet, where the collector cannot look, the future.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(on_loop(work)())
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert not task.done()
    loop.close()
    del task, loop
    gc.collect()


def test_the_clean_up_of_an_abandoned_call_runs() -> None:
    log: list[str] = []

    def work() -> None:
        try:
            await_(answer(0))
        finally:
            log.append("cleaned up")

    abandon(work)
    assert log == ["cleaned up"]


def test_a_wait_in_the_clean_up_is_refused_in_words(unraisable: list[Any]) -> None:
    refused: list[BridgeAbandonedError] = []
    coroutine = answer(1)

    def work() -> None:
        try:
            await_(answer(0))
        finally:
            try:
                await_(coroutine)
            except BridgeAbandonedError as error:
                refused.append(error)

    abandon(work)
    assert [str(error) for error in refused] == [ABANDONED.format(coroutine)]
    assert coroutine.cr_frame is None
    assert unraisable == []


def test_code_that_goes_on_regardless_is_refused_each_wait() -> None:
    refusals: list[str] = []

    def work() -> None:
        try:
            await_(answer(0))
        except GeneratorExit:
            for _ in range(3):
                with pytest.raises(BridgeAbandonedError):
                    await_(answer(1))
                refusals.append("refused")

    abandon(work)
    assert refusals == ["refused"] * 3


def test_an_abandoned_call_that_waits_unguarded_is_reported_by_name(
    unraisable: list[Any],
) -> None:
    def work() -> None:
        try:
            await_(answer(0))
        finally:
            await_(answer(1))

    abandon(work)
    assert [type(error) for error in unraisable] == [BridgeAbandonedError]


async def test_a_coroutine_closed_by_hand_ends_its_sync_code() -> None:
    log: list[str] = []

    def work() -> None:
        try:
            await_(answer(1))
        except GeneratorExit:
            log.append("closed")
            raise

    coroutine = on_loop(work)()
    coroutine.send(None)
    coroutine.close()
    assert log == ["closed"]
    assert await on_loop(await_)(answer("alive")) == "alive"


async def test_a_coroutine_never_started_is_closed_quietly() -> None:
    coroutine = on_loop(await_)(None)
    coroutine.close()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_both_sides_of_nested_calls_are_cleaned_up() -> None:
    log: list[str] = []

    def inner() -> None:
        try:
            await_(answer(0))
        finally:
            log.append("inner")

    async def between() -> None:
        try:
            await on_loop(inner)()
        finally:
            log.append("between")

    def outer() -> None:
        try:
            await_(between())
        finally:
            log.append("outer")

    abandon(outer)
    assert log == ["inner", "between", "outer"]


def test_an_abandoned_implicit_wait_is_cleaned_up() -> None:
    log: list[str] = []

    @implicit_waits
    async def coroutine() -> None:
        try:
            await answer(0)
        finally:
            with pytest.raises(BridgeAbandonedError):
                await answer(1)
            log.append("cleaned up")

    abandon(lambda: await_(coroutine()))
    assert log == ["cleaned up"]


def test_collected_inside_another_bridge_it_returns_there(
    unraisable: list[Any],
) -> None:
    # The garbage collector may run anywhere: also in sync code of another task.
    log: list[str] = []

    def abandoned() -> None:
        try:
            await_(answer(0))
        finally:
            log.append("cleaned up")

    kept = [on_loop(abandoned)()]
    kept[0].send(None)

    def collects() -> str:
        kept.clear()
        log.append("collected")
        return await_(answer("goes on"))

    assert asyncio.run(on_loop(collects)()) == "goes on"
    assert log == ["cleaned up", "collected"]
    assert unraisable == []


def test_collected_by_another_thread_it_hangs_nobody(unraisable: list[Any]) -> None:
    waiting: list[Any] = []
    collected = threading.Event()
    began = threading.Event()

    def work() -> None:
        await_(answer(0))

    def thread() -> None:
        async def main() -> None:
            waiting.append(on_loop(work)())
            waiting[0].send(None)

        asyncio.run(main())
        began.set()
        collected.wait()
        assert asyncio.run(on_loop(await_)(answer("alive"))) == "alive"
        waiting.append("survived")

    other = threading.Thread(target=thread)
    other.start()
    began.wait()
    waiting.clear()
    gc.collect()
    collected.set()
    other.join()
    assert waiting == ["survived"]


def test_a_closed_loop_that_is_remembered_by_a_future_hangs_nobody() -> None:
    log: list[str] = []

    def work() -> None:
        try:
            await_(asyncio.Event().wait())
        finally:
            log.append("cleaned up")

    loop = asyncio.new_event_loop()
    task = loop.create_task(on_loop(work)())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert asyncio.run(on_loop(await_)(answer("another loop"))) == "another loop"
    assert log == []
    task.get_coro().close()
    assert log == ["cleaned up"]


def test_a_loop_closed_by_asyncio_run_cancels_instead() -> None:
    log: list[str] = []

    def work() -> None:
        try:
            await_(asyncio.Event().wait())
        except asyncio.CancelledError:
            log.append(await_(answer("cleaned up with a wait")))
            raise

    async def main() -> None:
        task = asyncio.create_task(on_loop(work)())
        await answer(None)
        assert not task.done()

    asyncio.run(main())
    assert log == ["cleaned up with a wait"]

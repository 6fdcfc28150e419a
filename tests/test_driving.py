"""Coroutines driven inside the bridge: only what is meant to may wait there."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from django_async_ext.bridge import await_, in_bridge, on_loop, shielded
from django_async_ext.driving import (
    Driven,
    drive,
    driven_coroutine,
    implicit_waits,
    let_wait,
    reserved_waits,
)
from django_async_ext.exceptions import NoBridgeError
from tests.waiting import answer


def lazy(value: str = "loaded") -> str:
    return str(await_(answer(value)))


# Waits that are reserved


async def test_only_what_is_let_wait_may_wait() -> None:
    @reserved_waits
    async def view() -> list[Any]:
        with pytest.raises(NoBridgeError):
            lazy()
        before = in_bridge()
        return [before, let_wait(lazy), in_bridge(), await answer(1), let_wait(lazy)]

    assert await view() == [False, "loaded", False, 1, "loaded"]
    assert view.__name__ == "view"


async def test_what_is_called_through_on_loop_may_wait_too() -> None:
    @reserved_waits
    async def view() -> list[Any]:
        found = [await on_loop(lazy)(), in_bridge()]
        with pytest.raises(ZeroDivisionError):
            await on_loop(lambda: 1 / 0)()
        return [*found, in_bridge(), let_wait(lazy)]

    assert await view() == ["loaded", False, False, "loaded"]


async def test_a_child_task_may_not_even_if_it_is_let() -> None:
    async def child() -> str:
        return let_wait(lazy)

    @reserved_waits
    async def view() -> str:
        with pytest.raises(NoBridgeError):
            await asyncio.create_task(child())
        return let_wait(lazy)

    assert await view() == "loaded"


async def test_an_implicit_coroutine_inside_may_wait_anywhere() -> None:
    @implicit_waits
    async def helper() -> str:
        return lazy()

    @reserved_waits
    async def view() -> list[Any]:
        return [await helper(), in_bridge()]

    assert await view() == ["loaded", False]


async def test_inside_an_implicit_coroutine_nothing_is_reserved() -> None:
    @reserved_waits
    async def helper() -> str:
        return lazy()

    @implicit_waits
    async def view() -> list[Any]:
        return [await helper(), lazy()]

    assert await view() == ["loaded", "loaded"]


async def test_shielding_outside_of_such_a_wait_does_nothing() -> None:
    reached = asyncio.Event()

    @reserved_waits
    async def view() -> None:
        with shielded():
            reached.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(view())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_wait_leaves_the_rest_reserved() -> None:
    reached, log = asyncio.Event(), []

    def wait() -> None:
        reached.set()
        await_(asyncio.get_running_loop().create_future())

    @reserved_waits
    async def view() -> None:
        try:
            let_wait(wait)
        finally:
            log.append(in_bridge())
            log.append(let_wait(lazy))

    task = asyncio.create_task(view())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [False, "loaded"]
    # The greenlet goes on to serve others, who may wait.
    assert await on_loop(lazy)() == "loaded"


async def test_what_is_no_coroutine_leaves_nothing_reserved() -> None:
    def misuse() -> str:
        with pytest.raises(AttributeError, match="send"):
            drive("no coroutine", reserved=True)  # type: ignore[arg-type]
        return lazy()

    assert await on_loop(misuse)() == "loaded"


async def test_elsewhere_let_wait_is_a_plain_call() -> None:
    assert let_wait(lambda: 1) == 1
    assert await on_loop(let_wait)(lazy) == "loaded"


# Asynchronous generators


async def test_an_asynchronous_generator_may_wait_implicitly() -> None:
    @implicit_waits
    async def rows() -> AsyncGenerator[str, None]:
        yield lazy("a")
        await answer(None)
        yield lazy("b")

    assert [row async for row in rows()] == ["a", "b"]


async def test_it_is_sent_to_thrown_at_and_closed_as_ever() -> None:
    log = []

    @implicit_waits
    async def rows() -> AsyncGenerator[str, str]:
        try:
            log.append((yield lazy("a")))
            try:
                yield lazy("b")
            except KeyError as error:
                log.append(str(error))
            yield lazy("c")
        finally:
            log.append(lazy("closed"))

    generator = rows()
    assert await anext(generator) == "a"
    assert await generator.asend("sent") == "b"
    assert await generator.athrow(KeyError("thrown")) == "c"
    await generator.aclose()
    assert log == ["sent", "'thrown'", "closed"]


async def test_a_loop_over_it_that_is_cancelled_closes_it() -> None:
    reached, log = asyncio.Event(), []

    @implicit_waits
    async def rows() -> AsyncGenerator[str, None]:
        try:
            yield lazy("a")
            reached.set()
            await_(asyncio.get_running_loop().create_future())
        finally:
            log.append(lazy("closed"))

    async def read() -> None:
        async for row in rows():
            log.append(row)

    task = asyncio.create_task(read())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["a", "closed"]


@pytest.mark.parametrize("reserved", [False, True])
async def test_the_steps_of_any_iterator_can_be_driven(reserved: bool) -> None:
    class Rows:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return let_wait(lazy, str(in_bridge()))

    driven = Driven(Rows(), reserved)
    assert [row async for row in driven] == [str(not reserved)] * 2
    await driven.aclose()


# Cancellation


@pytest.mark.parametrize("driver", [implicit_waits, reserved_waits])
async def test_a_timeout_that_a_shield_held_back_is_told_where_it_ends(
    driver: Any,
) -> None:
    def commit() -> None:
        with shielded():
            await_(asyncio.sleep(0.05))

    @driver
    async def view() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await on_loop(commit)()
        await asyncio.sleep(0)
        return "answered"

    assert await asyncio.create_task(view()) == "answered"


# Misuse and reports


def test_a_function_that_cannot_be_driven_is_refused() -> None:
    def view() -> None: ...

    with pytest.raises(TypeError) as caught:
        implicit_waits(view)  # type: ignore[call-overload]
    assert str(caught.value) == (
        f"implicit_waits() takes a coroutine function, but {view!r} is none. "
        "Synchronous code waits when it is called through on_loop()."
    )


async def test_a_frame_that_drives_nothing_has_no_coroutine() -> None:
    frame = asyncio.current_task().get_stack()[0]  # type: ignore[union-attr]
    assert driven_coroutine(frame) is None

"""Misuse of the bridge in words, and errors that cross it in either direction."""

import asyncio
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_async_ext.bridge import await_, in_bridge, on_loop
from django_async_ext.exceptions import NoBridgeError
from tests.waiting import answer

NO_BRIDGE = (
    "Cannot wait for {!r} here: this code was not called through on_loop(), so there "
    "is no task to wait in. Call it as `await on_loop(fn)(...)`; in a coroutine use "
    "`await` itself; in a thread use asgiref's async_to_sync. See "
    "https://django-async-ext.readthedocs.io/en/latest/reference/errors.html#no-bridge"
)


class NeedsArgumentsError(Exception):
    """Cannot be made again from its ``args``."""

    def __init__(self, code: int, *, reason: str) -> None:
        self.code, self.reason = code, reason


async def fail(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def our_frames(error: BaseException) -> list[str]:
    """The functions of this file in the traceback of ``error``, in order."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.name for frame in frames if frame.filename == __file__]


# Misuse


async def test_the_call_that_awaits_nothing_is_in_the_traceback() -> None:
    def work() -> None:
        await_(None)  # type: ignore[arg-type]

    with pytest.raises(TypeError) as caught:
        await on_loop(work)()
    assert our_frames(caught.value)[-1] == "work"


def test_waiting_outside_the_bridge_is_refused_in_words() -> None:
    coroutine = answer(1)
    with pytest.raises(NoBridgeError) as caught:
        await_(coroutine)
    assert str(caught.value) == NO_BRIDGE.format(coroutine)


async def test_waiting_in_a_coroutine_outside_the_bridge_is_refused() -> None:
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(NoBridgeError) as caught:
        await_(future)
    assert str(caught.value) == NO_BRIDGE.format(future)
    assert not future.cancelled()


def test_a_refused_coroutine_is_closed_and_warns_of_nothing() -> None:
    coroutine = answer(1)
    with pytest.raises(NoBridgeError):
        await_(coroutine)
    # Warnings are errors here: "was never awaited" would fail the test.
    assert coroutine.cr_frame is None


@pytest.mark.parametrize("nothing", [None, 1, "text"])
def test_outside_the_bridge_no_bridge_is_the_first_complaint(nothing: Any) -> None:
    with pytest.raises(NoBridgeError):
        await_(nothing)


async def test_a_thread_started_in_the_bridge_cannot_wait() -> None:
    coroutine = answer(1)

    def work() -> BaseException | None:
        with ThreadPoolExecutor(1) as pool:
            assert not pool.submit(in_bridge).result()
            return pool.submit(await_, coroutine).exception()

    error = await on_loop(work)()
    assert isinstance(error, NoBridgeError)
    assert coroutine.cr_frame is None


def test_on_loop_refuses_a_coroutine_function_in_words() -> None:
    with pytest.raises(TypeError) as caught:
        on_loop(answer)
    assert str(caught.value) == (
        f"on_loop() takes a synchronous callable, but {answer!r} is a coroutine "
        "function, which is awaitable already. Await it directly."
    )


def test_on_loop_refuses_what_cannot_be_called_in_words() -> None:
    with pytest.raises(TypeError) as caught:
        on_loop(None)  # type: ignore[arg-type]
    assert str(caught.value) == "on_loop() takes a synchronous callable, not None."


# Errors


async def test_an_error_of_sync_code_reaches_the_coroutine_as_it_is() -> None:
    error = NeedsArgumentsError(404, reason="gone")

    def work() -> None:
        await_(answer(None))
        raise error

    with pytest.raises(NeedsArgumentsError) as caught:
        await on_loop(work)()
    assert caught.value is error
    assert (error.code, error.reason) == (404, "gone")


async def test_an_error_of_a_coroutine_reaches_sync_code_as_it_is() -> None:
    error = NeedsArgumentsError(404, reason="gone")

    def work() -> str:
        with pytest.raises(NeedsArgumentsError) as caught:
            await_(fail(error))
        assert caught.value is error
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"


async def test_a_traceback_shows_both_sides_in_order() -> None:
    def outermost() -> None:
        middle()

    def middle() -> None:
        await_(coroutine())

    async def coroutine() -> None:
        await on_loop(innermost)()

    def innermost() -> None:
        await_(fail(KeyError("deep")))

    with pytest.raises(KeyError) as caught:
        await on_loop(outermost)()
    assert our_frames(caught.value) == [
        "test_a_traceback_shows_both_sides_in_order",
        "outermost",
        "middle",
        "coroutine",
        "innermost",
        "fail",
    ]


async def test_a_traceback_caught_in_sync_code_ends_in_the_coroutine() -> None:
    def work() -> list[str]:
        try:
            await_(fail(KeyError("deep")))
        except KeyError as error:
            return our_frames(error)
        return []

    assert await on_loop(work)() == ["work", "fail"]


async def test_an_error_raised_twice_keeps_both_ways_in_its_traceback() -> None:
    error = KeyError("again")

    def work() -> None:
        try:
            await_(fail(error))
        except KeyError:
            await_(answer(None))
            raise

    with pytest.raises(KeyError) as caught:
        await on_loop(work)()
    assert our_frames(caught.value)[1:] == ["work", "fail"]


async def test_stop_iteration_becomes_a_runtime_error() -> None:
    # PEP 479: no coroutine can raise it.
    with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught:
        await on_loop(next)(iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)
    assert await on_loop(next)(iter(()), "sentinel") == "sentinel"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_process_passes_through(kind: type[BaseException]) -> None:
    def work() -> None:
        await_(answer(None))
        raise kind

    with pytest.raises(kind):
        asyncio.run(on_loop(work)())


async def test_a_call_after_a_failed_one_starts_afresh() -> None:
    for _ in range(3):
        with pytest.raises(KeyError):
            await on_loop(await_)(fail(KeyError()))
        assert await on_loop(sys.exception)() is None
        assert await on_loop(await_)(answer("fresh")) == "fresh"

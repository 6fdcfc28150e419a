"""A bridge serves one call after the other, and nothing of one reaches the next."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from greenlet import GreenletExit, getcurrent, greenlet

from django_async_ext.bridge import await_, on_loop
from tests.waiting import answer


class Thing:
    """What can be watched."""


class ThingError(Exception):
    """So can this."""


def greenlets() -> int:
    gc.collect()
    # By its type: isinstance() would wake whatever lazy objects there are.
    return sum(issubclass(type(each), greenlet) for each in gc.get_objects())


async def test_calls_one_after_the_other_share_a_bridge() -> None:
    first, second = await on_loop(getcurrent)(), await on_loop(getcurrent)()
    assert first is second


async def test_calls_at_the_same_time_do_not() -> None:
    def work() -> Any:
        await_(answer(None))
        return getcurrent()

    bridges = await asyncio.gather(*(on_loop(work)() for _ in range(10)))
    assert len(set(bridges)) == 10


async def test_a_burst_of_calls_leaves_few_bridges() -> None:
    async def burst() -> None:
        await asyncio.gather(*(on_loop(await_)(answer(n)) for n in range(500)))

    await burst()
    before = greenlets()
    await burst()
    assert greenlets() == before < 500


def test_the_bridges_of_a_thread_end_with_it() -> None:
    def thread() -> None:
        asyncio.run(on_loop(await_)(answer(None)))

    before = greenlets()
    for _ in range(20):
        other = threading.Thread(target=thread)
        other.start()
        other.join()
    # greenlet clears up after a thread when the next one needs it.
    assert greenlets() - before < 3


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Only what nothing refers to any more goes."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
class TestAnIdleBridgeKeepsNothing:
    async def test_neither_the_arguments_nor_the_result_of_a_call(self) -> None:
        async def call() -> Any:
            thing = Thing()
            assert await on_loop(lambda thing: await_(answer(thing)))(thing) is thing
            return weakref.ref(thing)

        assert (await call())() is None

    async def test_nor_the_function(self) -> None:
        async def call() -> Any:
            def work() -> None:
                await_(answer(None))

            await on_loop(work)()
            return weakref.ref(work)

        assert (await call())() is None

    @pytest.mark.parametrize("fails", ["at once", "after a wait"])
    async def test_nor_its_error(self, fails: str) -> None:
        def work() -> None:
            if fails == "after a wait":
                await_(answer(None))
            raise ThingError

        try:
            await on_loop(work)()
        except ThingError as error:
            seen = weakref.ref(error)
        assert seen() is None

    async def test_nor_an_error_that_was_handled_in_it(self) -> None:
        async def fails() -> None:
            raise ThingError

        def work() -> Any:
            try:
                await_(fails())
            except ThingError as error:
                return weakref.ref(error)

        assert (await on_loop(work)())() is None

    async def test_nor_the_exception_that_its_caller_handled(self) -> None:
        try:
            raise ThingError
        except ThingError as error:
            seen = weakref.ref(error)
            await on_loop(await_)(answer(None))
        assert seen() is None

    async def test_nor_the_context(self) -> None:
        variable: ContextVar[Thing] = ContextVar("variable")

        async def call() -> Any:
            variable.set(Thing())
            await on_loop(await_)(answer(None))
            return weakref.ref(variable.get())

        seen = await asyncio.create_task(call())
        await answer(None)
        assert seen() is None


@pytest.mark.parametrize(
    "error", [ValueError("text"), GreenletExit("text"), GeneratorExit("text")]
)
async def test_whatever_a_call_raises_the_next_is_served(error: BaseException) -> None:
    def at_once() -> None:
        raise error

    def after_a_wait() -> None:
        await_(answer(None))
        raise error

    async def outcome(work: Callable[[], None]) -> BaseException | None:
        try:
            await on_loop(work)()
        except BaseException as caught:  # noqa: BLE001
            return caught
        return None

    for work in (at_once, after_a_wait):
        assert await outcome(work) is error
        assert await on_loop(await_)(answer("alive")) == "alive"
        assert await on_loop(sys.exception)() is None


async def test_what_was_waited_for_is_not_kept_until_the_next_wait_has_ended() -> None:
    alive: list[bool] = []

    def work() -> None:
        thing = weakref.ref(await_(answer(Thing())))
        await_(look(thing))

    async def look(thing: "weakref.ref[Thing]") -> None:
        await asyncio.sleep(0)
        alive.append(thing() is not None)

    await on_loop(work)()
    assert alive == [False]

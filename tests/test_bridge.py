"""Calls and waits across the bridge, and what nests in them."""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from greenlet import getcurrent, greenlet

from django_async_ext.bridge import await_, in_bridge, on_loop
from django_async_ext.exceptions import NoBridgeError
from tests.waiting import answer

# Calls


async def test_sync_code_returns_its_result_to_the_coroutine() -> None:
    def work(*args: int, **kwargs: int) -> tuple[Any, ...]:
        return args, kwargs, await_(answer("waited"))

    result = await on_loop(work)(1, 2, three=3)
    assert result == ((1, 2), {"three": 3}, "waited")


async def test_on_loop_decorates_functions_and_methods() -> None:
    class Shelf:
        @on_loop
        def find(self, title: str) -> str:
            """Find a title."""
            return await_(answer(title))

    assert await Shelf().find("Emma") == "Emma"
    assert Shelf.find.__name__ == "find"
    assert Shelf.find.__doc__ == "Find a title."


@pytest.mark.parametrize(
    "fn", [sorted, partial(sorted, reverse=False), str.split, dict]
)
async def test_on_loop_takes_any_synchronous_callable(fn: Callable[..., Any]) -> None:
    argument = "a b" if fn is str.split else []
    assert await on_loop(fn)(argument) == fn(argument)


async def test_sync_code_runs_on_the_thread_and_in_the_task_of_its_caller() -> None:
    def work() -> tuple[Any, ...]:
        before = threading.get_ident(), asyncio.current_task()
        await_(answer(None))
        assert (threading.get_ident(), asyncio.current_task()) == before
        return before

    assert await on_loop(work)() == (threading.get_ident(), asyncio.current_task())


async def test_other_tasks_run_while_sync_code_waits() -> None:
    order: list[str] = []
    go = asyncio.Event()

    def work() -> None:
        order.append("waits")
        await_(go.wait())
        order.append("goes on")

    async def other() -> None:
        order.append("other task")
        go.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(on_loop(work)())
        tasks.create_task(other())
    assert order == ["waits", "other task", "goes on"]


async def test_in_bridge_tells_where_waiting_is_allowed() -> None:
    async def seen_by_a_coroutine() -> bool:
        return in_bridge()

    def work() -> list[bool]:
        before = in_bridge()
        return [before, await_(seen_by_a_coroutine()), in_bridge()]

    assert not in_bridge()
    assert await on_loop(work)() == [True, False, True]
    assert not in_bridge()


# Waits


async def test_every_kind_of_awaitable_can_be_waited_for() -> None:
    class Custom:
        def __await__(self) -> Generator[Any, Any, str]:
            yield from answer(None).__await__()
            return "custom"

    def work() -> list[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        task = loop.create_task(answer("task"))
        awaitables = [answer("coroutine"), future, task, Custom()]
        return [await_(awaitable) for awaitable in awaitables]

    assert await on_loop(work)() == ["coroutine", "future", "task", "custom"]


async def test_a_future_that_is_done_gives_its_result() -> None:
    done = asyncio.get_running_loop().create_future()
    done.set_result("done")
    assert await on_loop(await_)(done) == "done"
    assert await on_loop(await_)(done) == "done"


async def test_a_future_that_failed_raises_its_error() -> None:
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(KeyError("failed"))
    with pytest.raises(KeyError, match="failed"):
        await on_loop(await_)(failed)


@pytest.mark.parametrize("nothing", [None, 1, "text", object(), len, [1]])
async def test_awaiting_what_is_not_awaitable_fails_at_the_call(nothing: Any) -> None:
    def work() -> str:
        with pytest.raises(TypeError, match="await"):
            await_(nothing)
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"


# Nesting


async def test_on_loop_inside_the_bridge_is_a_plain_call() -> None:
    def outer() -> tuple[Any, Any]:
        coroutine = on_loop(getcurrent)()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value, getcurrent()
        raise AssertionError("it waited")

    inside, here = await on_loop(outer)()
    assert inside is here


async def test_both_sides_call_each_other_fifty_levels_deep() -> None:
    def sync_side(level: int) -> int:
        return await_(async_side(level - 1)) + 1

    async def async_side(level: int) -> int:
        return await on_loop(sync_side)(level) if level else await answer(0)

    assert await async_side(50) == 50


async def test_a_wait_works_deep_in_the_stack() -> None:
    def descend(levels: int) -> str:
        return descend(levels - 1) if levels else await_(answer("bottom"))

    assert await on_loop(descend)(500) == "bottom"


async def test_a_recursion_error_of_sync_code_reaches_the_coroutine() -> None:
    def descend() -> None:
        descend()

    with pytest.raises(RecursionError):
        await on_loop(descend)()
    assert await on_loop(await_)(answer("alive")) == "alive"


async def test_a_recursion_error_of_a_coroutine_reaches_sync_code() -> None:
    async def descend() -> None:
        await descend()

    def work() -> str:
        with pytest.raises(RecursionError):
            await_(descend())
        return await_(answer("alive"))

    assert await on_loop(work)() == "alive"


# Generators


async def test_a_generator_is_stepped_over_several_calls() -> None:
    def numbers() -> Iterator[int]:
        for number in range(3):
            yield await_(answer(number))

    generator = numbers()
    step = on_loop(next)
    assert [await step(generator, None) for _ in range(4)] == [0, 1, 2, None]


async def test_a_generator_waits_in_its_clean_up_when_closed() -> None:
    log: list[str] = []

    def generator() -> Iterator[None]:
        try:
            yield
        finally:
            log.append(await_(answer("cleaned up")))

    suspended = generator()
    await on_loop(next)(suspended)
    await on_loop(suspended.close)()
    assert log == ["cleaned up"]


async def test_two_tasks_step_their_generators_in_turns() -> None:
    def letters(word: str) -> Iterator[str]:
        for letter in word:
            yield await_(answer(letter))

    async def spell(word: str) -> str:
        generator = letters(word)
        return "".join([await on_loop(next)(generator) for _ in word])

    assert await asyncio.gather(*map(spell, ["one", "two", "six"])) == [
        "one",
        "two",
        "six",
    ]


# Greenlets of others


async def test_a_foreign_greenlet_inside_the_bridge_cannot_wait() -> None:
    coroutine = answer(1)

    def foreign() -> None:
        assert not in_bridge()
        with pytest.raises(NoBridgeError):
            await_(coroutine)

    def work() -> str:
        greenlet(foreign).switch()
        return await_(answer("goes on"))

    assert await on_loop(work)() == "goes on"


async def test_a_foreign_greenlet_survives_the_waits_around_it() -> None:
    def foreign(first: str) -> str:
        second = getcurrent().parent.switch(first.upper())
        return second.upper()

    def work() -> list[str]:
        other = greenlet(foreign)
        first = other.switch("one")
        await_(answer(None))
        return [first, other.switch("two")]

    assert await on_loop(work)() == ["ONE", "TWO"]


def test_a_whole_loop_may_run_in_a_foreign_greenlet() -> None:
    def foreign() -> str:
        return asyncio.run(on_loop(await_)(answer("inside")))

    assert greenlet(foreign).switch() == "inside"


def test_a_coroutine_goes_on_in_another_greenlet_than_it_began() -> None:
    class Pause:
        def __await__(self) -> Generator[str, str, str]:
            return (yield "pause")

    def step(value: str | None) -> Any:
        try:
            return coroutine.send(value)
        except StopIteration as stop:
            return stop.value

    coroutine = on_loop(lambda: await_(Pause()) + await_(Pause()))()
    results = [greenlet(step).switch(value) for value in (None, "a", "b")]
    assert results == ["pause", "pause", "ab"]


# Threads


def test_loops_in_two_threads_have_bridges_of_their_own() -> None:
    meeting = threading.Barrier(2)

    def work() -> int:
        await_(answer(None))
        meeting.wait()
        await_(answer(None))
        return threading.get_ident()

    def run_a_loop() -> bool:
        return asyncio.run(on_loop(work)()) == threading.get_ident()

    with ThreadPoolExecutor(2) as pool:
        loops = [pool.submit(run_a_loop) for _ in range(2)]
        assert all(loop.result() for loop in loops)

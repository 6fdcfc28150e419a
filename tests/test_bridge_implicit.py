"""implicit_waits(): coroutines in which plain synchronous code may wait."""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from django_async_ext.bridge import await_, in_bridge, on_loop, shielded
from django_async_ext.driving import implicit_waits
from django_async_ext.exceptions import NoBridgeError
from tests.waiting import answer

number: ContextVar[int] = ContextVar("number", default=0)


class Lazy:
    """Has an attribute whose value must be waited for."""

    @property
    def value(self) -> str:
        return await_(answer("loaded"))


async def test_plain_attribute_access_waits() -> None:
    @implicit_waits
    async def view(lazy: Lazy, *, suffix: str) -> str:
        """Show it."""
        return lazy.value + suffix

    assert await view(Lazy(), suffix="!") == "loaded!"
    assert inspect.iscoroutinefunction(view)
    assert (view.__name__, view.__doc__) == ("view", "Show it.")


async def test_without_the_decorator_it_is_refused() -> None:
    async def view(lazy: Lazy) -> str:
        return lazy.value

    with pytest.raises(NoBridgeError):
        await view(Lazy())


async def test_explicit_and_implicit_waits_alternate() -> None:
    @implicit_waits
    async def view() -> list[Any]:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 3)
        return [
            Lazy().value,
            await answer(1),
            Lazy().value,
            await on_loop(await_)(answer(2)),
            await future,
            await asyncio.create_task(answer(4)),
            Lazy().value,
        ]

    assert await view() == ["loaded", 1, "loaded", 2, 3, 4, "loaded"]


async def test_coroutines_it_awaits_may_wait_implicitly_too() -> None:
    async def helper() -> str:
        await answer(None)
        return Lazy().value

    @implicit_waits
    async def nested() -> str:
        return await helper()

    @implicit_waits
    async def view() -> list[str]:
        return [await helper(), await nested()]

    assert await view() == ["loaded", "loaded"]


async def test_tasks_it_starts_may_not() -> None:
    async def helper() -> str:
        return Lazy().value

    @implicit_waits
    async def view() -> str:
        with pytest.raises(NoBridgeError):
            await asyncio.create_task(helper())
        return Lazy().value

    assert await view() == "loaded"


async def test_it_runs_in_the_task_and_the_context_of_its_caller() -> None:
    @implicit_waits
    async def view() -> Any:
        assert number.get() == 1
        assert Lazy().value
        number.set(2)
        await answer(None)
        assert number.get() == 2
        return asyncio.current_task()

    number.set(1)
    assert await view() is asyncio.current_task()
    assert number.get() == 2


async def test_a_hundred_of_them_keep_their_contexts_apart() -> None:
    @implicit_waits
    async def view(index: int) -> None:
        number.set(index)
        for _ in range(5):
            assert Lazy().value == "loaded"
            assert number.get() == index
            await answer(None)
            assert number.get() == index

    await asyncio.gather(*map(view, range(100)))


async def test_async_with_and_async_for_wait_as_ever() -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[str]:
        await answer(None)
        yield Lazy().value
        await answer(None)

    async def rows() -> AsyncIterator[int]:
        for row in range(3):
            yield await answer(row)
            assert Lazy().value

    @implicit_waits
    async def view() -> list[Any]:
        async with opened() as first, asyncio.timeout(None), asyncio.Lock():
            return [first, *[(row, Lazy().value) async for row in rows()]]

    assert await view() == ["loaded", (0, "loaded"), (1, "loaded"), (2, "loaded")]


async def test_errors_of_what_it_awaits_can_be_handled() -> None:
    async def fails() -> None:
        await answer(None)
        raise KeyError(Lazy().value)

    @implicit_waits
    async def view() -> str:
        with pytest.raises(KeyError, match="loaded"):
            await fails()
        assert sys.exception() is None
        return Lazy().value

    assert await view() == "loaded"


async def test_errors_it_raises_reach_its_caller() -> None:
    @implicit_waits
    async def view() -> None:
        try:
            assert Lazy().value
            await answer(None)
            raise KeyError("first")
        except KeyError as error:
            assert Lazy().value
            await answer(None)
            assert str(sys.exception()) == "'first'"
            raise ValueError("second") from error

    with pytest.raises(ValueError, match="second") as caught:
        await view()
    assert str(caught.value.__cause__) == "'first'"


@pytest.mark.parametrize("implicitly", [True, False])
async def test_it_is_cancelled_at_either_kind_of_wait(implicitly: bool) -> None:
    reached, log = asyncio.Event(), []

    @implicit_waits
    async def view() -> None:
        never = asyncio.get_running_loop().create_future()
        reached.set()
        try:
            await_(never) if implicitly else await never
        except asyncio.CancelledError:
            log.append(Lazy().value)
            log.append(await answer("cleaned up"))
            raise

    task = asyncio.create_task(view())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert log == ["loaded", "cleaned up"]


@pytest.mark.parametrize("implicitly", [True, False])
async def test_timeouts_inside_work_at_either_kind_of_wait(implicitly: bool) -> None:
    @implicit_waits
    async def view() -> str:
        never = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await_(never) if implicitly else await never
        assert never.cancelled()
        return Lazy().value

    assert await view() == "loaded"


async def test_a_task_group_inside_waits_for_its_children() -> None:
    @implicit_waits
    async def view() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            children = [tasks.create_task(on_loop(await_)(answer(1)))]
            assert Lazy().value
        return [child.result() for child in children]

    assert await view() == [1]


async def test_explicit_waits_can_be_shielded() -> None:
    reached, go, log = asyncio.Event(), asyncio.Event(), []

    @implicit_waits
    async def view() -> None:
        with shielded():
            reached.set()
            await go.wait()
            log.append("completed")
        await answer(None)
        log.append("not reached")

    task = asyncio.create_task(view())
    await reached.wait()
    task.cancel()
    await answer(None)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["completed"]


async def test_called_in_sync_code_it_is_awaited_in_the_same_bridge() -> None:
    @implicit_waits
    async def coroutine() -> tuple[bool, str]:
        await answer(None)
        return in_bridge(), Lazy().value

    assert await on_loop(lambda: await_(coroutine()))() == (True, "loaded")


async def test_arguments_that_do_not_fit_are_refused_as_by_any_function() -> None:
    @implicit_waits
    async def view(one: int) -> None: ...

    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        await view()  # type: ignore[call-arg]

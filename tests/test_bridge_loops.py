"""Loops of other kinds: eager tasks, uvloop, debug mode; and asgiref's helpers."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.dispatch import Signal
from greenlet import getcurrent

from django_async_ext import adoption
from django_async_ext.bridge import await_, in_bridge, on_loop, shielded
from django_async_ext.driving import implicit_waits
from django_async_ext.exceptions import NoBridgeError
from tests.waiting import answer

number: ContextVar[int] = ContextVar("number", default=0)


def waits(value: Any) -> Any:
    """Synchronous code that waits three times."""
    for _ in range(3):
        value = await_(answer(value))
    return value


# Kinds of loops


def eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


def uv_loop() -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop()


def debugging_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


needs_eager_tasks = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="eager tasks came with Python 3.12"
)
Factory = Callable[[], asyncio.AbstractEventLoop]
on_each_loop = pytest.mark.parametrize(
    "factory",
    [
        asyncio.new_event_loop,
        debugging_loop,
        uv_loop,
        pytest.param(eager_loop, marks=needs_eager_tasks),
    ],
)


@on_each_loop
def test_tasks_interleave_on_every_kind_of_loop(factory: Factory) -> None:
    async def main() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            children = [tasks.create_task(on_loop(waits)(n)) for n in range(100)]
        return [child.result() for child in children]

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == list(range(100))


@on_each_loop
def test_tasks_started_in_sync_code_have_bridges_of_their_own(factory: Factory) -> None:
    async def child(n: int) -> tuple[int, int]:
        number.set(n)
        first = await on_loop(waits)(n)
        return first, await on_loop(waits)(number.get())

    def work() -> list[Any]:
        loop = asyncio.get_running_loop()
        children = [loop.create_task(child(n)) for n in range(10)]
        assert waits("in between") == "in between"
        assert number.get() == 0
        return [await_(one) for one in children]

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(on_loop(work)()) == [(n, n) for n in range(10)]


@on_each_loop
def test_a_task_started_in_sync_code_is_outside_its_bridge(factory: Factory) -> None:
    async def child() -> bool:
        coroutine = answer(1)
        with pytest.raises(NoBridgeError):
            await_(coroutine)
        with shielded():
            return in_bridge()

    def work() -> bool:
        return await_(asyncio.get_running_loop().create_task(child()))

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(on_loop(work)()) is False


@needs_eager_tasks
@pytest.mark.parametrize(
    ("factory", "is_reused"), [(asyncio.new_event_loop, True), (uv_loop, False)]
)
def test_an_eager_task_in_a_callback_of_libuv_has_a_bridge_that_begins_there(
    factory: Factory, is_reused: bool
) -> None:
    # One that began above has the memory swapped to which libuv still points.
    def start(loop: Any, coroutine: Any, **options: Any) -> Any:
        options["eager_start"] = True
        return asyncio.Task(coroutine, loop=loop, **options)

    async def bridges() -> list[Any]:
        starting = await on_loop(getcurrent)()
        await asyncio.sleep(0)
        return [starting, await on_loop(getcurrent)()]

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(start)
        idle = await on_loop(getcurrent)()
        starting, later = await asyncio.create_task(bridges())
        assert (starting is idle) is is_reused
        assert later in (idle, starting)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@on_each_loop
def test_tasks_gathered_in_an_implicit_wait_have_their_own(factory: Factory) -> None:
    @implicit_waits
    async def gathers() -> list[int]:
        results = await asyncio.gather(*(on_loop(waits)(n) for n in range(10)))
        assert waits("implicitly") == "implicitly"
        return results

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(gathers()) == list(range(10))


@on_each_loop
def test_a_shielded_coroutine_may_use_the_bridge_itself(factory: Factory) -> None:
    def work() -> int:
        with shielded():
            return await_(on_loop(waits)(1))

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(on_loop(work)()) == 1


@on_each_loop
def test_cancellation_works_on_every_kind_of_loop(factory: Factory) -> None:
    log: list[Any] = []

    def work() -> None:
        try:
            await_(asyncio.get_running_loop().create_future())
        finally:
            log.append(waits("cleaned up"))

    async def main() -> None:
        task = asyncio.create_task(on_loop(work)())
        await answer(None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    assert log == ["cleaned up"]


# async_to_sync() and sync_to_async() of asgiref


async def test_async_to_sync_in_the_bridge_waits_in_the_same_task() -> None:
    async def coroutine(n: int, *, factor: int) -> tuple[int, Any]:
        return await answer(n * factor), asyncio.current_task()

    def work() -> tuple[int, Any]:
        return async_to_sync(coroutine)(2, factor=3)

    assert await on_loop(work)() == (6, asyncio.current_task())


async def test_async_to_sync_in_the_bridge_shares_context_and_errors() -> None:
    async def coroutine() -> None:
        number.set(await answer(number.get() + 1))
        raise KeyError("crosses")

    def work() -> int:
        number.set(1)
        with pytest.raises(KeyError, match="crosses"):
            async_to_sync(coroutine)()
        return number.get()

    assert await on_loop(work)() == 2


async def test_async_to_sync_in_the_bridge_sees_the_handled_exception() -> None:
    async def coroutine() -> BaseException | None:
        return await answer(sys.exception())

    def work() -> None:
        try:
            raise KeyError("handled")
        except KeyError:
            assert async_to_sync(coroutine)() is sys.exception()

    await on_loop(work)()


async def test_async_to_sync_outside_the_bridge_is_refused_as_by_asgiref() -> None:
    with pytest.raises(RuntimeError, match="same thread as an async event loop"):
        async_to_sync(answer)(1)


async def test_async_to_sync_in_a_thread_of_the_bridge_is_asgiref_s() -> None:
    def in_thread() -> Any:
        return async_to_sync(answer)("from the thread")

    def work() -> Any:
        return await_(sync_to_async(in_thread)())

    assert await on_loop(work)() == "from the thread"


def test_async_to_sync_without_a_loop_is_asgiref_s() -> None:
    assert async_to_sync(on_loop(waits))(1) == 1


async def test_a_thread_waits_for_the_bridge_and_the_bridge_for_a_thread() -> None:
    def deepest() -> Any:
        return await_(answer("through a thread and back"))

    def in_thread() -> Any:
        return async_to_sync(on_loop(deepest))()

    async with ThreadSensitiveContext():
        result = await on_loop(lambda: await_(sync_to_async(in_thread)()))()
    assert result == "through a thread and back"


async def test_a_signal_sent_in_the_bridge_awaits_its_async_receivers() -> None:
    signal, received = Signal(), []

    async def receiver(sender: Any, **kwargs: Any) -> Any:
        received.append((await answer(sender), asyncio.current_task()))
        return "received"

    signal.connect(receiver)
    assert await on_loop(signal.send)("sender") == [(receiver, "received")]
    assert [sender for sender, task in received] == ["sender"]


@pytest.fixture
def released() -> Iterator[None]:
    adoption.release()
    yield
    adoption.adopt()


@pytest.mark.usefixtures("released")
async def test_released_async_to_sync_is_asgiref_s_again() -> None:
    def work() -> None:
        with pytest.raises(RuntimeError, match="same thread as an async event loop"):
            async_to_sync(answer)(1)

    await on_loop(work)()

"""Each way in which asyncio starts something, inside of a transaction and outside."""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation

from django_async_ext import aatomic, aon_commit, on_loop
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import ConnectionOwnershipError
from tests.db.server import execute
from tests.library.models import Author

Start = Callable[[Callable[[], Awaitable[int]]], Awaitable[int]]


async def session() -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]


async def create_task(query: Any) -> int:
    return await asyncio.create_task(query())


async def ensure_future(query: Any) -> int:
    return await asyncio.ensure_future(query())


async def gather(query: Any) -> int:
    return (await asyncio.gather(query(), query()))[0]


async def task_group(query: Any) -> int:
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(query())
    except* ConnectionOwnershipError as errors:
        raise errors.exceptions[0] from None
    return task.result()


async def as_completed(query: Any) -> int:
    return await next(iter(asyncio.as_completed([query()])))


async def wait_for_a_task(query: Any) -> int:
    return await asyncio.wait_for(asyncio.ensure_future(query()), 10)


async def shield(query: Any) -> int:
    return await asyncio.shield(query())


async def copied_context(query: Any) -> int:
    return await contextvars.copy_context().run(asyncio.create_task, query())


async def context_argument(query: Any) -> int:
    loop = asyncio.get_running_loop()
    return await loop.create_task(query(), context=contextvars.copy_context())


async def call_soon(query: Any) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_future()
    loop.call_soon(lambda: task.set_result(loop.create_task(query())))
    return await (await task)


async def call_soon_from_a_thread(query: Any) -> int:
    loop = asyncio.get_running_loop()
    return await asyncio.wrap_future(
        await asyncio.to_thread(asyncio.run_coroutine_threadsafe, query(), loop)
    )


async def grandchild(query: Any) -> int:
    return await asyncio.create_task(create_task(query))


WAYS = [
    create_task,
    ensure_future,
    gather,
    task_group,
    as_completed,
    wait_for_a_task,
    shield,
    copied_context,
    context_argument,
    call_soon,
    call_soon_from_a_thread,
    grandchild,
]
in_each_way = pytest.mark.parametrize("start", WAYS)


@in_each_way
async def test_what_is_started_in_a_transaction_is_refused_there(start: Start) -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        with pytest.raises(ConnectionOwnershipError):
            await start(Author.objects.acount)
        with pytest.raises(ConnectionOwnershipError):
            await start(nested)
        # The transaction is none the worse for it.
        assert await Author.objects.acount() == 1
    assert await Author.objects.acount() == 1
    assert pool_stats()["in_use"] == 0


async def nested() -> int:
    async with aatomic():
        return await Author.objects.acount()


@in_each_way
async def test_what_is_started_outside_of_one_is_independent(start: Start) -> None:
    assert await start(Author.objects.acount) == 0
    assert await start(nested) == 0
    assert pool_stats()["in_use"] == 0


@in_each_way
async def test_what_is_started_by_a_hook_is_independent(start: Start) -> None:
    counts: list[int] = []

    async def hook() -> None:
        counts.append(await start(Author.objects.acount))

    async with aatomic():
        await Author.objects.acreate(name="Ada")
        await aon_commit(hook)
    assert counts == [1]


@pytest.mark.parametrize("ending", ["commit", "roll back"])
@pytest.mark.parametrize("start", [create_task, copied_context, call_soon])
async def test_what_outlives_the_transaction_and_its_task_is_independent(
    start: Start, ending: str
) -> None:
    go_on = asyncio.Event()
    outliving: list[asyncio.Task[int]] = []

    async def background() -> int:
        await go_on.wait()
        async with aatomic():
            return await Author.objects.acount()

    async def keep() -> int:
        task = asyncio.current_task()
        assert task is not None
        outliving.append(task)
        return await background()

    async def request() -> None:
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            spare = asyncio.create_task(start(keep))
            outliving.append(spare)
            await asyncio.sleep(0)
            if ending == "roll back":
                raise LookupError

    await asyncio.gather(asyncio.create_task(request()), return_exceptions=True)
    go_on.set()
    expected = 1 if ending == "commit" else 0
    assert await outliving[0] == expected
    await asyncio.gather(*outliving)
    assert pool_stats()["in_use"] == 0


async def test_a_callback_of_the_loop_cannot_query_synchronously() -> None:
    loop = asyncio.get_running_loop()
    said = loop.create_future()

    def callback() -> None:
        try:
            Author.objects.count()
        except SynchronousOnlyOperation as error:
            said.set_result(str(error))

    async with aatomic():
        await Author.objects.acreate(name="Ada")
        loop.call_soon(callback)
        assert "would block the event loop" in await said


async def test_the_same_task_in_a_copied_context_is_in_the_transaction() -> None:
    async with aatomic():
        mine = await session()
        coroutine = contextvars.copy_context().run(session)
        assert await coroutine == mine
        if sys.version_info >= (3, 12):
            assert await asyncio.wait_for(session(), 10) == mine
        async with asyncio.timeout(10):
            assert await session() == mine

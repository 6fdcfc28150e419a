import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_async_ext import aatomic, aon_commit, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import ConnectionOwnershipError
from tests.db.conftest import Configure
from tests.db.server import execute
from tests.library.models import Author

DOCS = "https://django-async-ext.readthedocs.io/en/latest/reference/errors.html"


WAIT_FOR = ""
if sys.version_info < (3, 12):
    WAIT_FOR = (
        " On Python 3.11 asyncio.wait_for() starts a task: use asyncio.timeout()."
    )


def refusal(child: str, parent: str, alias: str = "default") -> str:
    return (
        f"Task {child!r} queried database {alias!r}, on which the task that started "
        f"it, {parent!r}, is in a transaction. The query would run outside that "
        "transaction, on another connection. Run it in the same task, or pass the "
        "queries to gather_queries(); work that is not part of the transaction starts "
        f"after it (aon_commit).{WAIT_FOR} See {DOCS}#connection-ownership"
    )


def named(name: str, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(coroutine, name=name)


@pytest.fixture(autouse=True)
async def task_name() -> None:
    asyncio.current_task().set_name("fixture")


async def as_parent() -> None:
    asyncio.current_task().set_name("parent")


# A child of a transaction


@pytest.mark.parametrize("using", ["default", "sqlite"])
async def test_a_child_may_not_query_its_parents_transaction(using: str) -> None:
    await as_parent()
    async with aatomic(using):
        with pytest.raises(ConnectionOwnershipError) as caught:
            await named("child", Author.objects.using(using).acount())
        assert str(caught.value) == refusal("child", "parent", using)
        await Author.objects.using(using).acreate(name="Ada")
    assert await Author.objects.using(using).acount() == 1
    assert pool_stats(using)["in_use"] == 0


async def test_a_child_may_not_open_a_transaction_in_its_parents() -> None:
    await as_parent()

    async def child() -> None:
        async with aatomic():
            pytest.fail("the child is in the transaction")

    async with aatomic():
        with pytest.raises(ConnectionOwnershipError) as caught:
            await named("child", child())
        assert str(caught.value) == refusal("child", "parent")


async def test_a_child_may_query_another_database() -> None:
    async with aatomic():
        child = asyncio.create_task(Author.objects.using("replica").acount())
        assert await child == 0


async def test_a_grandchild_is_refused_as_well() -> None:
    await as_parent()

    async def child() -> None:
        await named("grandchild", Author.objects.acount())

    async with aatomic():
        with pytest.raises(ConnectionOwnershipError) as caught:
            await named("child", child())
    assert str(caught.value) == refusal("grandchild", "parent")


async def test_a_refused_child_does_not_hide_the_transaction_from_its_children() -> (
    None
):
    await as_parent()

    async def child() -> None:
        with pytest.raises(ConnectionOwnershipError):
            await Author.objects.acount()
        await named("grandchild", Author.objects.acount())

    async with aatomic():
        with pytest.raises(ConnectionOwnershipError) as caught:
            await named("child", child())
    assert str(caught.value) == refusal("grandchild", "parent")


async def test_a_task_group_is_refused_and_the_transaction_rolls_back() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            async with asyncio.TaskGroup() as group:
                group.create_task(Author.objects.acount())
    assert caught.group_contains(ConnectionOwnershipError)
    assert await Author.objects.acount() == 0


async def test_the_remedy_of_the_error_works() -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        assert await gather_queries(Author.objects.acount()) == [1]


async def test_a_child_with_a_context_of_its_own_is_no_part_of_the_transaction() -> (
    None
):
    loop = asyncio.get_running_loop()
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        count = Author.objects.acount()
        assert await loop.create_task(count, context=contextvars.Context()) == 0


# Outside of transactions, and after them


async def test_children_outside_of_a_transaction_are_independent() -> None:
    wrapper = connections["default"]
    barrier = asyncio.Barrier(4)

    async def child(number: int) -> Any:
        async with aatomic():
            await Author.objects.acreate(name=f"Author {number}")
            await barrier.wait()
            assert await Author.objects.acount() == 1
            await barrier.wait()
        return connections["default"]

    wrappers = await asyncio.gather(*(child(number) for number in range(4)))
    assert len({wrapper, *wrappers}) == 5
    assert await Author.objects.acount() == 4


async def test_a_child_started_before_the_transaction_is_independent() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def child() -> int:
        started.set()
        await go_on.wait()
        return await Author.objects.acount()

    await Author.objects.acount()
    task = asyncio.create_task(child())
    await started.wait()
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        go_on.set()
        assert await task == 0


async def test_a_background_task_may_query_when_the_transaction_has_ended() -> None:
    go_on = asyncio.Event()

    async def background() -> int:
        await go_on.wait()
        return await Author.objects.acount()

    async with aatomic():
        await Author.objects.acreate(name="Ada")
        task = asyncio.create_task(background())
    async with aatomic():
        # Another transaction than the one that the task was started in.
        await Author.objects.acreate(name="Bob")
        go_on.set()
        assert await task == 1


async def test_a_background_task_may_query_when_its_parent_has_ended() -> None:
    go_on = asyncio.Event()

    async def background() -> int:
        await go_on.wait()
        return await Author.objects.acount()

    async def parent() -> asyncio.Task[int]:
        await on_loop(transaction.atomic().__enter__)()
        await Author.objects.acreate(name="Ada")
        return asyncio.create_task(background())

    task = await asyncio.create_task(parent())
    go_on.set()
    assert await task == 0


async def test_a_callback_may_start_a_task_when_the_transaction_has_ended() -> None:
    loop = asyncio.get_running_loop()
    started = loop.create_future()

    def start() -> None:
        started.set_result(loop.create_task(Author.objects.acount()))

    async with aatomic():
        await Author.objects.acreate(name="Ada")
        loop.call_soon(loop.call_soon, start)
    assert await (await started) == 1


async def test_a_copied_context_in_the_same_task_is_the_same_transaction() -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        first, second = (
            contextvars.copy_context().run(lambda: connections["default"])
            for _ in range(2)
        )
        assert first is second is connections["default"]
        counting = contextvars.copy_context().run(Author.objects.acount)
        assert await counting == 1


# Threads, and the end of tasks


async def test_a_thread_has_connections_of_its_own() -> None:
    here = connections["default"]
    there = await asyncio.to_thread(lambda: connections["default"])
    again = await sync_to_async(lambda: connections["default"])()
    assert len({id(here), id(there), id(again)}) == 3
    await asyncio.to_thread(connections.close_all)


def test_threads_outside_a_loop_keep_their_connection_as_in_django() -> None:
    here = connections["default"]
    assert connections["default"] is here
    there: list[Any] = []
    thread = threading.Thread(target=lambda: there.append(connections["default"]))
    thread.start()
    thread.join()
    assert there[0] is not here


async def test_nothing_keeps_an_ended_task_alive() -> None:
    class Result:
        pass

    async def work() -> Result:
        async with aatomic():
            await Author.objects.acount()
        return Result()

    task = asyncio.create_task(work())
    alive = weakref.ref(await task), weakref.ref(task)
    del task
    await asyncio.sleep(0)
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


async def test_the_result_of_an_ended_task_is_freed_without_the_collector() -> None:
    class Result:
        pass

    async def work() -> Result:
        await Author.objects.acount()
        return Result()

    gc.disable()
    try:
        alive = weakref.ref(await asyncio.create_task(work()))
        await asyncio.sleep(0)
        assert alive() is None
    finally:
        gc.enable()


async def test_a_chain_of_tasks_does_not_grow() -> None:
    contexts: list[weakref.ref[Any]] = []

    class Mark:
        pass

    variable: contextvars.ContextVar[Mark] = contextvars.ContextVar("mark")

    async def link(left: int) -> None:
        variable.set(mark := Mark())
        contexts.append(weakref.ref(mark))
        del mark
        await Author.objects.acount()
        if left:
            chain.append(asyncio.create_task(link(left - 1)))

    chain = [asyncio.create_task(link(20))]
    while chain:
        await chain.pop(0)
    await asyncio.sleep(0)
    gc.collect()
    # The last may still be in use by the loop.
    assert sum(reference() is not None for reference in contexts) <= 1


@pytest.mark.parametrize("using", ["replica", "sqlite"])
async def test_what_a_hook_opens_is_of_the_task_that_commits(using: str) -> None:
    async def hook() -> None:
        await Author.objects.using(using).acreate(name="Ada")

    async with aatomic():
        await aon_commit(hook)
    async with aatomic(using):
        assert await Author.objects.using(using).acount() == 1
    assert connections[using].owner is asyncio.current_task()


async def test_the_connection_that_a_hook_opens_is_of_the_task_that_commits(
    configure: Configure,
) -> None:
    configure("replica", lease="task")
    authors = Author.objects.using("replica")

    async def work() -> list[Any]:
        async with aatomic():
            await aon_commit(partial(authors.acreate, name="Ada"))
        # Only the task of a connection may close its cursors on the server.
        assert [author.name async for author in authors.aiterator()] == ["Ada"]
        return await on_loop(execute)("SELECT name FROM pg_cursors", using="replica")

    assert await asyncio.create_task(work()) == []

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from django_async_ext import aatomic, on_loop
from django_async_ext.db.backends.registry import pool_for
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.server import Server, execute, existing_pool, until
from tests.library.models import Author


async def pid(using: str = "default") -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()", using=using))[0][0]


async def busy() -> int:
    barrier = asyncio.Barrier(3)

    async def work() -> None:
        async with aatomic():
            await Author.objects.acount()
            await barrier.wait()

    await asyncio.gather(work(), work(), work())
    return pool_stats()["size"]


def eventually(condition: Callable[[], Any]) -> None:
    asyncio.run(until(condition))


# Loops


def test_a_pool_ends_with_its_loop(server: Server) -> None:
    for _ in range(2):
        assert asyncio.run(busy()) == 3
        eventually(lambda: server.sessions() == 0)


def test_loops_in_several_threads_have_pools_of_their_own(
    server: Server, configure: Configure
) -> None:
    configure(pool={"max_size": 3})
    together = threading.Barrier(4)
    pools: list[Any] = []
    errors: list[BaseException] = []

    async def main() -> None:
        assert await busy() == 3
        pools.append(existing_pool("default"))
        # Every loop is at work at the same time.
        await asyncio.to_thread(together.wait, 20)
        await asyncio.gather(*(Author.objects.acount() for _ in range(20)))

    def run() -> None:
        try:
            for _ in range(3):
                asyncio.run(main())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({id(pool) for pool in pools}) == 12
    eventually(lambda: server.sessions() == 0)


def test_a_task_in_a_transaction_is_rolled_back_when_its_loop_ends(
    server: Server,
) -> None:
    async def forgetful() -> None:
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            await asyncio.Event().wait()

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(forgetful())
        await until(lambda: pool_stats()["in_use"] == 1)
        return task

    assert asyncio.run(main()).cancelled()
    eventually(lambda: server.sessions() == 0)
    assert Author.objects.count() == 0


def test_a_loop_closed_without_shutting_down_leaves_nothing_to_the_next(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()

    async def abandoned() -> None:
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            await asyncio.Event().wait()

    task = loop.create_task(abandoned())
    loop.run_until_complete(asyncio.sleep(0))
    while not server.ask(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s "
        "AND state = 'idle in transaction'",
        server.name,
    ):
        loop.run_until_complete(asyncio.sleep(0.005))
    loop.close()
    assert server.sessions() == 1
    assert asyncio.run(busy()) == 3
    eventually(lambda: server.sessions() == 0)
    assert Author.objects.count() == 0
    # Nor does what the collector finds of it wait, or connect.
    del task
    gc.collect()


def test_a_query_of_a_closing_loop_does_not_keep_a_session(server: Server) -> None:
    async def late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await Author.objects.acount()

    async def main() -> None:
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(main())
    eventually(lambda: server.sessions() == 0)


async def test_each_database_has_a_pool_and_one_is_made_on_first_use() -> None:
    assert existing_pool("default") is None
    await pid()
    assert existing_pool("replica") is None
    await pid("replica")
    first, second = existing_pool("default"), existing_pool("replica")
    assert first is not second
    assert pool_for(connections["default"]) is first


async def test_a_database_of_another_name_has_another_pool(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    await pid()
    before = existing_pool("default")
    replica = connections.settings["replica"]["NAME"]
    monkeypatch.setitem(connections.settings["default"], "NAME", replica)
    name = await on_loop(execute)("SELECT current_database()::text")
    assert name == [(replica,)]
    assert existing_pool("default") is not before
    assert before.closed
    await until(lambda: server.sessions() == 1)


async def test_close_pool_closes_the_pool_of_this_loop(server: Server) -> None:
    await pid()
    await pid("replica")
    connections["default"].close_pool()
    await until(lambda: server.sessions() == 0)
    assert existing_pool("default") is None
    assert existing_pool("replica") is not None
    assert await pid()


# Processes


async def test_a_forked_child_leaves_its_parents_connections_alone(
    server: Server,
) -> None:
    async with aatomic():
        first = await pid()
        await Author.objects.acreate(name="Ada")
        assert await on_loop(forked)(in_child) == "in its loop; outside of loops"
        # What the child did, and its end, left this transaction alone.
        assert await pid() == first
        assert await Author.objects.acount() == 1
    assert await Author.objects.acount() == 1
    await until(lambda: server.sessions() == 1)


def forked(function: Callable[[], str]) -> str:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Of Python 3.12, about threads: the child uses none of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            said = function()
        except BaseException as error:  # noqa: BLE001
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def in_child() -> str:
    said = []

    async def main() -> None:
        assert existing_pool("default") is None
        assert await Author.objects.acount() == 0, "sees the parent's transaction"
        assert pool_stats()["size"] == 1
        said.append("in its loop")

    def outside() -> None:
        assert execute("SELECT 1", using="replica") == [(1,)]
        said.append("outside of loops")

    for function in (lambda: asyncio.run(main()), outside):
        # A thread, to have no connection of the parent's thread.
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()
    return "; ".join(said)

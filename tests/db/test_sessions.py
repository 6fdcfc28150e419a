"""What a session of the server keeps, and who may find it there."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

from django_async_ext import aatomic, gather_queries, hold_connection, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.interruptions import Interruption, Kind
from tests.db.server import Server, execute, until
from tests.library.models import Author, Tag

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_hold_that_outlives_its_task_is_reset(server: Server) -> None:
    async def locked() -> AsyncIterator[int]:
        async with hold_connection():
            await on_loop(execute)("SELECT pg_advisory_lock(99)")
            yield 1

    async def work() -> None:
        async for _ in locked():
            break

    await asyncio.create_task(work())
    await until(lambda: pool_stats()["in_use"] == 0)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 99"
    assert server.ask(held) == [0]


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_hold_in_a_job_is_reset(in_transaction: bool) -> None:
    async def job() -> None:
        async with hold_connection():
            await on_loop(execute)("SELECT set_config('my.tenant', 'ada', false)")

    async def work() -> None:
        gathered = gather_queries(job, Tag.objects.acount(), pipeline=True)
        if in_transaction:
            async with aatomic():
                await gathered
        else:
            await gathered

    await asyncio.create_task(work())
    await until(lambda: pool_stats()["in_use"] == 0)
    look = partial(on_loop(execute), "SELECT current_setting('my.tenant', true)")
    assert await asyncio.create_task(look()) in ([(None,)], [("",)])


@contextmanager
def in_each_session(sql: str) -> Iterator[None]:
    def receive(connection: Any, **_kwargs: Any) -> None:
        if connection.alias == "default":
            with connection.cursor() as cursor:
                cursor.execute(sql)

    connection_created.connect(receive)
    try:
        connections["default"].close_pool()
        yield
    finally:
        connection_created.disconnect(receive)
        connections["default"].close_pool()


async def test_a_reset_session_has_what_each_new_one_is_given() -> None:
    ask = partial(on_loop(execute), "SHOW statement_timeout")
    with in_each_session("SET statement_timeout = '77s'"):
        before = await ask()
        async with hold_connection():
            pass
        await until(lambda: pool_stats()["in_use"] == 0)
        assert await ask() == before == [("77s",)]


async def test_a_receiver_finds_the_session_that_is_reset_by_its_alias(
    configure: Configure,
) -> None:
    configure(lease="task")
    sessions: list[Any] = []

    def receive(connection: Any, **_kwargs: Any) -> None:
        if connection.alias == "default":
            sessions.append(connections["default"].connection is connection.connection)
            execute("SET statement_timeout = '77s'")

    connection_created.connect(receive)
    try:
        await asyncio.create_task(Tag.objects.acount())
        await until(lambda: pool_stats()["in_use"] == 0)
    finally:
        connection_created.disconnect(receive)
    assert sessions == [True, True]


async def test_gathered_queries_are_in_the_session_that_their_task_keeps(
    configure: Configure,
) -> None:
    configure(lease="task")
    show = partial(execute, "SHOW search_path")

    async def request() -> list[Any]:
        await on_loop(execute)("SET search_path = pg_catalog")
        return await gather_queries(show, show)

    assert await asyncio.create_task(request()) == [[("pg_catalog",)]] * 2


async def test_tasks_that_keep_their_connections_gather_without_others(
    configure: Configure,
) -> None:
    configure(lease="task", pool={"max_size": 2, "timeout": 2})
    barrier = asyncio.Barrier(2)

    async def request() -> list[Any]:
        await Tag.objects.acount()
        await barrier.wait()
        return await gather_queries(Tag.objects.acount(), Author.objects.acount())

    assert await asyncio.gather(request(), request()) == [[0, 0], [0, 0]]


@pytest.mark.django_db(transaction=True, databases=["sqlite"])
@pytest.mark.parametrize("kind", [Kind.AT, Kind.SERVED])
async def test_a_begin_cancelled_in_a_hold_of_sqlite_takes_nothing_with_it(
    kind: Kind,
) -> None:
    tags = Tag.objects.using("sqlite")

    async def operation() -> None:
        async with aatomic("sqlite"):
            await tags.acreate(name="inside")

    for point in (1, 2, 3):
        async with hold_connection("sqlite"):
            with suppress(asyncio.CancelledError):
                await Interruption(operation(), point, kind).run()
            await tags.acreate(name=f"after {point}")
    names = {tag.name async for tag in tags.all()}
    assert names >= {"after 1", "after 2", "after 3"}


@pytest.mark.django_db(transaction=True, databases=["sqlite"])
@pytest.mark.parametrize("kind", [Kind.AT, Kind.SERVED, Kind.TIMEOUT])
async def test_a_hold_that_is_cancelled_as_it_begins_keeps_no_connection(
    kind: Kind,
) -> None:
    async def operation() -> None:
        async with hold_connection("sqlite"):
            pass

    for point in (1, 2, 3):
        connections["sqlite"].close_pool()
        with suppress(asyncio.CancelledError, TimeoutError):
            await Interruption(operation(), point, kind).run()
        assert pool_stats("sqlite")["in_use"] == 0

import asyncio
import threading
from typing import Any

import pytest
from django.db import close_old_connections, connection, connections
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from django_async_ext import aatomic, on_loop
from django_async_ext.db.backends.postgresql import driver
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.server import Server, execute, sleep, until
from tests.library.models import Author


async def pid() -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]


# Cancellation


async def test_a_cancelled_statement_is_cancelled_on_the_server(
    server: Server, thread_submissions: list[str]
) -> None:
    first = await pid()
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.running() == 0
    assert await pid() == first
    assert thread_submissions == []


async def test_a_statement_cancelled_again_and_again_is_cancelled_on_the_server(
    server: Server,
) -> None:
    first = await pid()
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats()["in_use"] == server.running() == 0
    assert await pid() == first


async def test_a_server_that_ignored_a_cancellation_is_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, asked = driver.Connection._cancel, []

    async def ignored_once(self: Any, timeout: float) -> None:
        asked.append(timeout)
        if len(asked) > 1:
            await cancel(self, timeout)

    monkeypatch.setattr(driver.Connection, "_cancel", ignored_once)
    first = await pid()
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asked) == 2
    assert server.running() == 0
    assert await pid() == first


@pytest.mark.parametrize(
    "answer", ["RAISE EXCEPTION 'of its own'", "NULL"], ids=["fails", "succeeds"]
)
async def test_a_statement_that_ends_by_itself_when_cancelled_keeps_its_connection(
    server: Server, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    first = await pid()
    statement = f"""DO $$ BEGIN PERFORM pg_sleep(600);
        EXCEPTION WHEN query_canceled THEN {answer}; END $$"""
    task = asyncio.create_task(on_loop(execute)(statement))
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pid() == first
    assert pool_stats()["size"] == pool_stats()["idle"] == 1
    assert not caplog.messages


async def test_a_cancelled_transaction_is_rolled_back(server: Server) -> None:
    async def work() -> None:
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            await on_loop(sleep)()

    task = asyncio.create_task(work())
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats()["idle"] == 1
    assert await Author.objects.acount() == 0


async def test_many_statements_cancelled_at_once_leave_the_pool_whole(
    server: Server,
) -> None:
    tasks = [asyncio.create_task(on_loop(sleep)()) for _ in range(20)]
    await until(lambda: server.running() == 8)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    assert server.running() == 0
    assert pool_stats()["in_use"] == pool_stats()["waiting"] == 0


# Connections of the loop


async def test_what_django_configures_is_configured_on_the_loop(
    configure: Configure,
) -> None:
    from psycopg import IsolationLevel

    configure(isolation_level=IsolationLevel.SERIALIZABLE)
    async with aatomic():
        level = await on_loop(execute)("SHOW transaction_isolation")
    assert level == [("serializable",)]
    async with aatomic():
        # On the connection that the pool gave again.
        level = await on_loop(execute)("SHOW transaction_isolation")
    assert level == [("serializable",)]
    assert await on_loop(execute)("SHOW client_encoding") == [("UTF8",)]
    assert pool_stats()["size"] == 1


async def test_a_role_is_assumed_again_after_a_reset(
    configure: Configure,
) -> None:
    configure(assume_role="pg_monitor", lease="task", pool={"max_size": 1})

    async def role() -> Any:
        found = await on_loop(execute)("SELECT current_user::text")
        await on_loop(execute)("RESET ROLE")
        return found

    for _ in range(2):
        assert await asyncio.create_task(role()) == [("pg_monitor",)]


async def test_prepared_statements_survive_the_change_of_leases(
    configure: Configure,
) -> None:
    configure(prepare_threshold=0, server_side_binding=True, pool={"max_size": 2})
    await Author.objects.acreate(name="Ada")
    for _ in range(3):
        names = await asyncio.gather(
            *(Author.objects.filter(name="Ada").acount() for _ in range(10))
        )
        assert names == [1] * 10


# Outside of loops: Django's plain behaviour


def test_synchronous_code_has_a_connection_that_stays() -> None:
    replica = connections["replica"]
    replica.close()
    pids = {execute("SELECT pg_backend_pid()", using="replica")[0] for _ in range(3)}
    assert len(pids) == 1
    assert isinstance(replica.connection, driver.Connection)
    assert replica.pool is None
    replica.close()
    assert replica.connection is None


@pytest.mark.parametrize(("max_age", "stays"), [(0, False), (None, True), (60, True)])
def test_conn_max_age_is_djangos(
    monkeypatch: pytest.MonkeyPatch, max_age: int | None, stays: bool
) -> None:
    replica = connections["replica"]
    replica.close()
    monkeypatch.setitem(replica.settings_dict, "CONN_MAX_AGE", max_age)
    execute("SELECT 1", using="replica")
    close_old_connections()
    assert (replica.connection is not None) is stays
    replica.close()


def test_the_pool_of_synchronous_code_is_djangos() -> None:
    pool = connection.pool
    assert isinstance(pool, ConnectionPool)
    execute("SELECT 1")
    assert connection.connection in set(pool._pool) | {connection.connection}
    assert connection.connection._pool is pool
    connection.close()
    assert connection.connection is None


async def test_the_pool_of_synchronous_code_is_not_the_loops() -> None:
    assert await on_loop(lambda: connection.pool)() is None


def test_threads_have_connections_of_their_own() -> None:
    pids: list[Any] = []

    def work() -> None:
        pids.extend(execute("SELECT pg_backend_pid()", using="replica"))
        connections["replica"].close()

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    pids.extend(execute("SELECT pg_backend_pid()", using="replica"))
    assert len(set(pids)) == 3


def test_options_of_ours_do_not_reach_the_driver(configure: Configure) -> None:
    configure("replica", lease="task", pool={"max_size": 3})
    params = connections["replica"].get_connection_params()
    assert not {"lease", "pool"} & params.keys()
    assert conninfo_to_dict(dbname=params["dbname"])


# Several databases


class Router:
    """Reads from the replica, writes to the default database."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


@override_settings(DATABASE_ROUTERS=[Router()])
async def test_routers_send_queries_to_their_databases() -> None:
    await Author.objects.acreate(name="Ada")
    assert await Author.objects.acount() == 0
    assert await Author.objects.using("default").acount() == 1
    async with aatomic():
        await Author.objects.acreate(name="Bob")
        # The replica knows nothing of the transaction, as in Django.
        assert await Author.objects.acount() == 0
        assert await Author.objects.using("default").acount() == 2
    assert pool_stats("default")["in_use"] == pool_stats("replica")["in_use"] == 0
    assert pool_stats("replica")["size"] == 1

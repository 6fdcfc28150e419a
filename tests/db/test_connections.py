import asyncio
from typing import Any

import pytest
from django.db import connections
from django.db.utils import OperationalError

from django_async_ext import aatomic, hold_connection, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.server import Server, execute, until
from tests.library.models import Author


async def value(sql: str, *params: Any, using: str = "default") -> Any:
    return (await on_loop(execute)(sql, *params, using=using))[0][0]


async def returned(alias: str = "default") -> None:
    """Wait until the pool has reset what came back."""
    await until(lambda: pool_stats(alias)["in_use"] == 0)


# hold_connection


async def test_a_held_connection_is_one_for_all_statements() -> None:
    async with hold_connection() as wrapper:
        assert wrapper is connections["default"]
        pids = {await value("SELECT pg_backend_pid()") for _ in range(3)}
        assert pids == {wrapper.connection.info.backend_pid}
        assert pool_stats()["in_use"] == 1
    await returned()
    assert pool_stats()["idle"] == 1


async def test_advisory_locks_live_as_long_as_the_block(server: Server) -> None:
    locked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 815"
    async with hold_connection():
        await value("SELECT pg_advisory_lock(815)::text")
        await Author.objects.acount()
        assert server.ask(locked) == [1]
    await returned()
    assert server.ask(locked) == [0]


async def test_temporary_tables_and_settings_live_as_long_as_the_block(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    async with hold_connection():
        first = await value("SELECT pg_backend_pid()")
        await on_loop(execute)("CREATE TEMPORARY TABLE heap (id int)")
        await on_loop(execute)("SET statement_timeout TO '77s'")
        assert await value("SELECT count(*) FROM heap") == 0
        assert await value("SHOW statement_timeout") == "77s"
    assert await value("SELECT pg_backend_pid()") == first
    assert await value("SHOW statement_timeout") == "0"
    assert await value("SELECT to_regclass('heap') IS NULL")


async def test_notifications_arrive_in_a_held_connection() -> None:
    received: list[tuple[str, str]] = []

    def listen(wrapper: Any) -> None:
        notifications = wrapper.connection.notifies(timeout=10, stop_after=2)
        received.extend((one.channel, one.payload) for one in notifications)

    async def notify() -> None:
        await value("SELECT pg_notify('news', 'first')::text")
        await value("SELECT pg_notify('news', 'second')::text")

    async with hold_connection() as wrapper:
        await on_loop(execute)("LISTEN news")
        listening = asyncio.gather(on_loop(listen)(wrapper))
        await asyncio.create_task(notify())
        await listening
    assert received == [("news", "first"), ("news", "second")]
    await returned()
    assert await value("SELECT count(*) FROM pg_listening_channels()") == 0


async def test_copy_runs_through_the_bridge() -> None:
    def work() -> list[str]:
        with connections["default"].cursor() as cursor:
            with cursor.copy(
                "COPY library_author (name, biography) FROM STDIN"
            ) as copy:
                for number in range(1000):
                    copy.write_row((f"Author {number}", "x" * 500))
            with cursor.copy("COPY library_author (name) TO STDOUT") as copy:
                return [row[0] for row in copy.rows()]

    assert await on_loop(work)() == [f"Author {number}" for number in range(1000)]
    assert pool_stats()["in_use"] == 0
    assert await Author.objects.acount() == 1000


async def test_a_pipeline_of_psycopg_runs_through_the_bridge() -> None:
    def work(wrapper: Any) -> list[int]:
        with wrapper.connection.pipeline(), wrapper.connection.cursor() as cursor:
            cursors = [wrapper.connection.execute("SELECT %s", [n]) for n in range(50)]
            cursor.execute("SELECT 50")
            return [one.fetchone()[0] for one in [*cursors, cursor]]

    async with hold_connection() as wrapper:
        assert await on_loop(work)(wrapper) == list(range(51))
    await returned()
    assert pool_stats()["idle"] == 1


async def test_holds_nest_and_the_outermost_one_ends_the_session() -> None:
    async with hold_connection():
        await on_loop(execute)("SET search_path TO outer_schema, public")
        async with hold_connection():
            await value("SELECT 1")
        assert await value("SHOW search_path") == "outer_schema, public"
        async with aatomic():
            await Author.objects.acreate(name="Ada")
        assert await value("SHOW search_path") == "outer_schema, public"
    await returned()
    assert await value("SHOW search_path") == '"$user", public'


async def test_a_hold_within_a_transaction_ends_with_the_transaction() -> None:
    async with aatomic():
        async with hold_connection():
            await on_loop(execute)("SET search_path TO here, public")
        await Author.objects.acount()
        assert await value("SHOW search_path") == "here, public"
    await returned()
    assert await value("SHOW search_path") == '"$user", public'


async def test_a_hold_ends_with_an_error_and_with_a_cancellation() -> None:
    with pytest.raises(ZeroDivisionError):
        async with hold_connection():
            raise ZeroDivisionError
    held = asyncio.Event()

    async def hold() -> None:
        async with hold_connection():
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await returned()


async def test_a_hold_outlives_the_loss_of_its_connection(server: Server) -> None:
    async with hold_connection():
        await value("SELECT 1")
        server.terminate()
        with pytest.raises(OperationalError, match="terminating connection"):
            await value("SELECT 1")
        await on_loop(connections["default"].close)()
        first = await value("SELECT pg_backend_pid()")
        assert await value("SELECT pg_backend_pid()") == first
    await returned()


async def test_a_hold_does_not_go_on_with_another_session(server: Server) -> None:
    async with hold_connection():
        with pytest.raises(OperationalError, match="terminating connection"):
            async with aatomic():
                await value("SELECT 1")
                server.terminate()
                await value("SELECT 1")
        for _ in range(2):
            with pytest.raises(OperationalError, match="hold-lost"):
                await value("SELECT 1")
    await returned()
    assert await value("SELECT 1") == 1


@pytest.mark.parametrize("using", ["replica", "sqlite"])
async def test_any_database_can_be_held(using: str) -> None:
    async with hold_connection(using) as wrapper:
        assert wrapper.alias == using
        await on_loop(execute)("CREATE TEMPORARY TABLE heap (id int)", using=using)
        assert await value("SELECT count(*) FROM heap", using=using) == 0
        await on_loop(execute)("DROP TABLE heap", using=using)
        assert pool_stats(using)["in_use"] == 1
    await returned(using)


# pool_stats


def test_pool_stats_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        pool_stats()


async def test_pool_stats_are_zero_before_the_first_query() -> None:
    zeros = {"size": 0, "idle": 0, "in_use": 0, "waiting": 0, "max_size": 8}
    assert pool_stats() == zeros
    await value("SELECT 1", using="replica")
    assert pool_stats() == zeros
    assert pool_stats("replica") == {
        "size": 1,
        "idle": 1,
        "in_use": 0,
        "waiting": 0,
        "max_size": 10,
    }

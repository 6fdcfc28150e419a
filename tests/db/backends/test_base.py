import asyncio
import contextvars
import gc
import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.db.utils import InterfaceError, ProgrammingError
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_async_ext import aatomic, aon_commit, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.server import Server, execute, existing_pool, sleep, until
from tests.library.models import Author, Book
from tests.waiting import PATIENCE, timing_out

DOCS = "https://django-async-ext.readthedocs.io/en/latest/reference/errors.html"


def in_use(alias: str = "default") -> int:
    return pool_stats(alias)["in_use"]


async def pid() -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]


async def make_authors(count: int = 3) -> None:
    await Author.objects.abulk_create(Author(name=f"Author {n}") for n in range(count))


def open_server_cursors() -> int:
    """Count those of the session that this statement runs in."""
    return execute("SELECT count(*) FROM pg_cursors")[0][0]


# A statement


async def test_a_lease_ends_with_its_statement() -> None:
    assert pool_stats()["size"] == 0
    author = await Author.objects.acreate(name="Ada")
    assert in_use() == 0
    assert await Author.objects.aget() == author
    assert in_use() == 0
    await author.adelete()
    assert await Author.objects.all() == []
    assert pool_stats()["size"] == 1
    assert in_use() == 0


async def test_a_lease_ends_with_a_failed_statement() -> None:
    with pytest.raises(ProgrammingError, match="does not exist"):
        await on_loop(execute)("SELECT * FROM nowhere")
    assert in_use() == 0
    assert pool_stats()["size"] == 1


async def test_two_cursors_share_a_lease_until_both_are_closed() -> None:
    def work() -> list[int]:
        with connection.cursor() as outer:
            outer.execute("SELECT 1")
            with connection.cursor() as inner:
                inner.execute("SELECT 2")
                counts = [in_use()]
            counts.append(in_use())
        return [*counts, in_use()]

    assert await on_loop(work)() == [1, 1, 0]
    assert pool_stats()["size"] == 1


async def test_a_cursor_closed_twice_ends_one_lease() -> None:
    def work() -> None:
        cursor = connection.cursor()
        cursor.close()
        cursor.close()

    await on_loop(work)()
    assert pool_stats()["idle"] == 1


async def test_a_cursor_dropped_without_closing_it_ends_the_lease() -> None:
    await on_loop(lambda: connection.cursor().execute("SELECT 1"))()
    await until(lambda: in_use() == 0)
    assert pool_stats()["idle"] == 1


async def test_a_cursor_collected_in_another_thread_wakes_who_waits(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})

    def lose() -> None:
        cycle: list[Any] = [connection.cursor()]
        cycle.append(cycle)

    gc.collect()
    gc.disable()
    try:
        await on_loop(lose)()
        assert in_use() == 1
        waiter = asyncio.create_task(pid_elsewhere())
        await until(lambda: pool_stats()["waiting"] == 1)
        # The loop must sleep now, or it would see the freed connection by chance.
        timer = threading.Timer(0.1, gc.collect)
        timer.start()
        async with asyncio.timeout(PATIENCE):
            assert await waiter
        timer.join()
    finally:
        gc.enable()
    assert in_use() == 0


async def pid_elsewhere() -> int:
    """Give the process id of a session that is not this task's."""
    return await asyncio.get_running_loop().create_task(
        pid(), context=contextvars.Context()
    )


async def test_a_statement_that_is_cancelled_gives_its_connection_back(
    server: Server,
) -> None:
    with pytest.raises(TimeoutError):
        async with timing_out(server.running):
            await on_loop(sleep)()
    assert server.running() == 0
    assert pool_stats()["idle"] == 1
    assert await pid() in server.pids()
    assert pool_stats()["size"] == server.sessions() == 1


async def test_an_orm_query_that_is_cancelled_gives_its_connection_back(
    server: Server,
) -> None:
    await make_authors()
    slow = Author.objects.extra(where=["pg_sleep(600) IS NOT NULL"])
    task = asyncio.current_task()
    asyncio.create_task(until(server.running)).add_done_callback(
        lambda done: task.cancel()
    )
    with pytest.raises(asyncio.CancelledError):
        await slow
    task.uncancel()
    assert server.running() == 0
    assert pool_stats()["idle"] == 1


async def test_closing_the_wrapper_under_an_open_cursor_closes_the_connection() -> None:
    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            connection.close()

    await on_loop(work)()
    assert pool_stats()["size"] == 0
    assert await pid()


async def test_a_cursor_outlives_its_lease_closed() -> None:
    def take() -> Any:
        return connection.cursor()

    async def child() -> Any:
        cursor = await on_loop(take)()
        await on_loop(cursor.execute)("SELECT 1")
        return cursor

    cursor = await asyncio.create_task(child())
    await until(lambda: in_use() == 0)
    for _ in range(2):
        with pytest.raises(InterfaceError, match="the cursor is closed"):
            await on_loop(cursor.execute)("SELECT 2")
        await on_loop(cursor.close)()
    assert pool_stats()["idle"] == 1


async def test_connection_created_is_sent_once_for_each_connection() -> None:
    from django.db.backends.signals import connection_created

    made: list[Any] = []

    def receiver(connection: Any, **kwargs: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        made.append(connection.alias)

    connection_created.connect(receiver)
    try:
        await pid()
        await pid()
    finally:
        connection_created.disconnect(receiver)
    assert made == ["default"]
    assert in_use() == 0


# Iterators


async def test_an_iterator_keeps_its_connection_to_the_end_and_closes_its_cursor() -> (
    None
):
    await make_authors(10)
    seen = []
    async for author in Author.objects.order_by("pk").aiterator(chunk_size=2):
        seen.append(author.name)
        assert in_use() == 1
    assert seen == [f"Author {n}" for n in range(10)]
    assert in_use() == 0
    assert await on_loop(open_server_cursors)() == 0


async def test_an_iterator_broken_off_has_its_cursor_closed_by_the_pool() -> None:
    await make_authors(10)
    async for _ in Author.objects.aiterator(chunk_size=2):
        assert await on_loop(open_server_cursors)() == 1
        first = await pid()
        break
    await until(lambda: pool_stats()["idle"] == 1)
    assert await on_loop(open_server_cursors)() == 0
    assert await pid() == first


async def test_a_synchronous_iterator_broken_off_closes_its_cursor_itself() -> None:
    await make_authors(10)

    def work() -> tuple[int, int]:
        for _ in Author.objects.iterator(chunk_size=2):
            during = open_server_cursors()
            break
        return during, open_server_cursors()

    assert await on_loop(work)() == (1, 0)
    assert in_use() == 0


async def test_an_iterator_that_is_cancelled_leaves_nothing_behind(
    server: Server,
) -> None:
    await make_authors(10)
    started = asyncio.Event()

    async def work() -> None:
        async for _ in Author.objects.aiterator(chunk_size=2):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await until(lambda: pool_stats()["idle"] == 1)
    assert await on_loop(open_server_cursors)() == 0
    assert server.sessions() == 1


async def test_an_iterator_that_outlives_its_task_is_closed_with_it(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    await make_authors(10)

    async def start() -> Any:
        iterator = Author.objects.aiterator(chunk_size=2)
        await anext(iterator)
        return iterator

    iterator = await asyncio.create_task(start())
    await until(lambda: pool_stats()["idle"] == 1)
    assert await on_loop(open_server_cursors)() == 0
    async with aatomic():
        # Its connection is this transaction's now.
        await anext(iterator)
        with pytest.raises(InterfaceError, match="the cursor is closed"):
            await anext(iterator)
        await iterator.aclose()
        assert await Author.objects.acount() == 10
    assert in_use() == 0


async def test_an_iterator_in_a_transaction_leaves_it_usable() -> None:
    await make_authors(10)
    async with aatomic():
        async for _ in Author.objects.aiterator(chunk_size=2):
            break
        await Author.objects.acreate(name="Last")
    await until(lambda: in_use() == 0)
    assert await Author.objects.acount() == 11
    assert await on_loop(open_server_cursors)() == 0


async def test_iterators_work_with_server_side_binding(configure: Configure) -> None:
    configure(server_side_binding=True)
    await make_authors(10)
    names = Author.objects.filter(name__startswith="Author").order_by("pk")
    seen = [author.name async for author in names.aiterator(chunk_size=3)]
    assert seen == [f"Author {n}" for n in range(10)]
    async for _ in names.aiterator(chunk_size=3):
        break
    await until(lambda: in_use() == 0)
    assert await on_loop(open_server_cursors)() == 0


async def test_iterators_work_with_server_side_cursors_disabled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        connections.settings["default"], "DISABLE_SERVER_SIDE_CURSORS", True
    )
    await make_authors(10)
    async for _ in Author.objects.aiterator(chunk_size=3):
        assert await on_loop(open_server_cursors)() == 0
        break
    await until(lambda: in_use() == 0)


# Transactions


async def test_a_transaction_keeps_one_connection_and_gives_it_back() -> None:
    async with aatomic():
        first = await pid()
        assert in_use() == 1
        await Author.objects.acreate(name="Ada")
        async with aatomic():
            assert await pid() == first
        assert await pid() == first
        assert in_use() == 1
    assert pool_stats()["idle"] == pool_stats()["size"] == 1


@pytest.mark.parametrize("using", ["default", "sqlite"])
async def test_a_transaction_that_fails_gives_its_connection_back(using: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with aatomic(using):
            await Author.objects.using(using).acreate(name="Ada")
            raise ZeroDivisionError
    assert in_use(using) == 0
    assert pool_stats(using)["size"] == 1
    assert await Author.objects.using(using).acount() == 0


async def test_a_transaction_whose_statement_fails_gives_its_connection_back() -> None:
    with pytest.raises(ProgrammingError):
        async with aatomic():
            await on_loop(execute)("SELECT * FROM nowhere")
    assert pool_stats()["idle"] == 1


async def test_a_task_that_ends_in_a_transaction_has_it_rolled_back(
    server: Server,
) -> None:
    async def forgetful() -> None:
        await on_loop(transaction.atomic().__enter__)()
        await Author.objects.acreate(name="Ada")

    await asyncio.create_task(forgetful())
    await until(lambda: pool_stats()["size"] == 0)
    await until(lambda: server.sessions() == 0)
    assert await Author.objects.acount() == 0


async def test_a_transaction_without_autocommit_keeps_its_connection() -> None:
    def work() -> None:
        transaction.set_autocommit(False)
        Author.objects.create(name="Ada")
        assert in_use() == 1
        transaction.rollback()
        Author.objects.create(name="Bob")
        transaction.commit()
        transaction.set_autocommit(True)

    await on_loop(work)()
    assert in_use() == 0
    assert [author.name for author in await Author.objects.all()] == ["Bob"]


async def test_transactions_on_several_databases_nest() -> None:
    with pytest.raises(ZeroDivisionError):
        async with aatomic():
            await Author.objects.acreate(name="outer")
            async with aatomic("replica"), aatomic("sqlite"):
                await Author.objects.using("replica").acreate(name="middle")
                await Author.objects.using("sqlite").acreate(name="inner")
                assert [in_use(a) for a in ("default", "replica", "sqlite")] == [1] * 3
            assert [in_use(a) for a in ("default", "replica", "sqlite")] == [1, 0, 0]
            raise ZeroDivisionError
    assert in_use() == 0
    assert await Author.objects.acount() == 0
    assert await Author.objects.using("replica").acount() == 1
    assert await Author.objects.using("sqlite").acount() == 1


async def test_a_commit_that_is_cancelled_runs_to_its_end(server: Server) -> None:
    hooks: list[str] = []
    await on_loop(execute)(
        "CREATE OR REPLACE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$"
    )
    await on_loop(execute)(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON library_author "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_commit()"
    )
    try:

        async def insert() -> None:
            async with aatomic():
                await aon_commit(lambda: hooks.append("ran"))
                await Author.objects.acreate(name="Ada")

        async with aatomic():
            await on_loop(execute)("SELECT pg_advisory_xact_lock(4711)")
            loop = asyncio.get_running_loop()
            task = loop.create_task(insert(), context=contextvars.Context())
            await until(lambda: server.running("COMMIT"))
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hooks == ["ran"]
        assert await Author.objects.acount() == 1
        assert pool_stats()["idle"] == 2
        async with aatomic():
            pass
        assert hooks == ["ran"]
    finally:
        await on_loop(execute)("DROP FUNCTION slow_commit CASCADE")


# Observers


async def test_queries_of_children_are_seen_by_their_parents_observers() -> None:
    await make_authors()
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        await gather_queries(Author.objects.all(), Author.objects.acount())
        await asyncio.create_task(Author.objects.acount())
    await asyncio.create_task(Author.objects.acount())
    assert len(seen) == 3


async def test_captured_queries_contain_those_of_children(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 2})
    await make_authors()
    captured = CaptureQueriesContext(connection)
    await on_loop(captured.__enter__)()
    await gather_queries(
        Author.objects.all(), Author.objects.acount(), Book.objects.acount()
    )
    captured.__exit__(None, None, None)
    assert len(captured) == 3


@override_settings(DEBUG=True)
async def test_queries_are_logged_in_debug_mode() -> None:
    connection.queries_log.clear()
    async with aatomic():
        await Author.objects.acount()
    await gather_queries(Author.objects.acount(), Book.objects.acount())
    words = [query["sql"].split()[0] for query in connection.queries]
    assert words == ["BEGIN", "SELECT", "COMMIT", "SELECT", "SELECT"]


# The guard


async def test_the_guard_of_django_still_refuses_queries_outside_the_bridge() -> None:
    with pytest.raises(SynchronousOnlyOperation) as caught:
        Author.objects.count()
    assert str(caught.value) == (
        "You cannot call this from an async context - use a thread or sync_to_async. "
        "A synchronous query to database 'default' would block the event loop. Use "
        "the awaitable method of the same name with an 'a' in front (aget, asave, "
        f"...), or call the function as `await on_loop(fn)(...)`. See {DOCS}"
        "#query-outside-bridge"
    )


async def test_allow_async_unsafe_allows_what_it_allows_in_django(
    monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def notebook_cell(number: int) -> None:
        Author.objects.create(name=f"Author {number}")
        with transaction.atomic():
            assert Author.objects.count() == number + 1

    # More cells than the pool of psycopg_pool, which they use, has connections.
    for number in range(10):
        await asyncio.create_task(notebook_cell(number))
    assert pool_stats()["size"] == 0
    assert await Author.objects.acount() == 10


async def test_allow_async_unsafe_changes_nothing_inside_the_bridge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    await make_authors()
    assert pool_stats()["idle"] == 1


async def test_an_engine_of_django_is_refused_inside_the_bridge_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    stock = {
        **connections.settings["sqlite"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": tmp_path / "stock.sqlite3",
    }
    monkeypatch.setitem(connections.settings, "stock", stock)
    with pytest.raises(SynchronousOnlyOperation) as caught:
        await Author.objects.using("stock").acount()
    assert str(caught.value) == (
        "Database 'stock' was used on the event loop, but its ENGINE "
        "'django.db.backends.sqlite3' would block it. Set "
        "DATABASES['stock']['ENGINE'] to the engine of the same name in "
        "django_async_ext.db.backends, or to its threaded engine, or use this "
        f"database in a thread (sync_to_async). See {DOCS}#wrong-engine"
    )
    assert await Author.objects.acount() == 0


# Session state


async def test_a_lease_by_task_keeps_its_session_and_leaves_it_new(
    configure: Configure,
) -> None:
    configure(lease="task", pool={"max_size": 1})

    async def work() -> tuple[int, str]:
        before = (await on_loop(execute)("SHOW search_path"))[0][0]
        assert before == '"$user", public'
        await on_loop(execute)("SET search_path TO tenant, public")
        await Author.objects.acount()
        assert in_use() == 1
        after = (await on_loop(execute)("SHOW search_path"))[0][0]
        return await pid(), after

    first = await asyncio.create_task(work())
    second = await asyncio.create_task(work())
    assert first == second
    assert first[1] == "tenant, public"


async def test_a_lease_by_task_outlives_a_transaction(configure: Configure) -> None:
    configure(lease="task", pool={"max_size": 1})
    first = await asyncio.create_task(pid())

    async def work() -> None:
        async with aatomic():
            first = await pid()
        assert in_use() == 1
        assert await pid() == first

    await asyncio.create_task(work())
    await until(lambda: in_use() == 0)
    assert await asyncio.create_task(pid()) == first


async def test_a_lease_by_task_that_is_cancelled_comes_back(
    server: Server, configure: Configure
) -> None:
    configure(lease="task")
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: pool_stats()["idle"] == 1)


async def test_the_session_settings_of_django_survive_a_reset(
    configure: Configure,
) -> None:
    configure(lease="task", pool={"max_size": 1})
    query = "SELECT current_setting('TimeZone')"

    async def work() -> str:
        zone = (await on_loop(execute)(query))[0][0]
        await on_loop(execute)("SET TIME ZONE 'Asia/Tokyo'")
        return zone

    assert await asyncio.create_task(work()) == "UTC"
    assert await asyncio.create_task(work()) == "UTC"


@pytest.mark.parametrize("lease", ["request", None, ""])
async def test_a_lease_of_another_kind_is_refused_in_words(
    configure: Configure, lease: Any
) -> None:
    configure(lease=lease)
    with pytest.raises(ImproperlyConfigured) as caught:
        await pid()
    assert str(caught.value) == (
        f"DATABASES['default']['OPTIONS']['lease'] is {lease!r}. It must be "
        "'statement', to return the connection after each statement outside "
        "transactions, or 'task', to keep it until the task ends. "
        f"See {DOCS}#lease-option"
    )


# Scale, by counts


async def test_two_thousand_tasks_run_on_the_pools_connections(
    server: Server,
) -> None:
    await make_authors(1)
    author = await Author.objects.aget()
    most = 0
    threads = set(threading.enumerate())

    async def request() -> None:
        nonlocal most
        await on_loop(sleep)(0.005)
        assert await Author.objects.aget(pk=author.pk) == author
        most = max(most, pool_stats()["size"])
        assert await Author.objects.aget(name=author.name) == author

    tasks = [asyncio.create_task(request()) for _ in range(2000)]
    await until(lambda: server.sessions() == 8)
    await asyncio.gather(*tasks)
    assert most == server.sessions() == 8
    # Those of earlier tests may have ended, but none was started.
    assert set(threading.enumerate()) <= threads
    assert in_use() == 0


async def test_ten_thousand_idle_tasks_hold_no_connection(server: Server) -> None:
    idle, go_on = 0, asyncio.Event()

    async def request() -> None:
        nonlocal idle
        await pid()
        idle += 1
        await go_on.wait()
        idle -= 1

    tasks = [asyncio.create_task(request()) for _ in range(10_000)]
    await until(lambda: idle == 10_000, 5 * PATIENCE)
    assert in_use() == 0
    assert server.sessions() <= 8
    assert existing_pool("default").stats()["waiting"] == 0
    go_on.set()
    await asyncio.gather(*tasks)

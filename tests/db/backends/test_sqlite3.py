import asyncio
import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.utils import IntegrityError, OperationalError

from django_async_ext import aatomic, gather_queries, hold_connection, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.server import execute, until
from tests.library.models import Author, Tag
from tests.waiting import new_threads

FOREVER = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT count(*) FROM c"
)

Using = Callable[..., None]


@pytest.fixture
def using(monkeypatch: pytest.MonkeyPatch) -> Using:
    """Give the alias "sqlite" another database for the test."""

    def change(name: Any, **options: Any) -> None:
        monkeypatch.setitem(connections.settings["sqlite"], "NAME", name)
        monkeypatch.setitem(connections.settings["sqlite"], "OPTIONS", options)

    return change


@pytest.fixture
async def database(using: Using, tmp_path: Path) -> None:
    """A file, with the table of authors."""
    using(tmp_path / "library.sqlite3")
    await on_loop(make_table)(Author)


def make_table(model: Any) -> None:
    with connections["sqlite"].schema_editor() as editor:
        editor.create_model(model)


def authors() -> Any:
    return Author.objects.using("sqlite")


def workers() -> int:
    names = [thread.name for thread in threading.enumerate()]
    return names.count("django_async_ext-worker")


# Leases and threads


async def test_a_statement_runs_in_a_worker_and_gives_it_back(database: None) -> None:
    before = workers()
    await authors().acreate(name="Ada")
    assert await authors().acount() == 1
    assert pool_stats("sqlite") == {
        "size": 1,
        "idle": 1,
        "in_use": 0,
        "waiting": 0,
        "max_size": 10,
    }
    assert workers() == before


async def test_there_is_one_thread_for_each_connection(using: Using, tmp_path: Path):
    using(tmp_path / "library.sqlite3", pool={"max_size": 3})
    before = set(threading.enumerate())
    await on_loop(make_table)(Author)
    await asyncio.gather(*(authors().acount() for _ in range(30)))
    assert pool_stats("sqlite")["size"] == 3
    assert len(new_threads(before)) == 3
    connections["sqlite"].close_pool()
    await until(lambda: not new_threads(before))


async def test_two_cursors_share_a_lease(database: None) -> None:
    def work() -> list[int]:
        with connections["sqlite"].cursor() as outer:
            outer.execute("SELECT 1")
            with connections["sqlite"].cursor() as inner:
                inner.execute("SELECT 2")
            counts = [pool_stats("sqlite")["in_use"]]
        return [*counts, pool_stats("sqlite")["in_use"]]

    assert await on_loop(work)() == [1, 0]


async def test_a_dropped_cursor_ends_the_lease(database: None) -> None:
    def work() -> int:
        cursor = connections["sqlite"].cursor()
        cursor.execute("SELECT 1")
        return int(pool_stats("sqlite")["in_use"])

    assert await on_loop(work)() == 1
    await until(lambda: pool_stats("sqlite")["in_use"] == 0)


async def test_many_rows_come_in_portions_and_in_order(database: None) -> None:
    await authors().abulk_create(Author(name=f"{n:04}") for n in range(1000))
    names = authors().order_by("name").values_list("name", flat=True)
    assert await names == [f"{n:04}" for n in range(1000)]
    assert [n async for n in names.aiterator(7)] == [f"{n:04}" for n in range(1000)]

    def fetch() -> list[Any]:
        with connections["sqlite"].cursor() as cursor:
            cursor.execute("SELECT name FROM library_author ORDER BY name")
            rows = [cursor.fetchone(), *cursor.fetchmany(150), *cursor.fetchmany()]
            return rows + cursor.fetchall() + [cursor.fetchone()]

    rows = await on_loop(fetch)()
    assert rows == [*((f"{n:04}",) for n in range(1000)), None]


async def test_an_iterator_broken_off_does_not_lock_the_database(
    database: None,
) -> None:
    await authors().abulk_create(Author(name=f"{n:04}") for n in range(1000))
    async for _ in authors().aiterator(10):
        break
    await until(lambda: pool_stats("sqlite")["in_use"] == 0)
    async with aatomic("sqlite"):
        assert await authors().aupdate(name="same") == 1000


# Reads and writes at once


async def test_reads_of_a_file_run_side_by_side(database: None) -> None:
    together = threading.Barrier(4)

    def read() -> int:
        with connections["sqlite"].cursor() as cursor:
            connection = cursor.connection
            connection.create_function("together", 0, lambda: together.wait(10) and 0)
            cursor.execute("SELECT together()")
            return pool_stats("sqlite")["in_use"]

    counts = await asyncio.gather(*(on_loop(read)() for _ in range(4)))
    assert max(counts) == 4


async def test_a_reader_does_not_see_what_is_not_committed(database: None) -> None:
    async with aatomic("sqlite"):
        await authors().acreate(name="Ada")
        loop = asyncio.get_running_loop()
        other = loop.create_task(authors().acount(), context=contextvars.Context())
        assert await other == 0
        assert await authors().acount() == 1
    assert await authors().acount() == 1


async def test_writers_wait_for_one_another(using: Using, tmp_path: Path) -> None:
    using(tmp_path / "library.sqlite3", transaction_mode="IMMEDIATE", timeout=20)
    await on_loop(make_table)(Author)

    async def write(number: int) -> None:
        async with aatomic("sqlite"):
            count = await authors().acount()
            await authors().acreate(name=f"{count}")

    await asyncio.gather(*(write(number) for number in range(20)))
    names = {author.name async for author in authors()}
    assert names == {str(number) for number in range(20)}


# Transactions


async def test_transactions_commit_roll_back_and_nest(database: None) -> None:
    async with aatomic("sqlite"):
        await authors().acreate(name="kept")
        with pytest.raises(ZeroDivisionError):
            async with aatomic("sqlite"):
                await authors().acreate(name="undone")
                raise ZeroDivisionError
    assert [author.name for author in await authors()] == ["kept"]
    assert pool_stats("sqlite")["idle"] == 1


async def test_an_error_leaves_the_connection_usable(database: None) -> None:
    await on_loop(make_table)(Tag)
    tags = Tag.objects.using("sqlite")
    await tags.acreate(name="new")
    with pytest.raises(IntegrityError):
        async with aatomic("sqlite"):
            await tags.acreate(name="old")
            await tags.acreate(name="new")
    assert await tags.acount() == 1
    with pytest.raises(OperationalError, match="no such table"):
        await on_loop(execute)("SELECT * FROM nowhere", using="sqlite")
    assert pool_stats("sqlite")["idle"] == 1


# Cancellation


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_query_is_interrupted_and_its_connection_clean(
    database: None,
) -> None:
    task = asyncio.create_task(on_loop(execute)(FOREVER, using="sqlite"))
    await until(lambda: pool_stats("sqlite")["in_use"] == 1)
    await cancelled(task)
    assert pool_stats("sqlite") == {
        "size": 1,
        "idle": 1,
        "in_use": 0,
        "waiting": 0,
        "max_size": 10,
    }
    assert await authors().acount() == 0


async def test_a_query_cancelled_before_it_begins_is_interrupted(
    database: None,
) -> None:
    task = asyncio.create_task(on_loop(execute)(FOREVER, using="sqlite"))
    await asyncio.sleep(0)
    await cancelled(task)
    assert pool_stats("sqlite")["in_use"] == 0


async def test_a_transaction_cancelled_in_a_statement_is_rolled_back(
    database: None,
) -> None:
    async def work() -> None:
        async with aatomic("sqlite"):
            await authors().acreate(name="Ada")
            started.set()
            await on_loop(execute)(FOREVER, using="sqlite")

    started = asyncio.Event()
    task = asyncio.create_task(work())
    await started.wait()
    await cancelled(task)
    assert pool_stats("sqlite")["in_use"] == 0
    assert await authors().acount() == 0
    await authors().acreate(name="Bob")


async def test_a_task_that_ends_in_a_transaction_has_it_rolled_back(
    database: None,
) -> None:
    async def forgetful() -> None:
        await on_loop(transaction.atomic("sqlite").__enter__)()
        await authors().acreate(name="Ada")

    await asyncio.create_task(forgetful())
    await until(lambda: pool_stats("sqlite")["in_use"] == 0)
    assert await authors().acount() == 0
    await authors().acreate(name="Bob")


# In memory


async def test_a_database_in_memory_lives_in_one_connection(using: Using) -> None:
    using(":memory:", pool={"max_size": 5})
    await on_loop(make_table)(Author)
    await gather_queries(*(authors().acreate(name=f"{n}") for n in range(20)))
    assert await authors().acount() == 20
    assert pool_stats("sqlite") == {
        "size": 1,
        "idle": 1,
        "in_use": 0,
        "waiting": 0,
        "max_size": 1,
    }


async def test_a_database_in_memory_survives_what_would_close_a_connection(
    using: Using,
) -> None:
    using(":memory:")
    await on_loop(make_table)(Author)
    await authors().acreate(name="Ada")

    async def forgetful() -> None:
        await on_loop(transaction.atomic("sqlite").__enter__)()
        await authors().acreate(name="Bob")

    await asyncio.create_task(forgetful())
    await until(lambda: pool_stats("sqlite")["in_use"] == 0)
    await cancelled(asyncio.create_task(on_loop(execute)(FOREVER, using="sqlite")))
    task = asyncio.create_task(on_loop(execute)(FOREVER, using="sqlite"))
    await until(lambda: pool_stats("sqlite")["in_use"] == 1)
    await cancelled(task)
    await on_loop(connections["sqlite"].close)()
    assert [author.name for author in await authors()] == ["Ada"]


async def test_a_shared_cache_is_one_database_inside_and_outside_of_the_loop() -> None:
    assert connections["sqlite"].is_in_memory_db()
    await authors().acreate(name="Ada")
    async with hold_connection("sqlite"):
        assert await authors().acount() == 1


def test_what_the_loop_writes_is_there_for_synchronous_code(
    using: Using, tmp_path: Path
) -> None:
    using(tmp_path / "library.sqlite3")
    outside = connections.create_connection("sqlite")

    async def main() -> None:
        await on_loop(make_table)(Author)
        await authors().acreate(name="Ada")

    asyncio.run(main())
    with outside.cursor() as cursor:
        cursor.execute("SELECT name FROM library_author")
        assert cursor.fetchall() == [("Ada",)]
    outside.close()

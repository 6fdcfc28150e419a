"""The engine that wraps another one, here Django's own for PostgreSQL and SQLite."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from copy import copy
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from django.db.utils import IntegrityError, InterfaceError, OperationalError

from django_async_ext import aatomic, hold_connection, on_loop
from django_async_ext.db.backends.threaded.base import DatabaseWrapper
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import DOCS
from tests.db.conftest import Configure
from tests.db.server import Server, execute, sleep, until
from tests.library.models import Author, Country
from tests.waiting import new_threads

ALIAS = "threaded"
DATABASES = ["default", ALIAS, "threaded_sqlite"]
pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Each test opens its own connections, so that it may change OPTIONS."""
    yield
    connections[ALIAS].close()


@pytest.fixture
def server(configure: Configure) -> Iterator[Server]:
    with Server() as found:
        configure(ALIAS, application_name=found.name)
        yield found
        found.terminate()


def authors() -> Any:
    return Author.objects.using(ALIAS)


def ask(sql: str) -> Any:
    return on_loop(execute)(sql, using=ALIAS)


def at_rest(idle: int = 1) -> bool:
    stats = pool_stats(ALIAS)
    return (stats["idle"], stats["in_use"], stats["size"]) == (idle, 0, idle)


# What it is


def test_a_wrapper_is_that_of_its_engine_too() -> None:
    threaded, sqlite = connections[ALIAS], connections["threaded_sqlite"]
    assert isinstance(threaded, DatabaseWrapper)
    assert isinstance(threaded, PostgreSQL)
    assert isinstance(sqlite, SQLite)
    assert not isinstance(sqlite, PostgreSQL)
    assert [threaded.vendor, sqlite.vendor] == ["postgresql", "sqlite"]
    assert type(threaded.copy()) is type(threaded)


def test_a_wrapper_can_be_copied() -> None:
    # As Django's own tests do.
    copied = copy(connections["threaded_sqlite"])
    assert isinstance(copied, (DatabaseWrapper, SQLite))
    assert copied.vendor == "sqlite"
    assert copied.settings_dict == connections["threaded_sqlite"].settings_dict


def test_outside_the_loop_it_is_the_engine_itself() -> None:
    assert execute("SELECT 1", using=ALIAS) == [(1,)]
    assert type(connections[ALIAS].connection) is psycopg.Connection


async def test_only_calls_of_the_driver_run_in_the_worker() -> None:
    def where() -> tuple[bool, bool]:
        wrapper = connections[ALIAS]
        with wrapper.cursor() as cursor:
            here = threading.current_thread() is threading.main_thread()
            there = wrapper.connection.call(threading.current_thread)
            assert isinstance(wrapper.connection, psycopg.Connection)
            assert isinstance(cursor.cursor, psycopg.Cursor)
            return here, there.name == "django_async_ext-worker"

    assert await on_loop(where)() == (True, True)
    assert at_rest()


def ask_worker(wrapper: Any) -> threading.Thread:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]
        thread: threading.Thread = wrapper.connection.call(threading.current_thread)
    assert thread.name == "django_async_ext-worker"
    return thread


@pytest.mark.parametrize("using", DATABASES[1:])
async def test_a_copy_has_a_worker_that_ends_with_its_connection(using: str) -> None:
    copied = connections[using].copy()
    thread = await on_loop(ask_worker)(copied)
    copied.inc_thread_sharing()
    assert await asyncio.to_thread(ask_worker, copied) is thread
    await on_loop(copied.close)()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("using", DATABASES[1:])
async def test_a_copy_that_is_forgotten_ends_its_worker(using: str) -> None:
    thread = await on_loop(ask_worker)(connections[using].copy())
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


async def test_setting_an_attribute_of_the_connection_is_a_call() -> None:
    def work() -> list[Any]:
        wrapper = connections[ALIAS]
        with transaction.atomic(ALIAS):
            wrapper.connection.prepare_threshold = 7
            found = [wrapper.connection.driver.prepare_threshold]
        with pytest.raises(AttributeError):
            wrapper.begin_hold()
            wrapper.connection.broken = 7
        with wrapper.connection.cursor() as cursor:
            cursor.arraysize = 3
            cursor.execute("SELECT generate_series(1, 5)")
            return [*found, cursor.driver.arraysize, cursor.fetchmany()]

    assert await on_loop(work)() == [7, 3, [(1,), (2,), (3,)]]


async def test_rows_are_read_in_portions_and_in_every_way() -> None:
    def work() -> Any:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT generate_series(1, 350)")
            found = [cursor.fetchone(), *cursor.fetchmany(150), *cursor.fetchmany(1)]
            cursor.scroll(-1)
            found += [cursor.fetchone(), next(cursor.cursor)]
            rest = [*cursor]
            assert (cursor.fetchone(), cursor.fetchmany(9), cursor.fetchall()) == (
                None,
                [],
                [],
            )
            many = cursor.cursor.executemany
            many("SELECT %s", iter([(1,), (2,)]), returning=True)
            sets = [cursor.fetchall()]
            while cursor.nextset():
                sets.append(cursor.fetchall())
            return [row[0] for row in found], [row[0] for row in rest], sets

    found, rest, sets = await on_loop(work)()
    assert found == [*range(1, 153), 152, 153]
    assert rest == [*range(154, 351)]
    assert sets == [[(1,)], [(2,)]]


async def test_a_cursor_that_was_closed_says_so_and_has_no_rows() -> None:
    def work() -> None:
        with transaction.atomic(ALIAS):
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("SELECT generate_series(1, 5)")
                assert not cursor.closed
            assert cursor.closed
            with pytest.raises(InterfaceError, match="cursor is closed"):
                cursor.fetchone()

    await on_loop(work)()


def test_outside_the_loop_there_is_the_pool_of_the_engine(configure: Configure) -> None:
    wrapper = connections[ALIAS]
    wrapper.close()
    configure(ALIAS, pool={"min_size": 1, "max_size": 2})
    try:
        assert execute("SELECT 1", using=ALIAS) == [(1,)]
        assert wrapper.pool.max_size == 2
    finally:
        wrapper.close()
        wrapper.close_pool()


async def test_a_cursor_of_the_server_is_read_in_chunks() -> None:
    await authors().abulk_create(Author(name=f"{n:04}") for n in range(500))
    names = authors().order_by("name").values_list("name", flat=True)
    seen = [name async for name in names.aiterator(chunk_size=50)]
    assert seen == [f"{n:04}" for n in range(500)]
    assert at_rest()
    async for _ in names.aiterator(chunk_size=50):
        cursors = "SELECT name FROM pg_cursors WHERE name LIKE '_django_curs_%%'"
        break
    await until(lambda: pool_stats(ALIAS)["in_use"] == 0)
    assert await ask(cursors) == []
    assert at_rest()


# Transactions and sessions


async def test_transactions_commit_roll_back_and_nest() -> None:
    async with aatomic(ALIAS):
        await authors().acreate(name="kept")
        with pytest.raises(ZeroDivisionError):
            async with aatomic(ALIAS):
                await authors().acreate(name="undone")
                raise ZeroDivisionError
    with pytest.raises(IntegrityError):
        async with aatomic(ALIAS):
            await Country.objects.using(ALIAS).acreate(name="Peru")
            await Country.objects.using(ALIAS).acreate(name="Peru")
    assert [author.name for author in await authors()] == ["kept"]
    assert at_rest()


@pytest.mark.parametrize("using", [ALIAS, "threaded_sqlite"])
async def test_tasks_take_turns_in_the_transaction_of_a_test(using: str) -> None:
    rows = Author.objects.using(using)

    def create(name: str) -> None:
        with transaction.atomic(using):
            rows.create(name=name)

    atomic: Any = transaction.atomic(using)
    atomic._from_testcase = True
    await on_loop(atomic.__enter__)()
    try:
        created = (on_loop(create)(str(number)) for number in range(5))
        await asyncio.gather(*map(asyncio.ensure_future, created))
        assert await rows.acount() == 5
    finally:
        await on_loop(transaction.set_rollback)(True, using)
        await on_loop(atomic.__exit__)(None, None, None)
    assert await rows.acount() == 0


async def test_a_task_that_ends_in_a_transaction_has_it_rolled_back() -> None:
    async def forgetful() -> None:
        await on_loop(transaction.atomic(ALIAS).__enter__)()
        await authors().acreate(name="Ada")

    await asyncio.create_task(forgetful())
    await until(lambda: pool_stats(ALIAS)["size"] == 0)
    assert await authors().acount() == 0


async def test_a_transaction_that_nobody_told_django_of_is_closed() -> None:
    await ask("BEGIN")
    assert pool_stats(ALIAS)["size"] == 0


async def test_a_held_session_is_closed_for_it_cannot_be_reset() -> None:
    async with hold_connection(ALIAS):
        await ask("SET work_mem = '1234kB'")
        assert await ask("SHOW work_mem") == [("1234kB",)]
    assert await ask("SHOW work_mem") != [("1234kB",)]


async def test_a_task_may_keep_its_session(configure: Configure) -> None:
    configure(ALIAS, lease="task")

    async def work() -> Any:
        await ask("SET work_mem = '1234kB'")
        return await ask("SHOW work_mem")

    assert await asyncio.create_task(work()) == [("1234kB",)]
    await until(lambda: pool_stats(ALIAS)["size"] == 0)


async def test_a_lost_server_is_noticed_by_the_next_statement(server: Server) -> None:
    await authors().acount()
    assert server.terminate() == 1
    with pytest.raises(OperationalError):
        await authors().acount()
    # Psycopg knows by now; of other drivers the engine asks.
    assert await authors().acount() == 0
    assert server.sessions() == 1


async def test_a_connection_on_which_a_statement_failed_is_asked_first() -> None:
    with pytest.raises(Exception, match="nowhere"):
        await ask("SELECT * FROM nowhere")

    def look() -> tuple[bool, Any]:
        before = connections[ALIAS].errors_occurred
        with connections[ALIAS].cursor() as cursor:
            return before, cursor.connection.doubtful

    assert await on_loop(look)() == (True, False)
    assert at_rest()


async def test_the_pool_bounds_the_threads(configure: Configure) -> None:
    configure(ALIAS, pool={"min_size": 0, "max_size": 3})
    before = set(threading.enumerate())
    await asyncio.gather(*(asyncio.create_task(authors().acount()) for _ in range(30)))
    assert at_rest(3)
    assert len(new_threads(before)) == 3


# Cancellation


async def running(server: Server) -> None:
    await until(lambda: server.running() == 1)


async def test_a_cancelled_statement_is_cancelled_on_the_server(
    server: Server,
) -> None:
    task = asyncio.create_task(on_loop(sleep)(using=ALIAS))
    await running(server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.running() == 0
    assert at_rest()
    assert await authors().acount() == 0


async def test_a_transaction_cancelled_in_a_statement_is_rolled_back(
    server: Server,
) -> None:
    async def work() -> None:
        async with aatomic(ALIAS):
            await authors().acreate(name="Ada")
            await on_loop(sleep)(using=ALIAS)

    task = asyncio.create_task(work())
    await running(server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert at_rest()
    assert await authors().acount() == 0


@pytest.mark.parametrize("cancel", [None, str])
async def test_what_cannot_be_cancelled_is_given_up_and_closed(
    cancel: Any, server: Server, configure: Configure, settings: Any
) -> None:
    configure(ALIAS, cancel=cancel)
    settings.ASYNC_EXT = {"CANCEL_TIMEOUT": 0.1}
    task = asyncio.create_task(on_loop(sleep)(using=ALIAS))
    await running(server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats(ALIAS)["size"] == 0
    assert server.running() == 1
    assert await authors().acount() == 0


async def test_a_transaction_that_was_given_up_says_so_and_is_rolled_back(
    server: Server, configure: Configure, settings: Any
) -> None:
    configure(ALIAS, cancel=None)
    settings.ASYNC_EXT = {"CANCEL_TIMEOUT": 0.1}
    texts: list[str] = []

    async def work() -> None:
        async with aatomic(ALIAS):
            await authors().acreate(name="Ada")
            try:
                await on_loop(sleep)(using=ALIAS)
            finally:
                with pytest.raises(OperationalError) as caught:
                    await on_loop(connections[ALIAS]._commit)()
                texts.append(str(caught.value))

    task = asyncio.create_task(work())
    await running(server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert texts == [
        "This connection was given up: its task was cancelled, and the statement that "
        "it ran did not end within ASYNC_EXT['CANCEL_TIMEOUT'] seconds. It is closed "
        "when the statement ends. Begin again with a new transaction. See "
        f"{DOCS}#connection-given-up"
    ]
    assert await authors().acount() == 0


cancelled: list[Any] = []


def cancel(driver: Any) -> None:
    cancelled.append(driver)
    driver.cancel()


async def test_how_to_cancel_can_be_said(server: Server, configure: Configure) -> None:
    configure(ALIAS, cancel=f"{__name__}.cancel")
    task = asyncio.create_task(on_loop(sleep)(using=ALIAS))
    await running(server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(cancelled[0], psycopg.Connection)
    assert at_rest()


async def test_a_connection_that_is_opened_too_late_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    get = PostgreSQL.get_new_connection

    def slow(self: Any, params: Any) -> Any:
        opening.set()
        go_on.wait(10)
        return get(self, params)

    monkeypatch.setattr(PostgreSQL, "get_new_connection", slow)
    task = asyncio.create_task(authors().acount())
    await asyncio.to_thread(opening.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats(ALIAS)["size"] == 0
    monkeypatch.undo()
    go_on.set()
    await until(lambda: server.sessions() == 0)


# What engines and drivers do


async def test_what_opening_sets_on_a_wrapper_goes_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    init = PostgreSQL.init_connection_state

    def init_connection_state(self: Any) -> None:
        init(self)
        # As Django's engine for Oracle does.
        self.operators_of_the_server = {"exact": "= %s"}

    monkeypatch.setattr(PostgreSQL, "init_connection_state", init_connection_state)
    looked: list[Any] = []
    known: list[bool] = []

    async def look() -> None:
        # Statements are made of it before there is a connection to ask.
        known.append("operators_of_the_server" in vars(connections[ALIAS]))
        connections[ALIAS].mine = asyncio.current_task()
        await authors().acount()
        looked.append(vars(connections[ALIAS]))

    await asyncio.create_task(look())
    monkeypatch.undo()
    await asyncio.create_task(look())
    assert known == [False, True]
    first, second = looked
    assert first["operators_of_the_server"] is second["operators_of_the_server"]
    assert first["mine"] is not second["mine"]
    assert at_rest()


class LOB:
    """A large object, as Oracle's driver gives it: reading it is a round trip."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> str:
        assert threading.current_thread().name == "django_async_ext-worker"
        return self.text


async def test_large_objects_are_read_in_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psycopg, "LOB", LOB, raising=False)
    await authors().abulk_create(Author(name="Ada", biography="long") for _ in range(3))

    def work() -> list[Any]:
        with connections[ALIAS].cursor() as cursor:
            driver = cursor.connection.driver
            monkeypatch.setattr(
                driver, "row_factory", lambda _cursor: lambda row: (LOB(row[0]),)
            )
            with cursor.connection.cursor() as inner:
                inner.execute("SELECT biography FROM library_author")
                rows = [inner.fetchone()]
                inner.execute("SELECT biography FROM library_author")
                return [*rows, *inner.fetchall()]

    assert await on_loop(work)() == [("long",)] * 4


# Commands


def test_commands_are_those_of_the_engine() -> None:
    out = StringIO()
    call_command("inspectdb", "library_author", database=ALIAS, stdout=out)
    assert "class LibraryAuthor(models.Model)" in out.getvalue()
    call_command("migrate", database=ALIAS, verbosity=0)
    client = connections[ALIAS].client
    args, _ = client.settings_to_cmd_args_env(connections[ALIAS].settings_dict, [])
    assert args[0] == "psql"
    assert connections[ALIAS].settings_dict["NAME"].startswith("test_")


async def test_two_aliases_may_wrap_two_engines() -> None:
    def tables(alias: str) -> list[str]:
        with connections[alias].cursor() as cursor:
            return connections[alias].introspection.table_names(cursor)

    one, other = await on_loop(tables)(ALIAS), await on_loop(tables)("threaded_sqlite")
    assert sorted(one) == sorted(other)
    assert await Author.objects.using("threaded_sqlite").acount() == 0


# Configuration


def refused(**options: Any) -> str:
    settings = {**connections.settings[ALIAS], "OPTIONS": options}
    with pytest.raises(ImproperlyConfigured) as caught:
        DatabaseWrapper(settings, "legacy")
    return str(caught.value)


WHAT_TO_DO = (
    "It must be the dotted path of the engine that runs in threads, such as "
    "'django.db.backends.oracle'. An engine of django_async_ext.db.backends is the "
    f"ENGINE itself. See {DOCS}#threaded-engine"
)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "is missing"),
        ({"engine": ""}, "is missing"),
        (
            {"engine": "django_async_ext.db.backends.sqlite3"},
            "is 'django_async_ext.db.backends.sqlite3', which runs on the event loop "
            "itself",
        ),
        (
            {"engine": "django_async_ext.db.backends.threaded"},
            "is 'django_async_ext.db.backends.threaded', which runs on the event loop "
            "itself",
        ),
    ],
)
def test_an_engine_that_cannot_be_wrapped_is_refused(options: Any, why: str) -> None:
    expected = f"DATABASES['legacy']['OPTIONS']['engine'] {why}. {WHAT_TO_DO}"
    assert refused(**options) == expected


@pytest.mark.parametrize("engine", ["no.such.engine", "json", 7])
def test_an_engine_that_cannot_be_loaded_is_refused(engine: Any) -> None:
    text = refused(engine=engine)
    assert f"is {engine!r}, which cannot be loaded: " in text
    assert text.endswith(WHAT_TO_DO)


@pytest.mark.parametrize("option", [7, "no.such.function", "nothing"])
async def test_a_cancel_option_that_cannot_be_called_is_refused(
    option: Any, configure: Configure
) -> None:
    configure(ALIAS, cancel=option)
    with pytest.raises(ImproperlyConfigured) as caught:
        await authors().acount()
    assert str(caught.value) == (
        f"DATABASES['threaded']['OPTIONS']['cancel'] is {option!r}. It must be a "
        "function that is given the driver's connection and makes the running "
        "statement give up, its dotted path, or None. See "
        f"{DOCS}#cancel-option"
    )

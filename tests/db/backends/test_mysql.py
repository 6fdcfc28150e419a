"""The MySQL engine, with PyMySQL on the loop and with mysqlclient in workers."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from typing import Any

import pymysql
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.backends.mysql.base import DatabaseWrapper as DjangoWrapper
from django.db.utils import IntegrityError, OperationalError, ProgrammingError

from django_async_ext import (
    aatomic,
    aon_commit,
    await_,
    gather_queries,
    hold_connection,
    on_loop,
)
from django_async_ext.db.backends.mysql.base import DatabaseWrapper
from django_async_ext.db.backends.registry import pool_for
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import (
    DOCS,
    ConnectionOwnershipError,
    UnknownOutcomeError,
)
from tests.db.backends.mysql_server import Server
from tests.db.conftest import Configure
from tests.db.server import execute, until
from tests.library.models import Author, Tag
from tests.waiting import new_threads

pytestmark = pytest.mark.django_db(
    transaction=True, databases=["default", "mysql", "mysqlclient"]
)


def ask(alias: str, sql: str, *params: Any) -> Any:
    return execute(sql, *params, using=alias)


async def session(alias: str) -> int:
    [[number]] = await on_loop(ask)(alias, "SELECT connection_id()")
    return number


def authors(alias: str) -> Any:
    return Author.objects.using(alias)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Leases


async def test_a_statement_leases_a_connection_and_gives_it_back(mysql: str) -> None:
    await authors(mysql).acreate(name="Ada")
    assert await authors(mysql).acount() == 1
    stats = {"size": 1, "idle": 1, "in_use": 0, "waiting": 0, "max_size": 8}
    assert pool_stats(mysql) == stats


async def test_queries_run_at_once_on_connections_of_their_own(mysql: str) -> None:
    query = on_loop(ask)
    asked = [query(mysql, "SELECT connection_id(), sleep(0.05)") for _ in range(4)]
    ids = {rows[0][0] for rows in await asyncio.gather(*asked)}
    assert len(ids) == pool_stats(mysql)["size"] == 4


async def test_only_a_worker_hands_its_statements_to_threads(
    mysql: str, thread_submissions: list[str]
) -> None:
    before = set(threading.enumerate())
    await authors(mysql).acount()
    workers = new_threads(before)
    assert bool(workers) is bool(thread_submissions) is (mysql == "mysqlclient")


async def test_a_held_connection_keeps_its_session(mysql: str) -> None:
    async with hold_connection(mysql):
        held = await session(mysql)
        await on_loop(ask)(mysql, "SET @mine = 5")
        await cancelled(asyncio.create_task(asyncio.sleep(1)))
        assert await on_loop(ask)(mysql, "SELECT @mine") == ((5,),)
        assert await session(mysql) == held


async def test_the_server_is_asked_what_it_is_once_for_all_tasks(mysql: str) -> None:
    seen: list[str] = []

    async def ask_for_features() -> bool:
        wrapper = connections[mysql]
        with wrapper.execute_wrapper(note):
            return await on_loop(lambda: wrapper.mysql_is_mariadb)()

    def note(run: Any, sql: str, *args: Any) -> Any:
        seen.append(sql)
        return run(sql, *args)

    await authors(mysql).acount()
    seen.clear()
    found = [await asyncio.create_task(ask_for_features()) for _ in range(3)]
    assert len(set(found)) == 1
    assert not seen


def test_synchronous_code_has_one_connection_of_its_own(mysql: str) -> None:
    first, second = (ask(mysql, "SELECT connection_id()") for _ in range(2))
    assert first == second
    authors(mysql).create(name="Ada")
    assert authors(mysql).get().name == "Ada"


async def test_a_transaction_that_a_query_began_is_not_handed_on(mysql: str) -> None:
    async def begin() -> int:
        await on_loop(ask)(mysql, "START TRANSACTION")
        return pool_stats(mysql)["size"]

    assert await begin() == 0
    assert await authors(mysql).acount() == 0


# Rows


async def test_iterated_rows_come_in_portions_and_in_order(mysql: str) -> None:
    await authors(mysql).abulk_create(Author(name=f"{n:04}") for n in range(1000))
    names = authors(mysql).order_by("name").values_list("name", flat=True)
    assert await names == [f"{n:04}" for n in range(1000)]
    assert [n async for n in names.aiterator(7)] == [f"{n:04}" for n in range(1000)]


async def test_another_statement_in_the_middle_of_a_stream(mysql: str) -> None:
    await authors(mysql).abulk_create(Author(name=f"{n:04}") for n in range(300))

    def work() -> list[str]:
        found = []
        with transaction.atomic(mysql):
            for author in authors(mysql).order_by("name").iterator(10):
                found.append(author.name)
                author.save()
        return found

    assert await on_loop(work)() == [f"{n:04}" for n in range(300)]
    assert pool_stats(mysql)["size"] == 1


async def test_a_stream_of_millions_is_broken_off(
    mysql: str, mysql_server: Server
) -> None:
    if mysql == "mysqlclient":
        pytest.skip("mysqlclient has all rows in memory")
    many = "SELECT seq FROM seq_1_to_100000000"

    def work() -> list[int]:
        found = []
        for _ in range(2):
            with connections[mysql].chunked_cursor() as cursor:
                cursor.execute(many)
                found.append(cursor.fetchmany(2)[1][0])
            found.append(ask(mysql, "SELECT 5")[0][0])
        return found

    assert await on_loop(work)() == [2, 5, 2, 5]
    async with aatomic(mysql):
        before = await session(mysql)
        assert await on_loop(work)() == [2, 5, 2, 5]
        # In a transaction the statement is killed, and the connection kept.
        assert await session(mysql) == before
    await until(lambda: mysql_server.running("seq_1_to") == 0)


async def test_a_long_answer_leaves_the_loop_its_turns(mysql: str) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while not task.done():
            turns += 1
            await asyncio.sleep(0)

    many = "SELECT repeat('a', 60000) FROM seq_1_to_200"
    task = asyncio.create_task(on_loop(ask)(mysql, many))
    await count()
    assert len(await task) == 200
    assert turns > 50


async def test_text_of_every_plane_comes_back(mysql: str) -> None:
    text = "Ångström 漢字 🐍 \\ ' \" % \0"
    await authors(mysql).acreate(name=text)
    assert (await authors(mysql).aget(name=text)).name == text


async def test_a_procedure_is_called(mysql: str) -> None:
    def work() -> list[Any]:
        with connections[mysql].cursor() as cursor:
            cursor.execute("DROP PROCEDURE IF EXISTS twice")
            cursor.execute(
                "CREATE PROCEDURE twice(a INT) BEGIN SELECT a; SELECT 2 * a; END"
            )
            cursor.callproc("twice", [21])
            first = cursor.fetchall()
            assert cursor.nextset()
            return [first, cursor.fetchall()]

    assert await on_loop(work)() == [((21,),), ((42,),)]
    assert await authors(mysql).acount() == 0
    await on_loop(ask)(mysql, "DROP PROCEDURE twice")


# Transactions


async def test_transactions_commit_roll_back_and_nest(mysql: str) -> None:
    ran: list[str] = []
    async with aatomic(mysql):
        await authors(mysql).acreate(name="kept")
        await aon_commit(lambda: ran.append("hook"), using=mysql)
        with pytest.raises(LookupError):
            async with aatomic(mysql):
                await authors(mysql).acreate(name="undone")
                raise LookupError
        assert not ran
    assert [author.name for author in await authors(mysql)] == ["kept"]
    assert ran == ["hook"]
    assert pool_stats(mysql)["idle"] == pool_stats(mysql)["size"]


async def test_a_transaction_is_not_seen_before_it_commits(mysql: str) -> None:
    loop = asyncio.get_running_loop()
    async with aatomic(mysql):
        await authors(mysql).acreate(name="Ada")
        other = loop.create_task(authors(mysql).acount(), context=contextvars.Context())
        assert await other == 0
        assert await authors(mysql).acount() == 1
    assert await authors(mysql).acount() == 1


async def test_an_error_leaves_the_connection_usable(mysql: str) -> None:
    tags = Tag.objects.using(mysql)
    await tags.acreate(name="new")
    with pytest.raises(IntegrityError):
        async with aatomic(mysql):
            await tags.acreate(name="old")
            await tags.acreate(name="new")
    assert await tags.acount() == 1
    with pytest.raises(ProgrammingError, match="nowhere"):
        await on_loop(ask)(mysql, "SELECT * FROM nowhere")
    assert pool_stats(mysql)["idle"] == 1


async def test_a_child_is_refused_in_its_parents_transaction(mysql: str) -> None:
    async with aatomic(mysql):
        with pytest.raises(ConnectionOwnershipError, match=f"database '{mysql}'"):
            await asyncio.create_task(authors(mysql).acount())


async def test_gathered_queries_run_one_after_the_other_in_a_transaction(
    mysql: str,
) -> None:
    async with aatomic(mysql):
        before = await session(mysql)
        found = await gather_queries(
            authors(mysql).acreate(name="Ada"),
            session(mysql),
            authors(mysql).acount(),
            authors(mysql).all(),
        )
    assert found[1:3] == [before, 1]
    assert [author.name for author in found[3]] == ["Ada"]


async def test_gathered_queries_run_at_once_outside_of_one(mysql: str) -> None:
    numbers = await gather_queries(*(hold(mysql) for _ in range(4)))
    assert len(set(numbers)) == 4


async def hold(alias: str) -> int:
    [[number, _]] = await on_loop(ask)(alias, "SELECT connection_id(), sleep(0.05)")
    return number


async def test_what_a_deadlock_rolled_back_is_not_committed(mysql: str) -> None:
    await authors(mysql).abulk_create([Author(pk=1, name="a"), Author(pk=2, name="b")])
    both = asyncio.Barrier(2)
    ends: list[int] = []
    ran: list[int] = []

    async def write(key: int) -> None:
        # Not through the ORM, which itself sees to it that the block rolls back.
        write = "UPDATE library_author SET name = 'locked' WHERE id = %s"
        await on_loop(ask)(mysql, write, key)

    async def lock(first: int, second: int) -> None:
        async with aatomic(mysql):
            await aon_commit(lambda: ran.append(1), using=mysql)
            await write(first)
            await both.wait()
            try:
                await write(second)
            except OperationalError as error:
                ends.append(error.args[0])

    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(lock(*keys), context=contextvars.Context())
        for keys in ((1, 2), (2, 1))
    ]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends == [1213]
    [error] = [one for one in found if one is not None]
    assert "cannot be committed" in str(error)
    assert ran == [1]


@pytest.mark.django_db(databases=["default", "mysql", "mysqlclient"])
def test_the_transaction_of_a_test_case_is_shared(mysql: str) -> None:
    authors(mysql).create(name="Ada")

    async def main() -> list[str]:
        async with aatomic(mysql):
            await authors(mysql).acreate(name="Bede")
        found = authors(mysql).order_by("name").aiterator()
        return [author.name async for author in found]

    assert async_to_sync(main)() == ["Ada", "Bede"]
    with Server(connections[mysql].settings_dict["NAME"]) as server:
        server.ask(f"USE {server.database}")
        assert server.ask("SELECT count(*) FROM library_author") == [0]


# Cancelled and lost


async def test_a_cancelled_statement_is_killed_and_its_connection_kept(
    mysql: str, mysql_server: Server
) -> None:
    before = await session(mysql)
    task = asyncio.create_task(on_loop(ask)(mysql, "SELECT sleep(600)"))
    await until(lambda: mysql_server.running("sleep(600)") == 1)
    await cancelled(task)
    await until(lambda: mysql_server.running("sleep(600)") == 0)
    assert pool_stats(mysql)["idle"] == pool_stats(mysql)["size"] == 1
    assert await session(mysql) == before


async def test_a_kill_that_comes_too_late_hits_nobody_else(mysql: str) -> None:
    for _ in range(20):
        task = asyncio.create_task(on_loop(ask)(mysql, "SELECT 1"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await on_loop(ask)(mysql, "SELECT 2") == ((2,),)
    assert pool_stats(mysql)["in_use"] == 0


async def test_a_statement_that_cannot_be_killed_costs_its_connection(
    mysql: str,
    mysql_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await authors(mysql).acount()
    task = asyncio.create_task(on_loop(ask)(mysql, "SELECT sleep(600)"))
    await until(lambda: mysql_server.running("sleep(600)") == 1)
    [number] = mysql_server.running_sessions("sleep(600)")
    unreachable = {"port": 1, "connect_timeout": 1}
    [lease] = pool_for(connections[mysql]).lent
    monkeypatch.setattr(lease, "_params", {**lease._params, **unreachable})
    await cancelled(task)
    assert "statement not stopped" in caplog.text
    assert pool_stats(mysql)["size"] == 0
    mysql_server.kill(number)


async def test_a_server_that_was_lost_is_found_again(
    mysql: str, mysql_server: Server
) -> None:
    await asyncio.gather(*(hold(mysql) for _ in range(3)))
    mysql_server.kill(*(s for s in mysql_server.sessions()))
    await until(lambda: not mysql_server.sessions())
    assert await authors(mysql).acount() == 0
    assert pool_stats(mysql)["size"] == 1


async def test_a_connection_that_is_killed_in_its_statement_says_so(
    mysql: str, mysql_server: Server
) -> None:
    task = asyncio.create_task(on_loop(ask)(mysql, "SELECT sleep(600)"))
    await until(lambda: mysql_server.running("sleep(600)") == 1)
    mysql_server.kill(*mysql_server.running_sessions("sleep(600)"))
    with pytest.raises(OperationalError):
        await task
    await until(lambda: pool_stats(mysql)["size"] == 0)
    assert await authors(mysql).acount() == 0


async def test_a_transaction_whose_connection_was_killed_rolls_back(
    mysql: str, mysql_server: Server
) -> None:
    with pytest.raises(OperationalError):
        async with aatomic(mysql):
            await authors(mysql).acreate(name="never")
            mysql_server.kill(await session(mysql))
            await authors(mysql).acount()
    assert await authors(mysql).acount() == 0
    assert pool_stats(mysql)["in_use"] == 0


async def test_a_connection_that_was_killed_before_commit_is_no_riddle(
    mysql: str, mysql_server: Server
) -> None:
    with pytest.raises(OperationalError) as caught:
        async with aatomic(mysql):
            await authors(mysql).acreate(name="never")
            number = await session(mysql)
            mysql_server.kill(number)
            await until(lambda: number not in mysql_server.sessions())
    assert type(caught.value) is not UnknownOutcomeError
    assert await authors(mysql).acount() == 0


async def test_a_connection_knows_whether_it_is_usable(
    mysql: str, mysql_server: Server
) -> None:
    def look() -> list[bool]:
        wrapper = connections[mysql]
        seen = [wrapper.is_usable()]
        with wrapper.cursor():
            seen.append(wrapper.is_usable())
            mysql_server.kill(*mysql_server.sessions())
            await_(until(lambda: not mysql_server.sessions()))
            seen.append(wrapper.is_usable())
        return seen

    assert await on_loop(look)() == [False, True, False]
    assert pool_stats(mysql)["size"] == 0


# Options


async def test_a_connection_may_be_secret(mysql: str, mysql_server: Server) -> None:
    if mysql == "mysqlclient":
        pytest.skip("the options are PyMySQL's")
    [[_, ca]] = mysql_server.rows("SHOW VARIABLES LIKE 'ssl_ca'")
    if not ca and os.environ.get("CI"):
        pytest.fail("The project's own server has lost its certificate.")
    if not ca:
        pytest.skip("the server of MYSQL_URL has no certificate")
    options = connections.settings[mysql]["OPTIONS"]
    before = dict(options)
    options.pop("ssl_disabled")
    options |= {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    try:
        cipher = await on_loop(ask)(mysql, "SHOW STATUS LIKE 'Ssl_cipher'")
        assert cipher[0][1].startswith("TLS_")
        task = asyncio.create_task(on_loop(ask)(mysql, "SELECT sleep(600)"))
        await until(lambda: mysql_server.running("sleep(600)") == 1)
        await cancelled(task)
        assert pool_stats(mysql)["size"] == 1
        assert await authors(mysql).acount() == 0
    finally:
        options.clear()
        options |= before


async def test_a_connection_may_go_through_a_unix_socket(
    mysql: str, mysql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    [[_, path]] = mysql_server.rows("SHOW VARIABLES LIKE 'socket'")
    monkeypatch.setitem(connections.settings[mysql], "HOST", path)
    rows = await on_loop(ask)(mysql, "SELECT 1")
    assert rows == ((1,),)
    [host] = mysql_server.ask(
        "SELECT host FROM information_schema.processlist "
        "WHERE db = %s AND id <> connection_id() AND host NOT LIKE '%%:%%'",
        mysql_server.database,
    )
    assert host == "localhost"


async def test_the_isolation_level_is_set_in_every_connection(
    mysql: str, configure: Configure
) -> None:
    level = "SELECT @@transaction_isolation"
    if "MariaDB" in (await on_loop(ask)(mysql, "SELECT version()"))[0][0]:
        level = "SELECT @@tx_isolation"
    assert await on_loop(ask)(mysql, level) == (("READ-COMMITTED",),)
    configure(mysql, isolation_level="serializable")
    connections[mysql].close_pool()
    rows = await asyncio.create_task(on_loop(ask)(mysql, level))
    assert rows == (("SERIALIZABLE",),)


def settings_with(mysql: str, **options: Any) -> dict[str, Any]:
    return connections.settings[mysql] | {"OPTIONS": options}


def test_an_unknown_driver_is_refused_in_words(mysql: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        DatabaseWrapper(settings_with(mysql, driver="oracle"), "books")
    assert str(caught.value) == (
        "DATABASES['books']['OPTIONS']['driver'] is 'oracle'. It must be 'pymysql', "
        "which waits on the event loop, or 'mysqlclient', which runs in worker "
        f"threads. See {DOCS}#driver-option"
    )


def test_a_missing_driver_is_refused_in_words(
    mysql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after pymysql.install_as_MySQLdb().
    monkeypatch.setitem(sys.modules, "MySQLdb", pymysql)
    with pytest.raises(ImproperlyConfigured) as caught:
        DatabaseWrapper(settings_with(mysql, driver="mysqlclient"), "books")
    assert str(caught.value) == (
        "Database 'books' needs mysqlclient, which is not installed. Install PyMySQL "
        "with: pip install 'django-async-ext[mysql]'. Or set "
        "DATABASES['books']['OPTIONS']['driver'] to 'mysqlclient' and install that. "
        f"See {DOCS}#missing-driver"
    )


def test_the_engine_is_djangos(mysql: str) -> None:
    assert issubclass(DatabaseWrapper, DjangoWrapper)
    found = connections[mysql]
    assert type(found.ops).__module__ == "django.db.backends.mysql.operations"


WITHOUT_MYSQLCLIENT = """
import sys
sys.modules["MySQLdb"] = None
from django.conf import settings
settings.configure()
from django_async_ext.db.backends.mysql.base import DatabaseWrapper, django_mysql
import pymysql
assert django_mysql.Database is pymysql
assert sys.modules["MySQLdb"] is None
assert not [name for name in sys.modules if name.startswith("MySQLdb.")]
options = {"driver": None}
wrapper = DatabaseWrapper({"OPTIONS": options, "TIME_ZONE": None}, "books")
assert wrapper.driver.__name__.endswith(".native")
print("Django's engine, on PyMySQL")
"""


def test_djangos_engine_is_imported_where_mysqlclient_is_missing() -> None:
    command = [sys.executable, "-c", WITHOUT_MYSQLCLIENT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "Django's engine, on PyMySQL\n", done.stderr

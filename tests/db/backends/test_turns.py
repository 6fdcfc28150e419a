"""Those who share the transaction of a test take turns, on every database."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import OperationalError, connections, transaction

from django_async_ext import aatomic, on_loop
from django_async_ext.db.backends import ownership
from django_async_ext.db.backends.eager import eager
from tests.library.models import Author, Tag

pytestmark = pytest.mark.django_db(databases="__all__")

Configure = Callable[..., None]


@pytest.fixture(params=["default", "sqlite"])
def alias(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_tasks_that_use_savepoints_wait_for_one_another(alias: str) -> None:
    tags = Tag.objects.using(alias)
    await asyncio.gather(
        *(tags.aget_or_create(name=f"tag {number % 3}") for number in range(12))
    )
    assert await tags.acount() == 3


async def test_a_block_that_fails_takes_no_rows_of_others_with_it(alias: str) -> None:
    tags, inside = Tag.objects.using(alias), asyncio.Event()

    async def fail() -> None:
        async with aatomic(using=alias):
            await tags.acreate(name="undone")
            inside.set()
            await asyncio.sleep(0)
            raise ZeroDivisionError

    async def succeed() -> None:
        await inside.wait()
        await tags.acreate(name="kept")

    results = await asyncio.gather(fail(), succeed(), return_exceptions=True)
    assert isinstance(results[0], ZeroDivisionError)
    assert [tag.name async for tag in tags.all()] == ["kept"]


async def test_blocks_of_tasks_and_threads_do_not_overlap(alias: str) -> None:
    inside: list[str] = []

    def work(name: str) -> None:
        with transaction.atomic(alias):
            inside.append(name)
            Tag.objects.using(alias).create(name=name)
            with transaction.atomic(alias):
                Tag.objects.using(alias).count()
            inside.append(name)

    await asyncio.gather(
        *(on_loop(work)(f"task {number}") for number in range(4)),
        *(asyncio.to_thread(work, f"thread {number}") for number in range(4)),
    )
    assert inside[::2] == inside[1::2]
    assert await Tag.objects.using(alias).acount() == 8


async def test_what_a_block_starts_belongs_to_it(alias: str) -> None:
    tags = Tag.objects.using(alias)
    async with aatomic(using=alias):
        await asyncio.gather(
            tags.acreate(name="task"),
            tags.aget_or_create(name="block of a task"),
            sync_to_async(tags.create)(name="thread"),
            asyncio.to_thread(tags.get_or_create, name="block of a thread"),
        )
        assert await tags.acount() == 4
        connections[alias].set_rollback(True)
    assert await tags.acount() == 0


async def test_a_statement_with_rows_left_hinders_nobody(alias: str) -> None:
    # SQLite refuses savepoints while one that writes has rows to give.
    insert = "INSERT INTO library_tag (name) VALUES ('a'), ('b') RETURNING name"

    def insert_and_wait(step: threading.Barrier) -> list[tuple[str]]:
        with connections[alias].cursor() as cursor:
            cursor.execute(insert)
            assert cursor.fetchone() == ("a",)
            step.wait(10)
            step.wait(10)
            return [*cursor.fetchmany(1), *cursor.fetchall()]

    def use_a_block(step: threading.Barrier) -> None:
        step.wait(10)
        with transaction.atomic(alias):
            Tag.objects.using(alias).create(name="c")
        step.wait(10)

    step = threading.Barrier(2)
    rows, _ = await asyncio.gather(
        asyncio.to_thread(insert_and_wait, step),
        asyncio.to_thread(use_a_block, step),
    )
    assert rows == [("b",)]
    assert await Tag.objects.using(alias).acount() == 3


def test_a_shared_cursor_has_the_rows_of_its_last_statement_alone() -> None:
    with connections["sqlite"].cursor() as wrapped:
        cursor = wrapped.cursor
        assert (cursor.fetchone(), cursor.fetchall()) == (None, [])
        cursor.execute("SELECT 1 UNION SELECT 2 UNION SELECT 3")
        assert cursor.fetchmany() == [(1,)]
        assert (next(cursor), cursor.fetchmany(5)) == ((2,), [(3,)])
        cursor.execute("SELECT 4")
        cursor.executemany("INSERT INTO library_tag (name) VALUES (%s)", [("a",)])
        assert cursor.fetchone() is None
        cursor.execute("SELECT 5")
        with pytest.raises(sqlite3.OperationalError):
            cursor.execute("SELECT nothing")
        assert cursor.fetchall() == []
        cursor.execute("SELECT 6")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cursor.fetchone()


@pytest.mark.django_db(databases="__all__", transaction=True)
async def test_a_cursor_of_a_worker_reads_all_rows_too() -> None:
    names = ", ".join(f"('{number}')" for number in range(150))

    def work() -> int:
        with transaction.atomic("sqlite"), connections["sqlite"].cursor() as cursor:
            eager(cursor.cursor)
            cursor.execute(f"INSERT INTO library_tag (name) VALUES {names} RETURNING 1")
            with transaction.atomic("sqlite"):
                Tag.objects.using("sqlite").create(name="in a savepoint")
            return len(cursor.fetchall())

    assert await on_loop(work)() == 150


async def test_a_task_that_outlives_its_block_goes_on_after_it(alias: str) -> None:
    tags, go = Tag.objects.using(alias), asyncio.Event()

    async def outlive() -> None:
        await go.wait()
        await tags.acreate(name="later")

    async with aatomic(using=alias):
        task = asyncio.create_task(outlive())
        await tags.acount()
    go.set()
    await task
    assert await tags.acount() == 1


async def test_a_cancelled_task_gives_up_its_turn(alias: str) -> None:
    inside = asyncio.Event()

    async def hold() -> None:
        async with aatomic(using=alias):
            inside.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    waiting = asyncio.create_task(Tag.objects.using(alias).acreate(name="a"))
    given_up = asyncio.create_task(Tag.objects.using(alias).acreate(name="b"))
    await asyncio.sleep(0)
    given_up.cancel()
    holder.cancel()
    await asyncio.wait([holder, waiting, given_up])
    assert [tag.name async for tag in Tag.objects.using(alias)] == ["a"]


async def test_a_turn_that_does_not_come_is_an_error_that_names_the_block(
    configure: Configure,
) -> None:
    configure(pool={"timeout": 0.05})
    inside, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with aatomic():
            inside.set()
            await over.wait()

    holder = asyncio.create_task(hold(), name="holder")
    await inside.wait()
    words = (
        r"on database 'default' is shared, and did not come free in 0.05 s: task "
        r"'holder' at .*test_turns.py:\d+ in hold is in an atomic block. .*#no-turn"
    )
    with pytest.raises(OperationalError, match=words):
        await Author.objects.acount()
    over.set()
    await holder
    assert await Author.objects.acount() == 0


async def test_a_thread_is_named_too(configure: Configure) -> None:
    configure(pool={"timeout": 0.05})
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            inside.set()
            assert over.wait(10)

    task = asyncio.create_task(asyncio.to_thread(hold))
    await asyncio.to_thread(inside.wait)
    with pytest.raises(OperationalError, match=r"thread 'asyncio_.* in an atomic"):
        await Author.objects.acount()
    over.set()
    await task


@pytest.mark.django_db(transaction=True)
async def test_nobody_takes_turns_before_a_transaction_was_lent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ownership, "has_lent", False)

    async def create() -> None:
        await Tag.objects.acreate(name="lent")

    def lend() -> None:
        with transaction.atomic():
            before = ownership.has_lent
            async_to_sync(create)()
            with transaction.atomic():
                Tag.objects.create(name="in a block")
        assert (before, ownership.has_lent) == (False, True)
        connections["default"].close()

    async with aatomic(), aatomic():
        await Tag.objects.acreate(name="on the loop")
    assert not ownership.has_lent
    await asyncio.to_thread(lend)
    assert await Tag.objects.acount() == 3


def test_a_block_of_a_test_lets_its_coroutines_in() -> None:
    async def create() -> None:
        await Author.objects.acreate(name="of the block")

    with transaction.atomic():
        async_to_sync(create)()
        assert Author.objects.count() == 1
        transaction.set_rollback(True)
    assert Author.objects.count() == 0

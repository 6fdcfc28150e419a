"""Cancellation at every suspension point of every operation.

docs/topics/cancellation.rst promises what the tests here hold.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections, transaction

from django_async_ext import (
    aatomic,
    aon_commit,
    gather_queries,
    hold_connection,
    implicit_waits,
    on_loop,
)
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import ConnectionOwnershipError
from tests.db.conftest import Configure
from tests.db.interruptions import Interruption, Kind, Stepped, apart
from tests.db.server import Server, execute, sleep, until
from tests.library.models import Account, Author, Book, Cover, Tag
from tests.waiting import timing_out

RESET = """
DELETE FROM library_cover; DELETE FROM library_book_tags; DELETE FROM library_tag;
DELETE FROM library_book; DELETE FROM library_author; DELETE FROM library_account;
INSERT INTO library_author (id, name, biography) VALUES (-1, 'Ada', ''), (-2, 'Bo', '');
INSERT INTO library_book (id, title, pages, author_id)
    VALUES (-1, 'one', 1, -1), (-2, 'two', 2, -1), (-3, 'three', 3, -2);
INSERT INTO library_cover (id, book_id, colour) VALUES (-1, -1, 'red');
INSERT INTO library_tag (id, name) VALUES (-1, 'fine'), (-2, 'old');
INSERT INTO library_book_tags (book_id, tag_id) VALUES (-1, -1), (-1, -2), (-2, -1);
"""
FAST = "PRAGMA synchronous=OFF"
ROWS = """
SELECT 'author', name, '' FROM library_author
UNION ALL SELECT 'book', title, CAST(pages AS TEXT) FROM library_book
UNION ALL SELECT 'cover', colour, '' FROM library_cover
UNION ALL SELECT 'tag', name, '' FROM library_tag
UNION ALL SELECT 'tagged', CAST(book_id AS TEXT), '' FROM library_book_tags
UNION ALL SELECT 'account', CAST(balance AS TEXT), '' FROM library_account
ORDER BY 1, 2, 3
"""


class World:
    """The database as others see it, through a connection of the test's own."""

    using = "default"

    def __init__(self, server: Server, outside: psycopg.Connection[Any]) -> None:
        self.server, self.outside = server, outside

    def reset(self) -> None:
        self.outside.execute(RESET)

    def rows(self) -> list[Any]:
        return self.outside.execute(ROWS).fetchall()

    async def is_at_rest(self) -> None:
        """Wait until no session works or is in a transaction, and none is lost."""
        stats = pool_stats(self.using)
        assert stats["waiting"] == 0
        await until(lambda: pool_stats(self.using)["in_use"] == 0)
        size = pool_stats(self.using)["size"]
        await until(lambda: self.server.states() == ["idle"] * size)


class SQLiteWorld(World):
    """The same of an SQLite database in a file."""

    using = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path

    def reset(self) -> None:
        with closing(sqlite3.connect(self.path)) as outside:
            outside.executescript(f"{FAST}; BEGIN; {RESET}; COMMIT")

    def rows(self) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as outside:
            return outside.execute(ROWS).fetchall()

    async def is_at_rest(self) -> None:
        assert pool_stats(self.using)["waiting"] == 0
        await until(lambda: pool_stats(self.using)["in_use"] == 0)
        with closing(sqlite3.connect(self.path, timeout=10)) as outside:
            # Nobody else keeps a lock; a worker may be ending what it had to end.
            outside.execute("BEGIN EXCLUSIVE")


@asynccontextmanager
async def nothing_else(using: str) -> AsyncIterator[None]:
    yield


@dataclass
class Case:
    """An operation, the hooks it registers, and what is the case meanwhile."""

    run: Callable[["Journal"], Awaitable[Any]]
    hooks: list[str] = field(default_factory=list)
    around: Callable[[str], Any] = nothing_else


@dataclass
class Journal:
    """What the operation works on, and which hooks ran."""

    using: str
    ran: list[str] = field(default_factory=list)

    async def note(self, word: str, hook: Any = None) -> None:
        """Register a hook that notes ``word`` at its end."""
        hook = hook or partial(self.ran.append, word)
        await aon_commit(hook, using=self.using)

    def atomic(self, **kwargs: Any) -> Any:
        return aatomic(self.using, **kwargs)

    def of(self, model: Any) -> Any:
        return model.objects.using(self.using)


# The operations


async def create(journal: Journal) -> None:
    await journal.of(Author).acreate(name="new")


async def save(journal: Journal) -> None:
    await Author(pk=-1, name="renamed").asave(using=journal.using)


async def get(journal: Journal) -> None:
    book = await journal.of(Book).select_related("author").aget(pk=-1)
    assert book.author.name == "Ada"


async def bulk_create(journal: Journal) -> None:
    many = [Author(name=f"many {number}") for number in range(7)]
    await journal.of(Author).abulk_create(many, batch_size=3)


async def update(journal: Journal) -> None:
    await journal.of(Book).aupdate(pages=10)


async def delete(journal: Journal) -> None:
    await Author(pk=-1).adelete(using=journal.using)


async def get_or_create(journal: Journal) -> None:
    _, made = await journal.of(Author).aget_or_create(name="new")
    assert made


async def update_or_create(journal: Journal) -> None:
    await journal.of(Book).aupdate_or_create(title="one", defaults={"pages": 11})


async def iterate(journal: Journal) -> None:
    books = journal.of(Book).order_by("title").aiterator(chunk_size=1)
    assert [book.title async for book in books] == ["one", "three", "two"]


async def break_off(journal: Journal) -> None:
    async for _ in journal.of(Book).aiterator(chunk_size=1):
        break
    assert await journal.of(Book).acount() == 3


async def break_off_synchronously(journal: Journal) -> None:
    def work() -> int:
        for _ in journal.of(Book).iterator(chunk_size=1):
            # Its finaliser, which closes the cursor, waits in here.
            break
        return journal.of(Book).count()

    assert await on_loop(work)() == 3


async def iterate_in_a_transaction(journal: Journal) -> None:
    async with journal.atomic():
        async for book in journal.of(Book).aiterator(chunk_size=2):
            book.pages += 1
            await book.asave()


async def prefetch(journal: Journal) -> None:
    authors = journal.of(Author).order_by("name").prefetch_related("books__tags")
    found = [[len(b.tags.all()) for b in a.books.all()] async for a in authors]
    assert [sorted(counts) for counts in found] == [[1, 2], [0]]


async def gather(journal: Journal) -> None:
    books, tags, count = await gather_queries(
        journal.of(Book).all(), journal.of(Tag).all(), journal.of(Cover).acount()
    )
    assert (len(books), len(tags), count) == (3, 2, 1)


async def pipeline(journal: Journal) -> None:
    books, count = await gather_queries(
        journal.of(Book).all(), journal.of(Cover).acount(), pipeline=True
    )
    assert (len(books), count) == (3, 1)


async def pipeline_in_a_transaction(journal: Journal) -> None:
    async with journal.atomic():
        await journal.note("pipelined")
        await gather_queries(
            journal.of(Author).acreate(name="first"),
            journal.of(Book).prefetch_related("tags"),
            journal.of(Author).aget_or_create(name="with a savepoint"),
            journal.of(Author).acreate(name="second"),
        )
        await journal.of(Author).acreate(name="third")


async def nest(journal: Journal) -> None:
    async with journal.atomic():
        await journal.note("outer")
        await journal.of(Author).acreate(name="outer")
        async with journal.atomic():
            await journal.note("inner")
            await journal.of(Author).acreate(name="inner")
            async with journal.atomic(savepoint=False):
                await journal.of(Author).acreate(name="innermost")
        with suppress(LookupError):
            async with journal.atomic():
                await journal.note("never")
                await journal.of(Author).acreate(name="never")
                raise LookupError


async def commit(journal: Journal) -> None:
    async with journal.atomic():
        await journal.of(Author).acreate(name="new")
        await journal.note("first")
        await journal.note("second")


async def roll_back(journal: Journal) -> None:
    with suppress(LookupError):
        async with journal.atomic():
            await journal.note("never")
            await journal.of(Author).acreate(name="never")
            raise LookupError


async def set_rollback(journal: Journal) -> None:
    async with journal.atomic():
        await journal.note("never")
        await journal.of(Author).acreate(name="never")
        await on_loop(transaction.set_rollback)(True, journal.using)


async def hooks_that_query(journal: Journal) -> None:
    def synchronous() -> None:
        journal.of(Account).create(balance=1)
        journal.ran.append("synchronous")

    async def asynchronous() -> None:
        await journal.of(Account).acreate(balance=2)
        async with journal.atomic():
            await journal.of(Account).acreate(balance=3)
            await journal.note("hook of a hook")
        journal.ran.append("asynchronous")

    async with journal.atomic():
        await journal.of(Author).acreate(name="new")
        await journal.note("", synchronous)
        await journal.note("", asynchronous)
        await journal.note("last")


async def hold(journal: Journal) -> None:
    async with hold_connection(journal.using):
        await journal.of(Author).acreate(name="new")


async def decorated(journal: Journal) -> None:
    @journal.atomic()
    async def work() -> None:
        await journal.of(Author).acreate(name="new")
        await journal.of(Book).aupdate(pages=10)
        await journal.note("ran")

    await work()


@implicit_waits
async def implicit(journal: Journal) -> None:
    async with journal.atomic():
        for book in journal.of(Book).select_related(None):
            book.title = f"{book.author.name}'s {book.title}"
            book.save()
        await journal.note("ran")
        await journal.of(Author).acreate(name="new")


async def lock(journal: Journal) -> None:
    async with journal.atomic():
        books = journal.of(Book).select_for_update()
        for book in await books.order_by("pk"):
            book.pages += 1
            await book.asave()
        await journal.note("ran")


async def two_databases(journal: Journal) -> None:
    async with aatomic("replica"), journal.atomic():
        await journal.note("ran")
        await journal.of(Author).acreate(name="new")
        await Account.objects.using("replica").aupdate(balance=0)


async def close_the_pool(journal: Journal) -> None:
    async with journal.atomic():
        await journal.of(Author).acreate(name="new")
        await journal.note("ran")
        connections[journal.using].close_pool()
    await journal.of(Author).acount()


async def synchronous(journal: Journal) -> None:
    def work() -> None:
        with transaction.atomic(journal.using):
            journal.of(Author).create(name="outer")
            with transaction.atomic(journal.using):
                journal.of(Author).create(name="inner")
            transaction.on_commit(partial(journal.ran.append, "ran"), journal.using)
            list(journal.of(Book).iterator(chunk_size=1))

    await on_loop(work)()


# What is the case meanwhile


@asynccontextmanager
async def cold_pool(using: str) -> AsyncIterator[None]:
    connections[using].close_pool()
    yield


@asynccontextmanager
async def full_pool(using: str) -> AsyncIterator[None]:
    """All connections are held by others, until some turns of the loop later."""
    loop, held, release = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with hold_connection(using):
            held.set()
            await release.wait()

    def later(turns: int) -> None:
        loop.call_soon(later, turns - 1) if turns else release.set()

    size = pool_stats(using)["max_size"]
    holders = [loop.create_task(holder(), context=Context()) for _ in range(size)]
    await held.wait()
    later(5)
    try:
        yield
    finally:
        await asyncio.wait(holders)


CASES = {
    "create": Case(create),
    "save": Case(save),
    "get": Case(get),
    "bulk_create": Case(bulk_create),
    "update": Case(update),
    "delete": Case(delete),
    "get_or_create": Case(get_or_create),
    "update_or_create": Case(update_or_create),
    "iterate": Case(iterate),
    "break off": Case(break_off),
    "break off synchronously": Case(break_off_synchronously),
    "iterate in a transaction": Case(iterate_in_a_transaction),
    "prefetch": Case(prefetch),
    "gather": Case(gather),
    "pipeline": Case(pipeline),
    "pipeline in a transaction": Case(pipeline_in_a_transaction, ["pipelined"]),
    "nest": Case(nest, ["outer", "inner"]),
    "commit": Case(commit, ["first", "second"]),
    "roll back": Case(roll_back),
    "set_rollback": Case(set_rollback),
    "hooks that query": Case(
        hooks_that_query, ["synchronous", "hook of a hook", "asynchronous", "last"]
    ),
    "hold": Case(hold),
    "decorated": Case(decorated, ["ran"]),
    "synchronous": Case(synchronous, ["ran"]),
    "implicit": Case(implicit, ["ran"]),
    "lock": Case(lock, ["ran"]),
    "two databases": Case(two_databases, ["ran"]),
    "close the pool": Case(close_the_pool, ["ran"]),
    "connect": Case(commit, ["first", "second"], cold_pool),
    "wait for the pool": Case(commit, ["first", "second"], full_pool),
}


@pytest.fixture
def world(server: Server, configure: Configure) -> Iterator[World]:
    # Small, so that a lost connection is missed.
    configure(pool={"min_size": 0, "max_size": 2, "timeout": 10})
    name = connections.settings["default"]["NAME"]
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, dbname=name, autocommit=True) as outside:
        yield World(server, outside)


@pytest.fixture
def sqlite_world(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> SQLiteWorld:
    path = tmp_path / "cancellation.sqlite3"
    with connections["sqlite"].cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(path)])
    monkeypatch.setitem(connections.settings["sqlite"], "NAME", str(path))
    configure("sqlite", init_command=FAST)
    return SQLiteWorld(path)


@pytest.mark.parametrize("name", CASES)
async def test_on_postgresql(name: str, world: World) -> None:
    assert min(await interrupt_everywhere(CASES[name], world)) > 1


@pytest.mark.parametrize("name", CASES)
async def test_on_sqlite(name: str, sqlite_world: SQLiteWorld) -> None:
    assert min(await interrupt_everywhere(CASES[name], sqlite_world)) > 1


async def interrupt_everywhere(case: Case, world: World) -> list[int]:
    """Return at how many points each kind was tried: the last was not reached."""
    world.reset()
    points = []
    before = world.rows()
    await apart(undisturbed(case, world))
    outcomes = {False: before, True: world.rows()}
    for kind in Kind:
        point, reached = 0, True
        while reached:
            point += 1
            world.reset()
            try:
                reached = await apart(attempt(case, world, point, kind, outcomes))
            except BaseException as error:
                error.add_note(f"{kind.value}, suspension {point}")
                raise
        points.append(point)
    return points


async def undisturbed(case: Case, world: World) -> None:
    journal = Journal(world.using)
    async with case.around(world.using):
        await case.run(journal)
    assert journal.ran == case.hooks
    await world.is_at_rest()


async def attempt(
    case: Case, world: World, point: int, kind: Kind, outcomes: dict[bool, list[Any]]
) -> bool:
    """Interrupt the operation once, check what it left, and use the task again."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    errors: list[Any] = []
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    journal, others = Journal(world.using), asyncio.all_tasks()
    async with case.around(world.using):
        interruption = Interruption(case.run(journal), point, kind)
        try:
            await interruption.run()
        except asyncio.CancelledError:
            assert kind is not Kind.TIMEOUT
            assert interruption.counted == interruption.cancels > 0
        except TimeoutError:
            assert kind is Kind.TIMEOUT
            assert interruption.counted == 0
        else:
            assert not interruption.cancels
            assert kind is Kind.TIMEOUT or not interruption.reached
    rows = world.rows()
    assert rows in outcomes.values()
    happened = rows == outcomes[True]
    if outcomes[True] == outcomes[False]:
        happened = not interruption.reached
    assert journal.ran == (case.hooks if happened else [])
    await world.is_at_rest()
    assert_fresh(connections[world.using])
    await go_on(world, journal, list(journal.ran))
    await world.is_at_rest()
    assert asyncio.all_tasks() == others
    assert not errors
    return interruption.reached


def assert_fresh(wrapper: Any) -> None:
    assert wrapper.connection is None
    assert not wrapper.in_atomic_block
    assert not wrapper.savepoint_ids
    assert not wrapper.atomic_blocks
    assert not wrapper.run_on_commit
    assert not wrapper._holds


async def go_on(world: World, journal: Journal, ran: list[str]) -> None:
    """The same task can query and write, and no old hook comes up."""
    count = await journal.of(Author).acount()
    async with journal.atomic():
        await journal.note("later")
        await journal.of(Author).acreate(name="later")
    assert journal.ran == [*ran, "later"]
    assert await journal.of(Author).acount() == count + 1
    assert ("author", "later", "") in world.rows()


# Caught inside of a transaction


async def two_statements(journal: Journal) -> None:
    await journal.of(Author).acreate(name="inner 1")
    await journal.of(Author).acreate(name="inner 2")


async def savepoint(journal: Journal) -> None:
    async with journal.atomic():
        await journal.note("inner")
        await two_statements(journal)


async def failing_savepoint(journal: Journal) -> None:
    with suppress(LookupError):
        async with journal.atomic():
            await journal.note("never")
            await two_statements(journal)
            raise LookupError


async def iterator(journal: Journal) -> None:
    async for _ in journal.of(Book).aiterator(chunk_size=1):
        break
    await two_statements(journal)


async def gathered(journal: Journal) -> None:
    await gather_queries(*(journal.of(Author).acreate(name=f"inner {n}") for n in "12"))


async def gathered_in_a_savepoint(journal: Journal) -> None:
    async with journal.atomic():
        await gathered(journal)


BEFORE_AND_AFTER = ("before", "after")
ALL = ("before", "inner 1", "inner 2", "after")

#: What there may be in the end, and what there is when the last waits are interrupted.
ENDS = {
    two_statements: ({(), ALL}, [()]),
    iterator: ({(), ALL}, [()]),
    gathered: ({(), ALL}, [()]),
    # Only the interrupted SAVEPOINT itself dooms the outer block.
    savepoint: ({(), BEFORE_AND_AFTER, ALL}, [ALL]),
    gathered_in_a_savepoint: ({(), BEFORE_AND_AFTER, ALL}, [ALL]),
    failing_savepoint: ({(), BEFORE_AND_AFTER}, [BEFORE_AND_AFTER] * 2),
}


@pytest.mark.parametrize("inner", ENDS)
async def test_an_interrupted_statement_dooms_its_block(
    inner: Any, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert await catch_everywhere(inner, world) == ENDS[inner][0]
    # Of a pipeline that was left with answers unread.
    assert "pipeline=ON" not in caplog.text


@pytest.mark.parametrize("inner", [two_statements, savepoint, failing_savepoint])
async def test_an_interrupted_statement_dooms_its_block_on_sqlite(
    inner: Any, sqlite_world: SQLiteWorld
) -> None:
    assert await catch_everywhere(inner, sqlite_world) == ENDS[inner][0]


async def catch_everywhere(inner: Any, world: World) -> set[Any]:
    """Return what ``inner`` made wherever it was interrupted, and where it was not."""
    results = set()
    _, at_last = ENDS[inner]
    for kind in Kind:
        point, reached, interrupted = 0, True, []
        while reached:
            point += 1
            world.reset()
            try:
                reached, made = await apart(catch(inner, world, point, kind))
            except BaseException as error:
                error.add_note(f"{kind.value}, suspension {point}")
                raise
            results.add(made)
            if reached:
                interrupted.append(made)
        assert interrupted[-len(at_last) :] == at_last, kind.value
    return results


async def catch(
    inner: Any, world: World, point: int, kind: Kind
) -> tuple[bool, tuple[str, ...]]:
    """Go on in the block after the interruption, as far as that is possible."""
    journal = Journal(world.using)
    interruption = Interruption(inner(journal), point, kind)
    # The second, when a second cancellation left the statement running.
    with suppress(transaction.TransactionManagementError, OperationalError):
        async with journal.atomic():
            await journal.note("outer")
            await journal.of(Author).acreate(name="before")
            with suppress(asyncio.CancelledError, TimeoutError):
                await interruption.run()
            await journal.of(Author).acreate(name="after")
    names = [row[1] for row in world.rows() if row[0] == "author"]
    made = tuple(sorted({*names} - {"Ada", "Bo"}, key=ALL.index))
    hooks = ["outer"] if made else []
    if inner is savepoint and "inner 1" in made:
        hooks.append("inner")
    assert journal.ran == hooks
    await world.is_at_rest()
    assert_fresh(connections[world.using])
    await go_on(world, journal, hooks)
    return interruption.reached, made


async def test_a_gather_stopped_in_a_savepoint_leaves_the_transaction_usable(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with aatomic():
        await Author.objects.acreate(name="before")
        with suppress(TimeoutError):
            async with timing_out(server.running), aatomic():
                await gather_queries(
                    Author.objects.acreate(name="never"), sleep, Author.objects.acount()
                )
        await Author.objects.acreate(name="after")
        assert server.running() == 0
    assert {author.name for author in await Author.objects.all()} == {"before", "after"}
    assert pool_stats()["size"] == 1
    assert not caplog.messages


async def test_the_error_of_a_doomed_block_names_the_cancellation(world: World) -> None:
    refused = "You can't execute queries until the end of the 'atomic' block"
    with pytest.raises(transaction.TransactionManagementError, match=refused) as caught:
        async with aatomic():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await Author.objects.acount()
            await Author.objects.acount()
    assert type(caught.value.__cause__) is asyncio.CancelledError


# The end of the loop


@pytest.mark.parametrize("name", ["commit", "hooks that query", "nest", "connect"])
def test_the_end_of_the_loop_at_every_suspension(name: str, world: World) -> None:
    case = CASES[name]
    world.reset()
    outcomes = {False: world.rows()}
    asyncio.run(undisturbed(case, world))
    outcomes[True] = world.rows()
    point, reached = 0, True
    while reached:
        point += 1
        world.reset()
        journal = Journal(world.using)
        reached = asyncio.run(leave(case, journal, point))
        # The server has yet to see that their sockets are closed.
        asyncio.run(until(lambda: not world.server.pids()))
        happened = outcomes[True] == world.rows()
        assert happened or outcomes[False] == world.rows()
        assert journal.ran == (case.hooks if happened else [])


async def leave(case: Case, journal: Journal, point: int) -> bool:
    """Return, and so end the loop, when the operation suspends the n-th time."""
    reached = asyncio.Event()
    steps = 0

    def suspended(yielded: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == point:
            reached.set()

    async def work() -> None:
        await Stepped(case.run(journal), suspended)

    waiter = asyncio.create_task(reached.wait())
    task = asyncio.create_task(work())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    return reached.is_set()


# Hooks


async def test_hooks_hold_no_connection(configure: Configure) -> None:
    configure(pool={"min_size": 0, "max_size": 1, "timeout": 1})

    async def hook() -> None:
        assert pool_stats()["in_use"] == 0
        await Author.objects.acreate(name="by the hook")

    async with aatomic():
        await aon_commit(hook)
        await Author.objects.acreate(name="Ada")
    assert await Author.objects.acount() == 2
    assert pool_stats()["size"] == 1


async def test_a_hook_runs_in_the_transactions_and_holds_of_its_task() -> None:
    async def hook() -> None:
        assert await on_loop(execute)("SELECT pg_backend_pid()") == session
        await Author.objects.using("replica").acreate(name="inside")

    with suppress(LookupError):
        async with aatomic("replica"), hold_connection():
            session = await on_loop(execute)("SELECT pg_backend_pid()")
            async with aatomic():
                await aon_commit(hook)
            assert await Author.objects.using("replica").acount() == 1
            raise LookupError
    assert await Author.objects.using("replica").acount() == 0


async def test_a_hook_may_limit_and_group_its_own_waits() -> None:
    ended: list[str] = []

    async def times_out() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    async def hook() -> None:
        with pytest.raises(TimeoutError):
            await times_out()
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(times_out())
                await asyncio.Event().wait()
        ended.append("hook")

    task = asyncio.current_task()
    async with aatomic():
        await aon_commit(hook)
    assert ended == ["hook"]
    assert not task.cancelling()


async def test_a_hook_that_fails_is_named_by_the_cancellation() -> None:
    started = asyncio.Event()
    go_on = asyncio.Event()

    async def hook() -> None:
        started.set()
        await go_on.wait()
        raise LookupError("of the hook")

    async def work() -> None:
        async with aatomic():
            await aon_commit(hook)

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert task.cancelled()
    assert str(caught.value.__context__) == "of the hook"


# Tools of asyncio


async def test_a_task_group_rolls_back_what_it_cancels(world: World) -> None:
    written, rolled_back = asyncio.Event(), asyncio.Event()

    async def writes() -> None:
        try:
            async with aatomic():
                await Author.objects.acreate(name="never")
                written.set()
                await asyncio.Event().wait()
        finally:
            assert await Author.objects.acount() == 0
            rolled_back.set()

    async def fails() -> None:
        await written.wait()
        raise LookupError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(writes())
            group.create_task(fails())
    assert rolled_back.is_set()
    # Before, a TaskGroup left its own count.
    if sys.version_info >= (3, 13):
        assert not asyncio.current_task().cancelling()
    await world.is_at_rest()


async def test_wait_for_in_a_transaction_is_refused_where_it_starts_a_task() -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        if sys.version_info >= (3, 12):
            assert await asyncio.wait_for(Author.objects.acount(), 10) == 1
        else:
            with pytest.raises(ConnectionOwnershipError, match=r"use asyncio.timeout"):
                await asyncio.wait_for(Author.objects.acount(), 10)
            async with asyncio.timeout(10):
                assert await Author.objects.acount() == 1

"""What belongs to a task's transaction and ends, or begins, elsewhere."""

import asyncio
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import TestCase

from django_async_ext import aatomic, aon_commit, hold_connection, on_loop
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import (
    ConnectionOwnershipError,
    OutsideTransactionWarning,
)
from tests.db.conftest import without_autocommit
from tests.db.server import sleep, until
from tests.library.models import Account, Author, Tag

pytestmark = pytest.mark.django_db(transaction=True)


async def in_a_task(work: Any) -> None:
    await asyncio.create_task(work())


async def test_a_generator_that_is_broken_off_takes_nothing_with_it() -> None:
    async def rows() -> AsyncIterator[int]:
        async with aatomic():
            await Tag.objects.acreate(name="inside")
            yield 1

    async def work() -> None:
        async for _ in rows():
            break
        # Python closes it in a task of its own.
        await asyncio.sleep(0.05)
        with pytest.raises(TransactionManagementError):
            await Author.objects.acreate(name="would be lost")

    await in_a_task(work)
    assert await Tag.objects.acount() == 0


async def test_what_is_broken_stays_so_after_a_block_inside_it() -> None:
    async def rows() -> AsyncIterator[int]:
        async with aatomic():
            yield 1

    async def work() -> None:
        async for _ in rows():
            break
        async with aatomic():
            await asyncio.sleep(0.05)
        with pytest.raises(TransactionManagementError):
            await Author.objects.acreate(name="would be lost")

    await in_a_task(work)


async def rows() -> AsyncIterator[int]:
    async with aatomic():
        await Tag.objects.acreate(name="inside")
        yield 1


async def break_off() -> None:
    async for _ in rows():
        break


@pytest.mark.parametrize("seconds", [0, 0.05])
async def test_a_block_around_a_generator_that_is_broken_off_says_that_it_rolls_back(
    seconds: float,
) -> None:
    async def work() -> None:
        with pytest.raises(TransactionManagementError, match="broken off"):
            async with aatomic():
                await Author.objects.acreate(name="before")
                await break_off()
                if seconds:
                    await asyncio.sleep(seconds)
        await Author.objects.acreate(name="after")

    await in_a_task(work)
    assert [author.name async for author in Author.objects.all()] == ["after"]
    assert await Tag.objects.acount() == 0


async def test_the_error_of_a_block_around_one_that_is_broken_off_is_raised() -> None:
    async def work() -> None:
        async with aatomic():
            await break_off()
            raise LookupError

    with pytest.raises(LookupError):
        await in_a_task(work)
    assert await Tag.objects.acount() == 0


async def test_a_task_that_was_told_of_what_it_broke_off_goes_on() -> None:
    ran: list[int] = []

    async def work() -> None:
        await break_off()
        await asyncio.sleep(0.05)
        assert pool_stats()["in_use"] == 0
        with pytest.raises(TransactionManagementError, match="broken off"):
            async with aatomic():
                ran.append(1)
        async with aatomic():
            await Author.objects.acreate(name="after")

    await in_a_task(work)
    assert not ran
    assert [author.name async for author in Author.objects.all()] == ["after"]
    assert await Tag.objects.acount() == 0


@pytest.mark.parametrize("holds", [False, True])
async def test_a_task_that_was_at_work_meanwhile_goes_on_too(holds: bool) -> None:
    async def work() -> None:
        async with hold_connection() if holds else nullcontext():
            await break_off()
            # Python closes the generator while this waits.
            await on_loop(sleep)(0.1)
        assert pool_stats()["in_use"] == 0
        with pytest.raises(TransactionManagementError, match="broken off"):
            await Author.objects.acreate(name="would be lost")
        async with aatomic():
            await Author.objects.acreate(name="after")

    await in_a_task(work)
    assert [author.name async for author in Author.objects.all()] == ["after"]
    assert await Tag.objects.acount() == 0


async def test_a_task_that_never_left_a_block_is_told_of_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        await break_off()
        await Author.objects.acreate(name="lost")

    await asyncio.create_task(work(), name="worker")
    told = "Task 'worker' ended without having left an atomic block on database"
    await until(lambda: any(each.startswith(told) for each in caplog.messages))
    assert await Author.objects.acount() == 0


@asynccontextmanager
async def entered_elsewhere() -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Give what leaves a block in which another task is."""

    def rows() -> Generator[int]:
        with transaction.atomic():
            yield 1

    made = rows()
    begun, over = asyncio.Event(), asyncio.Event()

    async def begin() -> None:
        await on_loop(next)(made)
        begun.set()
        await over.wait()

    first = asyncio.create_task(begin())
    await begun.wait()
    yield on_loop(made.close)
    over.set()
    await first


async def test_a_block_that_was_lost_leaves_the_transaction_of_who_left_it() -> None:
    async with entered_elsewhere() as leave:

        async def other() -> None:
            async with aatomic():
                with pytest.raises(TransactionManagementError):
                    await leave()
                with pytest.raises(ConnectionOwnershipError):
                    await asyncio.create_task(Tag.objects.acount())

        await in_a_task(other)


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
async def test_what_is_broken_off_keeps_no_lock(alias: str) -> None:
    broken, over = asyncio.Event(), asyncio.Event()
    accounts = Account.objects.using(alias)
    await accounts.acreate(pk=1, balance=1)

    async def locking() -> AsyncIterator[int]:
        async with aatomic(alias):
            await accounts.filter(pk=1).aupdate(balance=5)
            yield 1

    async def consumer() -> None:
        async for _ in locking():
            break
        await asyncio.sleep(0.05)
        broken.set()
        await over.wait()

    task = asyncio.create_task(consumer())
    await broken.wait()
    async with asyncio.timeout(5):
        await accounts.filter(pk=1, balance=1).aupdate(balance=7)
    over.set()
    await task
    assert (await accounts.aget()).balance == 7


async def test_a_generator_that_is_broken_off_at_work_dooms_its_task() -> None:
    async def work() -> None:
        tags = Tag.objects.aiterator()
        async with hold_connection():
            await break_off()
            await asyncio.sleep(0.05)
            with pytest.raises(TransactionManagementError):
                await anext(tags)

    await in_a_task(work)
    assert await Tag.objects.acount() == 0


class BrokenOffTests(TestCase):
    async def test_the_others_that_share_the_transaction_go_on(self) -> None:
        async def work() -> None:
            with suppress(TransactionManagementError):
                async with aatomic():
                    await break_off()

        await in_a_task(work)

        async def other() -> None:
            async with aatomic():
                await Author.objects.acreate(name="after")

        async with asyncio.timeout(10):
            await in_a_task(other)
        assert [author.name async for author in Author.objects.all()] == ["after"]
        assert not await Tag.objects.aexists()


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
async def test_without_autocommit_a_block_may_be_the_first_that_a_task_does(
    alias: str,
) -> None:
    tags = Tag.objects.using(alias)

    async def work() -> None:
        async with aatomic(alias):
            await tags.acreate(name="new")
        await on_loop(transaction.commit)(alias)

    with without_autocommit(alias):
        await in_a_task(work)
    assert await tags.acount() == 1


async def test_a_block_left_in_another_task_says_so() -> None:
    block = aatomic()

    async def leave() -> None:
        with pytest.raises(TransactionManagementError, match="in another task"):
            await block.__aexit__(None, None, None)

    async def work() -> None:
        await block.__aenter__()
        await Author.objects.acreate(name="inside")
        await asyncio.create_task(leave())
        with pytest.raises(TransactionManagementError):
            await Author.objects.acreate(name="after")

    await in_a_task(work)
    assert await Author.objects.acount() == 0


async def test_a_generator_ends_nobody_elses_transaction() -> None:
    async with entered_elsewhere() as leave:

        async def other() -> None:
            async with aatomic():
                await Author.objects.acreate(name="before")
                with pytest.raises(TransactionManagementError, match="in another task"):
                    await leave()
                await Author.objects.acreate(name="after")
                raise LookupError

        with pytest.raises(LookupError):
            await in_a_task(other)
    assert await Author.objects.acount() == 0


def test_a_decorated_function_is_a_block_of_its_own_in_each_task() -> None:
    @aatomic
    async def call(wait: Callable[[], Awaitable[Any]]) -> None:
        await Author.objects.acreate(name="before")
        await wait()
        await Author.objects.acreate(name="after")

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    async def destroy_the_other() -> None:
        connections._connections.forget_closed_loops()  # type: ignore[attr-defined]
        gc.collect()

    abandoned = asyncio.new_event_loop()
    task = abandoned.create_task(call(never))
    abandoned.run_until_complete(asyncio.sleep(0.1))
    abandoned.close()
    destroyed = weakref.ref(task)
    del task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(call(destroy_the_other))
    assert destroyed() is None
    assert Author.objects.count() == 2


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
async def test_a_connection_object_belongs_to_its_task(alias: str) -> None:
    tags = Tag.objects.using(alias)

    def insert(wrapper: Any) -> None:
        with wrapper.cursor() as cursor:
            cursor.execute("INSERT INTO library_tag (name) VALUES ('other')")

    async def work() -> None:
        mine = connections[alias]
        async with aatomic(alias):
            await tags.acreate(name="mine")
            with pytest.raises(ConnectionOwnershipError, match="belongs to task"):
                await asyncio.create_task(on_loop(insert)(mine))
        async with hold_connection(alias) as mine:
            with pytest.raises(ConnectionOwnershipError, match="belongs to task"):
                await asyncio.create_task(on_loop(insert)(mine))

    await in_a_task(work)
    assert [tag.name async for tag in tags] == ["mine"]


@pytest.mark.parametrize("register", [aon_commit, on_loop(transaction.on_commit)])
async def test_a_child_has_no_hooks_outside_of_its_parents_transaction(
    register: Any,
) -> None:
    ran: list[int] = []
    with suppress(LookupError):
        async with aatomic():
            await Tag.objects.acreate(name="paid")
            with pytest.raises(ConnectionOwnershipError):
                await asyncio.create_task(register(lambda: ran.append(1)))
            raise LookupError
    assert ran == []


async def test_a_thread_is_warned_that_its_hook_runs_at_once() -> None:
    ran: list[int] = []

    def register() -> None:
        try:
            transaction.on_commit(lambda: ran.append(1))
        finally:
            connection.close()

    async with aatomic():
        await Tag.objects.acreate(name="paid")
        with pytest.warns(OutsideTransactionWarning):
            await asyncio.to_thread(register)
        assert ran == [1]


async def test_a_hook_outside_of_any_transaction_is_nobodys_business() -> None:
    ran: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await asyncio.create_task(aon_commit(lambda: ran.append(1)))
        await on_loop(transaction.on_commit)(lambda: ran.append(2))
    assert ran == [1, 2]

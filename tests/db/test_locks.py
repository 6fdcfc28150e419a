"""Row locks, isolation levels and durable blocks inside ``aatomic()``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.db.backends.postgresql.psycopg_any import IsolationLevel

from django_async_ext import aatomic, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.server import execute
from tests.library.models import Account, Book


@pytest.fixture
async def accounts() -> list[Account]:
    made = [Account(pk=pk, balance=pk) for pk in (1, 2)]
    return await Account.objects.abulk_create(made)


@asynccontextmanager
async def locked_by_another(pk: int) -> AsyncIterator[None]:
    """Another task holds the lock of that account."""
    held, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with aatomic():
            await Account.objects.select_for_update().aget(pk=pk)
            held.set()
            await release.wait()

    task = asyncio.create_task(hold())
    await held.wait()
    try:
        yield
    finally:
        release.set()
        await task


@pytest.mark.usefixtures("accounts")
async def test_nowait_raises_and_its_savepoint_keeps_the_transaction() -> None:
    async with locked_by_another(1), aatomic():
        await Account.objects.acreate(pk=3)
        with pytest.raises(OperationalError, match="could not obtain lock"):
            async with aatomic():
                await Account.objects.select_for_update(nowait=True).aget(pk=1)
        free = await Account.objects.select_for_update(nowait=True).aget(pk=2)
        assert free.balance == 2
    assert await Account.objects.acount() == 3


@pytest.mark.usefixtures("accounts")
async def test_skip_locked_gives_the_rows_that_nobody_holds() -> None:
    async with locked_by_another(1), aatomic():
        free = await Account.objects.select_for_update(skip_locked=True)
        assert [account.pk for account in free] == [2]


@pytest.mark.usefixtures("accounts")
async def test_a_lock_is_waited_for_on_the_loop_until_its_holder_commits() -> None:
    async def deposit() -> int:
        async with aatomic():
            account = await Account.objects.select_for_update().aget(pk=1)
            account.balance += 1
            await account.asave()
            return account.balance

    balances = await asyncio.gather(*(asyncio.create_task(deposit()) for _ in range(8)))
    assert sorted(balances) == list(range(2, 10))
    assert (await Account.objects.aget(pk=1)).balance == 9


@pytest.mark.usefixtures("accounts")
async def test_a_lock_is_given_back_by_a_cancelled_block() -> None:
    held = asyncio.Event()

    async def hold() -> None:
        async with aatomic():
            await Account.objects.select_for_update().aget(pk=1)
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with aatomic():
        await Account.objects.select_for_update(nowait=True).aget(pk=1)


@pytest.mark.usefixtures("accounts")
async def test_a_deadlock_ends_one_of_its_transactions_and_the_other_commits(
    configure: Configure,
) -> None:
    configure(options="-c deadlock_timeout=10ms")
    connection.close_pool()
    both = asyncio.Barrier(2)

    async def take(first: int, second: int) -> None:
        async with aatomic():
            await Account.objects.filter(pk=first).aupdate(balance=first * 10)
            await both.wait()
            await Account.objects.filter(pk=second).aupdate(balance=first * 10)

    tasks = [asyncio.create_task(take(1, 2)), asyncio.create_task(take(2, 1))]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    (error,) = [result for result in results if result is not None]
    assert isinstance(error, OperationalError)
    assert "deadlock detected" in str(error)
    balances = {account.balance for account in await Account.objects.all()}
    assert balances in ({10}, {20})
    assert pool_stats()["in_use"] == 0


@pytest.mark.usefixtures("accounts")
async def test_repeatable_read_sees_one_state_of_the_database(
    configure: Configure,
) -> None:
    configure(isolation_level=IsolationLevel.REPEATABLE_READ)
    connection.close_pool()
    async with aatomic():
        level = await on_loop(execute)("SHOW transaction_isolation")
        assert level == [("repeatable read",)]
        before = await Account.objects.acount()
        add = Account.objects.acreate(pk=3)
        await asyncio.create_task(in_another_context(add))
        assert await Account.objects.acount() == before
    assert await Account.objects.acount() == before + 1


async def in_another_context(coroutine: Any) -> None:
    """Await it as somebody who has nothing to do with the transaction."""
    loop = asyncio.get_running_loop()
    await loop.create_task(coroutine, context=Context())


@pytest.mark.usefixtures("accounts")
async def test_serializable_transactions_that_conflict_fail_and_can_be_repeated(
    configure: Configure,
) -> None:
    configure(isolation_level=IsolationLevel.SERIALIZABLE)
    connection.close_pool()
    both = asyncio.Barrier(2)

    async def move(pk: int, barrier: asyncio.Barrier | None) -> None:
        async with aatomic():
            total = sum([a.balance async for a in Account.objects.all()])
            if barrier is not None:
                await barrier.wait()
            await Account.objects.filter(pk=pk).aupdate(balance=total)

    tasks = [asyncio.create_task(move(pk, both)) for pk in (1, 2)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [pk for pk, result in zip((1, 2), results, strict=True) if result]
    (error,) = [result for result in results if result]
    assert "could not serialize access" in str(error)
    await move(failed[0], None)
    balances = {account.pk: account.balance for account in await Account.objects.all()}
    other = 3 - failed[0]
    assert balances == {other: 3, failed[0]: 3 + failed[0]}
    assert pool_stats()["in_use"] == 0


async def test_a_deferred_constraint_fails_the_commit_and_no_hook_runs() -> None:
    with pytest.raises(IntegrityError, match="foreign key"):
        async with aatomic(durable=True):
            await Book.objects.acreate(title="of nobody", pages=1, author_id=-10)
    assert await Book.objects.acount() == 0


async def test_a_durable_block_is_refused_inside_another_also_as_a_decorator() -> None:
    @aatomic(durable=True)
    async def pay() -> None:
        await Account.objects.acreate()

    await pay()
    async with aatomic():
        with pytest.raises(RuntimeError, match="durable atomic block cannot be nested"):
            await pay()
        async with aatomic("replica", durable=True):
            await Account.objects.using("replica").acreate()
    assert await Account.objects.acount() == 1
    assert await Account.objects.using("replica").acount() == 1


async def test_a_failed_block_of_one_database_leaves_the_other_s_alone() -> None:
    async with aatomic("replica"):
        await Account.objects.using("replica").acreate(pk=1)
        with pytest.raises(IntegrityError):
            async with aatomic():
                await Account.objects.acreate(pk=1)
                await Account.objects.using("replica").acreate(pk=2)
                await Account.objects.acreate(pk=1)
        assert connection.in_atomic_block is False
    assert await Account.objects.acount() == 0
    assert await Account.objects.using("replica").acount() == 2

"""What jobs of one gather_queries() write, when others of them fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from django_async_ext import aatomic, aon_commit, gather_queries, on_loop
from tests.db.conftest import without_autocommit
from tests.library.models import Account, Author, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
async def test_without_autocommit_they_are_part_of_the_tasks_transaction(
    alias: str,
) -> None:
    tags = Tag.objects.using(alias)

    async def work() -> None:
        create = [partial(tags.acreate, name=name) for name in "ab"]
        await gather_queries(create[0], tags.all(), create[1], limit=1)
        await on_loop(transaction.commit)(alias)

    with without_autocommit(alias):
        await asyncio.create_task(work())
    assert await tags.acount() == 2


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
async def test_half_of_what_one_wrote_in_another_database_is_not_committed() -> None:
    accounts = Account.objects.using("replica")
    for pk in (1, 2):
        await accounts.acreate(pk=pk, balance=100)

    async def transfer() -> None:
        await accounts.filter(pk=1).aupdate(balance=90)
        await Tag.objects.acount()
        await Tag.objects.acount()
        await accounts.filter(pk=2).aupdate(balance=110)

    async with aatomic(), aatomic("replica"):
        await Tag.objects.acount()
        with suppress(Tag.DoesNotExist):
            await gather_queries(transfer, Tag.objects.aget(name="missing"))
    assert sum([each.balance async for each in accounts.all()]) == 200


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
@pytest.mark.parametrize("using", ["default", "replica"])
async def test_the_hook_of_one_that_is_cancelled_does_not_run(using: str) -> None:
    ran: list[str] = []

    async def pay() -> None:
        await Tag.objects.acount()
        await aon_commit(lambda: ran.append("mail"), using)
        await Tag.objects.acount()
        await Tag.objects.acreate(name="paid")

    async def fail() -> None:
        await Tag.objects.acount()
        raise LookupError

    async with aatomic(), aatomic("replica"):
        with suppress(LookupError):
            await gather_queries(pay, fail)
    assert not ran
    assert await Tag.objects.acount() == 0


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
async def test_what_a_task_of_one_writes_elsewhere_is_not_its_own() -> None:
    async def child() -> None:
        async with aatomic("replica"):
            tags = Tag.objects.using("replica")
            await gather_queries(partial(tags.acreate, name="child"), tags.acount())

    async def read() -> None:
        await asyncio.create_task(child())
        for _ in range(5):
            await Tag.objects.acount()

    async def fail() -> Any:
        await Tag.objects.acount()
        await Tag.objects.acount()
        raise LookupError

    async with aatomic():
        with suppress(LookupError):
            await gather_queries(read, fail)
        await Author.objects.acreate(name="after")
    assert await Author.objects.acount() == 1


async def delete(name: str) -> None:
    # In an atomic block without a savepoint.
    await Tag.objects.filter(name=name).adelete()


async def test_several_may_delete() -> None:
    async with aatomic():
        for name in "abc":
            await Tag.objects.acreate(name=name)
        await gather_queries(delete("a"), delete("b"), Tag.objects.acount())
    assert [tag.name async for tag in Tag.objects.all()] == ["c"]


async def test_a_block_that_one_broke_off_is_not_another_s_without_savepoint() -> None:
    async def rows() -> AsyncIterator[int]:
        async with aatomic():
            yield 1

    async def break_off() -> None:
        async with aatomic(savepoint=False):
            async for _ in rows():
                break

    with pytest.raises(TransactionManagementError, match="broken off"):
        async with aatomic():
            await Tag.objects.acreate(name="before")
            await gather_queries(break_off, delete("before"), delete("b"))
    assert await Tag.objects.acount() == 0

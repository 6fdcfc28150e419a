"""What jobs of one gather_queries() have to themselves, though they share a task."""

import asyncio
import decimal
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection, transaction
from django.db.models import F

from django_async_ext import aatomic, aon_commit, gather_queries, on_loop
from tests.db.gathering import gathered
from tests.db.server import execute
from tests.library.models import Account, Author, Book, Tag

pytestmark = pytest.mark.django_db(transaction=True)
with_replica = pytest.mark.django_db(transaction=True, databases=["default", "replica"])

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


# A context


@pytest.mark.parametrize("how", ["parallel", "pipeline", "inside"])
async def test_each_job_has_a_context_of_its_own(how: str) -> None:
    async def author_of(name: str) -> str:
        tenant.set(name)
        await Tag.objects.acount()
        author: Author = await Author.objects.aget(name=tenant.get())
        return author.name

    for name in "ab":
        await Author.objects.acreate(name=name)
    found = await gathered(how, author_of("a"), author_of("b"))
    assert found == ["a", "b"]
    assert tenant.get() == "nobody"


async def test_what_a_job_leaves_set_is_not_there_for_the_next_of_its_worker() -> None:
    async def leaves() -> str:
        tenant.set("left")
        await Tag.objects.acount()
        return tenant.get()

    async def reads() -> str:
        await Tag.objects.acount()
        return tenant.get()

    assert await gather_queries(leaves, reads, limit=1) == ["left", "nobody"]


@pytest.mark.parametrize("how", ["parallel", "pipeline", "inside"])
async def test_a_job_computes_with_its_own_precision(how: str) -> None:
    async def precision(digits: int) -> int:
        with decimal.localcontext() as context:
            context.prec = digits
            await Tag.objects.acount()
            return decimal.getcontext().prec

    before = decimal.getcontext().prec
    assert await gathered(how, precision(5), precision(7)) == [5, 7]
    assert decimal.getcontext().prec == before


# Jobs of its own


async def inner() -> list[Any]:
    return await gather_queries(Tag.objects.acount(), Author.objects.acount())


async def test_a_gather_in_a_job_leaves_the_others_their_answers() -> None:
    await Account.objects.acreate(pk=1, balance=5)
    poor = Account.objects.filter(pk=1, balance__gte=10)
    async with aatomic():
        found = await gather_queries(
            Book.objects.acount(),
            inner(),
            poor.aupdate(balance=0),
            Account.objects.filter(pk=1).aupdate(balance=6),
        )
    assert found == [0, [0, 0], 0, 1]


async def test_an_error_after_a_gather_in_a_job_belongs_to_its_own_job() -> None:
    await Tag.objects.acreate(name="known")
    again = partial(execute, "INSERT INTO library_tag (name) VALUES ('known')")
    async with aatomic():
        _, error, _ = await gather_queries(
            inner(), again, Book.objects.acount(), return_exceptions=True
        )
        await on_loop(connection.set_rollback)(True)
    assert "already exists" in str(error)


async def test_a_synchronous_job_may_gather() -> None:
    count = Book.objects.acount
    async with aatomic():
        found = await gather_queries(count, async_to_sync(inner), count)
    assert found == [0, [0, 0], 0]


async def test_savepoints_of_jobs_in_jobs_are_their_own() -> None:
    async def undone() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="undone")
            raise LookupError

    async def nested(job: Any) -> list[Any]:
        count = Tag.objects.acount
        return await gather_queries(job, count, return_exceptions=True)

    async with aatomic():
        await gather_queries(
            Book.objects.acount(),
            nested(partial(Tag.objects.aget_or_create, name="a")),
            Tag.objects.acreate(name="b"),
            nested(undone),
        )
    assert [tag.name async for tag in Tag.objects.order_by("name")] == ["a", "b"]


# A transaction


@with_replica
@pytest.mark.parametrize("how", ["pipeline", "inside"])
async def test_transactions_on_another_database_are_apart(how: str) -> None:
    tags = Tag.objects.using("replica")

    async def create(name: str, *, fails: bool) -> None:
        async with aatomic("replica"):
            await tags.acreate(name=name)
            await Tag.objects.acount()
            if fails:
                raise LookupError

    failing = partial(create, "undone", fails=True)
    with suppress(LookupError):
        await gathered(how, partial(create, "done", fails=False), failing)
    assert [tag.name async for tag in tags.all()] == ["done"]


@with_replica
async def test_a_hook_of_another_database_may_query_where_jobs_meet() -> None:
    ran: list[int] = []

    async def hook() -> None:
        ran.append(await Tag.objects.acount())

    async def job() -> None:
        async with aatomic("replica"):
            await Tag.objects.using("replica").acreate(name="new")
            await aon_commit(hook, using="replica")

    async with aatomic():
        await Tag.objects.acount()
        await gather_queries(job, Tag.objects.acount())
    assert ran == [0]


async def test_a_job_may_end_an_older_savepoint() -> None:
    # Django 6.1's name, and the one before.
    create = getattr(transaction, "savepoint_create", None) or transaction.savepoint
    async with aatomic():
        sid = await on_loop(create)()
        await Tag.objects.acreate(name="undone")
        back = partial(transaction.savepoint_rollback, sid)
        await gather_queries(back, Book.objects.acount())
    assert await Tag.objects.acount() == 0


async def test_queries_gathered_in_a_transaction_by_hand_are_part_of_it() -> None:
    switch = on_loop(transaction.set_autocommit)

    async def work() -> list[int]:
        await switch(False)
        await Tag.objects.acreate(name="not yet there")
        try:
            return await gather_queries(Tag.objects.acount(), Tag.objects.acount())
        finally:
            await on_loop(transaction.rollback)()
            await switch(True)

    assert await asyncio.create_task(work()) == [1, 1]
    assert await Tag.objects.acount() == 0


# An end


async def test_half_of_what_a_cancelled_job_wrote_is_not_committed() -> None:
    for pk in (1, 2):
        await Account.objects.acreate(pk=pk, balance=100)

    async def transfer() -> None:
        await Account.objects.filter(pk=1).aupdate(balance=F("balance") - 10)
        await Tag.objects.acount()
        await Tag.objects.acount()
        await Account.objects.filter(pk=2).aupdate(balance=F("balance") + 10)

    async with aatomic():
        with suppress(Tag.DoesNotExist):
            await gather_queries(transfer, Tag.objects.aget(name="missing"))
    assert [each.balance async for each in Account.objects.all()] == [100, 100]


async def test_what_a_cancelled_job_had_only_queued_is_not_committed() -> None:
    async def fails() -> None:
        raise LookupError

    async with aatomic():
        with suppress(LookupError):
            await gather_queries(Tag.objects.acreate(name="cancelled"), fails)
    assert await Tag.objects.acount() == 0


async def test_the_timeout_of_a_job_is_no_cancellation_of_all() -> None:
    async def limited() -> int:
        async with asyncio.timeout(0.05):
            return await Tag.objects.acount()

    async def pay() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="paid")
            await gather_queries(limited, partial(asyncio.sleep, 10))

    # A group ignores children that were cancelled: nobody would hear of it.
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(pay())
    assert caught.group_contains(TimeoutError)
    assert await Tag.objects.acount() == 0


async def test_a_job_that_cancels_its_task_cancels_the_gather() -> None:
    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await gather_queries(cancels, Tag.objects.acreate(name="never"), limit=1)
    assert await Tag.objects.acount() == 0


async def test_a_cancellation_while_jobs_clean_up_is_not_lost() -> None:
    cleaning = asyncio.Event()

    async def slow() -> None:
        try:
            await Tag.objects.acount()
            await Tag.objects.acount()
        finally:
            cleaning.set()
            await asyncio.sleep(10)

    async def fails() -> None:
        await Tag.objects.acount()
        raise LookupError

    async def work() -> None:
        async with aatomic():
            with suppress(LookupError):
                await gather_queries(slow, fails)

    task = asyncio.create_task(work())
    await cleaning.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_job_that_catches_its_own_timeout_ends_nobody_unheard() -> None:
    async def limited() -> int:
        try:
            async with asyncio.timeout(0.05):
                return await Tag.objects.acount()
        except TimeoutError:
            return -1

    async def pay() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="paid")
            await gather_queries(limited, partial(asyncio.sleep, 10))

    with pytest.raises(TimeoutError, match="cancelled another"):
        await asyncio.create_task(pay())


async def limited_by_itself() -> Any:
    try:
        async with asyncio.timeout(0.3):
            return await on_loop(execute)("SELECT 1 FROM pg_sleep(10)")
    except TimeoutError:
        return "late"


async def test_reads_sent_with_one_that_was_too_slow_are_repeated() -> None:
    count = Tag.objects.acount
    found = await gather_queries(limited_by_itself, count, pipeline=True)
    assert found == ["late", 0]


async def test_a_write_sent_with_a_read_that_was_too_slow_is_no_success() -> None:
    await Account.objects.acreate(pk=1, balance=1)
    write = Account.objects.filter(pk=1).aupdate(balance=2)
    async with aatomic():
        _, error = await gather_queries(
            limited_by_itself, write, return_exceptions=True
        )
        await on_loop(connection.set_rollback)(True)
    assert isinstance(error, OperationalError)


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "/* why */ SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a"]
)
async def test_a_cancelled_job_that_only_read_leaves_the_block_usable(sql: str) -> None:
    async def reads() -> None:
        await on_loop(execute)(sql)
        await Tag.objects.acount()
        await Tag.objects.acount()

    async with aatomic():
        with suppress(Tag.DoesNotExist):
            await gather_queries(reads, Tag.objects.aget(name="missing"))
        await Author.objects.acreate(name="after")
    assert await Author.objects.acount() == 1


async def test_what_a_job_of_a_cancelled_job_wrote_is_not_committed() -> None:
    await Account.objects.acreate(pk=1, balance=100)
    begun = asyncio.Event()

    async def transfer() -> None:
        taken = Account.objects.filter(pk=1).aupdate(balance=90)
        await gather_queries(taken, Tag.objects.acount())
        begun.set()
        for _ in range(6):
            await Tag.objects.acount()

    async def fails() -> None:
        while not begun.is_set():
            await Tag.objects.acount()
        raise LookupError

    async with aatomic():
        with suppress(LookupError):
            await gather_queries(transfer, fails)
    assert (await Account.objects.aget()).balance == 100

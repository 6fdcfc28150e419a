"""What must hold behind PgBouncer, which gives each transaction another session."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from django.db import transaction
from django.utils import timezone

from django_async_ext import aatomic, aon_commit, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from django_async_ext.exceptions import UnknownOutcomeError
from tests.db import pooling
from tests.db.conftest import Configure
from tests.db.server import Server, execute, until
from tests.db.test_lost_transactions import ends_in_commit
from tests.library.models import Account, Author
from tests.waiting import timing_out


@pytest.fixture(autouse=True)
def behind(pgbouncer: str) -> Iterator[None]:
    with pooling.behind(pgbouncer):
        yield


def works() -> bool:
    stats = pool_stats()
    return stats["in_use"] == stats["waiting"] == 0


async def test_many_tasks_share_its_sessions(configure: Configure) -> None:
    configure(pool={"max_size": 40})
    tasks = [Author.objects.acreate(name=str(n)) for n in range(200)]
    await asyncio.gather(*map(asyncio.create_task, tasks))
    names = await gather_queries(Author.objects.all(), Author.objects.acount())
    assert len(names[0]) == names[1] == 200
    assert works()


async def test_transactions_keep_their_session_and_their_savepoints() -> None:
    async def pid() -> int:
        return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]

    async def work(number: int) -> None:
        async with aatomic():
            first = await pid()
            account = await Account.objects.acreate(balance=number)
            with pytest.raises(ZeroDivisionError):
                async with aatomic():
                    await Account.objects.aupdate(balance=-1)
                    raise ZeroDivisionError
            await asyncio.sleep(0)
            found = await Account.objects.select_for_update().aget(pk=account.pk)
            assert found.balance == number
            assert await pid() == first

    await asyncio.gather(*(asyncio.create_task(work(n)) for n in range(30)))
    assert await Account.objects.acount() == 30
    assert works()


async def test_queries_gathered_in_a_transaction_are_pipelined() -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        jobs = [Author.objects.filter(name="Ada") for _ in range(20)]
        results = await gather_queries(*jobs)
    assert [[author.name for author in rows] for rows in results] == [["Ada"]] * 20
    assert works()


async def test_a_statement_that_is_cancelled_is_cancelled_on_the_server() -> None:
    # Other tests on the same server sleep too.
    own = f"SELECT pg_sleep(600) /* {uuid.uuid4()} */"
    busy = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = %s"
    with Server() as server, pytest.raises(TimeoutError):
        async with timing_out(lambda: server.ask(busy, own)):
            await on_loop(execute)(own)
    assert await on_loop(execute)(busy, own) == []
    assert pool_stats()["idle"] == pool_stats()["size"] == 1


async def test_a_session_that_ends_in_commit_leaves_the_outcome_unknown() -> None:
    async with ends_in_commit():
        with pytest.raises(UnknownOutcomeError):
            async with aatomic():
                await Account.objects.acreate()
    assert await Account.objects.acount() == 0
    assert pool_stats()["in_use"] == 0


async def test_a_cancelled_transaction_is_rolled_back() -> None:
    hooks: list[int] = []
    reached = asyncio.Event()

    async def work() -> None:
        async with aatomic():
            await aon_commit(lambda: hooks.append(1))
            await Account.objects.acreate()
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert works()
    assert await Account.objects.acount() == 0
    assert hooks == []


async def test_iterators_read_everything_without_a_cursor_on_the_server() -> None:
    await Author.objects.abulk_create(Author(name=str(n)) for n in range(50))
    seen = [author async for author in Author.objects.aiterator(chunk_size=7)]
    assert len(seen) == 50
    async for _ in Author.objects.aiterator(chunk_size=7):
        break
    await until(works)


async def test_the_time_zone_of_the_client_follows_it_through_the_sessions() -> None:
    zones = [asyncio.create_task(on_loop(execute)("SHOW TimeZone")) for _ in range(20)]
    assert {rows[0][0] for rows in await asyncio.gather(*zones)} == {"UTC"}
    assert timezone.is_aware((await on_loop(execute)("SELECT now()"))[0][0])


async def test_session_state_in_a_transaction_is_kept() -> None:
    def work() -> str:
        with transaction.atomic():
            execute("SET LOCAL work_mem = '1234kB'")
            return execute("SHOW work_mem")[0][0]

    assert await on_loop(work)() == "1234kB"
    assert (await on_loop(execute)("SHOW work_mem"))[0][0] != "1234kB"

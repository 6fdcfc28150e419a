"""A test's transaction is shared by all that the test starts, and rolled back."""

import asyncio
import os
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import close_old_connections, connection, connections, transaction
from django.test import TestCase, TransactionTestCase

from django_async_ext import aatomic, gather_queries, on_loop
from django_async_ext.db.backends.ownership import lend
from django_async_ext.exceptions import ConnectionOwnershipError
from tests.db.server import execute, sleep, until
from tests.library.models import Account, Author
from tests.waiting import timing_out


class InATestCase(TestCase):
    """Django's own test case, with asynchronous tests, as users write them."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.author = Author.objects.create(name="Ada")

    async def test_an_async_test_sees_the_rows_of_the_test(self) -> None:
        assert await Author.objects.acount() == 1

    async def test_an_async_test_can_change_the_rows_of_the_test(self) -> None:
        self.author.name = "Grace"
        await self.author.asave()
        assert await Author.objects.values_list("name", flat=True) == ["Grace"]

    async def test_its_rows_are_rolled_back(self) -> None:
        await Author.objects.acreate(name="gone")
        assert await Author.objects.acount() == 2

    def test_no_row_of_another_test_is_left(self) -> None:
        assert Author.objects.count() == 1

    async def test_everything_shares_the_connection(self) -> None:
        own = await on_loop(_session)()
        others = await asyncio.gather(
            on_loop(_session)(),
            asyncio.create_task(on_loop(_session)()),
            sync_to_async(_session)(),
            asyncio.to_thread(_session),
        )
        assert set(others) == {own}

    async def test_who_closes_old_connections_leaves_that_of_the_test(self) -> None:
        # As Channels' database_sync_to_async() does, before and after each call.
        await sync_to_async(close_old_connections)()
        await asyncio.to_thread(close_old_connections)
        await on_loop(close_old_connections)()
        assert await Author.objects.acount() == 1

    async def test_gathered_queries_see_the_rows(self) -> None:
        rows, count = await gather_queries(Author.objects.all(), Author.objects.acount)
        assert (rows, count) == ([self.author], 1)

    async def test_many_tasks_at_once_take_turns(self) -> None:
        async def create(number: int) -> None:
            await Author.objects.acreate(name=str(number))

        await asyncio.gather(*(create(number) for number in range(20)))
        assert await Author.objects.acount() == 21

    async def test_a_query_in_a_thread_may_be_the_first(self) -> None:
        assert await asyncio.to_thread(Author.objects.count) == 1

    async def test_a_thread_that_closes_its_connection_closes_no_other(self) -> None:
        def count() -> int:
            try:
                return Author.objects.count()
            finally:
                connections.close_all()

        assert await asyncio.to_thread(count) == 1
        await on_loop(count)()
        assert await Author.objects.acount() == 1

    async def test_requests_that_end_at_once_leave_the_connection_open(self) -> None:
        requests = (self.async_client.get("/") for _ in range(20))
        responses = await asyncio.gather(*requests)
        assert {response.status_code for response in responses} == {404}
        assert await Author.objects.acount() == 1

    async def test_queries_are_counted_in_a_block_that_does_not_wait(self) -> None:
        with self.assertNumQueries(2):
            await Author.objects.acount()
            await asyncio.create_task(Author.objects.acount())

    async def test_an_atomic_block_is_a_savepoint(self) -> None:
        with pytest.raises(ZeroDivisionError):
            async with aatomic():
                await Author.objects.acreate(name="undone")
                raise ZeroDivisionError
        assert await Author.objects.acount() == 1


class InATransactionTestCase(TransactionTestCase):
    """A thread that waits in async_to_sync lends its transaction."""

    def test_the_coroutine_belongs_to_the_transaction_of_the_thread(self) -> None:
        async def create() -> None:
            await Account.objects.acreate(balance=1)

        with pytest.raises(ZeroDivisionError), transaction.atomic():
            async_to_sync(create)()
            assert Account.objects.count() == 1
            raise ZeroDivisionError
        assert Account.objects.count() == 0

    def test_without_a_transaction_the_loop_has_connections_of_its_own(self) -> None:
        assert async_to_sync(on_loop(_session))() != _session()

    def test_a_statement_that_is_cancelled_dooms_the_transaction_of_the_thread(
        self,
    ) -> None:
        hooks: list[int] = []

        async def times_out() -> None:
            await Account.objects.acreate(balance=1)
            reached = asyncio.Event()
            async with timing_out(reached.is_set):
                reached.set()
                await on_loop(sleep)()

        with transaction.atomic():
            transaction.on_commit(lambda: hooks.append(1))
            with pytest.raises(TimeoutError):
                async_to_sync(times_out)()
            assert transaction.get_rollback()
        assert Account.objects.count() == 0
        assert not hooks
        assert connection.connection is None or connection.connection.lessee is None

    def test_a_savepoint_on_the_loop_spares_the_transaction_of_the_thread(self) -> None:
        async def times_out() -> None:
            reached = asyncio.Event()
            async with timing_out(reached.is_set), aatomic():
                await Account.objects.acreate(balance=1)
                reached.set()
                await on_loop(sleep)()

        with transaction.atomic():
            Account.objects.create(balance=2)
            with pytest.raises(TimeoutError):
                async_to_sync(times_out)()
            Account.objects.create(balance=3)
        assert set(Account.objects.values_list("balance", flat=True)) == {2, 3}

    def test_a_task_that_outlives_the_call_is_refused_until_the_transaction_ends(
        self,
    ) -> None:
        """The loop of a server goes on, while the thread does too."""
        loop = asyncio.new_event_loop()
        outliving: list[asyncio.Task[int]] = []

        async def call() -> None:
            task = asyncio.create_task(waits_then_counts())
            outliving.append(task)

        async def waits_then_counts() -> int:
            await go_on.wait()
            return await Account.objects.acount()

        async def join() -> object:
            go_on.set()
            return (await asyncio.gather(*outliving, return_exceptions=True))[-1]

        for refused in (True, False):
            go_on = asyncio.Event()
            with transaction.atomic():
                with lend():
                    loop.run_until_complete(call())
                if refused:
                    answer = loop.run_until_complete(join())
                    assert isinstance(answer, ConnectionOwnershipError)
            if not refused:
                assert loop.run_until_complete(join()) == 0
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def test_a_lent_statement_lets_the_loop_go_on(self) -> None:
        """Also on a connection of Django's own pool, whose wait would block it."""
        url, name = os.environ["DATABASE_URL"], connection.settings_dict["NAME"]
        with psycopg.connect(url, dbname=name, autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(4711)")

            async def wait_for_it() -> None:
                await on_loop(execute)("SET LOCAL lock_timeout = '20s'")
                task = asyncio.create_task(let_go())
                await on_loop(execute)("SELECT pg_advisory_xact_lock(4711)")
                await task

            async def let_go() -> None:
                waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND objid = 4711"
                await until(lambda: other.execute(waits).fetchone())
                other.execute("SELECT pg_advisory_unlock(4711)")

            connection.close()
            with transaction.atomic():
                assert connection.pool is not None
                async_to_sync(wait_for_it)()

    def test_what_the_thread_observes_is_observed_on_the_loop(self) -> None:
        async def count() -> int:
            return await Account.objects.acount()

        with self.assertNumQueries(1):
            async_to_sync(count)()

    async def test_counting_queries_names_what_can_wait(self) -> None:
        words = "Count queries with `async with self.aassertNumQueries"
        counting = self.assertNumQueries(1)
        with pytest.raises(SynchronousOnlyOperation, match=words):
            counting.__enter__()

    def test_what_outlives_the_transaction_is_independent(self) -> None:
        sessions: list[int] = []

        async def query() -> None:
            sessions.append(await on_loop(_session)())

        with transaction.atomic():
            async_to_sync(query)()
        async_to_sync(query)()
        assert sessions[0] == _session() != sessions[1]


@pytest.mark.django_db
class TestWithPytest:
    """pytest-django opens the transaction before pytest-asyncio's loop runs."""

    @pytest.fixture
    def author(self) -> Author:
        return Author.objects.create(name="Ada")

    async def test_an_async_test_sees_the_rows_of_its_fixtures(
        self, author: Author
    ) -> None:
        assert await Author.objects.aget() == author

    async def test_its_tasks_see_them_too(self, author: Author) -> None:
        found = await asyncio.gather(*(Author.objects.aget() for _ in range(5)))
        assert found == [author] * 5

    async def test_a_query_in_a_thread_may_be_the_first(self, author: Author) -> None:
        assert await asyncio.to_thread(Author.objects.get) == author
        assert await sync_to_async(Author.objects.get)() == author

    async def test_nothing_is_left_of_it(self) -> None:
        assert await Author.objects.acount() == 0

    async def test_queries_are_counted(
        self, author: Author, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1):
            assert await Author.objects.aget() == author


def _session(*_: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]

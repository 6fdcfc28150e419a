"""A test's transaction is shared by all that the test starts, and rolled back."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

from django_async_ext import aatomic, gather_queries, on_loop
from tests.library.models import Account, Author


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

    async def test_gathered_queries_see_the_rows(self) -> None:
        rows, count = await gather_queries(Author.objects.all(), Author.objects.acount)
        assert (rows, count) == ([self.author], 1)

    async def test_many_tasks_at_once_take_turns(self) -> None:
        async def create(number: int) -> None:
            await Author.objects.acreate(name=str(number))

        await asyncio.gather(*(create(number) for number in range(20)))
        assert await Author.objects.acount() == 21

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

    async def test_nothing_is_left_of_it(self) -> None:
        assert await Author.objects.acount() == 0


def _session(*_: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]

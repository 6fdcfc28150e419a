"""The test cases, as users write them; and what they say of themselves."""

import asyncio
import contextvars
import pickle
import threading
import unittest
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.test import override_settings
from django.test import testcases as stock

from django_async_ext import aatomic, aon_commit, gather_queries
from django_async_ext.exceptions import LeftBehindWarning, OutsideTransactionWarning
from django_async_ext.test import (
    LiveServerTestCase,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    acapture_queries,
)
from tests.library.models import Account, Author, Tag

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


class InOneLoop(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.author = Author.objects.create(name="Ada")

    def setUp(self) -> None:
        self.of_set_up = Author.objects.create(name="of setUp")

    async def asyncSetUp(self) -> None:
        variable.set("set")
        self.loop = asyncio.get_running_loop()
        self.of_async_set_up = await Author.objects.acreate(name="of asyncSetUp")
        self.addAsyncCleanup(self.look_once_more)
        self.entered = await self.enterAsyncContext(self.entering())

    async def asyncTearDown(self) -> None:
        assert asyncio.get_running_loop() is self.loop
        assert await Author.objects.acount() >= 3

    async def look_once_more(self) -> None:
        assert asyncio.get_running_loop() is self.loop
        assert await Author.objects.acount() >= 3

    @asynccontextmanager
    async def entering(self) -> Any:
        async with aatomic():
            yield await Author.objects.acreate(name="of entering")

    async def test_all_is_seen_on_the_same_loop(self) -> None:
        assert asyncio.get_running_loop() is self.loop
        assert variable.get() == "set"
        assert await Author.objects.acount() == 4

    def test_a_synchronous_test_sees_it_too(self) -> None:
        assert Author.objects.count() == 4

    async def test_what_one_test_adds_first(self) -> None:
        await Author.objects.acreate(name="added")
        assert await Author.objects.acount() == 5

    async def test_what_one_test_adds_second(self) -> None:
        await Author.objects.acreate(name="added")
        assert await Author.objects.acount() == 5

    async def test_threads_are_in_the_transaction(self) -> None:
        assert await sync_to_async(Author.objects.count)() == 4
        assert await asyncio.to_thread(Author.objects.count) == 4

    async def test_queries_are_counted(self) -> None:
        async with self.aassertNumQueries(3) as captured:
            await gather_queries(*[Author.objects.acount for _ in range(2)])
            await asyncio.create_task(Author.objects.acount())
        assert len(captured) == 3
        await self.aassertNumQueries(1, Author.objects.acount)
        with self.assertNumQueries(1):
            await Author.objects.acount()

    async def test_a_wrong_count_names_the_queries(self) -> None:
        with pytest.raises(AssertionError, match=r"(?s)1 != 2.*COUNT"):
            async with self.aassertNumQueries(2):
                await Author.objects.acount()

    async def test_hooks_are_captured(self) -> None:
        committed: list[str] = []

        async def hook() -> None:
            committed.append(await Author.objects.values_list("name", flat=True).aget(
                pk=self.author.pk
            ))  # fmt: skip

        async with self.acaptureOnCommitCallbacks(execute=True) as callbacks:
            await aon_commit(hook)
            assert not committed
        assert (committed, len(callbacks)) == (["Ada"], 1)

    async def test_requests_go_through_the_handler_on_the_loop(self) -> None:
        response = await self.async_client.get("/nowhere/")
        assert response.status_code == 404

    def test_it_can_be_sent_to_another_process(self) -> None:
        again = pickle.loads(
            pickle.dumps(InOneLoop("test_all_is_seen_on_the_same_loop"))
        )
        assert again._testMethodName == "test_all_is_seen_on_the_same_loop"


class Committed(TransactionTestCase):
    async def asyncSetUp(self) -> None:
        self.account = await Account.objects.acreate(balance=1)

    async def test_threads_are_not_in_a_transaction_of_a_task(self) -> None:
        async with aatomic():
            with pytest.raises(OutsideTransactionWarning):
                await asyncio.to_thread(Account.objects.count)

    async def test_concurrent_transactions_wait_for_locks(self) -> None:
        locked, order = asyncio.Event(), []

        async def first() -> None:
            async with aatomic():
                await Account.objects.select_for_update().aget()
                locked.set()
                order.append("first")

        async def second() -> None:
            await locked.wait()
            async with aatomic():
                await Account.objects.select_for_update().aget()
                order.append("second")

        await asyncio.gather(first(), second())
        assert order == ["first", "second"]

    async def test_nothing_is_left_of_another_test(self) -> None:
        assert await Account.objects.acount() == 1

    async def test_queries_of_tasks_are_counted(self) -> None:
        async with acapture_queries() as captured:
            await asyncio.create_task(Account.objects.acount())
            await gather_queries(*[Account.objects.acount for _ in range(2)])
        assert len(captured) == 3

    def test_queries_of_the_coroutine_of_a_thread_are_counted(self) -> None:
        async def count() -> int:
            return await Account.objects.acount()

        with self.assertNumQueries(1):
            assert async_to_sync(count)() == 1


class TwoDatabases(TestCase):
    databases = {"default", "replica", "sqlite"}

    async def test_each_has_its_transaction_first(self) -> None:
        for alias in self.databases:
            await Author.objects.using(alias).acreate(name=alias)
            assert await Author.objects.using(alias).acount() == 1

    test_each_has_its_transaction_second = test_each_has_its_transaction_first

    async def test_threads_have_them_too(self) -> None:
        for alias in self.databases:
            await sync_to_async(Author.objects.using(alias).create)(name=alias)
            assert await Author.objects.using(alias).acount() == 1


class InMemory(TransactionTestCase):
    """The test database of SQLite, which is in memory."""

    databases = {"sqlite"}

    async def test_what_the_loop_commits_threads_see(self) -> None:
        tags = Tag.objects.using("sqlite")
        await tags.acreate(name="one")
        assert await sync_to_async(tags.count)() == 1
        await asyncio.gather(*(tags.acreate(name=str(n)) for n in range(10)))
        assert await sync_to_async(tags.count)() == 11

    def test_what_the_thread_commits_the_loop_sees(self) -> None:
        tags = Tag.objects.using("sqlite")

        async def count() -> int:
            return await tags.acount()

        tags.create(name="one")
        assert async_to_sync(count)() == 1
        with transaction.atomic("sqlite"):
            tags.create(name="two")
            assert async_to_sync(count)() == 2


class WithoutDatabase(SimpleTestCase):
    async def asyncSetUp(self) -> None:
        self.ready = True

    async def test_queries_are_refused(self) -> None:
        with pytest.raises(stock.DatabaseOperationForbidden):
            await Author.objects.acount()
        assert self.ready


@override_settings(STATIC_URL="/static/")
class Live(LiveServerTestCase):
    async def test_a_server_answers(self) -> None:
        reader, writer = await asyncio.open_connection("localhost", self.server_port)
        writer.write(b"GET /nowhere/ HTTP/1.0\r\n\r\n")
        assert b"404" in await reader.readline()
        writer.close()
        await writer.wait_closed()

    @property
    def server_port(self) -> int:
        return self.server_thread.port


# What they say of tests that leave something behind


def outcome(test: type[Any], name: str = "test") -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.TestSuite([test(name)]).run(result)
    return result


@pytest.mark.django_db(transaction=True)
def test_a_task_that_is_left_behind_is_named() -> None:
    class Leaving(TransactionTestCase):
        async def test(self) -> None:
            self.task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    words = r"test_testcases.*Leaving.test left behind: task 'forgotten' at .*left-beh"
    with pytest.warns(LeftBehindWarning, match=words):
        assert outcome(Leaving).wasSuccessful()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_left_behind_is_ended() -> None:
    class Leaving(TransactionTestCase):
        async def test(self) -> None:
            self.inside = asyncio.Event()
            self.task = asyncio.create_task(self.hold())
            await self.inside.wait()

        async def hold(self) -> None:
            async with aatomic():
                await Author.objects.acreate(name="held")
                self.inside.set()
                await asyncio.Event().wait()

    words = "in hold, which is in a transaction on database 'default'"
    with pytest.warns(LeftBehindWarning, match=words):
        assert outcome(Leaving).wasSuccessful()
    assert not Author.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_open_block_is_named() -> None:
    class Leaving(TestCase):
        async def test(self) -> None:
            await aatomic().__aenter__()

    with pytest.warns(LeftBehindWarning, match="block that is open on database 'defa"):
        assert outcome(Leaving).wasSuccessful()


@pytest.mark.django_db(transaction=True)
def test_a_test_that_cleans_up_is_not_warned_of() -> None:
    class Tidy(TestCase):
        async def test(self) -> None:
            task = asyncio.create_task(Author.objects.acount())
            done = threading.Event()
            await asyncio.gather(task, asyncio.to_thread(done.set))
            asyncio.create_task(asyncio.sleep(0))  # noqa: RUF006

    assert outcome(Tidy).wasSuccessful()


@pytest.mark.django_db(transaction=True)
def test_a_failure_is_reported_once() -> None:
    class Failing(TestCase):
        async def asyncSetUp(self) -> None:
            await Author.objects.acreate(name="rolled back")

        async def test(self) -> None:
            raise ZeroDivisionError

    result = outcome(Failing)
    assert len(result.errors) == 1
    assert "ZeroDivisionError" in result.errors[0][1]
    assert not Author.objects.exists()
    assert not connections["default"].in_atomic_block

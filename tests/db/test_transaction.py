"""aatomic() and aon_commit(): Django's transactions, entered and left on the loop."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from django_async_ext import aatomic, aon_commit, await_, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.rows import statements
from tests.db.server import execute
from tests.library.models import Account, Tag

pytestmark = pytest.mark.django_db(transaction=True)

everywhere = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
async def nothing_is_left_open(transactional_db: None) -> AsyncIterator[None]:
    yield
    assert not connection.in_atomic_block


async def names(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    tags = Tag.objects.using(using).order_by("name")
    return [name async for name in tags.values_list("name", flat=True)]


async def add(name: str, using: str = DEFAULT_DB_ALIAS) -> None:
    await Tag.objects.using(using).acreate(name=name)


# The block


async def test_a_block_commits() -> None:
    async with aatomic():
        await add("a")
        assert connection.in_atomic_block
        assert pool_stats()["in_use"] == 1
    assert await names() == ["a"]
    assert pool_stats()["in_use"] == 0


async def test_a_block_rolls_back_on_an_exception() -> None:
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught:
        async with aatomic():
            await add("a")
            raise error
    assert caught.value is error
    assert await names() == []
    assert pool_stats()["in_use"] == 0


async def test_a_block_sends_what_djangos_sends() -> None:
    def django() -> None:
        with transaction.atomic():
            Tag.objects.create(name="a")
            with transaction.atomic():
                Tag.objects.create(name="b")
            with transaction.atomic(savepoint=False):
                Tag.objects.create(name="c")

    async def ours() -> None:
        async with aatomic():
            await add("a")
            async with aatomic():
                await add("b")
            async with aatomic(savepoint=False):
                await add("c")

    with statements() as of_django:
        await on_loop(django)()
    await Tag.objects.all().adelete()
    with statements() as of_ours:
        await ours()
    words = [[sql.split()[0] for sql in asked] for asked in (of_django, of_ours)]
    assert words[0] == words[1]


async def test_an_inner_block_rolls_back_to_its_savepoint() -> None:
    async with aatomic():
        await add("a")
        with pytest.raises(IntegrityError):
            async with aatomic():
                await add("b")
                await add("a")
        with pytest.raises(ValueError, match="no"):
            async with aatomic():
                await add("c")
                raise ValueError("no")
        async with aatomic(), aatomic():
            await add("d")
    assert await names() == ["a", "d"]


async def test_a_block_without_savepoint_rolls_back_the_outer_one() -> None:
    async with aatomic():
        await add("a")
        with pytest.raises(ValueError, match="no"):
            async with aatomic(savepoint=False):
                raise ValueError("no")
        assert connection.needs_rollback
        with pytest.raises(TransactionManagementError):
            await names()
    assert await names() == []


async def test_a_durable_block_cannot_be_nested() -> None:
    async with aatomic(durable=True):
        await add("a")
        with pytest.raises(RuntimeError) as caught:
            async with aatomic(durable=True):
                pass
    assert str(caught.value) == (
        "A durable atomic block cannot be nested within another atomic block."
    )
    assert await names() == ["a"]


async def test_a_block_may_be_told_to_roll_back() -> None:
    async with aatomic():
        await add("a")
        assert await on_loop(transaction.get_rollback)() is False
        await on_loop(transaction.set_rollback)(True)
    assert await names() == []


async def test_explicit_savepoints_are_djangos() -> None:
    # Renamed in Django 6.1.
    create = getattr(transaction, "savepoint_create", None) or transaction.savepoint
    async with aatomic():
        sid = await on_loop(create)()
        await add("a")
        await on_loop(transaction.savepoint_rollback)(sid)
        await add("b")
        kept = await on_loop(create)()
        await on_loop(transaction.savepoint_commit)(kept)
    assert await names() == ["b"]


async def test_a_failed_commit_raises_and_rolls_back() -> None:
    async def break_a_deferred_constraint() -> None:
        async with aatomic():
            await add("a")
            await on_loop(execute)(
                "INSERT INTO library_book_tags (book_id, tag_id) VALUES (-1, -1)"
            )

    with pytest.raises(IntegrityError):
        await break_a_deferred_constraint()
    assert await names() == []
    assert pool_stats()["in_use"] == 0


async def test_a_transaction_is_not_seen_by_others_before_its_commit() -> None:
    async with aatomic():
        await add("a")
        stranger = asyncio.create_task(names(), context=contextvars.Context())
        assert await stranger == []
    stranger = asyncio.create_task(names(), context=contextvars.Context())
    assert await stranger == ["a"]


async def test_tasks_have_transactions_of_their_own() -> None:
    barrier = asyncio.Barrier(2)

    async def work(name: str, *, fails: bool) -> None:
        async with aatomic():
            await add(name)
            await barrier.wait()
            assert await names() == [name]
            await barrier.wait()
            if fails:
                raise ValueError(name)

    results = await asyncio.gather(
        work("a", fails=True), work("b", fails=False), return_exceptions=True
    )
    assert [type(result) for result in results] == [ValueError, type(None)]
    assert await names() == ["b"]


async def test_a_cancelled_block_rolls_back() -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with aatomic():
            await add("a")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names() == []
    assert pool_stats()["in_use"] == 0


@everywhere
async def test_databases_have_blocks_of_their_own() -> None:
    async with aatomic(), aatomic(using="replica"):
        await add("a")
        await add("b", "replica")
        with pytest.raises(ValueError, match="no"):
            async with aatomic("sqlite"):
                await add("c", "sqlite")
                raise ValueError("no")
        with pytest.raises(ValueError, match="no"):
            async with aatomic("replica"):
                await add("d", "replica")
                raise ValueError("no")
    assert (await names(), await names("replica")) == (["a"], ["b"])
    assert await names("sqlite") == []


@everywhere
async def test_blocks_nest_on_sqlite() -> None:
    async with aatomic("sqlite"):
        await add("a", "sqlite")
        with pytest.raises(ValueError, match="no"):
            async with aatomic("sqlite"):
                await add("b", "sqlite")
                raise ValueError("no")
    with pytest.raises(ValueError, match="no"):
        async with aatomic("sqlite"):
            await add("c", "sqlite")
            raise ValueError("no")
    assert await names("sqlite") == ["a"]


async def test_rows_can_be_locked_in_a_block() -> None:
    account = await Account.objects.acreate(balance=5)
    with pytest.raises(TransactionManagementError):
        await Account.objects.select_for_update().aget(pk=account.pk)
    async with aatomic():
        locked = await Account.objects.select_for_update().aget(pk=account.pk)
    assert locked == account


# With synchronous code


async def test_synchronous_blocks_inside_on_loop_are_the_same_transaction() -> None:
    @transaction.atomic
    def nested() -> None:
        Tag.objects.create(name="b")
        raise ValueError("no")

    def synchronous() -> bool:
        assert [tag.name for tag in Tag.objects.all()] == ["a"]
        with pytest.raises(ValueError, match="no"):
            nested()
        with transaction.atomic():
            Tag.objects.create(name="c")
        return connection.in_atomic_block

    async with aatomic():
        await add("a")
        assert await on_loop(synchronous)() is True
        assert await names() == ["a", "c"]
    assert await names() == ["a", "c"]


async def test_asynchronous_blocks_may_be_waited_for_in_synchronous_code() -> None:
    async def inner() -> None:
        async with aatomic():
            await add("b")
            raise ValueError("no")

    def synchronous() -> None:
        with transaction.atomic():
            Tag.objects.create(name="a")
            with pytest.raises(ValueError, match="no"):
                await_(inner())
            Tag.objects.create(name="c")

    await on_loop(synchronous)()
    assert await names() == ["a", "c"]


# The decorator


@pytest.mark.parametrize(
    "decorator",
    [aatomic, aatomic(), aatomic(using="default"), aatomic("default"), aatomic(None)],
)
async def test_a_decorated_function_is_one_block(decorator: Any) -> None:
    @decorator
    async def work(name: str, *, fails: bool = False) -> str:
        """Says what it does."""
        await add(name)
        assert connection.in_atomic_block
        if fails:
            raise ValueError(name)
        return name

    assert (work.__name__, work.__doc__) == ("work", "Says what it does.")
    assert await work("a") == "a"
    with pytest.raises(ValueError, match="b"):
        await work("b", fails=True)
    assert await names() == ["a"]


async def test_a_decorated_function_may_run_in_many_tasks_at_once() -> None:
    @aatomic
    async def work(number: int) -> None:
        await add(str(number))
        async with aatomic():
            await add(f"{number} again")
            if number % 2:
                raise ValueError(number)

    await asyncio.gather(*(work(n) for n in range(10)), return_exceptions=True)
    assert len(await names()) == 10


async def test_a_decorated_function_may_call_itself() -> None:
    @aatomic
    async def work(depth: int) -> None:
        await add(str(depth))
        if depth:
            await work(depth - 1)

    await work(3)
    assert await names() == ["0", "1", "2", "3"]


async def test_a_decorated_method_gets_its_object() -> None:
    class Service:
        @aatomic(durable=True)
        async def work(self, name: str) -> "Service":
            await add(name)
            return self

    service = Service()
    assert await service.work("a") is service


@pytest.mark.parametrize("decorator", [aatomic, aatomic(), aatomic(using="default")])
def test_a_synchronous_function_is_refused(decorator: Any) -> None:
    def work() -> None: ...

    with pytest.raises(TypeError) as caught:
        decorator(work)
    assert str(caught.value) == (
        f"aatomic() decorates coroutine functions, not {work!r}. Use Django's atomic() "
        "for synchronous code; inside on_loop() it is the same transaction."
    )


def test_an_asynchronous_generator_is_refused() -> None:
    async def rows() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError) as caught:
        aatomic(rows)
    assert str(caught.value) == (
        f"aatomic() cannot decorate the asynchronous generator {rows!r}: between two "
        "items it would hold the transaction open, and nobody could tell for how long. "
        "Use `async with aatomic()` inside it, around no yield."
    )


# aon_commit()


async def test_hooks_run_after_the_commit_in_their_order() -> None:
    ran: list[Any] = []

    async def asynchronous() -> None:
        ran.append(("asynchronous", await names(), connection.in_atomic_block))

    async with aatomic():
        await aon_commit(lambda: ran.append("first"))
        await aon_commit(asynchronous)
        await on_loop(transaction.on_commit)(lambda: ran.append("django's"))
        await aon_commit(partial(ran.append, "last"))
        await add("a")
        assert ran == []
    assert ran == ["first", ("asynchronous", ["a"], False), "django's", "last"]


async def test_hooks_run_after_the_outermost_block_only() -> None:
    ran: list[str] = []
    async with aatomic():
        async with aatomic():
            await aon_commit(lambda: ran.append("inner"))
        assert ran == []
    assert ran == ["inner"]


async def test_hooks_of_what_was_rolled_back_do_not_run() -> None:
    ran: list[str] = []
    with pytest.raises(ValueError, match="no"):
        async with aatomic():
            await aon_commit(lambda: ran.append("outer"))
            raise ValueError("no")
    async with aatomic():
        with pytest.raises(ValueError, match="no"):
            async with aatomic():
                await aon_commit(lambda: ran.append("savepoint"))
                raise ValueError("no")
        await aon_commit(lambda: ran.append("kept"))
    assert ran == ["kept"]


async def test_hooks_without_a_transaction_run_at_once() -> None:
    ran: list[str] = []

    async def asynchronous() -> None:
        ran.append("asynchronous")

    await aon_commit(lambda: ran.append("synchronous"))
    await aon_commit(asynchronous)
    assert ran == ["synchronous", "asynchronous"]


async def test_a_function_that_returns_a_coroutine_is_awaited() -> None:
    async with aatomic():
        await aon_commit(lambda: add("lambda"))
        await aon_commit(partial(Tag.objects.acreate, name="partial"))
        await aon_commit(partial(lambda name: add(name), "nested"))
    await aon_commit(lambda: add("at once"))
    assert await names() == ["at once", "lambda", "nested", "partial"]


async def test_a_coroutine_instead_of_a_function_is_refused_and_closed() -> None:
    with pytest.raises(TypeError) as caught:
        await aon_commit(add("a"))
    assert str(caught.value) == (
        "aon_commit() takes a function, not a coroutine that runs in any case. Write "
        "`lambda: add(...)`."
    )


async def test_what_cannot_be_called_is_refused_as_in_django() -> None:
    with pytest.raises(TypeError, match=r"on_commit\(\)'s callback must be a callable"):
        await aon_commit(5)


async def test_hooks_may_query_and_open_transactions() -> None:
    async def nested() -> None:
        async with aatomic(durable=True):
            await add("nested")
            await aon_commit(lambda: add("after that"))

    def synchronous() -> None:
        with transaction.atomic(durable=True):
            Tag.objects.create(name="synchronous")

    async def gathered() -> None:
        await gather_queries(add("gathered"), *[Tag.objects.count] * 3)

    async with aatomic():
        await aon_commit(nested)
        await aon_commit(synchronous)
        await aon_commit(gathered)
    assert await names() == ["after that", "gathered", "nested", "synchronous"]
    assert pool_stats()["in_use"] == 0


async def test_a_hook_that_raises_ends_the_hooks_but_not_the_commit() -> None:
    ran: list[str] = []

    async def fail() -> None:
        raise ValueError("hook")

    with pytest.raises(ValueError, match="hook"):
        async with aatomic():
            await add("a")
            await aon_commit(lambda: ran.append("before"))
            await aon_commit(fail)
            await aon_commit(lambda: ran.append("after"))
    assert ran == ["before"]
    assert await names() == ["a"]
    assert pool_stats()["in_use"] == 0
    async with aatomic():
        await add("b")
    assert ran == ["before"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_robust_hook_that_raises_is_logged(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    async def asynchronous() -> None:
        raise ValueError("robust")

    def synchronous() -> None:
        raise ValueError("robust")

    hook = asynchronous if is_async else synchronous
    with caplog.at_level(logging.ERROR, "django.db.backends.base"):
        await aon_commit(hook, robust=True)
        async with aatomic():
            await aon_commit(hook, robust=True)
            await aon_commit(lambda: ran.append("after"))
    assert ran == ["after"]
    assert len(caplog.records) == 2
    assert all(hook.__qualname__ in r.getMessage() for r in caplog.records)


@everywhere
async def test_hooks_belong_to_their_database() -> None:
    ran: list[str] = []
    async with aatomic():
        async with aatomic("replica"):
            await aon_commit(lambda: ran.append("replica"), using="replica")
            await aon_commit(lambda: ran.append("default"))
        assert ran == ["replica"]
    assert ran == ["replica", "default"]


async def test_hooks_share_the_context_of_the_task_that_commits() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def hook() -> None:
        seen.append(variable.get())
        variable.set("by the hook")

    async with aatomic():
        await aon_commit(hook)
        await aon_commit(lambda: seen.append(variable.get()))
        variable.set("before the commit")
    assert seen == ["before the commit", "by the hook"]
    assert variable.get() == "by the hook"

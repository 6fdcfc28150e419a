"""Several queries at once, outside of transactions and inside."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from django.db import (
    DataError,
)
from django.db.models import Prefetch

from django_async_ext import aatomic, gather_queries, hold_connection, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.gathering import (
    BACKEND,
    HELD,
    Crowd,
    TooComplicatedError,
    divide_by_zero,
    fail,
    is_at_rest,
)
from tests.db.rows import fill, statements, traced
from tests.db.server import Server, execute, until
from tests.library.models import Account, Author, Book, Publisher, Tag

# What is taken, and what is given

pytestmark = pytest.mark.django_db(transaction=True)


async def test_results_come_in_the_order_of_the_arguments() -> None:
    await on_loop(fill)()
    books, count, names, missing = await gather_queries(
        Book.objects.order_by("title"),
        Book.objects.acount(),
        lambda: list(Author.objects.order_by("name").values_list("name", flat=True)),
        Book.objects.filter(title="none").afirst(),
    )
    assert [book.title for book in books] == [
        *("Ada 1", "Ada 2", "Bede 1", "Bede 2", "Clio 1", "Clio 2")
    ]
    assert (count, names, missing) == (6, ["Ada", "Bede", "Clio"], None)


async def test_nothing_gathered_gives_nothing() -> None:
    assert await gather_queries() == []
    async with aatomic():
        assert await gather_queries() == []


@pytest.mark.parametrize("inside", [False, True])
async def test_each_kind_of_query_is_taken(inside: bool) -> None:
    await on_loop(fill)()

    async def coroutine_function() -> int:
        return await Tag.objects.acount()

    def queries() -> list[Any]:
        return [
            Tag.objects.order_by("name"),
            Author.objects.order_by("name").values_list("name", flat=True)[:2],
            Book.objects.none(),
            Tag.objects.raw("SELECT * FROM library_tag ORDER BY name"),
            Tag.objects.acount(),
            Tag.objects.count,
            coroutine_function,
            partial(Tag.objects.filter(name="new").exists),
            Author.objects.filter(name="Ada").union(Author.objects.filter(name="Bede")),
        ]

    if inside:
        async with aatomic():
            results = await gather_queries(*queries())
    else:
        results = await gather_queries(*queries())
    tags, names, none, raw, *rest, union = results
    assert [tag.name for tag in tags] == ["new", "old"] == [tag.name for tag in raw]
    assert (names, none, rest) == (["Ada", "Bede"], [], [2, 2, 2, True])
    assert {author.name for author in union} == {"Ada", "Bede"}


async def test_futures_and_tasks_are_awaited() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    task = asyncio.create_task(Tag.objects.acount())
    assert await gather_queries(future, task) == [1, 0]


async def test_a_gathered_queryset_keeps_its_rows() -> None:
    await on_loop(fill)()
    books = Book.objects.order_by("title")
    (rows,) = await gather_queries(books)
    with statements() as asked:
        assert await books == rows
        assert next(book.title for book in books) == "Ada 1"
    assert asked == []


@pytest.mark.parametrize("inside", [False, True])
async def test_a_queryset_gathered_twice_is_evaluated_once(inside: bool) -> None:
    await on_loop(fill)()
    tags = Tag.objects.order_by("name")
    with statements() as asked:
        if inside:
            async with aatomic():
                first, second = await gather_queries(tags, tags)
        else:
            first, second = await gather_queries(tags, tags)
    assert first == second == list(tags)
    assert len([sql for sql in asked if sql.startswith("SELECT")]) == 1


async def test_a_coroutine_gathered_twice_is_awaited_once() -> None:
    count = Tag.objects.acount()
    assert await gather_queries(count, count) == [0, 0]


async def test_a_callable_gathered_twice_is_called_twice() -> None:
    calls = iter(range(10))
    query = partial(next, calls)
    assert await gather_queries(query, query, query) == [0, 1, 2]
    async with aatomic():
        assert await gather_queries(query, query) == [3, 4]


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_querysets_of_several_databases_are_gathered() -> None:
    for using in ("default", "replica", "sqlite"):
        await Tag.objects.using(using).acreate(name=using)
    found = await gather_queries(
        *(Tag.objects.using(using) for using in ("default", "replica", "sqlite"))
    )
    assert [[tag.name for tag in tags] for tags in found] == [
        *(["default"], ["replica"], ["sqlite"])
    ]


# What is refused


async def refused(*queries: Any) -> str:
    with pytest.raises(TypeError) as caught:
        await gather_queries(*queries)
    return str(caught.value)


async def test_a_generator_is_refused_with_the_star_named() -> None:
    text = await refused(query for query in [Tag.objects.all()])
    assert text.startswith("Argument 0 of gather_queries() is <generator object ")
    assert text.endswith("no query. Unpack it with a star: gather_queries(*queries).")


async def test_a_list_is_refused_with_the_star_named() -> None:
    assert await refused(Tag.objects.all(), []) == (
        "Argument 1 of gather_queries() is [], no query. Unpack it with a star: "
        "gather_queries(*queries)."
    )


async def test_a_manager_is_refused_with_its_queryset_named() -> None:
    assert await refused(Tag.objects) == (
        f"Argument 0 of gather_queries() is {Tag.objects!r}, no query. Pass a queryset "
        "of the manager, as in Model.objects.all()."
    )


async def test_a_model_is_refused_with_its_queryset_named() -> None:
    assert await refused(Tag) == (
        f"Argument 0 of gather_queries() is {Tag!r}, no query. Pass a queryset "
        "of its manager, as in Model.objects.all()."
    )


@pytest.mark.parametrize("value", [None, 5, "SELECT 1", {"a": 1}])
async def test_another_value_is_refused(value: Any) -> None:
    assert await refused(value) == (
        f"Argument 0 of gather_queries() is {value!r}, no query. Pass querysets, "
        "awaitables or callables without arguments."
    )


async def test_an_asynchronous_generator_is_refused() -> None:
    async def rows() -> AsyncIterator[int]:
        yield 1

    text = await refused(rows())
    assert "Pass querysets, awaitables or callables without arguments." in text


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
async def test_a_bad_limit_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match="takes a limit of at least 1, not") as caught:
        await gather_queries(Tag.objects.acount(), limit=limit)
    assert str(caught.value) == (
        f"gather_queries() takes a limit of at least 1, not {limit!r}. Leave it "
        "out to use one less than the connection pool holds."
    )


async def test_nothing_runs_when_one_argument_is_refused() -> None:
    # A coroutine that is not closed would warn, and warnings are errors here.
    ran = []
    await refused(Tag.objects.acount(), lambda: ran.append(1), 5)
    assert ran == []


# Outside of transactions


async def test_queries_run_in_parallel_on_connections_of_their_own() -> None:
    crowd = Crowd(4)
    pids = await gather_queries(*[crowd.query] * 4)
    assert len(set(pids)) == 4
    assert is_at_rest()


async def test_querysets_run_in_parallel(server: Server) -> None:
    await Author.objects.acreate(name="Ada")
    authors = Author.objects.annotate(pid=BACKEND, held=HELD)
    async with hold_connection():
        await on_loop(execute)("SELECT pg_advisory_lock(7)")
        async with asyncio.TaskGroup() as group:
            queries = (authors.filter(name="Ada") for _ in range(5))
            gathering = group.create_task(gather_queries(*queries))
            await until(lambda: server.running("pg_advisory_xact_lock_shared") == 5)
            await on_loop(execute)("SELECT pg_advisory_unlock(7)")
    found = gathering.result()
    assert len({rows[0].pid for rows in found}) == 5


async def test_no_more_run_at_once_than_the_limit() -> None:
    crowd = Crowd(3)
    await gather_queries(*[crowd.query] * 9, limit=3)
    assert crowd.most == 3
    assert len(crowd.pids) == 3


async def test_the_default_limit_leaves_one_connection_of_the_pool() -> None:
    crowd = Crowd(7)
    await gather_queries(*[crowd.query] * 14)
    assert crowd.most == 7


async def test_the_setting_replaces_the_default_limit(settings: Any) -> None:
    settings.ASYNC_EXT = {"GATHER_LIMIT": 2}
    crowd = Crowd(2)
    await gather_queries(*[crowd.query] * 6)
    assert crowd.most == 2


async def test_a_limit_above_the_pool_waits_for_the_pool() -> None:
    crowd = Crowd(8)
    await gather_queries(*[crowd.query] * 16, limit=50)
    assert crowd.most == 8


async def test_hundred_requests_gather_on_a_pool_of_four(
    configure: Any, server: Server
) -> None:
    configure(pool={"max_size": 4, "timeout": 30})
    await on_loop(fill)()
    most = 0

    async def request() -> list[Any]:
        nonlocal most
        queries = (Book.objects.filter(title="Ada 1") for _ in range(20))
        results = await gather_queries(*queries)
        most = max(most, server.sessions())
        return results

    answers = await asyncio.gather(*(request() for _ in range(100)))
    assert {len(rows) for answer in answers for rows in answer} == {1}
    assert most <= 4
    assert pool_stats()["size"] <= 4
    assert is_at_rest()


async def test_gathers_nest_on_a_small_pool(configure: Any) -> None:
    configure(pool={"max_size": 2, "timeout": 10})
    await on_loop(fill)()

    async def inner() -> list[Any]:
        return await gather_queries(*[Tag.objects.count] * 3)

    async def outer() -> list[Any]:
        return await gather_queries(inner(), inner(), Tag.objects.acount())

    assert (
        await gather_queries(outer(), outer(), outer()) == [[[2] * 3, [2] * 3, 2]] * 3
    )


async def test_each_query_may_have_a_transaction_of_its_own() -> None:
    await Account.objects.acreate(pk=1)

    async def deposit(amount: int) -> None:
        async with aatomic():
            account = await Account.objects.select_for_update().aget()
            account.balance += amount
            await account.asave()

    await gather_queries(*(deposit(amount) for amount in range(20)))
    assert (await Account.objects.aget()).balance == sum(range(20))


async def test_prefetches_run_on_the_connections_of_their_queries() -> None:
    await on_loop(fill)()
    with statements() as asked:
        authors, tags = await gather_queries(
            Author.objects.order_by("name").prefetch_related("books__tags"),
            Tag.objects.prefetch_related(Prefetch("books", to_attr="found")),
        )
    assert [len(author.books.all()) for author in authors] == [2, 2, 2]
    assert sorted(len(tag.found) for tag in tags) == [3, 6]
    assert len(asked) == 5


async def test_a_hold_does_not_hinder_the_gathered_queries() -> None:
    async with hold_connection():
        crowd = Crowd(7)
        await gather_queries(*[crowd.query] * 7)
    assert crowd.most == 7


# Failures outside of transactions


async def test_the_first_failure_is_raised_and_cancels_the_rest(server: Server) -> None:
    with pytest.raises(TooComplicatedError, match="very 2") as caught:
        await gather_queries(
            lambda: execute("SELECT pg_sleep(600)"),
            lambda: execute("SELECT pg_sleep(600)"),
            fail(error := TooComplicatedError("very", how=2)),
        )
    assert caught.value is error
    assert server.running() == 0
    assert is_at_rest()


async def test_a_failed_statement_raises_as_in_django() -> None:
    with pytest.raises(DataError) as caught:
        await gather_queries(Tag.objects.acount(), divide_by_zero)
    with pytest.raises(DataError) as expected:
        await on_loop(divide_by_zero)()
    assert str(caught.value) == str(expected.value)


async def test_failures_are_among_the_results_when_asked_for() -> None:
    error = TooComplicatedError("very", how=2)
    first, second, third = await gather_queries(
        Tag.objects.acount(), fail(error), Tag.objects.aexists(), return_exceptions=True
    )
    assert (first, second, third) == (0, error, False)


@pytest.mark.parametrize("pipeline", [False, True])
async def test_a_query_that_was_cancelled_by_others_is_a_failure(
    pipeline: bool,
) -> None:
    gather = partial(gather_queries, pipeline=pipeline)
    with pytest.raises(asyncio.CancelledError):
        await gather(fail(asyncio.CancelledError()), Tag.objects.acount())
    first, second = await gather(
        fail(asyncio.CancelledError()), Tag.objects.acount(), return_exceptions=True
    )
    assert isinstance(first, asyncio.CancelledError)
    assert second == 0


async def test_what_is_no_ordinary_exception_is_raised_too() -> None:
    class Abort(BaseException):
        pass

    with pytest.raises(Abort):
        await gather_queries(fail(Abort()), Tag.objects.acount())


async def test_coroutines_that_never_started_are_closed_after_a_failure() -> None:
    queries = [Tag.objects.acount() for _ in range(20)]
    with pytest.raises(TooComplicatedError):
        await gather_queries(
            fail(TooComplicatedError("very", how=1)), *queries, limit=1
        )


async def test_a_cancelled_gather_stops_its_queries(server: Server) -> None:
    sleep = partial(execute, "SELECT pg_sleep(600)")
    gathering = asyncio.create_task(gather_queries(*[sleep] * 10, limit=3))
    await until(lambda: server.running() == 3)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert server.running() == 0
    assert is_at_rest()


async def test_a_gather_ends_after_its_queries_even_when_cancelled_twice() -> None:
    left = []

    async def slow_to_leave() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await Tag.objects.acount()
            left.append(1)

    gathering = asyncio.create_task(gather_queries(*[slow_to_leave] * 3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gathering.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert left == [1, 1, 1]
    assert is_at_rest()


# One pipeline outside of transactions


async def test_a_pipeline_needs_one_connection_and_one_round_trip() -> None:
    await on_loop(fill)()
    async with hold_connection() as wrapper:
        with traced(wrapper) as trace:
            found = await gather_queries(
                *(Tag.objects.annotate(pid=BACKEND).aget(name="new") for _ in range(9)),
                pipeline=True,
            )
    assert len({tag.pid for tag in found}) == 1
    assert trace.round_trips == 1


async def test_a_pipeline_returns_its_connection() -> None:
    counts = await gather_queries(*[Tag.objects.count] * 20, pipeline=True)
    assert counts == [0] * 20
    assert pool_stats()["size"] == 1
    assert is_at_rest()


async def test_a_failed_pipeline_returns_its_connection() -> None:
    with pytest.raises(Exception, match="division by zero"):
        await gather_queries(Tag.objects.count, divide_by_zero, pipeline=True)
    assert is_at_rest()
    assert await Tag.objects.acount() == 0


async def test_writes_in_a_pipeline_have_transactions_of_their_own() -> None:
    await on_loop(fill)()
    made, deleted, known = await gather_queries(
        Tag.objects.abulk_create([Tag(name="a"), Tag(name="b")]),
        Book.objects.filter(title="Ada 1").adelete(),
        Tag.objects.aget_or_create(name="new"),
        pipeline=True,
    )
    assert len(made) == 2
    assert deleted[1]["library.Book"] == 1
    assert known[1] is False
    assert await Tag.objects.acount() == 4
    assert await Book.objects.acount() == 5
    assert is_at_rest()


async def test_a_transaction_in_a_pipeline_rolls_back_alone() -> None:
    async def undone() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="undone")
            raise TooComplicatedError("very", how=1)

    async def done() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="done")

    await gather_queries(done, undone, pipeline=True, return_exceptions=True)
    assert [tag.name async for tag in Tag.objects.all()] == ["done"]


async def test_a_transaction_in_a_pipeline_takes_nothing_of_others_with_it() -> None:
    async def undone() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="undone")
            raise TooComplicatedError("very", how=1)

    a, b, c, d = (partial(Tag.objects.acreate, name=name) for name in "abcd")
    for jobs in ([undone, a, b], [c, undone, d]):
        await gather_queries(*jobs, pipeline=True, return_exceptions=True)
    names = [tag.name async for tag in Tag.objects.order_by("name")]
    assert names == ["a", "b", "c", "d"]
    assert is_at_rest()


async def test_a_transaction_in_a_pipeline_waits_for_what_was_queued() -> None:
    async def done() -> int:
        async with aatomic():
            await Tag.objects.acreate(name="done")
            return await Tag.objects.acount()

    count = Tag.objects.acount
    assert await gather_queries(count, done, count, pipeline=True) == [0, 1, 0]
    assert is_at_rest()


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_a_pipeline_on_sqlite_runs_in_turn() -> None:
    await Tag.objects.using("sqlite").acreate(name="a")
    found = await gather_queries(
        Tag.objects.using("sqlite"), Tag.objects.using("sqlite").acount(), pipeline=True
    )
    assert found == [[await Tag.objects.using("sqlite").aget()], 1]


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_a_pipeline_reads_the_database_of_its_querysets(configure: Any) -> None:
    await Publisher.objects.using("replica").acreate(name="there")
    async with hold_connection("replica") as wrapper:
        with traced(wrapper) as trace:
            found = await gather_queries(
                *(Publisher.objects.using("replica").filter(pk__gt=n) for n in (0, -1)),
                pipeline=True,
            )
    assert [rows[0].name for rows in found] == ["there", "there"]
    assert trace.round_trips == 1

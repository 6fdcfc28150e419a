"""Several queries at once inside transactions, which share round trips."""

import asyncio
from functools import partial
from typing import Any

import pytest
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
)
from django.db.transaction import TransactionManagementError

from django_async_ext import aatomic, gather_queries, on_loop
from tests.db.gathering import (
    TooComplicatedError,
    fail,
    is_at_rest,
)
from tests.db.rows import fill, fill_authors, statements, traced
from tests.db.server import Server, execute, until
from tests.library.models import Author, Book, Tag
from tests.waiting import timing_out

pytestmark = pytest.mark.django_db(transaction=True)


async def test_queries_in_a_transaction_share_one_round_trip() -> None:
    await on_loop(fill)()
    async with aatomic():
        await Tag.objects.acount()
        titles = [f"{name} {n}" for name in ("Ada", "Bede", "Clio") for n in (1, 2)]
        with traced(connection) as trace, statements() as asked:
            found = await gather_queries(
                *(Book.objects.filter(title=title) for title in titles * 5)
            )
    assert [rows[0].title for rows in found] == titles * 5
    assert len(asked) == 30
    assert trace.round_trips == 1
    assert trace.count("Sync") == 1


async def test_the_first_gather_takes_begin_along() -> None:
    async with aatomic():
        with traced(connection) as trace:
            await gather_queries(*(Tag.objects.acreate(name=str(n)) for n in range(9)))
        assert await Tag.objects.acount() == 9
    assert trace.round_trips == 1
    assert await Tag.objects.acount() == 9


async def test_a_first_gather_that_fails_leaves_a_transaction_to_roll_back() -> None:
    await Tag.objects.acreate(name="known")
    with pytest.raises(IntegrityError):
        async with aatomic():
            await gather_queries(
                Tag.objects.acreate(name="known"), Tag.objects.acreate(name="new")
            )
    async with aatomic():
        with pytest.raises(TooComplicatedError):
            await gather_queries(
                Tag.objects.acount(), fail(TooComplicatedError("very", how=1))
            )
        assert connection.connection.info.transaction_status.name == "INTRANS"
        await Tag.objects.acreate(name="later")
    assert {tag.name async for tag in Tag.objects.all()} == {"known", "later"}
    assert is_at_rest()


@pytest.mark.parametrize("error", [TooComplicatedError, asyncio.CancelledError])
async def test_a_begin_that_was_never_sent_is_not_taken_for_the_next_one(
    error: Any,
) -> None:
    raised = error("very", how=1) if error is TooComplicatedError else error()
    with pytest.raises(error):
        async with aatomic():
            await gather_queries(Tag.objects.acreate(name="never"), fail(raised))
    with pytest.raises(LookupError):
        async with aatomic():
            await gather_queries(Tag.objects.acreate(name="never"), Tag.objects.acount)
            raise LookupError
    assert await Tag.objects.acount() == 0
    assert is_at_rest()


async def test_gathered_queries_belong_to_the_transaction() -> None:
    async with aatomic():
        await Tag.objects.acreate(name="unseen")
        counts = await gather_queries(*[Tag.objects.count] * 3)
        await on_loop(connection.set_rollback)(True)
    assert counts == [1, 1, 1]
    assert await Tag.objects.acount() == 0


async def test_writes_share_the_round_trip_and_the_fate_of_the_transaction() -> None:
    with pytest.raises(TooComplicatedError):
        async with aatomic():
            made = await gather_queries(
                Tag.objects.acreate(name="a"),
                Tag.objects.acreate(name="b"),
                Author.objects.acreate(name="c"),
            )
            assert all(one.pk for one in made)
            updated, (deleted, _) = await gather_queries(
                Author.objects.filter(name="c").aupdate(name="d"),
                Tag.objects.filter(name="a").adelete(),
            )
            assert (updated, deleted) == (1, 1)
            assert (await Tag.objects.aget()).name == "b"
            raise TooComplicatedError("very", how=1)
    assert await Tag.objects.acount() == await Author.objects.acount() == 0


async def test_prefetches_share_the_second_round_trip() -> None:
    await on_loop(fill)()
    async with aatomic():
        await Tag.objects.acount()
        with traced(connection) as trace, statements() as asked:
            found = await gather_queries(
                *(
                    Author.objects.filter(name=name).prefetch_related("books__tags")
                    for name in ("Ada", "Bede", "Clio")
                )
            )
    assert [len(rows[0].books.all()[0].tags.all()) for rows in found] == [1, 1, 1]
    assert len(asked) == 9
    assert trace.round_trips == 3


async def test_queries_with_savepoints_run_alone() -> None:
    await Tag.objects.acreate(name="known")

    async def nested(name: str, error: Exception | None = None) -> int:
        async with aatomic():
            await Tag.objects.acreate(name=name)
            await Tag.objects.acount()
            if error is not None:
                raise error
        return await Tag.objects.acount()

    async with aatomic():
        results = await gather_queries(
            nested("a"),
            Tag.objects.aget_or_create(name="known"),
            Tag.objects.aget_or_create(name="b"),
            Tag.objects.aupdate_or_create(name="c"),
            nested("d", ValueError("undone")),
            Tag.objects.abulk_create([Tag(name="e"), Tag(name="f")]),
            Author.objects.acount(),
            return_exceptions=True,
        )
        assert not connection.savepoint_ids
    assert [created for _, created in results[1:4]] == [False, True, True]
    assert repr(results[4]) == "ValueError('undone')"
    assert results[6] == 0
    names = [name async for name in Tag.objects.values_list("name", flat=True)]
    assert sorted(names) == ["a", "b", "c", "e", "f", "known"]


async def test_a_failed_savepoint_does_not_abort_the_transaction() -> None:
    await Tag.objects.acreate(name="known")

    async def collide() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="known")

    async with aatomic():
        await Tag.objects.acreate(name="new")
        error, count = await gather_queries(
            collide, Tag.objects.acount(), return_exceptions=True
        )
        assert isinstance(error, IntegrityError)
        assert count == 2
    assert await Tag.objects.acount() == 2


@pytest.mark.parametrize("position", [0, 3, 6])
async def test_an_error_is_that_of_the_query_that_failed(position: int) -> None:
    await Tag.objects.acreate(name="known")
    queries: list[Any] = [Tag.objects.acount() for _ in range(6)]
    queries.insert(position, Tag.objects.acreate(name="known"))
    with pytest.raises(IntegrityError, match="library_tag_name"):
        async with aatomic():
            await gather_queries(*queries)
    assert await Tag.objects.acount() == 1
    assert is_at_rest()


async def test_the_query_that_failed_is_named_with_its_place() -> None:
    await Tag.objects.acreate(name="known")
    fails = Tag.objects.acreate(name="known")
    with pytest.raises(IntegrityError) as caught:
        async with aatomic():
            await gather_queries(Tag.objects.acount(), Tag.objects.acount(), fails)
    assert caught.value.__notes__ == ["Raised by argument 2 of gather_queries()."]


async def test_what_was_not_run_names_the_error_that_came_before() -> None:
    await Tag.objects.acreate(name="known")
    async with aatomic():
        error, skipped = await gather_queries(
            Tag.objects.acreate(name="known"),
            Tag.objects.acount(),
            return_exceptions=True,
        )
        await on_loop(connection.set_rollback)(True)
    assert skipped.__cause__.__cause__ is error.__cause__


async def test_the_rest_of_a_failed_round_is_told_that_it_did_not_run() -> None:
    await Tag.objects.acreate(name="known")
    async with aatomic():
        first, second, third = await gather_queries(
            Tag.objects.acount(),
            Tag.objects.acreate(name="known"),
            Tag.objects.acreate(name="new"),
            return_exceptions=True,
        )
        await on_loop(connection.set_rollback)(True)
    assert first == 1
    assert isinstance(second, IntegrityError)
    assert isinstance(third, OperationalError)
    assert str(third) == (
        "not run or undone: another statement of the same gather_queries() failed"
    )
    assert await Tag.objects.acount() == 1


async def test_the_transaction_is_as_broken_as_one_after_a_failure_in_django() -> None:
    await Tag.objects.acreate(name="known")

    async def in_turn() -> None:
        await Tag.objects.acreate(name="known")

    async def together() -> None:
        await gather_queries(Tag.objects.acreate(name="known"), Tag.objects.acount())

    seen = []
    for write in (in_turn, together):
        async with aatomic():
            with pytest.raises(IntegrityError):
                await write()
            with pytest.raises(TransactionManagementError) as caught:
                await Tag.objects.acount()
            seen.append((str(caught.value), connection.needs_rollback))
    assert seen[0] == seen[1]
    assert await Tag.objects.acount() == 1


async def test_a_failure_in_a_transaction_closes_what_had_not_started() -> None:
    async with aatomic():
        with pytest.raises(TooComplicatedError):
            await gather_queries(
                Tag.objects.acount(),
                fail(TooComplicatedError("very", how=1)),
                *(Tag.objects.acount() for _ in range(5)),
            )
        assert await Tag.objects.acount() == 0


async def test_a_gather_cancelled_in_a_transaction_leaves_it_usable_or_rolled_back(
    server: Server,
) -> None:
    async def work() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="new")
            await gather_queries(
                Tag.objects.acount(),
                partial(execute, "SELECT pg_sleep(600)"),
                Tag.objects.acount(),
            )

    task = asyncio.create_task(work())
    await until(lambda: server.running() == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.running() == 0
    assert await Tag.objects.acount() == 0
    assert is_at_rest()


async def test_a_gather_that_timed_out_in_a_transaction_leaves_no_pipeline(
    server: Server,
) -> None:
    async with aatomic():
        with pytest.raises(TimeoutError):
            async with timing_out(server.running):
                await gather_queries(
                    Tag.objects.acount(), partial(execute, "SELECT pg_sleep(600)")
                )
        await on_loop(connection.set_rollback)(True)
    assert await Tag.objects.acount() == 0
    assert is_at_rest()


async def test_large_results_share_the_round_trip() -> None:
    text = "x" * 1000
    await on_loop(fill_authors)(1000, biography=text)
    async with aatomic():
        found = await gather_queries(*(Author.objects.all() for _ in range(8)))
    assert [len(rows) for rows in found] == [1000] * 8
    assert sum(len(author.biography) for rows in found for author in rows) == 8_000_000


async def test_large_statements_share_the_round_trip() -> None:
    text = "x" * 500_000
    async with aatomic():
        made = await gather_queries(
            *(Author.objects.acreate(name=str(n), biography=text) for n in range(10))
        )
        sizes = await gather_queries(
            *(Author.objects.filter(pk=author.pk) for author in made)
        )
    assert [len(rows[0].biography) for rows in sizes] == [500_000] * 10


async def test_large_statements_and_large_results_pass_each_other() -> None:
    """More than the buffers of both sockets take, in both directions at once."""
    text = "x" * 3_000_000
    stored = await Author.objects.acreate(name="stored", biography=text)
    queries: list[Any] = []
    for number in range(8):
        queries.append(Author.objects.filter(pk=stored.pk))
        queries.append(Author.objects.acreate(name=str(number), biography=text))
    async with asyncio.timeout(60), aatomic():
        found = await gather_queries(*queries)
    assert {len(rows[0].biography) for rows in found[::2]} == {3_000_000}
    assert await Author.objects.acount() == 9


async def test_a_thousand_queries_are_gathered_in_a_transaction() -> None:
    await on_loop(fill_authors)(1000)
    async with aatomic():
        names = [f"author {number:05}" for number in range(1000)]
        found = await gather_queries(
            *(Author.objects.aget(name=name) for name in names)
        )
    assert [author.name for author in found] == names


async def test_a_thousand_queries_are_gathered_in_parallel() -> None:
    await on_loop(fill_authors)(1000)
    names = [f"author {number:05}" for number in range(1000)]
    found = await gather_queries(*(Author.objects.aget(name=name) for name in names))
    assert [author.name for author in found] == names
    assert is_at_rest()


async def test_server_side_cursors_run_alone() -> None:
    await on_loop(fill_authors)(50)

    async def stream() -> list[str]:
        rows = Author.objects.order_by("name").aiterator(chunk_size=10)
        return [author.name async for author in rows]

    def iterate() -> list[str]:
        rows = Author.objects.order_by("name").iterator(chunk_size=10)
        return [author.name for author in rows]

    async with aatomic():
        streamed, count, iterated = await gather_queries(
            stream(), Author.objects.acount(), iterate
        )
    assert streamed == iterated == [f"author {number:05}" for number in range(50)]
    assert count == 50


async def test_statements_for_many_rows_run_alone() -> None:
    def write() -> None:
        with connection.cursor() as cursor:
            rows = [("a",), ("b",)]
            cursor.executemany("INSERT INTO library_tag (name) VALUES (%s)", rows)
            assert cursor.rowcount == 2

    async with aatomic():
        await gather_queries(write, Author.objects.acount())
        assert await Tag.objects.acount() == 2


async def test_copy_runs_alone() -> None:
    def copy() -> None:
        statement = "COPY library_tag (name) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as rows:
            rows.write_row(("a",))

    async with aatomic():
        await gather_queries(copy, Author.objects.acount())
        assert await Tag.objects.acount() == 1


async def test_several_statements_in_one_run_alone() -> None:
    def several() -> list[Any]:
        return execute("SELECT 1; SELECT 2;")

    async with aatomic():
        found, count = await gather_queries(several, Author.objects.acount())
    assert (found, count) == ([(1,)], 0)


async def test_what_cannot_be_pipelined_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def many() -> None:
        with connection.cursor() as cursor:
            cursor.executemany("SELECT %s", [(1,), (2,)])

    def copied() -> list[Any]:
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY (SELECT 1) TO STDOUT") as c,
        ):
            return list(c.rows())

    caplog.set_level("DEBUG", "django_async_ext.db")
    async with aatomic():
        await gather_queries(
            lambda: list(Author.objects.iterator(chunk_size=5)),
            Tag.objects.aget_or_create(name="new"),
            many,
            copied,
            lambda: execute("SELECT 1; SELECT 2"),
            Author.objects.acount(),
        )
    whats = ("a server-side cursor", "a savepoint", "executemany()", "COPY")
    assert sorted(caplog.messages) == sorted(
        f"gather_queries() runs {what} alone, which no pipeline can"
        for what in (*whats, "several statements in one")
    )


async def test_a_cursor_may_execute_again_in_a_later_round() -> None:
    def twice() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            first = cursor.fetchone()
            cursor.execute("SELECT 2")
            return [first, cursor.fetchall()]

    async with aatomic():
        assert await gather_queries(twice, twice) == [[(1,), [(2,)]]] * 2


async def test_gathers_nest_in_a_transaction() -> None:
    await on_loop(fill)()

    async def inner() -> list[Any]:
        return await gather_queries(Tag.objects.acount(), Author.objects.acount())

    async with aatomic():
        found = await gather_queries(inner(), Book.objects.acount(), inner())
        assert await Tag.objects.acount() == 2
    assert found == [[2, 3], 6, [2, 3]]


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_queries_of_another_database_join_a_transaction_gather() -> None:
    await Tag.objects.using("replica").acreate(name="there")
    async with aatomic():
        await Tag.objects.acreate(name="here")
        here, there = await gather_queries(
            Tag.objects.all(), Tag.objects.using("replica")
        )
    assert ([tag.name for tag in here], [tag.name for tag in there]) == (
        *(["here"], ["there"]),
    )


async def test_the_hooks_of_gathered_queries_run_after_the_commit() -> None:
    ran = []

    async def query(number: int) -> None:
        from django_async_ext import aon_commit

        await Tag.objects.acount()
        await aon_commit(lambda: ran.append(number))

    async with aatomic():
        await gather_queries(query(1), query(2))
        assert ran == []
    assert ran == [1, 2]


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_sqlite_gathers_in_turn_inside_a_transaction() -> None:
    async with aatomic("sqlite"):
        await Tag.objects.using("sqlite").acreate(name="a")
        counts = await gather_queries(
            Tag.objects.using("sqlite").acount(),
            Tag.objects.using("sqlite").acreate(name="b"),
            Tag.objects.using("sqlite"),
        )
    assert counts[0] == 1
    assert [tag.name for tag in counts[2]] == ["a", "b"]


@pytest.mark.django_db(transaction=True, databases="__all__")
async def test_sqlite_gathers_outside_of_a_transaction() -> None:
    await on_loop(fill)("sqlite")
    authors, books = await gather_queries(
        Author.objects.using("sqlite"),
        Book.objects.using("sqlite").prefetch_related("tags"),
    )
    assert (len(authors), len(books)) == (3, 6)

"""What jobs that share a pipeline get of it when one of their statements fails."""

import asyncio
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection

from django_async_ext import aatomic, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.gathering import is_at_rest
from tests.db.server import Server, execute, sleep, until
from tests.library.models import Author, Book, Tag

pytestmark = pytest.mark.django_db(transaction=True)

#: More parameters than the protocol can count.
TOO_MANY = 70_000
#: Far more than the buffers of a socket hold.
LARGE = "x" * 20_000_000


async def together(*jobs: Any) -> list[Any]:
    return await gather_queries(*jobs, pipeline=True, return_exceptions=True)


@pytest.fixture
def _prepared(configure: Configure) -> None:
    configure(server_side_binding=True, prepare_threshold=2, pool={"max_size": 1})


@pytest.mark.usefixtures("_prepared")
async def test_who_cannot_send_takes_nobodys_answer() -> None:
    def too_many() -> Any:
        values = ",".join(["%s"] * TOO_MANY)
        query = f"SELECT count(*) FROM unnest(ARRAY[{values}]::int[])"
        return execute(query, *range(TOO_MANY))

    ask = partial(partial, execute)
    first, error, *rest = await together(
        ask("SELECT 'a'"), too_many, ask("SELECT 'b'"), ask("SELECT 'c'")
    )
    assert [first, *rest] == [[("a",)], [("b",)], [("c",)]]
    assert isinstance(error, DatabaseError)


@pytest.mark.usefixtures("_prepared")
async def test_what_was_never_prepared_is_not_taken_to_be() -> None:
    add = partial(execute, "SELECT 98 + %s::int", 1)
    for _ in range(2):
        assert await together(add) == [[(99,)]]
    failed, repeated = await together(partial(execute, "SELECT 1/0"), add)
    assert isinstance(failed, DatabaseError)
    assert repeated == [(99,)]
    assert await together(add, add) == [[(99,)]] * 2
    assert await on_loop(add)() == [(99,)]


async def test_the_server_begins_while_a_job_waits_for_something_else(
    server: Server,
) -> None:
    async def watch() -> str:
        await until(server.running)
        return "it runs"

    slept, seen = await together(partial(sleep, 0.5), watch)
    assert (slept, seen) == (None, "it runs")


async def test_cancelled_in_the_middle_of_a_large_statement_the_connection_stays(
    configure: Configure, server: Server
) -> None:
    configure(pool={"max_size": 1})
    pid = partial(on_loop(execute), "SELECT pg_backend_pid()")
    before = await pid()
    task = asyncio.create_task(
        together(
            partial(execute, "SELECT pg_sleep(20)::text"),
            partial(execute, "SELECT length(%s)", LARGE),
        )
    )
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pid() == before


def make(name: str) -> Any:
    return partial(Tag.objects.acreate, name=name)


async def test_what_is_written_stays_when_another_job_fails() -> None:
    fails = partial(execute, "SELECT 1/0")
    for jobs in ([make("a"), fails, make("b")], [fails, make("c")]):
        found = await together(*jobs)
        assert [isinstance(each, DatabaseError) for each in found].count(True) == 1
    assert await names() == ["a", "b", "c"]


async def test_what_fails_at_the_end_of_its_statement_fails_alone() -> None:
    def orphan() -> Any:
        return Book.objects.acreate(title="Orphan", author_id=0)

    made, error, found = await together(make("a"), orphan, partial(execute, "SELECT 1"))
    assert made.name == "a"
    assert isinstance(error, IntegrityError)
    assert found == [(1,)]
    assert await names() == ["a"]
    assert await Book.objects.acount() == 0
    assert is_at_rest()


async def test_a_read_fails_for_nobody_else() -> None:
    one, error, two = await together(
        partial(execute, "SELECT 1"),
        partial(execute, "SELECT 1/0"),
        partial(execute, "SELECT 2"),
    )
    assert (one, two) == ([(1,)], [(2,)])
    assert isinstance(error, DatabaseError)


async def test_a_read_that_writes_is_repeated_when_it_was_undone() -> None:
    def write() -> Any:
        return execute("SELECT add_tag('from a function')")

    await on_loop(execute)(
        "CREATE FUNCTION add_tag(text) RETURNS int LANGUAGE sql AS "
        "$$INSERT INTO library_tag (name) VALUES ($1) RETURNING 1$$"
    )
    try:
        found = await together(write, partial(execute, "SELECT 1/0"))
    finally:
        await on_loop(execute)("DROP FUNCTION add_tag(text)")
    assert found[0] == [(1,)]
    assert isinstance(found[1], DatabaseError)
    assert await names() == ["from a function"]


async def test_the_others_are_not_repeated_when_the_first_failure_is_raised() -> None:
    with pytest.raises(DatabaseError):
        await gather_queries(
            partial(execute, "SELECT add_nothing()"),
            make("never"),
            pipeline=True,
        )
    assert await names() == []
    assert is_at_rest()


async def names() -> list[str]:
    return [tag.name async for tag in Tag.objects.order_by("name")]


async def test_the_loss_of_the_connection_is_among_the_results() -> None:
    die = partial(execute, "SELECT pg_terminate_backend(pg_backend_pid())")
    results = await together(die, Tag.objects.acount())
    assert [isinstance(result, DatabaseError) for result in results] == [True, True]
    await until(lambda: pool_stats()["in_use"] == 0)
    assert await Tag.objects.acount() == 0


async def test_an_iterator_that_began_before_goes_on_in_a_job() -> None:
    for name in "abcdef":
        await Author.objects.acreate(name=name)
    authors = Author.objects.order_by("name")
    async with aatomic():
        begun = authors.aiterator(chunk_size=2)
        first = await anext(begun)

        async def rest() -> list[str]:
            return [author.name async for author in begun]

        names, count = await gather_queries(rest, Tag.objects.acount())
    assert [first.name, *names] == list("abcdef")
    assert count == 0


@pytest.mark.parametrize(
    ("method", "arguments", "found"),
    [
        ("fetchone", [], (1,)),
        ("fetchmany", [2], [(1,), (2,)]),
        ("fetchall", [], [(1,), (2,), (3,)]),
        ("__next__", [], (1,)),
        ("scroll", [1], None),
    ],
)
async def test_a_cursor_on_the_server_is_used_alone(
    method: str, arguments: list[int], found: Any
) -> None:
    async with aatomic():
        cursor = await on_loop(connection.chunked_cursor)()
        await on_loop(cursor.execute)("SELECT * FROM generate_series(1, 3)")
        use = partial(getattr(cursor.cursor, method), *arguments)
        assert await together(use, Tag.objects.acount()) == [found, 0]
        await on_loop(cursor.close)()


async def test_a_job_streams_the_rows_of_a_statement() -> None:
    def stream() -> list[Any]:
        with connection.cursor() as cursor:
            return list(cursor.stream("SELECT 1"))

    async with aatomic():
        assert await gather_queries(stream, Tag.objects.acount()) == [[(1,)], 0]

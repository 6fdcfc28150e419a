"""What jobs that share a pipeline get of it when one of their statements fails."""

import asyncio
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError

from django_async_ext import gather_queries, on_loop
from tests.db.conftest import Configure
from tests.db.server import Server, execute, sleep, until

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
    failed, skipped = await together(partial(execute, "SELECT 1/0"), add)
    assert isinstance(failed, DatabaseError)
    assert isinstance(skipped, DatabaseError)
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

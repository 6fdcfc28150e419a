"""What goes wrong outside of the process: servers, passwords and networks."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.utils import Error, OperationalError

from django_async_ext import aatomic, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.own_server import OwnServer
from tests.db.server import Server, execute, sleep, until
from tests.library.models import Author


async def pid() -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]


Elsewhere = Callable[..., None]


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """Send the queries of the test to another server."""
    # One of its own: it must be undone before what at_own_server has changed.
    with pytest.MonkeyPatch.context() as patch:

        def change(**settings: Any) -> None:
            for name, value in settings.items():
                patch.setitem(connections.settings["default"], name, value)

        yield change


# The server


async def test_a_server_that_is_down_is_reported_and_then_found(
    at_own_server: OwnServer,
) -> None:
    port = at_own_server.address.port
    at_own_server.control("stop", "--mode=fast")
    for _ in range(2):
        with pytest.raises(OperationalError) as caught:
            await pid()
        assert str(caught.value) == (
            f'connection failed: connection to server at "127.0.0.1", port {port} '
            "failed: Connection refused\n\tIs the server running on that host and "
            "accepting TCP/IP connections?"
        )
        assert pool_stats()["size"] == 0
    at_own_server.control("start")
    assert await pid()


async def test_a_wrong_password_is_reported_by_the_server(
    at_own_server: OwnServer, elsewhere: Elsewhere
) -> None:
    elsewhere(PASSWORD="wrong")
    with pytest.raises(OperationalError) as caught:
        await pid()
    assert str(caught.value) == (
        'connection failed: connection to server at "127.0.0.1", port '
        f"{at_own_server.address.port} failed: FATAL:  password authentication failed "
        'for user "postgres"'
    )
    assert pool_stats()["size"] == 0


async def test_a_missing_database_is_reported_by_the_server(
    elsewhere: Elsewhere,
) -> None:
    elsewhere(NAME="nowhere")
    with pytest.raises(OperationalError) as caught:
        await asyncio.gather(pid(), pid())
    assert re.fullmatch(
        r'connection failed: connection to server at "[^"]+", port \d+ failed: FATAL:  '
        'database "nowhere" does not exist',
        str(caught.value),
    )
    await until(lambda: pool_stats()["size"] == 0)


# Sessions that the server ends


async def test_idle_connections_that_were_ended_are_replaced_in_silence(
    server: Server,
) -> None:
    barrier = asyncio.Barrier(4)

    async def work() -> None:
        async with aatomic():
            await pid()
            await barrier.wait()

    await asyncio.gather(*(work() for _ in range(4)))
    assert server.terminate() == 4
    assert await Author.objects.acount() == 0
    await asyncio.gather(*(Author.objects.acount() for _ in range(20)))
    async with aatomic():
        await Author.objects.acreate(name="Ada")
    assert pool_stats()["in_use"] == 0


async def test_a_statement_whose_connection_is_ended_fails(server: Server) -> None:
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    server.terminate()
    with pytest.raises(OperationalError) as caught:
        await task
    assert str(caught.value).startswith(
        "terminating connection due to administrator command"
    )
    assert pool_stats()["size"] == 0
    assert await Author.objects.acount() == 0


async def test_a_transaction_whose_connection_is_ended_fails_and_is_forgotten(
    server: Server,
) -> None:
    with pytest.raises(Error, match="terminating connection"):
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            server.terminate()
            await Author.objects.acount()
    assert pool_stats()["size"] == 0
    async with aatomic():
        assert await Author.objects.acount() == 0


async def test_a_connection_ended_between_transaction_and_commit_fails_the_commit(
    server: Server,
) -> None:
    with pytest.raises(Error, match="the connection is closed"):
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            server.terminate()
    assert pool_stats()["size"] == 0
    assert await Author.objects.acount() == 0


async def test_gathered_queries_survive_that_idle_connections_were_ended(
    server: Server,
) -> None:
    await gather_queries(*(Author.objects.acount() for _ in range(10)))
    server.terminate()
    counts = await gather_queries(*(Author.objects.acount() for _ in range(10)))
    assert counts == [0] * 10

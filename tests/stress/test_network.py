"""The pool on a network that fails, at each moment at which it can."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import connections
from django.db.utils import Error, OperationalError

from django_async_ext import aatomic, aon_commit, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.server import Server, execute, sleep, through_proxy, until
from tests.library.models import Account
from tests.proxy import Proxy
from tests.waiting import PATIENCE


@pytest.fixture
async def network(server: Server) -> AsyncIterator[Proxy]:
    async with through_proxy() as proxy:
        yield proxy


async def one() -> int:
    return (await on_loop(execute)("SELECT 1"))[0][0]


def idle() -> int:
    stats = pool_stats()
    assert stats["in_use"] == stats["waiting"] == 0
    return stats["idle"]


async def test_connections_that_died_while_idle_are_replaced_unnoticed(
    network: Proxy,
) -> None:
    await asyncio.gather(*(asyncio.create_task(one()) for _ in range(4)))
    assert network.connections == pool_stats()["idle"] > 1
    network.cut()
    await until(lambda: network.connections == 0)
    assert await one() == 1


async def test_a_connection_cut_in_a_statement_is_an_error_and_is_replaced(
    network: Proxy, server: Server
) -> None:
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    network.cut()
    with pytest.raises(OperationalError):
        await task
    assert idle() == 0
    assert await one() == 1
    assert idle() == 1


async def test_a_connection_cut_in_a_transaction_rolls_it_back(
    network: Proxy, server: Server
) -> None:
    hooks: list[int] = []
    with pytest.raises(OperationalError):
        async with aatomic():
            await aon_commit(lambda: hooks.append(1))
            await Account.objects.acreate(balance=1)
            async with aatomic():
                network.cut()
                await until(lambda: server.sessions() == 0)
                await Account.objects.acreate(balance=2)
    assert idle() == 0
    assert await Account.objects.acount() == 0
    assert hooks == []


async def test_the_answer_to_a_commit_that_is_lost_is_an_error_without_hooks(
    network: Proxy, server: Server
) -> None:
    hooks: list[int] = []
    with pytest.raises(OperationalError):
        async with aatomic():
            await aon_commit(lambda: hooks.append(1))
            await Account.objects.acreate(balance=1)
            network.truncate(0)
    assert idle() == 0
    assert hooks == []
    # It did happen, which the client cannot know.
    assert await Account.objects.acount() == 1
    assert hooks == []


@pytest.mark.parametrize("size", [0, 1, 5, 30, 100, 5000])
async def test_an_answer_that_ends_half_way_is_an_error(
    network: Proxy, size: int
) -> None:
    await one()
    network.truncate(size)
    with pytest.raises(Error):
        await on_loop(execute)("SELECT repeat('x', 9) FROM generate_series(1, 3000)")
    network.heal()
    assert idle() == 0
    assert await one() == 1


async def test_a_refused_connection_is_an_error_and_gives_its_room_back(
    network: Proxy,
) -> None:
    network.refuse()
    many = pool_stats()["max_size"] * 3
    tasks = [asyncio.create_task(one()) for _ in range(many)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [OperationalError] * many
    assert pool_stats()["size"] == 0
    network.heal()
    assert await one() == 1


async def test_a_silent_server_is_given_up_after_connect_timeout(
    network: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = connections.settings["default"]["OPTIONS"]
    # libpq's smallest
    monkeypatch.setitem(options, "connect_timeout", 2)
    network.hold()
    with pytest.raises(OperationalError, match="timeout"):
        await one()
    assert pool_stats()["size"] == 0
    network.heal()
    assert await one() == 1


async def test_a_task_is_cancelled_while_a_silent_server_lets_it_wait(
    network: Proxy,
) -> None:
    network.hold()
    task = asyncio.create_task(one())
    await until(lambda: pool_stats()["size"] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats()["size"] == 0


async def test_a_statement_whose_cancel_request_is_not_answered_loses_its_connection(
    network: Proxy, server: Server, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ASYNC_EXT = {"CANCEL_TIMEOUT": 0.1}
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    network.hold()
    task.cancel()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert pool_stats()["size"] == 0
    assert "statement not stopped" in caplog.text
    network.heal()
    assert await one() == 1


async def test_a_cancelled_statement_is_not_waited_for_when_the_network_is_cut(
    network: Proxy, server: Server
) -> None:
    task = asyncio.create_task(on_loop(sleep)())
    await until(server.running)
    network.refuse()
    task.cancel()
    await asyncio.sleep(0)
    network.cut()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats()["size"] == 0


async def test_a_slow_network_only_takes_time(network: Proxy) -> None:
    await one()
    network.hold()
    task = asyncio.create_task(Account.objects.acount())
    await asyncio.sleep(0.05)
    assert not task.done()
    network.let_flow()
    assert await task == 0
    assert idle() == 1

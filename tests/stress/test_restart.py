"""A server that restarts, recovers, or has no room."""

import asyncio
from functools import partial

import pytest
from django.db import connections
from django.db.utils import Error, InternalError, OperationalError

from django_async_ext import aatomic, aon_commit, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.own_server import OwnServer
from tests.db.server import execute, sleep, until
from tests.waiting import PATIENCE


@pytest.fixture
def private(at_own_server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> OwnServer:
    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.setitem(options, "pool", {"max_size": 20, "timeout": 10})
    return at_own_server


async def one() -> int:
    return (await on_loop(execute)("SELECT 1"))[0][0]


def control(server: OwnServer, *arguments: str) -> "asyncio.Future[None]":
    return asyncio.ensure_future(asyncio.to_thread(server.control, *arguments))


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_under_load_loses_nothing_that_was_acknowledged(
    private: OwnServer, mode: str
) -> None:
    await on_loop(execute)("CREATE TABLE IF NOT EXISTS numbers (number int)")
    await on_loop(execute)("TRUNCATE numbers")
    acknowledged: set[int] = set()
    tried = failed = 0
    stop = asyncio.Event()

    async def insert() -> None:
        nonlocal tried, failed
        while not stop.is_set():
            tried += 1
            number = tried
            try:
                await on_loop(execute)("INSERT INTO numbers VALUES (%s)", number)
            except OperationalError:
                failed += 1
                await asyncio.sleep(0.01)
            else:
                acknowledged.add(number)

    tasks = [asyncio.create_task(insert()) for _ in range(30)]
    slow = asyncio.create_task(on_loop(sleep)())
    await until(lambda: len(acknowledged) > 100)
    await control(private, "restart", f"--mode={mode}")
    with pytest.raises(OperationalError, match="terminat"):
        await slow
    before = len(acknowledged)
    await until(lambda: len(acknowledged) > before + 100)
    stop.set()
    await asyncio.gather(*tasks)
    stored = [row[0] for row in await on_loop(execute)("SELECT * FROM numbers")]
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored)) <= tried
    assert failed > 0
    assert pool_stats()["in_use"] == pool_stats()["waiting"] == 0


async def test_a_server_in_recovery_is_an_error_until_it_has_recovered(
    private: OwnServer,
) -> None:
    await one()
    await control(private, "stop", "--mode=immediate")
    signal = private.data / "standby.signal"
    signal.touch()
    # Never promoted, it would recover for ever.
    await control(private, "start", "--no-wait", "--options=-c hot_standby=off")
    with pytest.raises(OperationalError, match=r"recover|not accepting|starting up"):
        async with asyncio.timeout(PATIENCE):
            await while_refused()
    assert pool_stats()["size"] == 0
    await control(private, "promote")
    await until(lambda: asyncio.all_tasks() and signal.exists() is False)
    async with asyncio.timeout(PATIENCE):
        while await status() != 1:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
    assert pool_stats()["in_use"] == 0
    await control(private, "restart")


async def test_a_standby_reads_and_refuses_to_write_until_it_is_promoted(
    private: OwnServer,
) -> None:
    await on_loop(execute)("CREATE TABLE IF NOT EXISTS numbers (number int)")
    await on_loop(execute)("TRUNCATE numbers")
    signal = private.data / "standby.signal"
    signal.touch()
    # Or the options of the last start would be used again.
    await control(private, "restart", "--options=-c hot_standby=on")
    insert = partial(on_loop(execute), "INSERT INTO numbers VALUES (1)")
    assert await on_loop(execute)("SELECT count(*) FROM numbers") == [(0,)]
    with pytest.raises(InternalError, match="read-only transaction"):
        await insert()
    hooks: list[int] = []
    with pytest.raises(InternalError, match="read-only transaction"):
        async with aatomic():
            await aon_commit(lambda: hooks.append(1))
            await insert()
    assert pool_stats()["in_use"] == 0
    assert pool_stats()["size"] == 1
    await control(private, "promote")
    # The connections of the standby go on.
    await insert()
    assert await on_loop(execute)("SELECT count(*) FROM numbers") == [(1,)]
    assert pool_stats()["size"] == 1
    assert not hooks


async def while_refused() -> None:
    """Wait until somebody listens; raise what that one says."""
    while True:
        try:
            await one()
        except OperationalError as error:
            if "refused" not in str(error):
                raise
        await asyncio.sleep(0.05)


async def status() -> int:
    try:
        return await one()
    except Error:
        return 0


async def test_a_server_without_room_is_an_error_and_is_used_again(
    private: OwnServer,
) -> None:
    await control(private, "restart", "--options=-c max_connections=8")

    go = asyncio.Event()

    async def hold() -> None:
        async with aatomic():
            await one()
            await go.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(20)]
    await until(lambda: sum(task.done() for task in tasks) == 12)
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [each for each in results if isinstance(each, OperationalError)]
    assert len(refused) == 12
    assert all("too many clients" in str(error) for error in refused)
    assert pool_stats()["in_use"] == 0
    assert pool_stats()["size"] == 8
    assert await one() == 1
    await control(private, "restart")

"""Pools of several loops, threads and processes at the same time."""

import asyncio
import os
import subprocess
import sys
import threading

from django_async_ext import aatomic, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.server import Server, execute, until
from tests.library.models import Account


async def pid() -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]


def test_loops_in_several_threads_have_pools_of_their_own(server: Server) -> None:
    barrier = threading.Barrier(4)
    pids: list[set[int]] = []
    failures: list[BaseException] = []

    async def request() -> int:
        async with aatomic():
            await Account.objects.acreate(balance=1)
            return await pid()

    async def work() -> None:
        tasks = [asyncio.create_task(request()) for _ in range(20)]
        found = set(await asyncio.gather(*tasks))
        assert pool_stats()["size"] == len(found) <= 8
        barrier.wait(20)
        pids.append(found)

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 (raised below)
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(set.union(*pids)) == sum(map(len, pids))
    asyncio.run(until(lambda: server.sessions() == 0))
    assert Account.objects.count() == 80


def test_a_loop_that_is_closed_in_the_middle_leaves_no_session(server: Server) -> None:
    loop = asyncio.new_event_loop()

    async def holds() -> None:
        async with aatomic():
            await Account.objects.acreate(balance=1)
            await asyncio.Event().wait()

    tasks = [loop.create_task(holds()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(until(lambda: server.sessions() == 3))
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.run(until(lambda: server.sessions() == 0))
    assert Account.objects.count() == 0


FORKING = """
import asyncio, os, sys
import django
django.setup()
from django.db import connections
# The test's own database need not exist.
connections.settings["default"]["NAME"] = "postgres"
from django_async_ext import aatomic, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.server import execute

async def pid():
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]

async def child():
    assert pool_stats()["size"] == 0
    return await pid()

async def main():
    mine = await pid()
    async with aatomic():
        assert await pid() == mine
        reader, writer = os.pipe()
        if not (forked := os.fork()):
            try:
                os.write(writer, b"%d" % asyncio.run(child()))
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(forked, 0)
        theirs = int(os.read(reader, 20))
        assert theirs != mine, "the child used its parent's connection"
        assert await pid() == mine
    assert await pid() == mine

asyncio.run(main())
print("passed")
"""


def test_a_forked_child_leaves_its_parents_connections_alone() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "passed\n", done.stderr

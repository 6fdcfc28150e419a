"""The MySQL engine, with PyMySQL on the loop and with mysqlclient in workers."""

import asyncio
from typing import Any

import pytest

from django_async_ext import (
    on_loop,
)
from django_async_ext.db.connections import pool_stats
from tests.db.server import execute
from tests.library.models import Author

pytestmark = pytest.mark.django_db(
    transaction=True,
    databases=["default", "mysql", "mysqlclient"],
)


def ask(alias: str, sql: str, *params: Any) -> Any:
    return execute(sql, *params, using=alias)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Leases


async def test_a_statement_leases_a_connection_and_gives_it_back(mysql: str) -> None:
    await Author.objects.using(mysql).acreate(name="Ada")
    assert await Author.objects.using(mysql).acount() == 1
    stats = {"size": 1, "idle": 1, "in_use": 0, "waiting": 0, "max_size": 8}
    assert pool_stats(mysql) == stats


async def test_queries_run_at_once_on_connections_of_their_own(mysql: str) -> None:
    query = on_loop(ask)
    asked = [query(mysql, "SELECT connection_id(), sleep(0.05)") for _ in range(4)]
    ids = {rows[0][0] for rows in await asyncio.gather(*asked)}
    assert len(ids) == pool_stats(mysql)["size"] == 4


async def test_only_a_worker_hands_its_statements_to_threads(
    mysql: str, thread_submissions: list[str]
) -> None:
    await Author.objects.using(mysql).acount()
    assert bool(thread_submissions) is (mysql == "mysqlclient")

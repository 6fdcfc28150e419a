"""What the server itself says about the sessions that a test opens."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from django.db import connections

from django_async_ext.db.backends import registry
from tests.proxy import Proxy
from tests.waiting import until as until


class Server:
    """A session of its own on the server of the tests, which never waits long.

    It looks at the sessions whose application_name is ``name``.
    """

    def __init__(self) -> None:
        self.name = f"tests-{uuid.uuid4()}"
        self._connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def ask(self, query: str, *params: Any) -> list[Any]:
        """Return the first column of the answer."""
        return [row[0] for row in self._connection.execute(query, params)]

    def sessions(self) -> int:
        """Count the sessions of the test."""
        return len(self.pids())

    def pids(self) -> list[int]:
        """Return the process ids of the test's sessions."""
        return self.ask(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s", self.name
        )

    def running(self, words: str = "pg_sleep") -> int:
        """Count the test's sessions that execute a statement with ``words`` in it."""
        return len(
            self.ask(
                "SELECT pid FROM pg_stat_activity WHERE application_name = %s "
                "AND state = 'active' AND query LIKE %s",
                self.name,
                f"%{words}%",
            )
        )

    def states(self) -> list[str]:
        """Return what each of the test's sessions is doing, "idle" for nothing."""
        return self.ask(
            "SELECT state FROM pg_stat_activity WHERE application_name = %s", self.name
        )

    def terminate(self) -> int:
        """End every session of the test; return how many there were."""
        pids = self.pids()
        self.ask(
            "SELECT pg_terminate_backend(pid, 60000) FROM unnest(%s::int[]) pid", pids
        )
        return len(pids)


def execute(sql: str, *params: Any, using: str = "default") -> list[Any]:
    """Run a statement, as synchronous code does; return its rows."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def sleep(seconds: float = 600, using: str = "default") -> None:
    """Keep the server busy, by default until the statement is cancelled."""
    execute("SELECT pg_sleep(%s)", seconds, using=using)


def existing_pool(alias: str = "default") -> Any:
    """Return the running loop's pool, if it was used already."""
    pools = registry._pools.values.get(asyncio.get_running_loop(), {})
    return pools.get(alias)


@asynccontextmanager
async def through_proxy() -> AsyncIterator[Proxy]:
    """Connect the default database's pools over a network that can fail."""
    settings = connections.settings["default"]
    address = settings["HOST"], settings["PORT"]
    async with Proxy(address[0], int(address[1] or 5432)) as proxy:
        settings["HOST"], settings["PORT"] = "127.0.0.1", str(proxy.port)
        connections["default"].close_pool()
        try:
            yield proxy
        finally:
            settings["HOST"], settings["PORT"] = address
            connections["default"].close_pool()

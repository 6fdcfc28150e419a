"""django-async-backend: a generated asynchronous ORM beside Django's.

A request holds one connection until its end. Parallel queries each need a connection of
their own, which its ``async_new_connection`` gives. It has no ``prefetch_related``.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.cases import GATHERED, SLEEP_SECONDS, SLEEPS
from benchmarks.django_project import configure
from benchmarks.modes.django_awaitables import DjangoAwaitables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class DjangoAsyncBackend(DjangoAwaitables):
    packages = ("django-async-backend", "Django", "psycopg", "psycopg-pool")
    manager = "async_objects"
    lacks = frozenset({"prefetch50"})

    def configure(self) -> None:
        configure(
            self.config,
            engine="django_async_backend.db.backends.postgresql",
            apps=("django_async_backend",),
            options={
                "pool": {"min_size": 1, "max_size": self.config.pool, "timeout": 60}
            },
        )

    async def close(self) -> None:
        from django_async_backend.db import async_connections

        connection = async_connections["default"]
        await connection.close()
        await connection.close_pool()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        from django_async_backend.db import close_old_async_connections

        yield
        await close_old_async_connections()

    async def save(self, row: Any) -> None:
        await row.async_save()

    async def gather20(self, scope: Any, pk: int) -> int:
        from django_async_backend.db import async_new_connection

        return sum(
            await asyncio.gather(
                *(
                    async_new_connection(self.get(scope, key))
                    for key in range(pk, pk + GATHERED)
                )
            )
        )

    async def sleep1(self, scope: Any, pk: int) -> int:
        from django_async_backend.db import async_connections

        async with await async_connections["default"].cursor() as cursor:
            await cursor.execute("SELECT pg_sleep(%s)", [SLEEP_SECONDS])
            return len(await cursor.fetchall())

    async def sleep10(self, scope: Any, pk: int) -> int:
        from django_async_backend.db import async_new_connection

        return sum(
            await asyncio.gather(
                *(async_new_connection(self.sleep1(scope, pk)) for _ in range(SLEEPS))
            )
        )

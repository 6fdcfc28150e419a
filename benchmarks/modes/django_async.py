"""Stock Django's awaitable methods on its own engine, as under ASGI.

Django's ASGI handler gives each request a ``ThreadSensitiveContext``, that is a thread
of its own in which all its queries run one after another, and returns the connection at
the end; so does ``request()``. Without the context all requests would share a single
thread.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async

from benchmarks.cases import GATHERED, SLEEPS
from benchmarks.django_project import configure
from benchmarks.modes.django_awaitables import DjangoAwaitables
from benchmarks.modes.django_sync import close_django_pool, sleep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class DjangoAsync(DjangoAwaitables):
    packages = ("Django", "asgiref", "psycopg")

    def configure(self) -> None:
        configure(
            self.config,
            options={
                "pool": {"min_size": 1, "max_size": self.config.pool, "timeout": 60}
            },
        )

    async def close(self) -> None:
        await sync_to_async(close_django_pool)()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        from django.db import close_old_connections

        async with ThreadSensitiveContext():
            yield
            await sync_to_async(close_old_connections)()

    async def gather20(self, scope: Any, pk: int) -> int:
        return sum(
            await asyncio.gather(
                *(self.get(scope, key) for key in range(pk, pk + GATHERED))
            )
        )

    async def sleep1(self, scope: Any, pk: int) -> int:
        return await sync_to_async(sleep)()

    async def sleep10(self, scope: Any, pk: int) -> int:
        return sum(
            await asyncio.gather(*(sync_to_async(sleep)() for _ in range(SLEEPS)))
        )

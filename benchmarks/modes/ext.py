"""This project: Django's awaitable methods on the loop, and ``gather_queries``.

A connection is leased per statement, so there is nothing to do per request: no thread,
no connection, no session.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.cases import GATHERED, SLEEPS
from benchmarks.django_project import configure
from benchmarks.modes.django_awaitables import DjangoAwaitables
from benchmarks.modes.django_sync import sleep


class Ext(DjangoAwaitables):
    packages = ("django-async-ext", "Django", "greenlet", "psycopg", "psycopg-pool")

    def configure(self) -> None:
        configure(
            self.config,
            engine="django_async_ext.db.backends.postgresql",
            apps=("django_async_ext",),
            manager="django_async_ext.AsyncManager",
            options={
                "pool": {"min_size": 1, "max_size": self.config.pool, "timeout": 60}
            },
        )

    async def rows(self, queryset: Any) -> list[Any]:
        rows: list[Any] = await queryset
        return rows

    async def gather20(self, scope: Any, pk: int) -> int:
        from django_async_ext import gather_queries

        return sum(
            await gather_queries(
                *(self.get(scope, key) for key in range(pk, pk + GATHERED))
            )
        )

    async def sleep1(self, scope: Any, pk: int) -> int:
        from django_async_ext import on_loop

        return int(await on_loop(sleep)())

    async def sleep10(self, scope: Any, pk: int) -> int:
        from django_async_ext import gather_queries

        return sum(await gather_queries(*(partial(sleep) for _ in range(SLEEPS))))

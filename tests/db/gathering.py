"""Queries to gather: some that meet, and some that fail."""

import asyncio
from typing import Any

from django.db import (
    connection,
)
from django.db.models.expressions import RawSQL

from django_async_ext import aatomic, await_, gather_queries
from django_async_ext.db.connections import pool_stats
from tests.db.server import execute

BACKEND = RawSQL("pg_backend_pid()", ())
HELD = RawSQL("pg_advisory_xact_lock_shared(7)::text", ())


class Crowd:
    """Queries that meet while each of them has its connection."""

    def __init__(self, size: int) -> None:
        self.barrier = asyncio.Barrier(size)
        self.inside = self.most = 0
        self.pids: set[int] = set()

    def query(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self.inside += 1
            self.most = max(self.most, self.inside)
            await_(self.barrier.wait())
            self.inside -= 1
            (pid,) = cursor.fetchone()
            self.pids.add(pid)
            return pid


def fail(error: BaseException) -> Any:
    async def query() -> None:
        raise error

    return query


def divide_by_zero() -> None:
    execute("SELECT 1 / 0")


def is_at_rest() -> bool:
    return pool_stats()["in_use"] == 0


class TooComplicatedError(Exception):
    def __init__(self, why: str, *, how: int) -> None:
        super().__init__(f"{why} {how}")


async def gathered(how: str, *jobs: Any) -> list[Any]:
    """Gather in parallel, in a pipeline, or inside a transaction."""
    if how != "inside":
        return await gather_queries(*jobs, pipeline=how == "pipeline")
    async with aatomic():
        return await gather_queries(*jobs)

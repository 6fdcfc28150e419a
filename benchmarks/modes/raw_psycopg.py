"""The floor: SQL by hand on psycopg's own asynchronous pool.

A connection per statement; rows are left as tuples.
"""

from __future__ import annotations

import asyncio
from typing import Any

from psycopg_pool import AsyncConnectionPool

from benchmarks.cases import GATHERED, PAGE, SLEEP_SECONDS, SLEEPS
from benchmarks.library.rows import new_entry
from benchmarks.modes.base import AsyncMode

BOOK = "id, title, isbn, pages, price, published, rating, publisher_id"
GET = f"SELECT {BOOK} FROM bench_book WHERE id = %s"
LIST = f"SELECT {BOOK} FROM bench_book WHERE id >= %s ORDER BY id LIMIT {PAGE}"
RELATED = f"""
    SELECT {", ".join("b." + name for name in BOOK.split(", "))}, p.id, p.name, p.city
    FROM bench_book b JOIN bench_publisher p ON p.id = b.publisher_id
    WHERE b.id >= %s ORDER BY b.id LIMIT {PAGE}
"""
AUTHORS = """
    SELECT m.book_id, a.id, a.name, a.born
    FROM bench_author a JOIN bench_book_authors m ON m.author_id = a.id
    WHERE m.book_id = ANY(%s)
"""
INSERT = """
    INSERT INTO bench_entry (title, body, rank, made)
    VALUES (%(title)s, %(body)s, %(rank)s, %(made)s) RETURNING id
"""
UPDATE = """
    UPDATE bench_book SET title = %s, isbn = %s, pages = %s, price = %s,
    published = %s, rating = %s, publisher_id = %s WHERE id = %s
"""


class RawPsycopg(AsyncMode):
    packages = ("psycopg", "psycopg-pool")

    async def open(self, concurrency: int) -> None:
        self.pool = AsyncConnectionPool(
            self.config.url,
            min_size=self.warm(concurrency),
            max_size=self.config.pool,
            timeout=60,
            kwargs={"autocommit": True},
            open=False,
        )
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    async def fetch(self, sql: str, params: Any) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            return await (await connection.execute(sql, params)).fetchall()

    async def get(self, scope: Any, pk: int) -> int:
        return len(await self.fetch(GET, [pk]))

    async def list50(self, scope: Any, pk: int) -> int:
        return len(await self.fetch(LIST, [pk]))

    async def related50(self, scope: Any, pk: int) -> int:
        return len(await self.fetch(RELATED, [pk]))

    async def prefetch50(self, scope: Any, pk: int) -> int:
        books = await self.fetch(LIST, [pk])
        return len(await self.fetch(AUTHORS, [[book[0] for book in books]]))

    async def create(self, scope: Any, pk: int) -> int:
        return len(await self.fetch(INSERT, new_entry(pk)))

    async def update(self, scope: Any, pk: int) -> int:
        (row,) = await self.fetch(GET, [pk])
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                UPDATE, [*row[1:3], row[3] + 1, *row[4:], pk]
            )
            return cursor.rowcount

    async def gather20(self, scope: Any, pk: int) -> int:
        return sum(
            await asyncio.gather(
                *(self.get(scope, key) for key in range(pk, pk + GATHERED))
            )
        )

    async def sleep1(self, scope: Any, pk: int) -> int:
        return len(await self.fetch("SELECT pg_sleep(%s)", [SLEEP_SECONDS]))

    async def sleep10(self, scope: Any, pk: int) -> int:
        return sum(
            await asyncio.gather(*(self.sleep1(scope, pk) for _ in range(SLEEPS)))
        )

"""Tortoise ORM on asyncpg: a connection per statement from its own pool."""

from __future__ import annotations

import asyncio
from typing import Any

from tortoise import Tortoise as Orm
from tortoise import connections, fields
from tortoise.models import Model

from benchmarks.cases import GATHERED, PAGE, SLEEP_SECONDS, SLEEPS
from benchmarks.django_project import address
from benchmarks.library.rows import new_entry
from benchmarks.modes.base import AsyncMode


class Publisher(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=100)
    city = fields.CharField(max_length=100)

    class Meta:
        table = "bench_publisher"


class Author(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=100)
    born = fields.IntField()

    class Meta:
        table = "bench_author"


class Book(Model):
    id = fields.BigIntField(primary_key=True)
    title = fields.CharField(max_length=200)
    isbn = fields.CharField(max_length=20)
    pages = fields.IntField()
    price = fields.DecimalField(max_digits=8, decimal_places=2)
    published = fields.DateField()
    rating = fields.FloatField()
    publisher: Any = fields.ForeignKeyField("library.Publisher")
    authors: Any = fields.ManyToManyField(
        "library.Author",
        through="bench_book_authors",
        forward_key="author_id",
        backward_key="book_id",
    )

    class Meta:
        table = "bench_book"


class Entry(Model):
    id = fields.BigIntField(primary_key=True)
    title = fields.CharField(max_length=200)
    body = fields.TextField()
    rank = fields.IntField()
    made = fields.DatetimeField()

    class Meta:
        table = "bench_entry"


class Tortoise(AsyncMode):
    packages = ("tortoise-orm", "asyncpg")

    async def open(self, concurrency: int) -> None:
        where = address(self.config.url)
        credentials = {
            "database": where["NAME"],
            "user": where["USER"],
            "password": where["PASSWORD"],
            "host": where["HOST"],
            "port": int(where["PORT"] or 5432),
            "minsize": self.warm(concurrency),
            "maxsize": self.config.pool,
        }
        await Orm.init(
            config={
                "connections": {
                    "default": {
                        "engine": "tortoise.backends.asyncpg",
                        "credentials": credentials,
                    }
                },
                "apps": {"library": {"models": [__name__]}},
                "use_tz": True,
            },
            _enable_global_fallback=True,
        )

    async def close(self) -> None:
        await Orm.close_connections()

    async def get(self, scope: Any, pk: int) -> int:
        return int((await Book.get(id=pk)).id == pk)

    async def list50(self, scope: Any, pk: int) -> int:
        return len(await Book.filter(id__gte=pk).order_by("id").limit(PAGE))

    async def related50(self, scope: Any, pk: int) -> int:
        books = (
            await Book.filter(id__gte=pk)
            .order_by("id")
            .limit(PAGE)
            .select_related("publisher")
        )
        return sum(bool(book.publisher.name) for book in books)

    async def prefetch50(self, scope: Any, pk: int) -> int:
        books = (
            await Book.filter(id__gte=pk)
            .order_by("id")
            .limit(PAGE)
            .prefetch_related("authors")
        )
        return sum(len(book.authors) for book in books)

    async def create(self, scope: Any, pk: int) -> int:
        return int((await Entry.create(**new_entry(pk))).id > 0)

    async def update(self, scope: Any, pk: int) -> int:
        book = await Book.get(id=pk)
        book.pages += 1
        await book.save()
        return 1

    async def gather20(self, scope: Any, pk: int) -> int:
        return sum(
            await asyncio.gather(
                *(self.get(scope, key) for key in range(pk, pk + GATHERED))
            )
        )

    async def sleep1(self, scope: Any, pk: int) -> int:
        rows = await connections.get("default").execute_query_dict(
            "SELECT pg_sleep($1)", [SLEEP_SECONDS]
        )
        return len(rows)

    async def sleep10(self, scope: Any, pk: int) -> int:
        return sum(
            await asyncio.gather(*(self.sleep1(scope, pk) for _ in range(SLEEPS)))
        )

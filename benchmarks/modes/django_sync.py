"""Stock Django, synchronous: each worker is a thread.

It holds a connection of Django's own pool for as long as a request lasts.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.cases import GATHERED, PAGE, SLEEP_SECONDS, SLEEPS
from benchmarks.django_project import configure
from benchmarks.library.rows import new_entry
from benchmarks.modes.base import SyncMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.protocol import Config


class DjangoSync(SyncMode):
    packages = ("Django", "psycopg")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        configure(
            config,
            options={"pool": {"min_size": 1, "max_size": config.pool, "timeout": 60}},
        )
        from benchmarks.library.models import Book, Entry

        self.Book, self.Entry = Book, Entry

    def close(self) -> None:
        close_django_pool()

    @contextmanager
    def request(self) -> Iterator[None]:
        from django.db import close_old_connections

        yield
        close_old_connections()

    def get(self, scope: Any, pk: int) -> int:
        return int(self.Book.objects.get(pk=pk).pk == pk)

    def list50(self, scope: Any, pk: int) -> int:
        return len(page(self.Book.objects, pk))

    def related50(self, scope: Any, pk: int) -> int:
        books = page(self.Book.objects, pk).select_related("publisher")
        return sum(bool(book.publisher.name) for book in books)

    def prefetch50(self, scope: Any, pk: int) -> int:
        books = page(self.Book.objects, pk).prefetch_related("authors")
        return sum(len(book.authors.all()) for book in books)

    def create(self, scope: Any, pk: int) -> int:
        return int(self.Entry.objects.create(**new_entry(pk)).pk > 0)

    def update(self, scope: Any, pk: int) -> int:
        book = self.Book.objects.get(pk=pk)
        book.pages += 1
        book.save()
        return 1

    def gather20(self, scope: Any, pk: int) -> int:
        return sum(self.get(scope, key) for key in range(pk, pk + GATHERED))

    def sleep1(self, scope: Any, pk: int) -> int:
        return sleep()

    def sleep10(self, scope: Any, pk: int) -> int:
        return sum(sleep() for _ in range(SLEEPS))


def page(manager: Any, pk: int) -> Any:
    """The queryset of 50 books, the same for every Django mode."""
    return manager.filter(pk__gte=pk).order_by("pk")[:PAGE]


def sleep() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [SLEEP_SECONDS])
        return len(cursor.fetchall())


def close_django_pool() -> None:
    """Close this thread's connection and the pool of Django's own engine."""
    from django.db import connections

    connection: Any = connections["default"]
    connection.close()
    connection.close_pool()

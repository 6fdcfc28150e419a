"""The operations through Django's awaitable methods, for all modes that have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.library.rows import new_entry
from benchmarks.modes.base import AsyncMode
from benchmarks.modes.django_sync import page

if TYPE_CHECKING:
    from benchmarks.protocol import Config


class DjangoAwaitables(AsyncMode):
    """``aget``, ``async for``, ``acreate`` and ``asave`` on a manager."""

    manager = "objects"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.configure()
        from benchmarks.library.models import Book, Entry

        self.books: Any = getattr(Book, self.manager)
        self.entries: Any = getattr(Entry, self.manager)

    def configure(self) -> None:
        raise NotImplementedError

    async def rows(self, queryset: Any) -> list[Any]:
        return [row async for row in queryset]

    async def save(self, row: Any) -> None:
        await row.asave()

    async def get(self, scope: Any, pk: int) -> int:
        return int((await self.books.aget(pk=pk)).pk == pk)

    async def list50(self, scope: Any, pk: int) -> int:
        return len(await self.rows(page(self.books, pk)))

    async def related50(self, scope: Any, pk: int) -> int:
        books = await self.rows(page(self.books, pk).select_related("publisher"))
        return sum(bool(book.publisher.name) for book in books)

    async def prefetch50(self, scope: Any, pk: int) -> int:
        books = await self.rows(page(self.books, pk).prefetch_related("authors"))
        return sum(len(book.authors.all()) for book in books)

    async def create(self, scope: Any, pk: int) -> int:
        return int((await self.entries.acreate(**new_entry(pk))).pk > 0)

    async def update(self, scope: Any, pk: int) -> int:
        book = await self.books.aget(pk=pk)
        book.pages += 1
        await self.save(book)
        return 1

"""What is said to code that queries where it cannot wait."""

import asyncio
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DEFAULT_DB_ALIAS, ConnectionHandler, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper as StockWrapper
from django.utils.asyncio import async_unsafe

from django_async_ext import afetch, implicit_waits, on_loop
from django_async_ext.exceptions import DOCS
from tests.library.models import Author, Book, Cover, Note

DJANGO_TEXT = (
    "You cannot call this from an async context - use a thread or sync_to_async."
)
OUTSIDE = (
    f"{DJANGO_TEXT} A synchronous query to database {{!r}} would block the event "
    "loop. Use the awaitable method of the same name with an 'a' in front (aget, "
    "asave, ...), or call the function as `await on_loop(fn)(...)`. "
    f"See {DOCS}#query-outside-bridge"
)
LAZY = (
    f"{DJANGO_TEXT} {{0}}.{{1}} is not loaded, and reading it would query the "
    "database and block the event loop. Load it with the object ({2}), load it now "
    '(await afetch({3}, "{1}")), or let this coroutine wait implicitly '
    f"(@implicit_waits). See {DOCS}#lazy-relation"
)
WRONG_ENGINE = (
    "Database 'stock' was used on the event loop, but its ENGINE "
    "'django.db.backends.sqlite3' would block it. Set DATABASES['stock']['ENGINE'] to "
    "the engine of the same name in django_async_ext.db.backends, or to its threaded "
    f"engine, or use this database in a thread (sync_to_async). See {DOCS}#wrong-engine"
)


@pytest.fixture
async def book() -> Book:
    """A book of which nothing is loaded but its own columns, less one."""
    author = await Author.objects.acreate(name="Austen")
    book = await Book.objects.acreate(title="Emma", author=author)
    return await Book.objects.defer("pages").aget(pk=book.pk)


def refusal(read: Any, *args: Any) -> str:
    with pytest.raises(SynchronousOnlyOperation) as caught:
        read(*args)
    return str(caught.value)


# Relations that are not loaded


async def test_a_foreign_key_that_is_not_loaded_is_named(book: Book) -> None:
    assert refusal(lambda: book.author) == LAZY.format(
        "Book", "author", "select_related('author'), or prefetch_related", "book"
    )


async def test_a_reverse_one_to_one_that_is_not_loaded_is_named(book: Book) -> None:
    assert refusal(lambda: book.cover) == LAZY.format(
        "Book", "cover", "select_related('cover'), or prefetch_related", "book"
    )


async def test_a_forward_one_to_one_that_is_not_loaded_is_named(book: Book) -> None:
    cover = await Cover.objects.acreate(book=book, colour="green")
    cover = await Cover.objects.aget(pk=cover.pk)
    assert refusal(lambda: cover.book) == LAZY.format(
        "Cover", "book", "select_related('book'), or prefetch_related", "cover"
    )


async def test_a_deferred_field_is_named(book: Book) -> None:
    assert refusal(lambda: book.pages) == LAZY.format(
        "Book", "pages", "without defer(), or with its name in only()", "book"
    )


async def test_a_deferred_foreign_key_is_named_by_its_column(book: Book) -> None:
    book = await Book.objects.only("title").aget(pk=book.pk)
    assert refusal(lambda: book.author_id) == LAZY.format(
        "Book", "author_id", "without defer(), or with its name in only()", "book"
    )


async def test_a_generic_foreign_key_that_is_not_loaded_is_named(book: Book) -> None:
    note = await Note.objects.acreate(text="Good.", subject=book)
    note = await Note.objects.aget(pk=note.pk)
    assert refusal(lambda: note.subject) == LAZY.format(
        "Note", "subject", "prefetch_related('subject')", "note"
    )


async def test_a_relation_read_deep_in_other_code_is_named_too(book: Book) -> None:
    words = refusal("{0.author.name}".format, book)
    assert words.startswith(f"{DJANGO_TEXT} Book.author is not loaded")


async def test_a_property_that_queries_is_no_relation(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = cached_property(lambda book: list(book.tags.all()))
    tags.__set_name__(Book, "all_tags")
    monkeypatch.setattr(Book, "all_tags", tags, raising=False)
    assert refusal(lambda: book.all_tags) == OUTSIDE.format(DEFAULT_DB_ALIAS)


@pytest.mark.parametrize("name", ["author", "pages", "author_id"])
async def test_the_remedies_that_the_text_names_are_remedies(
    book: Book, name: str
) -> None:
    book = await Book.objects.only("title").aget(pk=book.pk)
    refusal(getattr, book, name)
    again = await Book.objects.only("title").aget(pk=book.pk)
    await afetch(again, name)
    value = getattr(again, name)

    @implicit_waits
    async def view() -> Any:
        return getattr(book, name)

    assert await view() == value


async def test_what_is_loaded_is_read_without_complaint(book: Book) -> None:
    book = await Book.objects.select_related("author").aget(pk=book.pk)
    assert (book.author.name, book.pages) == ("Austen", 100)


# Queries


@pytest.mark.parametrize("alias", ["default", "replica", "sqlite"])
@pytest.mark.parametrize(
    "query",
    [
        lambda alias: Book.objects.using(alias).first(),
        lambda alias: list(Book.objects.using(alias)),
        lambda alias: Author(name="Woolf").save(using=alias),
        lambda alias: connections[alias].cursor(),
        lambda alias: transaction.atomic(alias).__enter__(),
    ],
)
async def test_a_query_on_the_loop_outside_the_bridge_is_refused(
    query: Any, alias: str
) -> None:
    assert refusal(query, alias) == OUTSIDE.format(alias)


async def test_django_s_other_guards_keep_their_own_text() -> None:
    @async_unsafe(DJANGO_TEXT)
    def blocks() -> None: ...

    assert refusal(blocks) == DJANGO_TEXT


async def test_inside_the_bridge_and_in_threads_queries_are_allowed() -> None:
    assert await on_loop(Book.objects.count)() == 0
    assert await sync_to_async(Book.objects.count, thread_sensitive=False)() == 0


async def test_the_variable_that_allows_unsafe_use_is_honoured(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    assert book.author.name == "Austen"
    connections[DEFAULT_DB_ALIAS].close()


# Engines


@pytest.fixture
def stock(tmp_path: Path) -> StockWrapper:
    """A database of an engine that knows nothing of the loop."""
    settings = dict(connections.settings["sqlite"])
    settings |= {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db"}
    return StockWrapper(settings, "stock")


async def test_an_engine_that_would_block_is_refused_inside_the_bridge(
    stock: StockWrapper,
) -> None:
    assert await on_loop(refusal)(stock.ensure_connection) == WRONG_ENGINE
    assert await on_loop(refusal)(stock.cursor) == WRONG_ENGINE


async def test_an_engine_that_would_block_is_refused_outside_the_bridge(
    stock: StockWrapper,
) -> None:
    assert refusal(stock.cursor) == OUTSIDE.format("stock")


async def test_an_engine_that_would_block_works_in_a_thread(
    stock: StockWrapper,
) -> None:
    def query() -> Any:
        stock.inc_thread_sharing()
        with stock.cursor() as cursor:
            row = cursor.execute("SELECT 1").fetchone()
        stock.close()
        return row

    assert await asyncio.to_thread(query) == (1,)


async def test_a_project_without_a_database_is_told_so() -> None:
    none = ConnectionHandler({})[DEFAULT_DB_ALIAS]
    with pytest.raises(ImproperlyConfigured, match="DATABASES is improperly"):
        await on_loop(none.cursor)()


def test_without_a_loop_nothing_is_refused() -> None:
    assert Book.objects.first() is None

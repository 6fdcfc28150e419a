"""What AsyncQuerySet, AsyncManager and afetch() add to Django's querysets."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, models
from django.db.models import Count, F, Prefetch
from django.db.transaction import TransactionManagementError
from django.test.utils import isolate_apps

from django_async_ext import AsyncManager, AsyncQuerySet, aatomic, afetch, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.rows import fill, fill_authors, statements
from tests.db.server import Server, execute, sleep, until
from tests.library.models import Author, Book, Cover, Note, Publisher, Tag

pytestmark = pytest.mark.django_db(transaction=True)

everywhere = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def library(transactional_db: None) -> None:
    fill()


@pytest.fixture
def authors(transactional_db: None) -> None:
    fill_authors(1200)


def by_title() -> Any:
    return Book.objects.order_by("title")


# await queryset


async def test_awaiting_a_queryset_gives_the_list_of_its_rows(library: None) -> None:
    books = await by_title()
    assert type(books) is list
    assert [book.title for book in books][:2] == ["Ada 1", "Ada 2"]


async def test_awaiting_twice_costs_one_query(library: None) -> None:
    books = by_title()
    with statements() as asked:
        first, second = await books, await books
    assert first == second
    assert first is not second
    assert first[0] is second[0]
    assert len(asked) == 1


async def test_an_awaited_queryset_is_like_a_loaded_one(library: None) -> None:
    books = by_title()
    rows = await books
    with statements() as asked:
        assert list(books) == rows
        assert (len(books), bool(books), books[0]) == (6, True, rows[0])
        assert rows[1] in books
        assert [book async for book in books] == rows
        assert await books.acount() == 6
    assert asked == []


async def test_an_awaited_queryset_prefetches(library: None) -> None:
    with statements() as asked:
        books = await by_title().select_related("author").prefetch_related("tags")
        assert [len(book.tags.all()) for book in books] == [1, 2, 1, 2, 1, 2]
        assert books[0].author.name == "Ada"
    assert len(asked) == 2


QUERYSETS: dict[str, Callable[[], Any]] = {
    "all": by_title,
    "empty": lambda: Book.objects.none(),
    "filtered": lambda: by_title().filter(author__name="Ada").exclude(pages=1),
    "values": lambda: by_title().values("title", "author__name"),
    "values_list": lambda: by_title().values_list("title", "pages"),
    "flat": lambda: by_title().values_list("title", flat=True),
    "named": lambda: by_title().values_list("title", named=True),
    "annotated": lambda: Author.objects.annotate(n=Count("books")).order_by("name"),
    "aggregated": lambda: (
        Book.objects.values("author")
        .annotate(n=Count("pk"))
        .values_list("n", flat=True)
    ),
    "distinct": lambda: Book.objects.order_by("author__name").distinct("author__name"),
    "sliced": lambda: by_title()[1:3],
    "stepped": lambda: by_title().reverse()[:4],
    "union": lambda: (
        Book.objects.filter(pages=1)
        .union(Book.objects.filter(pages=2))
        .order_by("title")
    ),
    "deferred": lambda: by_title().defer("pages").only("title"),
    "dates": lambda: by_title().extra(select={"twice": "pages * 2"}),
    "prefetched": lambda: by_title().prefetch_related("tags", "notes"),
    "custom": lambda: Book.objects.titled("Ada 1"),
    "plain": lambda: Book.plain.order_by("title"),
}


@pytest.mark.parametrize("name", QUERYSETS)
async def test_each_way_to_read_gives_djangos_rows(library: None, name: str) -> None:
    queryset = QUERYSETS[name]
    with statements() as asked:
        expected = await on_loop(list)(queryset())
    assert [row async for row in queryset()] == expected
    assert [row async for row in queryset().aiterator(chunk_size=2)] == expected
    if name != "plain":
        with statements() as asked_here:
            assert await queryset() == expected
        assert asked_here == asked


async def test_rows_outside_of_the_bridge_are_refused_as_in_django(
    library: None,
) -> None:
    with pytest.raises(SynchronousOnlyOperation, match="aget, asave"):
        list(Book.objects.all())


async def test_an_error_leaves_the_queryset_unloaded(library: None) -> None:
    books = by_title().extra(where=["1 / 0 = 1"])
    for _ in range(2):
        with pytest.raises(DatabaseError):
            await books
    assert books._result_cache is None
    with pytest.raises(DatabaseError):
        [book async for book in books]
    assert pool_stats()["in_use"] == 0


@everywhere
async def test_sqlite_is_awaited_and_streamed() -> None:
    await on_loop(fill)("sqlite")
    await on_loop(fill_authors)(700, "sqlite")
    books = Book.objects.using("sqlite").order_by("title").prefetch_related("tags")
    assert (await books)[0].title == "Ada 1"
    authors = Author.objects.using("sqlite")
    assert len([author async for author in authors]) == 703
    assert len(await authors) == 703


# async for


def cursors() -> list[str]:
    return [name for (name,) in execute("SELECT name FROM pg_cursors")]


async def test_rows_are_streamed_from_a_cursor_of_the_server(authors: None) -> None:
    async with aatomic():
        async for _ in Author.objects.all():
            open_cursors = await on_loop(cursors)()
            assert len(open_cursors) == 1
            break
        assert (await on_loop(cursors)()) in ([], open_cursors)


async def test_the_first_row_comes_before_the_last_is_fetched(authors: None) -> None:
    served: list[int] = []
    async with aatomic():
        await on_loop(execute)("CREATE TEMPORARY SEQUENCE served")
        rows = Author.objects.extra(select={"number": "nextval('served')"})
        async for _ in rows:
            if len(served) in (0, 499, 500):
                (last,) = (await on_loop(execute)("SELECT last_value FROM served"))[0]
                served.append(last)
            else:
                served.append(0)
        await on_loop(execute)("DROP SEQUENCE served")
    assert (served[0], served[499], served[500]) == (500, 500, 1000)
    assert len(served) == 1200


async def test_a_finished_loop_fills_the_cache(authors: None) -> None:
    rows = Author.objects.order_by("name").prefetch_related("books")
    first = [author async for author in rows]
    with statements() as asked:
        assert [author async for author in rows] == first == await rows == list(rows)
        assert rows[0] is first[0]
    assert asked == []


async def test_a_loop_that_is_left_leaves_the_cache_empty(authors: None) -> None:
    rows = Author.objects.order_by("name")
    async for author in rows:
        assert author.name == "author 00000"
        break
    assert rows._result_cache is None
    await until(lambda: pool_stats()["in_use"] == 0)
    assert len(await rows) == 1200


async def test_a_loop_that_fails_holds_no_connection(
    authors: None, server: Server
) -> None:
    rows = Author.objects.all()
    with pytest.raises(ValueError, match="enough"):
        async for _ in rows:
            raise ValueError("enough")
    await until(lambda: pool_stats()["in_use"] == 0)
    assert rows._result_cache is None


async def test_a_cancelled_loop_holds_no_connection(authors: None) -> None:
    reached = asyncio.Event()

    async def read() -> None:
        async for _ in Author.objects.all():
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await reached.wait()
    assert pool_stats()["in_use"] == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: pool_stats()["in_use"] == 0)


async def test_loops_over_one_queryset_may_nest(library: None) -> None:
    books = by_title()
    pairs = [(a.pk, b.pk) async for a in books async for b in books]
    assert len(pairs) == 36


async def test_queries_in_the_body_of_a_loop_use_its_connection(library: None) -> None:
    counts = []
    async for author in Author.objects.order_by("name"):
        counts.append(await author.books.acount())
        assert pool_stats()["size"] <= 2
    assert counts == [2, 2, 2]


async def test_rows_are_streamed_without_server_side_cursors(
    authors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    assert len([author async for author in Author.objects.all()]) == 1200


async def test_rows_to_lock_are_refused_outside_of_a_transaction(library: None) -> None:
    with pytest.raises(TransactionManagementError, match="select_for_update"):
        [book async for book in Book.objects.select_for_update()]
    async with aatomic():
        assert len([book async for book in Book.objects.select_for_update()]) == 6


async def test_a_statement_that_times_out_gives_its_connection_back_at_once() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await on_loop(sleep)()
    assert pool_stats()["in_use"] == 0


# aiterator()


async def test_aiterator_prefetches_for_each_chunk(library: None) -> None:
    books = by_title().prefetch_related("tags")
    with statements() as asked:
        found = [book async for book in books.aiterator(chunk_size=2)]
        assert [len(book.tags.all()) for book in found] == [1, 2, 1, 2, 1, 2]
    assert len([sql for sql in asked if "library_tag" in sql]) == 3
    assert books._result_cache is None


async def test_a_loop_with_prefetches_gives_what_django_gives(authors: None) -> None:
    await on_loop(fill)()
    lookups = Prefetch("books", Book.objects.order_by("title"), to_attr="shelf")
    found = [a async for a in Author.objects.prefetch_related(lookups)]
    shelves = {a.name: [book.title for book in a.shelf] for a in found}
    assert shelves["Ada"] == ["Ada 1", "Ada 2"]
    assert len(shelves) == 1203


@pytest.mark.parametrize("size", [0, -1])
async def test_a_bad_chunk_size_is_refused_as_in_django(size: int) -> None:
    with pytest.raises(ValueError, match="Chunk size must be strictly positive"):
        [book async for book in Book.objects.all().aiterator(chunk_size=size)]


# aget_or_none()


async def test_aget_or_none_gives_the_object_or_none(library: None) -> None:
    book = await Book.objects.aget_or_none(title="Ada 1")
    assert book is not None
    assert book.title == "Ada 1"
    assert await Book.objects.aget_or_none(title="none") is None
    assert await Book.objects.filter(pages=1).aget_or_none() == book


async def test_aget_or_none_refuses_several_objects(library: None) -> None:
    with pytest.raises(Book.MultipleObjectsReturned):
        await Book.objects.aget_or_none(pages__gt=0)


async def test_aget_or_none_is_a_method_of_related_managers(library: None) -> None:
    author = await Author.objects.aget(name="Ada")
    assert await author.books.aget_or_none(title="Bede 1") is None
    assert (await author.books.aget_or_none(title="Ada 2")).pages == 2


# afetch()


async def fetch(objects: Any, *lookups: Any) -> int:
    """Fetch, and count the queries."""
    with statements() as asked:
        await afetch(objects, *lookups)
    return len(asked)


async def test_afetch_loads_a_foreign_key(library: None) -> None:
    book = await by_title().afirst()
    with pytest.raises(SynchronousOnlyOperation, match=r'await afetch\(book, "author"'):
        book.author.name  # noqa: B018
    assert await fetch(book, "author") == 1
    assert book.author.name == "Ada"


async def test_afetch_loads_nested_relations(library: None) -> None:
    book = await by_title().afirst()
    assert await fetch(book, "author", "publisher__country") == 3
    assert book.publisher.country.name == "Chad"


async def test_afetch_loads_relations_of_many_objects_at_once(library: None) -> None:
    books = await by_title()
    assert await fetch(books, "author", "publisher__country") == 3
    assert {book.author.name for book in books} == {"Ada", "Bede", "Clio"}
    assert books[1].publisher is None


async def test_afetch_loads_reverse_and_many_to_many_relations(library: None) -> None:
    author = await Author.objects.aget(name="Ada")
    assert await fetch(author, "books__tags", "books__notes") == 3
    first = author.books.all()[0]
    assert first.notes.all()[0].text == f"on {first.title}"
    assert {tag.name for book in author.books.all() for tag in book.tags.all()} == {
        *("new", "old")
    }


async def test_afetch_loads_generic_relations(library: None) -> None:
    note = await Note.objects.order_by("text").afirst()
    await afetch(note, "subject__author")
    assert note.subject.author.name == "Ada"


async def test_afetch_loads_one_to_one_relations(library: None) -> None:
    book = await by_title().afirst()
    await Cover.objects.acreate(book=book, colour="red")
    book = await by_title().afirst()
    assert await fetch(book, "cover") == 1
    assert book.cover.colour == "red"


async def test_afetch_takes_djangos_prefetch_objects(library: None) -> None:
    author = await Author.objects.aget(name="Ada")
    shelf = Prefetch("books", Book.objects.filter(pages=1), to_attr="thin")
    await afetch(author, shelf)
    assert [book.title for book in author.thin] == ["Ada 1"]


async def test_afetch_loads_deferred_fields(library: None) -> None:
    book = await by_title().defer("pages").afirst()
    assert await fetch(book, "pages") == 1
    assert book.pages == 1


async def test_afetch_loads_deferred_fields_of_many_in_one_query(library: None) -> None:
    books = await by_title().only("title")
    assert await fetch(books, "pages") == 1
    assert [book.pages for book in books] == [1, 2, 101, 102, 201, 202]


async def test_afetch_loads_a_deferred_foreign_key(library: None) -> None:
    books = await by_title().only("title")
    assert await fetch(books, "author") == 2
    assert books[0].author.name == "Ada"


async def test_afetch_of_a_deferred_field_of_a_deleted_row_raises(
    library: None,
) -> None:
    book = await by_title().defer("pages").afirst()
    await Book.objects.filter(pk=book.pk).adelete()
    with pytest.raises(Book.DoesNotExist):
        await afetch(book, "pages")


async def test_afetch_of_what_is_loaded_costs_nothing(library: None) -> None:
    book = await by_title().select_related("author").prefetch_related("tags").afirst()
    assert await fetch(book, "author", "tags", "title", "pages") == 0
    await afetch(book, "publisher__country")
    assert await fetch(book, "publisher__country") == 0
    assert await fetch(book) == 0
    assert await fetch([], "author") == 0


async def test_afetch_loads_only_what_is_missing(library: None) -> None:
    books = await by_title()
    await afetch(books[0], "author")
    first = books[0].author
    assert await fetch(books, "author") == 1
    assert books[0].author is first
    assert books[5].author.name == "Clio"


async def test_afetch_takes_a_queryset_and_loads_it(library: None) -> None:
    books = by_title()
    assert await fetch(books, "author") == 2
    assert next(book.author.name for book in books) == "Ada"


async def test_afetch_reads_the_database_of_its_objects(library: None) -> None:
    async with aatomic():
        author = await Author.objects.acreate(name="Dido")
        await Book.objects.acreate(title="unseen", author=author)
        assert await fetch(author, "books") == 1
        assert [book.title for book in author.books.all()] == ["unseen"]


@pytest.mark.parametrize(
    ("lookup", "error", "text"),
    [
        ("nothing", AttributeError, "Cannot find 'nothing' on Book object"),
        ("author__no", AttributeError, "Cannot find 'no' on Author object"),
        ("author__name", ValueError, "does not resolve to an item that supports"),
    ],
)
async def test_afetch_of_a_bad_name_raises_what_prefetch_related_raises(
    library: None, lookup: str, error: type[Exception], text: str
) -> None:
    book = await by_title().afirst()
    with pytest.raises(error, match=text) as caught:
        await afetch(book, lookup)
    with pytest.raises(error) as expected:
        await on_loop(models.prefetch_related_objects)([book], lookup)
    assert str(caught.value) == str(expected.value)


# Managers


async def test_methods_of_a_custom_queryset_chain(library: None) -> None:
    assert [b.pages for b in await Book.objects.titled("Ada 1")] == [1]
    assert [b.pages for b in await Book.objects.filter(pages=1).titled("Ada 1")] == [1]


async def test_related_managers_give_awaitable_querysets(library: None) -> None:
    author = await Author.objects.aget(name="Ada")
    books = await author.books.order_by("title")
    assert [book.title for book in books] == ["Ada 1", "Ada 2"]
    assert [b.title async for b in author.books.titled("Ada 2")] == ["Ada 2"]
    tag = await Tag.objects.aget(name="old")
    assert len(await tag.books.all()) == 3
    assert len(await books[0].notes.all()) == 1
    assert books[0].author is author


async def test_a_queryset_of_ones_own_becomes_a_manager() -> None:
    with isolate_apps("tests.library"):

        class Thin(AsyncQuerySet):
            def thin(self) -> "Thin":
                return self.filter(pages__lt=10)

        class Published(AsyncManager.from_queryset(Thin)):  # type: ignore[misc]
            def get_queryset(self) -> Any:
                return super().get_queryset().exclude(publisher=None)

        class Volume(models.Model):
            pages = models.IntegerField()
            publisher = models.ForeignKey(Publisher, models.CASCADE)
            objects = Thin.as_manager()
            published = Published()

            class Meta:
                app_label = "library"
                db_table = Book._meta.db_table

    await on_loop(fill)()
    assert len(await Volume.objects.thin()) == 2
    assert len(await Volume.published.thin()) == 1
    assert await Volume.published.aget_or_none(pages=2) is None


async def test_the_manager_of_a_queryset_keeps_its_name() -> None:
    manager = AsyncManager.from_queryset(AsyncQuerySet, "LibraryManager")
    assert manager.__name__ == "LibraryManager"
    assert issubclass(manager, AsyncManager)


async def test_a_model_with_djangos_manager_keeps_djangos_awaitables(
    library: None,
) -> None:
    assert await Tag.objects.acount() == 2
    assert sorted([tag.name async for tag in Tag.objects.all()]) == ["new", "old"]
    with pytest.raises(TypeError, match="await"):
        await Tag.objects.all()


# Copies


async def test_a_loaded_queryset_can_be_pickled(library: None) -> None:
    books = by_title()
    rows = await books
    with statements() as asked:
        again = pickle.loads(pickle.dumps(books))
        assert type(again) is type(books)
        assert await again == rows
    assert asked == []


async def test_pickling_loads_the_rows_as_in_django(library: None) -> None:
    with pytest.raises(SynchronousOnlyOperation):
        pickle.dumps(by_title())
    again = pickle.loads(await on_loop(pickle.dumps)(by_title()))
    assert (await again)[0].title == "Ada 1"


async def test_a_pickled_query_gives_awaitable_querysets(library: None) -> None:
    books = Book.objects.all()
    books.query = pickle.loads(pickle.dumps(by_title().filter(pages=1).query))
    assert [book.title for book in await books] == ["Ada 1"]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda q: q.all()])
async def test_a_copy_of_a_queryset_can_be_awaited(
    library: None, duplicate: Callable[[Any], Any]
) -> None:
    books = by_title().filter(pages=F("pages"))
    rows = await books
    again = duplicate(books)
    assert type(again) is type(books)
    assert await again == rows == [book async for book in duplicate(books)]


async def test_afetch_loads_the_column_of_a_foreign_key(library: None) -> None:
    books = await by_title().only("title")
    assert await fetch(books, "author_id") == 1
    assert await fetch(books, "author_id") == 0
    assert len({book.author_id for book in books}) == 3

"""Asynchronous tests with pytest-django and pytest-asyncio.

On Django's engine the loop's queries have a connection of their own, so that the
rows have to be committed for them.
"""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from shop.factories import make_book
from shop.models import Author, Book
from shop.services import SoldOutError, abuy

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture(autouse=True)
async def _close_connections_of_threads():
    # Or PostgreSQL drops the database only after five seconds, on any engine.
    yield
    await sync_to_async(connections.close_all)()


async def test_book(book):
    assert (await Book.objects.select_related("author").aget()).author.name


async def test_rows_of_its_own():
    author = await Author.objects.acreate(name="Sheridan")
    await author.books.acreate(title="Carmilla")
    assert await Book.objects.acount() == 1


async def test_nothing_of_another_test_is_left():
    assert await Author.objects.acount() == 0


async def test_thread():
    book = await sync_to_async(make_book)(title="Carmilla")
    assert await Book.objects.aget() == book


async def test_view(async_client, book):
    assert (await async_client.get("/books/")).json()["books"] == ["Dracula"]


async def test_sync_view(async_client, book):
    assert b"Dracula" in (await async_client.get("/")).content


async def test_views_at_once(async_client, book):
    responses = await asyncio.gather(*(async_client.get("/books/") for _ in range(5)))
    assert [response.status_code for response in responses] == [200] * 5


async def test_login(async_client, book, user):
    await async_client.aforce_login(user)
    response = await async_client.get(f"/reserve/{book.pk}/")
    assert response.status_code == 201
    response = await async_client.get("/account/")
    assert response.json() == {"user": "mina", "orders": ["Dracula"]}


async def test_sold_out(book, user):
    await abuy(user, book.pk)
    with pytest.raises(SoldOutError):
        await abuy(user, book.pk)


@pytest.fixture
async def shelf():
    author = await Author.objects.acreate(name="Sheridan")
    yield author
    assert await author.books.acount() == 1


async def test_async_fixture(shelf):
    book = await shelf.books.acreate(title="Carmilla")
    assert await shelf.books.aget() == book

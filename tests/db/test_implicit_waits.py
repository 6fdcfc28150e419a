"""Plain synchronous ORM code in a coroutine function that opted in."""

from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, override_settings
from django.urls import path

from django_async_ext import aatomic, gather_queries, implicit_waits
from django_async_ext.db.connections import pool_stats
from tests.library.models import Author, Book


async def _book() -> Book:
    author = await Author.objects.acreate(name="Ada")
    created = await Book.objects.acreate(title="Notes", author=author)
    return await Book.objects.aget(pk=created.pk)


@implicit_waits
async def _use(function: Any, *args: Any) -> Any:
    return function(*args)


async def test_a_lazy_relation_is_loaded_on_the_loop(
    thread_submissions: list[str],
) -> None:
    book = await _book()
    thread_submissions.clear()
    assert await _use(lambda: book.author.name) == "Ada"
    assert thread_submissions == []


async def test_a_plain_loop_over_a_queryset_waits_on_the_loop() -> None:
    book = await _book()
    assert await _use(lambda: list(Book.objects.all())) == [book]
    assert pool_stats()["in_use"] == 0


@implicit_waits
async def _gather_in_transaction() -> list[Any]:
    async with aatomic():
        Author.objects.create(name="Grace")
        return await gather_queries(
            Author.objects.all(), Author.objects.acount(), Book.objects.count
        )


async def test_queries_gathered_in_a_transaction_share_round_trips_there_too() -> None:
    rows, count, books = await _gather_in_transaction()
    assert ([row.name for row in rows], count, books) == (["Grace"], 1, 0)


@implicit_waits
async def _await_inside() -> tuple[int, int]:
    return Author.objects.count(), await Author.objects.acount()


async def test_explicit_awaits_go_on_working() -> None:
    assert await _await_inside() == (0, 0)


async def lazy(request: HttpRequest) -> HttpResponse:
    book = await Book.objects.aget()
    return HttpResponse(book.author.name)


urlpatterns = [path("lazy", lazy)]


@override_settings(ROOT_URLCONF=__name__)
async def test_the_setting_lets_every_async_view_wait() -> None:
    await _book()
    with pytest.raises(SynchronousOnlyOperation):
        await AsyncClient().get("/lazy")
    with override_settings(ASYNC_EXT={"IMPLICIT_WAITS": True}):
        response = await AsyncClient().get("/lazy")
    assert response.content == b"Ada"

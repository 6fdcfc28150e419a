"""Plain synchronous ORM code in a coroutine function that opted in."""

import asyncio
import os
import sys
import traceback
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import Context, Engine
from django.test import AsyncClient, override_settings
from django.urls import path

from django_async_ext import aatomic, gather_queries, implicit_waits
from django_async_ext.db.backends.holders import task_line
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


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def rows() -> AsyncIterator[str]:
        for book in Book.objects.all():
            yield book.author.name

    return StreamingHttpResponse(rows())


urlpatterns = [path("lazy", lazy), path("stream", stream)]


@override_settings(ROOT_URLCONF=__name__)
async def test_the_setting_lets_every_async_view_wait() -> None:
    await _book()
    with pytest.raises(SynchronousOnlyOperation):
        await AsyncClient().get("/lazy")
    with override_settings(ASYNC_EXT={"IMPLICIT_WAITS": True}):
        response = await AsyncClient().get("/lazy")
    assert response.content == b"Ada"


# What else waits


@implicit_waits
async def _write_and_render() -> str:
    author = Author(name="Clio")
    author.save()
    with transaction.atomic():
        Book.objects.create(title="Muse", author=author)
    page = (
        "{% for book in books %}{{ book.title }} by {{ book.author.name }}{% endfor %}"
    )
    return Engine().from_string(page).render(Context({"books": Book.objects.all()}))


async def test_saving_and_rendering_wait_on_the_loop(
    thread_submissions: list[str],
) -> None:
    assert await _write_and_render() == "Muse by Clio"
    assert thread_submissions == []


@implicit_waits
async def _wait_everywhere() -> list[Any]:
    book = await Book.objects.aget()

    @implicit_waits
    async def child(name: str) -> tuple[str, str]:
        return name, Book.objects.get().author.name

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        children = [tasks.create_task(child(name)) for name in "ab"]
        own = book.author.name
    return [own, *(task.result() for task in children)]


async def test_children_that_are_decorated_wait_at_the_same_time() -> None:
    await _book()
    assert await _wait_everywhere() == ["Ada", ("a", "Ada"), ("b", "Ada")]


@implicit_waits
async def _sleep_in_the_database(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


async def test_a_timeout_ends_a_query_that_waits_implicitly() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _sleep_in_the_database(60)
    assert pool_stats()["in_use"] == 0


@override_settings(ROOT_URLCONF=__name__)
async def test_the_setting_reaches_the_body_of_a_streaming_response() -> None:
    await _book()
    with override_settings(ASYNC_EXT={"IMPLICIT_WAITS": True}):
        response = await AsyncClient().get("/stream")
    assert [chunk async for chunk in response] == [b"Ada"]
    response = await AsyncClient().get("/stream")
    with pytest.raises(SynchronousOnlyOperation):
        assert [chunk async for chunk in response]


# What is seen of them


@implicit_waits
async def _fail_in_a_lazy_relation() -> None:
    book = await Book.objects.aget()
    await Author.objects.all().adelete()
    book.author_id = 0
    str(book.author)


async def test_a_traceback_has_the_frames_of_both_sides_in_their_order() -> None:
    await _book()
    with pytest.raises(Author.DoesNotExist) as caught:
        await _fail_in_a_lazy_relation()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    ours = ["inner", "drive", "_fail_in_a_lazy_relation", "__get__", "get"]
    assert [name for name in names if name in ours] == ours


@implicit_waits
async def _traced(lines: list[int]) -> None:
    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_name == "_traced" and event == "line":
            lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
        return trace

    sys.settrace(trace)
    sys._getframe().f_trace = trace
    Author.objects.count()
    await Author.objects.acount()
    lines.append(-1)
    sys._getframe().f_trace = None
    sys.settrace(None)


@pytest.mark.skipif(
    sys.gettrace() is not None and not os.environ.get("CI"),
    reason="something traces already",
)
async def test_a_debugger_steps_over_either_kind_of_wait() -> None:
    lines: list[int] = []
    await _traced(lines)
    first = lines[0]
    assert lines == [first, first + 1, first + 2, -1, first + 3]


@implicit_waits
async def _wait_in_a_transaction(reached: asyncio.Event, go: asyncio.Event) -> None:
    async with aatomic():
        reached.set()
        await go.wait()  # this line


async def test_reports_name_the_line_at_which_such_a_task_waits() -> None:
    reached, go = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(_wait_in_a_transaction(reached, go))
    await reached.wait()
    line = task_line(task)
    go.set()
    await task
    code = _wait_in_a_transaction.__wrapped__.__code__  # type: ignore[attr-defined]
    assert line == f"{__file__}:{code.co_firstlineno + 4} in _wait_in_a_transaction"

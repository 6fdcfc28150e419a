"""Sessions whose request is cancelled while it writes them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import Context
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_async_ext import aatomic, gather_queries, on_loop
from django_async_ext.asgi import get_asgi_application
from django_async_ext.threads import FILES
from tests.db.server import Server, execute, until
from tests.handlers.asking import Exchange
from tests.sessions.test_cached_db import log_in, log_out, who

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]

DUMMY = {"default": {"BACKEND": "django_async_ext.cache.DummyCache"}}
ENGINES = [
    "django.contrib.sessions.backends.db",
    "django.contrib.sessions.backends.cached_db",
    "django_async_ext.sessions.db",
    "django_async_ext.sessions.cached_db",
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with override_settings(
        CACHES=DUMMY,
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SESSION_ENGINE=request.param,
        ALLOWED_HOSTS=["testserver"],
    ):
        yield request.param


async def cancelled(writing: Any, cancel: Callable[[], Any] | None = None) -> Any:
    """Run ``writing`` in a task that is cancelled while another session has the row."""
    async with held_row() as is_waited_for:
        loop = asyncio.get_running_loop()
        # It is not in the transaction that has the row.
        task = loop.create_task(writing, context=Context())
        await until(is_waited_for)
        (cancel or task.cancel)()
        # Or the row would be free before the server hears of a cancellation.
        await asyncio.wait([task], timeout=0.1)
    await asyncio.wait([task])
    return task


@asynccontextmanager
async def held_row() -> AsyncIterator[Callable[[], Any]]:
    """Hold the row of the session; give what tells whether somebody waits for it."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    async with aatomic():
        await Session.objects.select_for_update().aget()
        [(pid,)] = await on_loop(execute)("SELECT pg_backend_pid()")
        with Server() as server:
            yield lambda: server.ask(waiting, pid)


def calling(session: Any, method: str) -> Any:
    call = getattr(session, method)
    return call() if method.startswith("a") else on_loop(call)()


@pytest.mark.parametrize("method", ["save", "flush", "asave", "aflush"])
async def test_what_a_cancelled_task_writes_is_written(
    engine: str, method: str
) -> None:
    store = import_module(engine).SessionStore
    first = store()
    await first.aset("user", "ada")
    await first.asave()
    session = store(first.session_key)
    await session.aset("user", "grace")
    task = await cancelled(calling(session, method))
    assert task.cancelled()
    expected = "grace" if "save" in method else None
    assert await store(first.session_key).aget("user") == expected


async def put(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = "full"
    return HttpResponse()


async def cart(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await request.session.aget("cart", ""))


urlpatterns = [
    path("in", log_in),
    path("out", log_out),
    path("who", who),
    path("put", put),
    path("cart", cart),
]


@pytest.mark.parametrize(
    ("page", "seen", "before", "after"),
    [("/out", "/who", b"ada", b""), ("/put", "/cart", b"", b"full")],
)
async def test_who_disconnects_is_logged_out_and_loses_nothing(
    engine: str, page: str, seen: str, before: bytes, after: bytes
) -> None:
    application = get_asgi_application()
    first = await Exchange("/in").run(application)
    cookie = {"cookie": f"sessionid={first.cookies['sessionid']}"}

    async def content() -> bytes:
        return (await Exchange(seen, headers=cookie).run(application)).content

    assert await content() == before
    leaving = Exchange(page, headers=cookie)
    await cancelled(leaving.run(application), leaving.disconnect)
    assert leaving.sent == []
    assert await content() == after


async def test_a_file_is_written_though_its_task_was_cancelled_before_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = import_module("django_async_ext.sessions.file").SessionStore
    monkeypatch.setattr(store, "_storage_path", str(tmp_path), raising=False)
    session = store()
    await session.aset("user", "ada")
    await session.asave()
    go = threading.Event()
    busy = [asyncio.create_task(on_loop(FILES.call)(go.wait)) for _ in range(4)]
    leaving = asyncio.create_task(session.aflush())
    for _ in range(10):
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait([*busy, leaving])
    assert leaving.cancelled()
    assert await store(session.session_key).aget("user") is None


async def test_sessions_are_written_by_queries_that_are_gathered(engine: str) -> None:
    store = import_module(engine).SessionStore
    sessions = [store(), store()]
    for number, session in enumerate(sessions):
        await session.aset("number", number)
    async with aatomic():
        await gather_queries(*[session.asave() for session in sessions])
    found = [await store(each.session_key).aget("number") for each in sessions]
    assert found == [0, 1]

"""Sessions in a cache, alone or before a database, when a task is cancelled there."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import alogin, alogout
from django.contrib.auth.models import User
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_async_ext import on_loop
from django_async_ext.asgi import get_asgi_application
from django_async_ext.cache import LocMemCache
from django_async_ext.sessions import cache, cached_db
from tests.db.rows import statements
from tests.handlers.asking import Exchange

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]


class Gated(LocMemCache):
    """A cache that stores, and forgets, when it is told to."""

    reached = go = asyncio.Event()

    async def aset(self, *args: Any, **kwargs: Any) -> Any:
        await self._pass()
        return await super().aset(*args, **kwargs)

    async def adelete(self, *args: Any, **kwargs: Any) -> Any:
        await self._pass()
        return await super().adelete(*args, **kwargs)

    async def _pass(self) -> None:
        self.reached.set()
        await self.go.wait()


@pytest.fixture(autouse=True)
def gated(tmp_path: Path) -> Iterator[None]:
    Gated.reached, Gated.go = asyncio.Event(), asyncio.Event()
    Gated.go.set()
    cache = {"BACKEND": f"{__name__}.Gated", "LOCATION": str(tmp_path)}
    with override_settings(
        CACHES={"default": cache},
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SESSION_ENGINE="django_async_ext.sessions.cached_db",
        ALLOWED_HOSTS=["testserver"],
    ):
        yield


async def cancelled_between(task: asyncio.Task[Any], cancel: Any) -> None:
    """Let ``cancel()`` interrupt ``task`` when it has written to the database only."""
    await Gated.reached.wait()
    cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    Gated.go.set()
    await asyncio.wait([task])


def close_gate() -> None:
    Gated.reached, Gated.go = asyncio.Event(), asyncio.Event()


@pytest.mark.parametrize("store", [cached_db.SessionStore, cache.SessionStore])
@pytest.mark.parametrize("engine_method", ["save", "flush", "asave", "aflush"])
async def test_the_cache_has_what_a_cancelled_task_wrote(
    engine_method: str, store: Any
) -> None:
    first = store()
    await first.aset("user", "ada")
    await first.asave()
    session = store(first.session_key)
    await session.aset("user", "grace")
    close_gate()
    method = getattr(session, engine_method)
    is_async = engine_method.startswith("a")
    task = asyncio.create_task(method() if is_async else on_loop(method)())
    await cancelled_between(task, task.cancel)
    assert task.cancelled()
    expected = "grace" if "save" in engine_method else None
    assert await store(first.session_key).aget("user") == expected


@pytest.fixture
async def filling() -> tuple[str, asyncio.Task[Any]]:
    """A session's key, and the task that has read its row and is to fill the cache."""
    session = cached_db.SessionStore()
    await session.aset("user", "ada")
    await session.asave()
    await caches["default"].aclear()
    close_gate()
    other = cached_db.SessionStore(session.session_key)
    loading = asyncio.create_task(other.aget("user"))
    await Gated.reached.wait()
    return session.session_key, loading


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_session_that_was_deleted_while_it_was_loaded_stays_deleted(
    filling: tuple[str, asyncio.Task[Any]], is_cancelled: bool
) -> None:
    key, loading = filling
    # The gate holds the one who loads only.
    go, Gated.go = Gated.go, asyncio.Event()
    Gated.go.set()
    await cached_db.SessionStore(key).aflush()
    if is_cancelled:
        loading.cancel()
    go.set()
    await asyncio.wait([loading])
    assert loading.cancelled() if is_cancelled else loading.result() is None
    assert await cached_db.SessionStore(key).aget("user") is None


async def test_a_session_is_put_into_the_cache_when_it_was_not_there(
    filling: tuple[str, asyncio.Task[Any]],
) -> None:
    key, loading = filling
    Gated.go.set()
    assert await loading == "ada"
    with statements() as asked:
        assert await cached_db.SessionStore(key).aget("user") == "ada"
    assert asked == []


async def log_in(request: HttpRequest) -> HttpResponse:
    user, _ = await User.objects.aget_or_create(username="ada")
    await alogin(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse()


async def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


urlpatterns = [path("in", log_in), path("out", log_out), path("who", who)]


async def test_who_logs_out_and_disconnects_is_logged_out() -> None:
    application = get_asgi_application()
    first = await Exchange("/in").run(application)
    cookie = {"cookie": f"sessionid={first.cookies['sessionid']}"}
    assert (await Exchange("/who", headers=cookie).run(application)).content == b"ada"
    close_gate()
    leaving = Exchange("/out", headers=cookie)
    task = asyncio.create_task(leaving.run(application))
    await cancelled_between(task, leaving.disconnect)
    assert (await Exchange("/who", headers=cookie).run(application)).content == b""

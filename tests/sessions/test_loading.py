"""Sessions that a view and the tasks that it starts load at the same time."""

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.test import override_settings

from django_async_ext import aatomic, on_loop
from django_async_ext.bridge import await_
from django_async_ext.driving import reserved_waits
from django_async_ext.exceptions import ConnectionOwnershipError

pytestmark = pytest.mark.django_db(transaction=True)

DUMMY = {"default": {"BACKEND": "django_async_ext.cache.DummyCache"}}


@pytest.fixture(
    params=[
        "django.contrib.sessions.backends.db",
        "django_async_ext.sessions.db",
        "django_async_ext.sessions.cached_db",
    ]
)
def make(request: pytest.FixtureRequest) -> Any:
    with override_settings(CACHES=DUMMY):
        yield import_module(request.param).SessionStore


async def stored(make: Any) -> Any:
    """Give a session that is stored and not yet loaded."""
    first = make()
    await first.aset("cart", [1])
    await first.asave()
    return make(first.session_key)


async def test_what_a_view_sets_is_not_undone_by_a_task_that_loads(make: Any) -> None:
    session = await stored(make)

    @reserved_waits
    async def view() -> Any:
        child = asyncio.create_task(session.aget("cart"))
        session["visits"] = 1
        return await child, session.get("visits")

    assert await view() == ([1], 1)


async def test_what_a_task_sets_is_not_undone_by_the_view_that_loads(make: Any) -> None:
    session = await stored(make)

    @reserved_waits
    async def view() -> Any:
        child = asyncio.create_task(session.aset("visits", 1))
        await asyncio.sleep(0)
        assert session["cart"] == [1]
        await child
        return session.get("visits")

    assert await view() == 1


async def test_synchronous_code_in_two_tasks_loses_nothing(make: Any) -> None:
    session = await stored(make)
    names = "abc"
    tasks = [on_loop(session.__setitem__)(name, name) for name in names]
    await asyncio.gather(*tasks)
    assert [session[name] for name in names] == list(names)


async def test_a_load_that_is_cancelled_lets_the_next_one_load(make: Any) -> None:
    session = await stored(make)
    reached, go = asyncio.Event(), asyncio.Event()
    load = session.load

    def slowly() -> Any:
        reached.set()
        await_(go.wait())
        return load()

    session.load = slowly
    first = asyncio.create_task(on_loop(session.get)("cart"))
    await reached.wait()
    others = [
        asyncio.create_task(on_loop(session.get)("cart")),
        asyncio.create_task(session.aget("cart")),
    ]
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await asyncio.gather(*others) == [[1], [1]]
    assert first.cancelled()


@pytest.fixture
def cached(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What makes sessions of an engine in a cache, both named by the test."""
    engine, backend = request.param
    place = "cached_sessions" if backend == "DatabaseCache" else str(tmp_path)
    cache = {"BACKEND": f"django_async_ext.cache.{backend}", "LOCATION": place}
    with override_settings(CACHES={"default": cache}):
        if backend == "DatabaseCache":
            call_command("createcachetable", verbosity=0)
        yield import_module(f"django_async_ext.sessions.{engine}").SessionStore


in_caches_that_wait = pytest.mark.parametrize(
    "cached",
    [
        (engine, backend)
        for engine in ("cache", "cached_db")
        for backend in ("DatabaseCache", "FileBasedCache")
    ],
    indirect=True,
)


@in_caches_that_wait
async def test_a_session_is_not_lost_when_a_plain_read_is_refused(cached: Any) -> None:
    session = await stored(cached)
    key = session.session_key
    with pytest.raises(SynchronousOnlyOperation, match="#lazy-session"):
        session.get("cart")
    assert session.session_key == key
    assert await session.aget("cart") == [1]


@in_caches_that_wait
async def test_a_plain_read_is_permitted_where_the_environment_permits_it(
    cached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await stored(cached)
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    assert session.get("cart") == [1]


@in_caches_that_wait
async def test_a_session_is_not_lost_in_the_child_of_a_transaction(cached: Any) -> None:
    session = await stored(cached)
    key = session.session_key
    async with aatomic():
        child = asyncio.create_task(session.aget("cart"))
        await asyncio.wait([child])
    refused = isinstance(child.exception(), ConnectionOwnershipError)
    assert refused or child.result() == [1]
    assert session.session_key == key
    assert await session.aget("cart") == [1]


@pytest.mark.parametrize("cached", [("cache", "LocMemCache")], indirect=True)
async def test_what_waits_for_nothing_may_be_read_plainly(cached: Any) -> None:
    session = await stored(cached)
    assert session.get("cart") == [1]

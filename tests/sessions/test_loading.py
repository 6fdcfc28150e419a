"""Sessions that a view and the tasks that it starts load at the same time."""

import asyncio
from importlib import import_module
from typing import Any

import pytest
from django.test import override_settings

from django_async_ext import on_loop
from django_async_ext.bridge import await_
from django_async_ext.driving import reserved_waits

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

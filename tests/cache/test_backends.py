"""Every cache: the same answers from its sync methods, its awaitables, and Django's."""

import asyncio
import inspect
import json
import pickle
import threading
import zlib
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.cache.backends import filebased
from django.core.cache.backends.base import BaseCache
from django.db import connection, connections
from pymemcache.client.base import Client
from pymemcache.serde import FLAG_PICKLE
from redis import Redis as StockRedis

from django_async_ext import aatomic, on_loop
from django_async_ext.cache import FileBasedCache, LocMemCache
from django_async_ext.cache.base import METHODS
from django_async_ext.threads import FILES
from tests.cache.operations import (
    aoutcome_of,
    arun_steps,
    expected_of,
    outcome_of,
    run_steps,
)
from tests.library.models import Author

MakeCache = Callable[..., Any]


async def test_the_awaitables_answer_as_djangos_sync_methods_do(
    make_cache: MakeCache,
) -> None:
    expected = expected_of(make_cache(django=True))
    assert await arun_steps(make_cache()) == expected


async def test_the_sync_methods_answer_the_same_on_the_loop(
    make_cache: MakeCache,
) -> None:
    expected = expected_of(make_cache(django=True))
    assert await on_loop(run_steps)(make_cache()) == expected


def test_the_sync_methods_answer_the_same_without_a_loop(make_cache: MakeCache) -> None:
    expected = expected_of(make_cache(django=True))
    cache = make_cache()
    assert run_steps(cache) == expected
    cache.close()


async def test_only_files_need_threads(
    make_cache: MakeCache, backend: str, thread_submissions: list[str]
) -> None:
    await arun_steps(make_cache())
    assert bool(thread_submissions) is (backend == "FileBasedCache")


async def test_many_files_are_read_in_one_call_to_a_thread(
    make_cache: MakeCache, backend: str, thread_submissions: list[str]
) -> None:
    cache = make_cache()
    for call in (
        cache.aset_many({str(number): number for number in range(20)}),
        cache.aget_many(map(str, range(20))),
        cache.aincr("0"),
        cache.adelete_many(map(str, range(20))),
    ):
        thread_submissions.clear()
        with suppress(ValueError):
            await call
        hops = [one for one in thread_submissions if "submit" in one]
        assert len(hops) == (backend == "FileBasedCache")


async def test_a_corrupted_value_is_what_it_is_in_django(
    make_cache: MakeCache, backend: str
) -> None:
    stock, ours = make_cache(django=True), make_cache()
    expected = await sync_to_async(outcome_after_corruption)(stock, backend)
    assert await on_loop(outcome_after_corruption)(ours, backend) == expected
    assert await aoutcome_of(partial(ours.aget, "key")) == expected
    await ours.aset("key", "value")
    kept = None if backend == "DummyCache" else "value"
    assert await ours.aget("key") == kept
    await sync_to_async(stock.close)()
    await sync_to_async(connections.close_all)()


def outcome_after_corruption(cache: Any, backend: str) -> Any:
    cache.set("key", "value", None)
    corrupt(cache, backend, b"\x80\x05not a pickle")
    return outcome_of(partial(cache.get, "key"))


def corrupt(cache: Any, backend: str, junk: bytes) -> None:
    """Put ``junk`` in the place of what the cache keeps for "key"."""
    if backend == "LocMemCache":
        cache._cache[":1:key"] = junk
    elif backend == "FileBasedCache":
        content = pickle.dumps(None) + zlib.compress(junk)
        Path(cache._key_to_file("key")).write_bytes(content)
    elif backend == "DatabaseCache":
        with connection.cursor() as cursor:
            text = b64encode(junk).decode()
            cursor.execute("UPDATE cached SET value = %s", [text])
    elif backend == "RedisCache":
        with StockRedis.from_url(cache._servers[0]) as client:
            client.set(":1:key", junk)
    elif backend == "PyMemcacheCache":
        with closing(Client(cache._servers[0], default_noreply=False)) as client:
            client.set(":1:key", junk, flags=FLAG_PICKLE)


async def names_in(cache: Any) -> list[str]:
    return [author.name for author in await cache.aget("authors")]


async def test_a_write_that_is_cancelled_does_not_undo_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop, stock = asyncio.get_running_loop(), filebased.FileBasedCache._write_content

    def wait_and_write(*args: Any) -> None:
        if not begun.is_set():
            loop.call_soon_threadsafe(begun.set)
            go.wait(10)
        stock(*args)

    monkeypatch.setattr(filebased.FileBasedCache, "_write_content", wait_and_write)
    cache = FileBasedCache(str(tmp_path), {})
    task = asyncio.create_task(cache.aset("key", "old"))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0.01)
    assert not task.done()
    go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    await cache.aset("key", "new")
    assert await cache.aget("key") == "new"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["aset", "aadd", "aset_many", "aget_or_set"])
async def test_a_queryset_can_be_cached(
    make_cache: MakeCache, backend: str, method: str
) -> None:
    await Author.objects.acreate(name="Ada")
    cache, authors = make_cache(), Author.objects.all()
    if method == "aset_many":
        await cache.aset_many({"first": 1, "authors": authors})
    else:
        await getattr(cache, method)("authors", authors)
    if backend != "DummyCache":
        assert await names_in(cache) == ["Ada"]


@pytest.mark.django_db(transaction=True)
async def test_a_cached_queryset_is_as_the_transaction_of_its_caller_sees_it(
    make_cache: MakeCache, backend: str
) -> None:
    cache = make_cache()
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        await cache.aset("authors", Author.objects.all())
    if backend != "DummyCache":
        assert await names_in(cache) == ["Ada"]


@pytest.mark.django_db(transaction=True)
async def test_files_leave_no_connection_to_the_database_in_their_threads(
    tmp_path: Path,
) -> None:
    await FileBasedCache(tmp_path, {}).aset("authors", Author.objects.all())

    def is_connected() -> bool:
        return connection.connection is not None

    assert not any([await on_loop(FILES.call)(is_connected) for _ in range(8)])


async def test_djangos_files_read_what_ours_wrote_on_the_loop(tmp_path: Path) -> None:
    await FileBasedCache(tmp_path, {}).aset("key", {"value": [1]})
    stock = filebased.FileBasedCache(tmp_path, {})
    assert await sync_to_async(stock.get)("key") == {"value": [1]}


class InJSON(FileBasedCache):
    """Has the value itself when it writes."""

    def _write_content(self, file: Any, timeout: Any, value: Any) -> None:
        write: Any = super()._write_content  # type: ignore[misc]
        write(file, timeout, json.dumps(value))


async def test_a_subclass_may_write_files_otherwise(tmp_path: Path) -> None:
    cache = InJSON(tmp_path, {})
    await cache.aset("key", {"value": [1]})
    assert await cache.aget("key") == '{"value": [1]}'


async def test_what_cannot_be_pickled_is_the_error_that_it_is_in_django(
    make_cache: MakeCache, backend: str
) -> None:
    stock, ours = make_cache(django=True), make_cache()
    expected = await sync_to_async(outcome_of)(partial(stock.set, "key", print_it))
    assert await aoutcome_of(partial(ours.aset, "key", print_it)) == expected
    await sync_to_async(stock.close)()
    await sync_to_async(connections.close_all)()


print_it = lambda: None  # noqa: E731 (as it has no name, it cannot be pickled)


async def test_a_default_may_be_a_coroutine_function(
    make_cache: MakeCache, backend: str
) -> None:
    async def compute() -> str:
        return "computed"

    assert await make_cache().aget_or_set("key", compute) == "computed"
    kept = None if backend == "DummyCache" else "computed"
    assert await make_cache().aget("key") == kept


class Tiered(LocMemCache):
    """Has in memory what another cache has."""

    behind: BaseCache

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        found = super().get(key, None, version)
        return self.behind.get(key, default, version) if found is None else found


class Counted(Tiered):
    """Changes nothing but an awaitable."""

    count = 0

    async def aget(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        return await super().aget(*args, **kwargs)


async def test_what_a_subclass_makes_of_a_cache_in_memory_may_wait(
    tmp_path: Path,
) -> None:
    threads = set()

    class Behind(FileBasedCache):
        def _is_expired(self, file: Any) -> bool:
            threads.add(threading.get_ident())
            return super()._is_expired(file)  # type: ignore[misc,no-any-return]

    cache = Counted(str(tmp_path), {})
    cache.behind = Behind(tmp_path, {})
    await cache.behind.aset("key", "value")
    assert await cache.aget("key") == "value"
    assert await cache.aget_many(["key"]) == {"key": "value"}
    assert cache.count == 1
    assert threads
    assert threading.get_ident() not in threads


def test_every_awaitable_of_django_is_known() -> None:
    awaitables = {
        name
        for name, member in vars(BaseCache).items()
        if inspect.iscoroutinefunction(member)
    }
    assert awaitables == {f"a{name}" for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_every_awaitable_is_ours(make_cache: MakeCache, name: str) -> None:
    method = getattr(type(make_cache()), f"a{name}")
    assert inspect.iscoroutinefunction(method)
    assert method.__module__ == "django_async_ext.cache.base"

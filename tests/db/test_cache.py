"""Django's own caches: what waits for the database, and what need not wait."""

from typing import Any

import pytest
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

from django_async_ext import aatomic, on_loop
from tests.db.server import execute


@pytest.fixture
async def database_cache() -> DatabaseCache:
    await on_loop(execute)(
        "CREATE TABLE IF NOT EXISTS cached (cache_key varchar(255) PRIMARY KEY, "
        "value text NOT NULL, expires timestamptz NOT NULL)"
    )
    await on_loop(execute)("TRUNCATE cached")
    return DatabaseCache("cached", {})


async def test_a_cache_in_the_database_needs_no_thread(
    database_cache: DatabaseCache, thread_submissions: list[str]
) -> None:
    await database_cache.aset("one", 1)
    await database_cache.aset_many({"two": 2, "three": 3})
    assert await database_cache.aget_many(["one", "two", "four"]) == {
        "one": 1,
        "two": 2,
    }
    assert await database_cache.aincr("one") == 2
    await database_cache.aclose()
    assert not thread_submissions


async def test_a_cache_in_the_database_is_part_of_the_transaction(
    database_cache: DatabaseCache,
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with aatomic():
            await database_cache.aset("key", "written in the transaction")
            assert await database_cache.aget("key") == "written in the transaction"
            raise ZeroDivisionError
    assert await database_cache.aget("key") is None


async def test_a_cache_in_memory_needs_no_thread(thread_submissions: list[str]) -> None:
    cache = LocMemCache("test_cache", {})
    await cache.aset("key", "value")
    assert await cache.aget("key") == "value"
    assert not thread_submissions


async def test_a_cache_in_files_reads_them_in_a_thread(
    tmp_path: Any, thread_submissions: list[str]
) -> None:
    cache = FileBasedCache(tmp_path, {})
    await cache.aset("key", "value")
    assert await cache.aget("key") == "value"
    assert thread_submissions

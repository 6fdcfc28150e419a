"""What a project asks of RedisCache in OPTIONS, in threads and on the loop."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.redis import RedisCache as StockCache
from redis import BlockingConnectionPool, ConnectionPool, exceptions
from redis import Redis as StockRedis
from redis.cache import CacheConfig

from django_async_ext import on_loop
from django_async_ext.cache import RedisCache
from tests.cache.operations import aoutcome_of, outcome_of
from tests.programs import Redis, running


def cache_of(redis: Redis, **options: Any) -> RedisCache:
    return RedisCache(redis.url, {"OPTIONS": options})


def pool_of(cache: RedisCache) -> Any:
    return cache._cache.get_client().connection_pool


# Threads


def test_more_threads_than_connections_wait_for_them(redis: Redis) -> None:
    barrier = threading.Barrier(8)

    def work(number: int) -> list[Any]:
        cache = cache_of(redis, max_connections=2)
        barrier.wait()
        for _ in range(20):
            cache.set(str(number), number)
        return [cache.get(str(number))]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[number] for number in range(8)]


def test_a_thread_waits_no_longer_than_it_was_told(redis: Redis) -> None:
    cache = cache_of(redis, max_connections=1, timeout=0.05)
    connection = pool_of(cache).get_connection()
    try:
        with pytest.raises(exceptions.ConnectionError, match="No connection available"):
            cache.get("key")
    finally:
        pool_of(cache).release(connection)
    assert cache.get("key", "none") == "none"


def test_threads_have_as_many_connections_as_a_loop_by_default(redis: Redis) -> None:
    pool = pool_of(cache_of(redis))
    assert (pool.max_connections, pool.timeout) == (50, 20)


class Waiting(BlockingConnectionPool):
    """A project's own."""


@pytest.mark.parametrize(
    "pool_class", [Waiting, f"{__name__}.Waiting", BlockingConnectionPool]
)
def test_a_pool_in_which_threads_wait_is_told_how_long(
    redis: Redis, pool_class: Any
) -> None:
    options = {"pool_class": pool_class, "timeout": 3, "max_connections": 2}
    pool = pool_of(cache_of(redis, **options))
    assert (pool.timeout, pool.max_connections) == (3, 2)


def test_a_pool_that_does_not_wait_is_told_nothing(redis: Redis) -> None:
    cache = cache_of(redis, pool_class=ConnectionPool, timeout=3)
    cache.set("key", "value")
    assert cache.get("key") == "value"


async def test_no_limit_at_all_is_the_default(redis: Redis) -> None:
    cache = cache_of(redis, max_connections=None)
    await cache.aset("key", "value")
    assert await cache.aget("key") == "value"
    assert await on_loop(pool_of)(cache) is await on_loop(pool_of)(cache_of(redis))


async def test_no_limit_at_all_is_the_default_in_threads(redis: Redis) -> None:
    assert pool_of(cache_of(redis, max_connections=None)).max_connections == 50


def test_threads_that_count_first_at_the_same_time(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()
    register = StockRedis.register_script

    def slowly(self: Any, script: Any) -> Any:
        entered.set()
        go.wait()
        return register(self, script)

    monkeypatch.setattr(StockRedis, "register_script", slowly)
    cache = cache_of(redis, client_name="counting")
    with StockRedis.from_url(redis.url) as client:
        client.set(":1:n", 0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.incr, "n")
        entered.wait()
        second = pool.submit(cache.incr, "n")
        threading.Timer(0.05, go.set).start()
        assert sorted([first.result(), second.result()]) == [1, 2]


# Options without a hash


async def test_an_option_that_cannot_be_hashed_shares_a_pool_too(redis: Redis) -> None:
    info = driver_info()
    caches = [cache_of(redis, driver_info=info) for _ in range(3)]
    for cache in caches:
        await cache.aset("key", "value")
    assert len({id(pool_of(cache)) for cache in caches}) == 1
    assert len({id(await on_loop(pool_of)(cache)) for cache in caches}) == 1
    other = cache_of(redis, driver_info=driver_info())
    assert pool_of(other) is not pool_of(cache)


def driver_info() -> Any:
    module = pytest.importorskip("redis.driver_info")
    info = module.DriverInfo()
    with pytest.raises(TypeError, match="unhashable"):
        hash(info)
    return info


# What is stored


@pytest.mark.parametrize("make", [StockCache, RedisCache])
async def test_large_numbers_are_counted_exactly(redis: Redis, make: Any) -> None:
    cache = make(redis.url, {})
    await cache.aset("n", 2**53)
    assert await cache.aincr("n") == 2**53 + 1
    assert await cache.aincr("n", 2**62) == 2**62 + 2**53 + 1
    assert await cache.adecr("n") == await cache.aget("n") == 2**62 + 2**53


async def test_to_count_what_is_no_number_is_the_error_that_it_is_in_django(
    redis: Redis,
) -> None:
    stock, ours = StockCache(redis.url, {}), RedisCache(redis.url, {})
    await ours.aset_many({"text": "abc", "number": 1})
    for key, delta in [("text", 1), ("number", 1.5)]:
        expected = outcome_of(partial(stock.incr, key, delta))
        assert expected[0] is exceptions.ResponseError
        assert await aoutcome_of(partial(ours.aincr, key, delta)) == expected


async def test_counting_needs_no_scripts_where_their_commands_were_renamed(
    tmp_path: Path,
) -> None:
    options = [("--rename-command", name, "") for name in ("EVALSHA", "EVAL")]
    with running(Redis(tmp_path, *chain(*options))) as server:
        cache = cache_of(server)
        await cache.aset("n", 1)
        assert await cache.aincr("n") == 2
        with pytest.raises(ValueError, match="Key ':1:missing' not found"):
            await cache.aincr("missing")


class Raw:
    """A serializer that leaves bytes as they are."""

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, data: bytes) -> bytes:
        return data


@pytest.mark.parametrize("options", [{}, {"compressor": "zlib"}])
async def test_a_value_that_looks_compressed_is_read_as_it_was_written(
    redis: Redis, options: Any
) -> None:
    cache = cache_of(redis, serializer=Raw, **options)
    for icon in (b"\0\0\1\0", b"\0", b""):
        await cache.aset("icon", icon)
        assert await cache.aget("icon") == icon


# What the loop refuses


@pytest.mark.parametrize("name", ["cache_config", "cache"])
async def test_client_side_caching_is_refused_in_words(redis: Redis, name: str) -> None:
    cache = cache_of(redis, protocol=3, **{name: CacheConfig()})
    with pytest.raises(NotImplementedError) as caught:
        await cache.aget("key")
    assert str(caught.value).startswith(
        "redis-py's client-side caching reads the server's messages through blocking "
        "sockets, which would stop the event loop. Take cache_config and cache out of "
        "the cache's OPTIONS. See "
    )

"""Caches: this project's, Django's, other backends', and redis-py's own clients."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.cases import MANY
from benchmarks.django_project import configure
from benchmarks.modes.base import AsyncMode, SyncMode

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from benchmarks.protocol import Config

VALUE = {"name": "a small page", "rows": list(range(20))}
VALUES = {f"many{number}": VALUE for number in range(MANY)}


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def pickled_values() -> dict[str, bytes]:
    return {key: pickled(value) for key, value in VALUES.items()}


def redis_url() -> str:
    return os.environ["REDIS_URL"]


class DjangoCache(AsyncMode):
    """The awaitables of a backend of Django's interface."""

    backend: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ("redis", "hiredis")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        location = redis_url() if "LocMem" not in self.backend else "bench"
        one = {"BACKEND": self.backend, "LOCATION": location}
        configure(config, CACHES={"default": one})

    async def open(self, concurrency: int) -> None:
        from django.core.cache import cache

        self.cache: Any = cache
        await self.fill()

    async def fill(self) -> None:
        await self.cache.aset("key", VALUE, None)
        await self.cache.aset("counter", 0, None)
        await self.cache.aset_many(VALUES, None)

    async def close(self) -> None:
        await self.cache.aclose()

    async def cache_get(self, scope: None, pk: int) -> int:
        return int(await self.cache.aget("key") == VALUE)

    async def cache_set(self, scope: None, pk: int) -> int:
        await self.cache.aset("key", VALUE, 300)
        return 1

    async def cache_get_many(self, scope: None, pk: int) -> int:
        return len(await self.cache.aget_many(VALUES))

    async def cache_incr(self, scope: None, pk: int) -> int:
        return int(await self.cache.aincr("counter") > 0)


class ExtRedis(DjangoCache):
    backend = "django_async_ext.cache.RedisCache"
    packages = ("django-async-ext", "redis", "hiredis")


class InThreads(DjangoCache):
    """Under ASGI each request has a thread of its own for what is synchronous."""

    def request(self) -> AbstractAsyncContextManager[Any]:
        from asgiref.sync import ThreadSensitiveContext

        return ThreadSensitiveContext()


class StockRedis(InThreads):
    backend = "django.core.cache.backends.redis.RedisCache"
    packages = ("Django", "redis", "hiredis")


class DjangoRedis(InThreads):
    backend = "django_redis.cache.RedisCache"
    packages = ("django-redis", "redis", "hiredis")


class DjangoValkey(DjangoCache):
    backend = "django_valkey.async_cache.cache.AsyncValkeyCache"
    packages = ("django-valkey", "valkey")

    def __init__(self, config: Config) -> None:
        AsyncMode.__init__(self, config)
        location = redis_url().replace("redis://", "valkey://")
        one = {"BACKEND": self.backend, "LOCATION": location}
        configure(config, CACHES={"default": one})

    async def open(self, concurrency: int) -> None:
        from django.core.cache import caches
        from django_valkey.base_pool import BaseConnectionFactory

        # Its pools outlive their loop: a job has a loop of its own.
        BaseConnectionFactory._pools.clear()
        self.cache = caches.create_connection("default")
        await self.fill()


class ExtLocMem(DjangoCache):
    backend = "django_async_ext.cache.LocMemCache"
    packages = ("django-async-ext",)


class StockLocMem(InThreads):
    backend = "django.core.cache.backends.locmem.LocMemCache"
    packages = ("Django",)


class RedisAsyncio(AsyncMode):
    """redis.asyncio without Django: values are pickled by hand."""

    packages = ("redis", "hiredis")

    async def open(self, concurrency: int) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis

        pool = BlockingConnectionPool.from_url(redis_url(), max_connections=50)
        self.client: Any = Redis(connection_pool=pool)
        await self.client.set("key", pickled(VALUE))
        await self.client.set("counter", 0)
        await self.client.mset(pickled_values())

    async def close(self) -> None:
        await self.client.connection_pool.disconnect()

    async def cache_get(self, scope: None, pk: int) -> int:
        return int(pickle.loads(await self.client.get("key")) == VALUE)

    async def cache_set(self, scope: None, pk: int) -> int:
        return int(bool(await self.client.set("key", pickled(VALUE), ex=300)))

    async def cache_get_many(self, scope: None, pk: int) -> int:
        found = await self.client.mget(list(VALUES))
        return len([pickle.loads(one) for one in found])

    async def cache_incr(self, scope: None, pk: int) -> int:
        return int(await self.client.incr("counter") > 0)


class RedisSync(SyncMode):
    """redis-py in threads, without Django: values are pickled by hand."""

    packages = ("redis", "hiredis")

    def open(self, concurrency: int) -> None:
        from redis import BlockingConnectionPool, Redis

        pool = BlockingConnectionPool.from_url(redis_url(), max_connections=50)
        self.client: Any = Redis(connection_pool=pool)
        self.client.set("key", pickled(VALUE))
        self.client.set("counter", 0)
        self.client.mset(pickled_values())

    def close(self) -> None:
        self.client.connection_pool.disconnect()

    def cache_get(self, scope: None, pk: int) -> int:
        return int(pickle.loads(self.client.get("key")) == VALUE)

    def cache_set(self, scope: None, pk: int) -> int:
        return int(bool(self.client.set("key", pickled(VALUE), ex=300)))

    def cache_get_many(self, scope: None, pk: int) -> int:
        found = self.client.mget(list(VALUES))
        return len([pickle.loads(one) for one in found])

    def cache_incr(self, scope: None, pk: int) -> int:
        return int(self.client.incr("counter") > 0)

"""The modes: one class per way of talking to the database, found by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.modes.base import Mode
    from benchmarks.protocol import Config

MODES = {
    "sync": "benchmarks.modes.django_sync.DjangoSync",
    "async": "benchmarks.modes.django_async.DjangoAsync",
    "ext": "benchmarks.modes.ext.Ext",
    "dab": "benchmarks.modes.dab.DjangoAsyncBackend",
    "sa-asyncpg": "benchmarks.modes.sqlalchemy_orm.OnAsyncpg",
    "sa-psycopg": "benchmarks.modes.sqlalchemy_orm.OnPsycopg",
    "tortoise": "benchmarks.modes.tortoise_orm.Tortoise",
    "raw": "benchmarks.modes.raw_psycopg.RawPsycopg",
}
CACHE_MODES = {
    "cache-ext": "benchmarks.modes.caches.ExtRedis",
    "cache-django": "benchmarks.modes.caches.StockRedis",
    "django-redis": "benchmarks.modes.caches.DjangoRedis",
    "django-valkey": "benchmarks.modes.caches.DjangoValkey",
    "redis-asyncio": "benchmarks.modes.caches.RedisAsyncio",
    "redis-sync": "benchmarks.modes.caches.RedisSync",
    "locmem-ext": "benchmarks.modes.caches.ExtLocMem",
    "locmem-django": "benchmarks.modes.caches.StockLocMem",
}

ABOUT = {
    "sync": "stock Django, synchronous calls on threads: the yardstick",
    "async": "stock Django's awaitable methods, one thread per request as under ASGI",
    "ext": "django-async-ext: Django's awaitable methods and gather_queries, no thread",
    "dab": "django-async-backend: its own asynchronous fork of the ORM",
    "sa-asyncpg": "SQLAlchemy asyncio on asyncpg",
    "sa-psycopg": "SQLAlchemy asyncio on psycopg",
    "tortoise": "Tortoise ORM on asyncpg",
    "raw": "psycopg's AsyncConnectionPool, SQL by hand, no objects: the floor",
    "cache-ext": "django-async-ext's RedisCache, awaitables",
    "cache-django": "Django's RedisCache, awaitables: a thread hop each",
    "django-redis": "django-redis, Django's awaitables over it",
    "django-valkey": "django-valkey's asynchronous cache",
    "redis-asyncio": "redis.asyncio, values pickled by hand",
    "redis-sync": "redis-py on threads, values pickled by hand",
    "locmem-ext": "django-async-ext's LocMemCache, awaitables",
    "locmem-django": "Django's LocMemCache, awaitables: a thread hop each",
}


def load_mode(name: str, config: Config) -> Mode:
    module, _, class_name = (MODES | CACHE_MODES)[name].rpartition(".")
    kind: type[Mode] = getattr(import_module(module), class_name)
    return kind(config)

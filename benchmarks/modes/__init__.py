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

ABOUT = {
    "sync": "stock Django, synchronous calls on threads: the yardstick",
    "async": "stock Django's awaitable methods, one thread per request as under ASGI",
    "ext": "django-async-ext: Django's awaitable methods and gather_queries, no thread",
    "dab": "django-async-backend: its own asynchronous fork of the ORM",
    "sa-asyncpg": "SQLAlchemy asyncio on asyncpg",
    "sa-psycopg": "SQLAlchemy asyncio on psycopg",
    "tortoise": "Tortoise ORM on asyncpg",
    "raw": "psycopg's AsyncConnectionPool, SQL by hand, no objects: the floor",
}


def load_mode(name: str, config: Config) -> Mode:
    module, _, class_name = MODES[name].rpartition(".")
    kind: type[Mode] = getattr(import_module(module), class_name)
    return kind(config)

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import connection
from django.test import override_settings
from django.utils.module_loading import import_string
from redis import Redis as StockRedis

from django_async_ext.loop_socket import LoopSocket
from tests.programs import Memcached, Redis, running

Make = Callable[[str], BaseCache]

#: By name: the class in our room, Django's own, and where it keeps what it caches.
BACKENDS = {
    "LocMemCache": "django.core.cache.backends.locmem.LocMemCache",
    "DummyCache": "django.core.cache.backends.dummy.DummyCache",
    "FileBasedCache": "django.core.cache.backends.filebased.FileBasedCache",
    "DatabaseCache": "django.core.cache.backends.db.DatabaseCache",
    "RedisCache": "django.core.cache.backends.redis.RedisCache",
    "PyMemcacheCache": "django.core.cache.backends.memcached.PyMemcacheCache",
}


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running(Redis(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def redis(shared_redis: Redis) -> Redis:
    """A Redis server with nothing in it."""
    with StockRedis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """REDIS_URL if there is one, emptied, or the URL of a server of the tests."""
    if url := os.environ.get("REDIS_URL"):
        with StockRedis.from_url(url) as client:
            client.flushdb()
        return url
    return str(request.getfixturevalue("redis").url)


@pytest.fixture
def start_memcached() -> Iterator[Callable[[], Memcached]]:
    """Start servers of the test's own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(running(Memcached()))


@pytest.fixture
def memcached(start_memcached: Callable[[], Memcached]) -> Memcached:
    return start_memcached()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of everything that is sent on the loop."""
    sizes: list[int] = []
    sendall = LoopSocket.sendall

    def watched(self: LoopSocket, data: Any, flags: int = 0) -> None:
        sizes.append(len(data))
        sendall(self, data, flags)

    monkeypatch.setattr(LoopSocket, "sendall", watched)
    return sizes


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[..., Any]:
    """Where a cache of this backend keeps its values, empty, and ours alone."""
    servers: dict[bool, Memcached] = {}

    def of(backend: str, django: bool) -> Any:
        if backend == "FileBasedCache":
            return tmp_path / "cache"
        if backend == "DatabaseCache":
            return "cached"
        if backend == "RedisCache":
            return request.getfixturevalue("redis_url")
        if backend == "PyMemcacheCache":
            # Not the same: what is set in the second of a flush may vanish.
            if django not in servers:
                servers[django] = request.getfixturevalue("start_memcached")()
            return servers[django].address
        return request.node.nodeid

    return of


@pytest.fixture
def own_caches() -> Iterator[None]:
    """Let "default" and "other" be caches of the test's own."""
    backend = "django_async_ext.cache.LocMemCache"
    one = {"BACKEND": backend, "LOCATION": uuid.uuid4().hex}
    with override_settings(CACHES={"default": one, "other": one | {"LOCATION": "o"}}):
        yield
        caches["other"].clear()


def in_database(name: str) -> Any:
    mark = pytest.mark.django_db(transaction=True)
    return pytest.param(name, marks=mark if name == "DatabaseCache" else ())


@pytest.fixture(params=map(in_database, BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "DatabaseCache":
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS cached (cache_key varchar(255) "
                "PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL)"
            )
            cursor.execute("TRUNCATE cached")
    return str(request.param)


@pytest.fixture
def make_cache(backend: str, location: Callable[..., Any]) -> Callable[..., Any]:
    """Make a cache of ours, or with ``django=True`` Django's own of that name."""

    def make(*, django: bool = False, **params: Any) -> Any:
        path = BACKENDS[backend] if django else f"django_async_ext.cache.{backend}"
        return import_string(path)(location(backend, django), params)

    return make

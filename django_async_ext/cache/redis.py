"""Django's Redis cache, on the loop where it can and as ever where it cannot.

Contract: inside the bridge a command waits on the loop; in plain synchronous code
the cache is Django's. Connections are pooled once per process and event loop, not
once per context as Django's cache objects are.
"""

from __future__ import annotations

import importlib
import pickle
from typing import TYPE_CHECKING, Any

from django.core.cache.backends import redis
from django.utils.module_loading import import_string

from django_async_ext.bridge import in_bridge
from django_async_ext.cache.base import LoopCache, hashable
from django_async_ext.loops import PerLoop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_async_ext.cache.redis_loop import LoopConnectionPool

#: What every pickle begins with since protocol 2, and no number.
_PICKLE = b"\x80"
#: What no pickle and no number begins with.
_COMPRESSED = b"\0"

#: Django asks first whether there is the key: one more round trip, after which it
#: may have expired. A number that a script returns is a float on its way. An error is
#: returned, not raised: Redis would add what it knows of the script to its text.
_INCREMENT = """
if redis.call('exists', KEYS[1]) == 1 then
    local answer = redis.pcall('incrby', KEYS[1], ARGV[1])
    return type(answer) == 'number' and redis.call('get', KEYS[1]) or answer
end
"""

Pools = dict[Any, Any]


def _disconnect(pools: dict[Any, LoopConnectionPool]) -> None:
    for pool in pools.values():
        pool.disconnect()


_loop_pools: PerLoop[Pools] = PerLoop(dict, _disconnect)
#: What stands for the options of a cache: quicker to look up than they are.
_keys: dict[Any, object] = {}
#: For plain synchronous code: redis-py's pools serve every thread and survive forks.
_thread_pools: Pools = {}


class RedisSerializer(redis.RedisSerializer):
    """Django's, which tells pickles from numbers by their first byte."""

    def loads(self, data: Any) -> Any:
        """As in Django, where each pickle is tried as a number first."""
        if data[:1] == _PICKLE:
            return pickle.loads(data)  # noqa: S301 (as Django does)
        return super().loads(data)


class CompressingSerializer:
    """Compresses what ``serializer`` made, when it has ``min_length`` bytes or more.

    ``compressor`` is anything with ``compress()`` and ``decompress()``, as the
    modules ``zlib`` and ``lzma`` have. Reads what was written without it.
    """

    def __init__(self, serializer: Any, compressor: Any, min_length: int) -> None:
        self._serializer = serializer
        self._compressor = compressor
        self._min_length = min_length

    def dumps(self, value: Any) -> Any:
        """Follow Django: RedisSerializer.dumps()."""
        data = self._serializer.dumps(value)
        if isinstance(data, bytes) and self._compresses(data):
            return _COMPRESSED + self._compressor.compress(data)
        return data

    def _compresses(self, data: bytes) -> bool:
        # What begins like something compressed could not be told from that.
        return len(data) >= self._min_length or data.startswith(_COMPRESSED)

    def loads(self, data: bytes) -> Any:
        """Follow Django: RedisSerializer.loads()."""
        if data.startswith(_COMPRESSED):
            data = self._compressor.decompress(data[len(_COMPRESSED) :])
        return self._serializer.loads(data)


class RedisCacheClient(redis.RedisCacheClient):
    """Django's client, with pools that belong to the process and to each loop.

    Takes Django's options, and: ``max_connections`` (50), ``timeout`` (seconds to
    wait for a connection, 20), ``compressor`` (a module or dotted path, see
    ``CompressingSerializer``), ``compress_min_length`` (bytes), ``auto_pipeline``
    (whether commands of several tasks may share a connection, True).
    """

    # Django's, unknown to its type stubs.
    _client: Any
    _get_connection_pool_index: Any
    _lib: Any
    _pool_class: Any
    _pool_options: dict[str, Any]
    _serializer: Any
    _servers: list[str]

    def __init__(
        self,
        servers: list[str],
        serializer: Any = None,
        pool_class: Any = None,
        parser_class: Any = None,
        *,
        timeout: float | None = 20.0,
        compressor: Any = None,
        compress_min_length: int = 1024,
        auto_pipeline: bool = True,
        **options: Any,
    ) -> None:
        if options.get("max_connections", 0) is None:
            del options["max_connections"]
        serializer = serializer or RedisSerializer
        super().__init__(servers, serializer, pool_class, parser_class, **options)
        if not pool_class:
            # Threads wait in it, and fail in redis-py's default, for a connection.
            self._pool_class = self._lib.BlockingConnectionPool
        if compressor is not None:
            self._serializer = CompressingSerializer(
                self._serializer, _import(compressor), compress_min_length
            )
        self._timeout = timeout
        self._auto_pipeline = auto_pipeline
        options |= {"": (pool_class, parser_class, timeout, auto_pipeline)}
        self._key = _keys.setdefault(hashable(options), object())

    def _get_connection_pool(self, write: bool) -> Any:
        url = self._servers[self._get_connection_pool_index(write)]
        pools = _loop_pools.get() if in_bridge() else _thread_pools
        pool = pools.get((url, self._key))
        if pool is None:
            # Another thread may have made one meanwhile.
            pool = pools.setdefault((url, self._key), self._make_pool(url))
        return pool

    def _make_pool(self, url: str) -> Any:
        options = self._pool_options | {"timeout": self._timeout}
        if in_bridge():
            from django_async_ext.cache.redis_loop import LoopConnectionPool

            return LoopConnectionPool.of(url, **options)
        waiting, kind = self._lib.BlockingConnectionPool, self._pool_class
        if not (isinstance(kind, type) and issubclass(kind, waiting)):
            del options["timeout"]
        return kind.from_url(url, **options)

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:  # noqa: ARG002
        """Follow Django; one client serves all who share a pool."""
        pool = self._get_connection_pool(write)
        client = pool.__dict__.get("client")
        if client is None:
            client = self._make_client(pool)
            client.increment = client.register_script(_INCREMENT)
            # Not before it is complete: other threads take it from there.
            pool.client = client
        return client

    def _make_client(self, pool: Any) -> Any:
        # An answer that cannot be decoded costs all who share its connection theirs.
        decodes = pool.connection_kwargs.get("decode_responses")
        if in_bridge() and self._auto_pipeline and not decodes:
            from django_async_ext.cache.redis_pipeline import PipeliningRedis

            return PipeliningRedis(connection_pool=pool)
        return self._client(connection_pool=pool)

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        """As in Django; redis-py's ``set()`` looks at its 14 arguments first."""
        if timeout and type(timeout) is int:
            data = self._serializer.dumps(value)
            client = self.get_client(key, write=True)
            client.execute_command("SET", key, data, "EX", timeout)
        else:
            super().set(key, value, timeout)

    def incr(self, key: Any, delta: int) -> int:
        """As in Django, but in one step, unless the server permits no scripts."""
        client, errors = self.get_client(key, write=True), self._lib.exceptions
        try:
            value = client.increment([key], [delta])
        except errors.ResponseError as error:
            forbidden = isinstance(error, errors.NoPermissionError)
            # So it is where the commands of scripts have been renamed.
            if not forbidden and not str(error).startswith("unknown command"):
                raise
            return int(super().incr(key, delta))
        if value is None:
            raise ValueError(f"Key '{key}' not found.")
        return int(value)


def _import(compressor: Any) -> Any:
    if not isinstance(compressor, str):
        return compressor
    try:
        return importlib.import_module(compressor)
    except ImportError:
        return import_string(compressor)


class RedisCache(LoopCache, redis.RedisCache):
    """Django's RedisCache, which waits on the loop inside the bridge."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = RedisCacheClient

    def get_many(
        self, keys: Iterable[Any], version: int | None = None
    ) -> dict[Any, Any]:
        """As in Django, which makes and examines each key by five calls."""
        made = self._make_and_validate_keys(keys, version)
        found = self._cache.get_many(made.keys())
        return {made[key]: value for key, value in found.items()}

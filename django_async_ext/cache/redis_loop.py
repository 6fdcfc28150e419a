"""redis-py's connections and pool, waiting on the event loop.

Contract: inside the bridge only. The client, the protocol and the retries are
redis-py's own; its connections here read and write through ``LoopSocket``, and
its pool lets tasks wait where a thread would block or fail.

redis-py disconnects a connection in which a command was interrupted, cancelled or
not: no later command ever reads the rest of an earlier one's reply.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
from asyncio import current_task
from contextlib import suppress
from time import monotonic
from typing import Any

from redis.asyncio.connection import RedisSSLContext
from redis.backoff import AbstractBackoff
from redis.connection import (
    Connection,
    ConnectionPool,
    HiredisRespSerializer,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import ConnectionError, RedisError
from redis.utils import HIREDIS_AVAILABLE

from django_async_ext.bridge import await_
from django_async_ext.db.backends.holders import describe_holders
from django_async_ext.exceptions import describe
from django_async_ext.locks import Slots
from django_async_ext.loop_socket import (
    JUST_NOW,
    LoopSocket,
    create_connection,
    with_loop_sockets,
)
from django_async_ext.sockets import closed_if_interrupted
from django_async_ext.threads import FILES

with suppress(ImportError):
    from hiredis import pack_command


class LoopBackoff(AbstractBackoff):
    """Waits between retries on the loop, where redis-py would sleep."""

    def __init__(self, backoff: Any) -> None:
        self._backoff = backoff

    def reset(self) -> None:
        """Follow redis-py."""
        self._backoff.reset()

    def compute(self, failures: int) -> float:
        """Wait; return that no time is left to sleep."""
        if (seconds := self._backoff.compute(failures)) > 0:
            await_(asyncio.sleep(seconds))
        return 0


class _Packer(HiredisRespSerializer):
    """Packs a command as redis-py does, which looks at the type of each argument.

    hiredis looks too, and takes all but the two types that redis-py looks for.
    """

    def pack(self, *args: Any) -> Any:
        """As in redis-py; the name of a command may be several words."""
        if not isinstance(args[0], str) or " " in args[0]:
            return super().pack(*args)
        try:
            return [pack_command(args)]
        except TypeError:
            return super().pack(*args)


def check_packable(args: Any, encoder: Any) -> None:
    """Raise what redis-py raises where a command has an argument it cannot send."""
    if HIREDIS_AVAILABLE:
        _Packer().pack(*args)
    else:
        for arg in args:
            encoder.encode(arg)


class _OnLoop:
    """What the connections have in common; who holds one, for the pool's error."""

    task: asyncio.Task[Any] | None = None
    since = 0.0
    #: The error that its holder was handling already when it took the connection.
    handled: BaseException | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retry: Any
        self.retry._backoff = LoopBackoff(self.retry._backoff)
        if type(self._command_packer) is HiredisRespSerializer:
            self._command_packer: Any = _Packer()

    def is_dropped(self) -> bool:
        """Tell whether the server closed it, or sent what nobody asked for."""
        sock: Any = self._sock  # type: ignore[attr-defined]
        if sock is None:
            return False
        return self._has_unread() or bool(sock.is_dropped(JUST_NOW))

    def _has_unread(self) -> bool:
        # Of a pipeline without a transaction redis-py leaves the rest of the answers
        # when its user's own callback fails at one.
        parser: Any = self._parser  # type: ignore[attr-defined]
        if (reader := getattr(parser, "_reader", None)) is not None:
            return bool(reader.has_data())
        return bool(parser._buffer.unread_bytes())

    def connect(self) -> None:
        """Follow redis-py, without its retries where there is nothing to do."""
        if self._sock is not None:  # type: ignore[attr-defined]
            return
        try:
            super().connect()  # type: ignore[misc]
        except BaseException:
            # redis-py keeps it, not logged in, unless the error is its own.
            self.disconnect()  # type: ignore[attr-defined]
            raise

    def is_left_half_way(self) -> bool:
        """Tell whether what raises now may have left an answer unread.

        redis-py has read, or disconnects, before it raises an error of its own.
        """
        error = sys.exception()
        return error is not self.handled and not isinstance(error, RedisError)


class LoopConnection(_OnLoop, Connection):
    """A connection by TCP."""

    def _connect(self) -> LoopSocket:
        # Follows redis-py: Connection._connect()
        address = self.host, self.port
        sock = create_connection(address, self.socket_connect_timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.socket_keepalive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in self.socket_keepalive_options.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.settimeout(self.socket_timeout)
        return sock


#: redis-py's names of what RedisSSLContext calls otherwise.
_TLS = {
    "ciphers": "ssl_ciphers",
    "exclude_verify_flags": "ssl_exclude_verify_flags",
    "include_verify_flags": "ssl_include_verify_flags",
    "min_version": "ssl_min_version",
    "password": "certificate_password",
}


class LoopSSLConnection(SSLConnection, LoopConnection):
    """A connection by TLS."""

    def _wrap_socket_with_ssl(self, sock: LoopSocket) -> Any:
        if self.ssl_validate_ocsp or self.ssl_validate_ocsp_stapled:
            raise NotImplementedError(
                describe(
                    "redis-ocsp",
                    "redis-py validates certificates by OCSP through blocking "
                    "sockets, which would stop the event loop.",
                    "Take ssl_validate_ocsp out of the cache's OPTIONS.",
                )
            )
        names = inspect.signature(RedisSSLContext).parameters
        options = {name: getattr(self, _TLS.get(name, name)) for name in names}
        # redis-py closes it after an error only.
        with closed_if_interrupted(sock):
            context = with_loop_sockets(FILES.call(RedisSSLContext(**options).get))
        return context.wrap_socket(sock, server_hostname=self.host)


class LoopUnixConnection(_OnLoop, UnixDomainSocketConnection):
    """A connection by a Unix socket."""

    def _connect(self) -> LoopSocket:
        # Follows redis-py: UnixDomainSocketConnection._connect()
        sock = LoopSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.socket_connect_timeout)
        try:
            sock.connect(self.path)
        except BaseException:
            sock.close()
            raise
        sock.settimeout(self.socket_timeout)
        return sock


_CLASSES = {
    None: LoopConnection,
    SSLConnection: LoopSSLConnection,
    UnixDomainSocketConnection: LoopUnixConnection,
}


class LoopConnectionPool(ConnectionPool):
    """The connections to one server on one event loop.

    With all ``max_connections`` in use a task waits, first come, first served;
    after ``timeout`` seconds it gets redis-py's ``ConnectionError``, naming the
    holders. The defaults are those of redis-py's ``BlockingConnectionPool``.
    """

    def __init__(
        self, max_connections: int = 50, timeout: float | None = 20.0, **kwargs: Any
    ) -> None:
        super().__init__(max_connections=max_connections, **kwargs)
        self.timeout = timeout
        self._slots = Slots(max_connections, timeout, self._exhausted)

    @classmethod
    def of(cls, url: str, **options: Any) -> LoopConnectionPool:
        """Make the pool for a server, named by a URL as redis-py reads it."""
        if options.get("cache_config") or options.get("cache"):
            raise NotImplementedError(_no_client_side_caching())
        parse: Any = parse_url
        stock = parse(url).pop("connection_class", None)
        pool = cls.from_url(url, **options)
        pool.connection_class = _CLASSES[stock]
        return pool

    def get_connection(self, *_args: Any, **_options: Any) -> Any:
        """Give a connection; wait on the loop for one to come back if need be."""
        self._slots.acquire()
        connection = None
        try:
            connection = self._pop()
            connection.task, connection.since = current_task(), monotonic()
            connection.handled = sys.exception()
            self._in_use_connections.add(connection)
            connection.connect()
        except BaseException:
            self._slots.release() if connection is None else self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back, and let who waits longest have it."""
        if connection not in self._in_use_connections:
            return
        self._in_use_connections.remove(connection)
        if connection.should_reconnect() or connection.is_left_half_way():
            connection.disconnect()
        connection.task = connection.handled = None
        self._available_connections.append(connection)
        self._slots.release()

    @property
    def in_use(self) -> int:
        """How many connections are with a task."""
        return len(self._in_use_connections)

    def _pop(self) -> Any:
        if not self._available_connections:
            return self.make_connection()
        connection: Any = self._available_connections.pop()
        if connection.is_dropped():
            connection.disconnect()
        return connection

    def _exhausted(self) -> ConnectionError:
        return ConnectionError(
            describe(
                "redis-pool-timeout",
                f"No connection to Redis: all {self.max_connections} are in use and "
                f"none came free in {self.timeout:g} s.",
                f"They are held by {describe_holders(self._in_use_connections)}.",
                "Raise OPTIONS['max_connections'] of the cache, or lower the "
                "concurrency.",
            )
        )


def _no_client_side_caching() -> str:
    return describe(
        "redis-client-side-caching",
        "redis-py's client-side caching reads the server's messages through blocking "
        "sockets, which would stop the event loop.",
        "Take cache_config and cache out of the cache's OPTIONS.",
    )

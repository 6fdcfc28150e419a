"""pymemcache's client, waiting on the event loop.

Contract: inside the bridge only. The protocol, the hashing over servers and the
treatment of failed ones are pymemcache's own; its sockets here wait on the loop,
and its pool lets tasks wait where it would refuse.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from pymemcache.client.base import PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheError
from pymemcache.pool import ObjectPool

from django_async_ext.exceptions import describe
from django_async_ext.locks import Slots
from django_async_ext.loop_socket import JUST_NOW, LoopSocket, with_loop_sockets
from django_async_ext.sockets import getaddrinfo

#: What pymemcache takes for the module ``socket``.
_sockets: Any = ModuleType("socket")
vars(_sockets).update(vars(socket), socket=LoopSocket, getaddrinfo=getaddrinfo)


class LoopPool(ObjectPool):
    """The connections to one server; a task waits while all are in use."""

    def __init__(self, *args: Any, timeout: float | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slots = Slots(self.max_size, timeout, partial(_exhausted, self, timeout))

    @contextmanager
    def get_and_release(self, destroy_on_fail: bool = False) -> Iterator[Any]:
        """Follow pymemcache, which knows of no other end than an ``Exception``."""
        self._slots.acquire()
        try:
            client = self.get()
            try:
                if client.sock is not None and client.sock.is_dropped(JUST_NOW):
                    client.close()
                yield client
            except BaseException as error:
                # The rest of a reply may come, which nobody else must read.
                interrupted = not isinstance(error, Exception)
                end = self.destroy if destroy_on_fail or interrupted else self.release
                end(client)
                raise
            self.release(client)
        finally:
            self._slots.release()


def _exhausted(pool: LoopPool, timeout: float | None) -> MemcacheError:
    return MemcacheError(
        describe(
            "memcached-pool-timeout",
            f"No connection to memcached: all {pool.max_size} are in use and none "
            f"came free in {timeout:g} s.",
            "Raise OPTIONS['max_pool_size'] of the cache, or lower the concurrency.",
        )
    )


class LoopPooledClient(PooledClient):
    """A client of one server, over a ``LoopPool``."""

    def __init__(
        self,
        server: Any,
        *,
        max_pool_size: int = 50,
        pool_idle_timeout: int = 0,
        pool_timeout: float | None = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(server, **kwargs)
        self.client_pool = LoopPool(
            self._create_client,
            after_remove=lambda client: client.close(),
            max_size=max_pool_size,
            idle_timeout=pool_idle_timeout,
            timeout=pool_timeout,
        )


_POOL_OPTIONS = ("max_pool_size", "pool_idle_timeout", "pool_timeout")
#: What has no meaning on the loop: there is always a pool, and it needs no lock.
_UNUSED = ("use_pooling", "lock_generator", "socket_module")


class _Failed(dict[Any, Any]):
    """Servers that failed. Of the tasks that find one well again, the first says so."""

    def pop(self, server: Any, default: Any = None) -> Any:
        return super().pop(server, default)


class _SharedHashClient(HashClient):
    """pymemcache's, which counts the attempts of one caller, for many tasks at once.

    What fails together counts as one attempt: or commands that were under way when a
    server restarted would use up its attempts, and it was dead for a minute.
    """

    _failed_clients: dict[Any, Any]
    retry_timeout: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._failed_clients = _Failed(self._failed_clients)

    def _mark_failed_server(self, server: Any) -> None:
        failed = self._failed_clients.get(server)
        if failed is None or time.time() - failed["failed_time"] > self.retry_timeout:
            super()._mark_failed_server(server)

    def remove_server(self, server: Any, port: Any = None) -> None:
        """As in pymemcache; of the tasks that find it dead, the first removes it."""
        if server not in self._dead_clients:
            super().remove_server(server, port)
        else:
            # Or it was removed again, untried, once it may be used again.
            self._failed_clients.pop(server)


def loop_client(servers: list[Any], options: dict[str, Any]) -> HashClient:
    """Make the client of the running loop for ``servers``."""
    options = {name: v for name, v in options.items() if name not in _UNUSED}
    pool = {name: options.pop(name) for name in _POOL_OPTIONS if name in options}
    if context := options.get("tls_context"):
        with_loop_sockets(context)

    class LoopHashClient(_SharedHashClient):
        client_class = staticmethod(partial(LoopPooledClient, **pool))

    return LoopHashClient(servers, socket_module=_sockets, **options)

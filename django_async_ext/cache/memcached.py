"""Django's memcached cache, on the loop where it can and as ever where it cannot.

Contract: inside the bridge a command waits on the loop, over connections that are
pooled once per process and event loop; in plain synchronous code the cache is
Django's, with a client of its own that is disconnected after each request.
"""

from __future__ import annotations

from typing import Any

from django.core.cache.backends import memcached
from django.utils.functional import cached_property
from django.utils.hashable import make_hashable

from django_async_ext.bridge import in_bridge
from django_async_ext.cache.base import LoopCache, hashable
from django_async_ext.loops import PerLoop

Clients = dict[Any, Any]


def _close(clients: Clients) -> None:
    for client in clients.values():
        # Its own close() passes over a server that has failed lately.
        for pooled in client.clients.values():
            pooled.close()


_clients: PerLoop[Clients] = PerLoop(dict, _close)


class PyMemcacheCache(LoopCache, memcached.PyMemcacheCache):
    """Django's PyMemcacheCache, which waits on the loop inside the bridge.

    Takes pymemcache's options, of which ``max_pool_size`` is 50 on a loop, and
    ``pool_timeout``: seconds to wait for a connection, 20.
    """

    # Django's, unknown to its type stubs.
    _class: Any
    _options: dict[str, Any]
    client_servers: Any

    @property
    def _cache(self) -> Any:
        return self._on_loop() if in_bridge() else self._in_thread

    def _on_loop(self) -> Any:
        clients, key = _clients.get(), self._key
        if key not in clients:
            from django_async_ext.cache.memcached_loop import loop_client

            clients[key] = loop_client(self.client_servers, self._options)
        return clients[key]

    @cached_property
    def _key(self) -> Any:
        return make_hashable(self.client_servers), hashable(self._options)

    @cached_property
    def _in_thread(self) -> Any:
        options = dict(self._options)
        options.pop("pool_timeout", None)
        return self._class(self.client_servers, **options)

    def close(self, **kwargs: Any) -> None:
        """Follow Django, except on the loop: its connections serve every request."""
        if not in_bridge() and "_in_thread" in self.__dict__:
            super().close(**kwargs)

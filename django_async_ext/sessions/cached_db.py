"""Sessions in the database, read through a cache, on the event loop."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import cached_db

from django_async_ext.sessions.base import AwaitableSession, WaitingCache


class SessionStore(AwaitableSession, cached_db.SessionStore):
    """Django's, over a cache that waits for its awaitables inside the bridge."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache: Any = WaitingCache(vars(self)["_cache"])

    def load(self) -> Any:
        """As in Django; refused where the cache would block the loop."""
        self._cache.refuse_to_block()
        return super().load()

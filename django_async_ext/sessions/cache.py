"""Sessions in a cache, on the event loop."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import cache
from django.core.exceptions import SynchronousOnlyOperation

from django_async_ext.exceptions import AsyncExtError
from django_async_ext.sessions.base import CachedSession


class SessionStore(CachedSession, cache.SessionStore):
    """Django's, over a cache that waits for its awaitables inside the bridge."""

    def load(self) -> Any:
        """Follows Django: SessionStore.load(), but a refusal is no empty session."""
        self._cache.refuse_to_block()
        try:
            data = self._cache.get(self.cache_key)
        except (AsyncExtError, SynchronousOnlyOperation):
            raise
        except Exception:  # noqa: BLE001 (as Django does)
            data = None
        if data is None:
            self._session_key = None
            return {}
        return data

"""Sessions in the database, read through a cache, on the event loop."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import cached_db

from django_async_ext.sessions.base import CachedSession, to_its_end


class SessionStore(CachedSession, cached_db.SessionStore):
    """Django's, over a cache that waits for its awaitables inside the bridge."""

    def load(self) -> Any:
        """Follows Django: SessionStore.load(); see _fill_cache()."""
        self._cache.refuse_to_block()
        try:
            data = self._cache.get(self.cache_key)
        except Exception:  # noqa: BLE001 (as Django does)
            data = None
        return to_its_end(self._fill_cache) if data is None else data

    def _fill_cache(self) -> Any:
        row = self._get_session_from_db()  # type: ignore[attr-defined]
        if row is None:
            return {}
        data = self.decode(row.session_data)
        self._cache.set(
            self.cache_key, data, self.get_expiry_age(expiry=row.expire_date)
        )
        # Who logs out deletes the row, then the key: while there is the row, the key is
        # deleted after this. Otherwise that may have been before, and in vain.
        if not self.model.objects.filter(pk=row.pk).exists():
            self._cache.delete(self.cache_key)
            self._session_key = None
            return {}
        return data

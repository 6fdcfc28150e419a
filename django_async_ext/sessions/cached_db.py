"""Sessions in the database, read through a cache, on the event loop."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import cached_db

from django_async_ext.bridge import shielded
from django_async_ext.db.backends.rendezvous import leave_meeting
from django_async_ext.sessions.base import AwaitableSession, WaitingCache


class SessionStore(AwaitableSession, cached_db.SessionStore):
    """Django's, over a cache that waits for its awaitables inside the bridge."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache: Any = WaitingCache(vars(self)["_cache"])

    # Between the two the database and the cache differ: who logs out and disconnects
    # would stay logged in until the cache forgets.

    def save(self, must_create: bool = False) -> None:
        """As in Django; a cancellation waits until both have it."""
        leave_meeting("a session")
        with shielded():
            super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        """As in Django; a cancellation waits until neither has it."""
        leave_meeting("a session")
        with shielded():
            super().delete(session_key)

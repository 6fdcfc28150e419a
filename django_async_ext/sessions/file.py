"""Sessions in files, which a few threads read and write.

Contract: each method that Django's engine has for storage is one call to a thread.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import file

from django_async_ext.sessions.base import AwaitableSession
from django_async_ext.threads import FILES


class _InFiles(file.SessionStore):
    """Django's, in threads when it is used on the event loop."""

    def load(self) -> Any:
        """As in Django."""
        return FILES.call(super().load)

    def create(self) -> None:
        """As in Django."""
        FILES.call(super().create)

    def save(self, must_create: bool = False) -> None:
        """As in Django."""
        FILES.call(super().save, must_create)

    def exists(self, session_key: str) -> bool:
        """As in Django."""
        return bool(FILES.call(super().exists, session_key))

    def delete(self, session_key: str | None = None) -> None:
        """As in Django."""
        FILES.call(super().delete, session_key)

    @classmethod
    def clear_expired(cls) -> None:
        """As in Django."""
        FILES.call(super().clear_expired)


class SessionStore(AwaitableSession, _InFiles):
    """Django's, whose every awaitable is its synchronous twin in the bridge."""

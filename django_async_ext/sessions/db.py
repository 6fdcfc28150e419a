"""Sessions in the database, on the event loop."""

from __future__ import annotations

from django.contrib.sessions.backends import db

from django_async_ext.sessions.base import AwaitableSession


class SessionStore(AwaitableSession, db.SessionStore):
    """Django's, whose every awaitable is its synchronous twin in the bridge."""

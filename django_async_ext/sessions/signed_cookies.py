"""Sessions in the browser's cookie: nothing here waits."""

from __future__ import annotations

from django.contrib.sessions.backends import signed_cookies

from django_async_ext.sessions.base import AwaitableSession


class SessionStore(AwaitableSession, signed_cookies.SessionStore):
    """Django's, whose every awaitable is its synchronous twin."""

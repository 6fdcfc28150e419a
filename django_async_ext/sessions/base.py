"""What makes Django's session engines wait on the event loop.

Contract: ``AwaitableSession`` comes before Django's ``SessionStore`` in the bases.
Each awaitable is its synchronous twin in the bridge, so the two cannot differ, and
an engine that overrides the one has changed the other. What writes goes on to its end.
"""

from __future__ import annotations

import os
from asyncio import _get_running_loop
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.contrib.sessions.backends.base import SessionBase
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import SynchronousOnlyOperation

from django_async_ext.bridge import await_, in_bridge, run, shielded
from django_async_ext.db.backends.rendezvous import leave_meeting
from django_async_ext.exceptions import describe

P = ParamSpec("P")
T = TypeVar("T")


def to_its_end(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``fn``, which writes a session; a cancellation waits until it has.

    So it is in Django, whose threads nobody interrupts: who logs out and disconnects
    must not stay logged in.
    """
    if not in_bridge():
        return fn(*args, **kwargs)
    leave_meeting("a session")
    with shielded():
        return fn(*args, **kwargs)


class AwaitableSession(SessionBase):
    """Follows Django: SessionBase; see the module."""

    def save(self, must_create: bool = False) -> None:
        """As in Django, and to its end."""
        to_its_end(super().save, must_create)

    def delete(self, session_key: str | None = None) -> None:
        """As in Django, and to its end."""
        to_its_end(super().delete, session_key)

    async def aload(self) -> Any:
        """See load()."""
        return await run(self.load)

    async def aexists(self, session_key: Any = None) -> bool:
        """See exists()."""
        return await run(self.exists, session_key)

    async def acreate(self) -> None:
        """See create()."""
        await run(self.create)

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        await run(self.save, must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await run(self.delete, session_key)

    async def aflush(self) -> None:
        """See flush()."""
        await run(self.flush)

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await run(self.cycle_key)

    async def adelete_test_cookie(self) -> None:
        """See delete_test_cookie()."""
        await run(self.delete_test_cookie)

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await run(cls.clear_expired)


def not_loaded() -> SynchronousOnlyOperation:
    """Say that reading a session would block the loop."""
    return SynchronousOnlyOperation(
        describe(
            "lazy-session",
            "You cannot call this from an async context - use a thread or "
            "sync_to_async. The session is not loaded, and reading it here would block "
            "the event loop: the view itself may read request.session, but not a task "
            "that it started.",
            "Use `await request.session.aget(key)` and the like, or read the session "
            "before the task starts.",
        )
    )


class WaitingCache:
    """A cache whose methods, inside the bridge, wait for their awaitable twins.

    So a session in any cache, of a third party too, blocks no loop.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cache, name)
        twin = getattr(self._cache, f"a{name}", None)
        if twin is None or not in_bridge():
            return method
        return lambda *args, **kwargs: await_(twin(*args, **kwargs))

    def refuse_to_block(self) -> None:
        """Refuse to read a session where the cache would block the loop."""
        waits = not isinstance(self._cache, LocMemCache | DummyCache)
        if not waits or _get_running_loop() is None or in_bridge():
            return
        # As of a session in the database.
        if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            raise not_loaded()

    def __contains__(self, key: str) -> bool:
        return bool(self.has_key(key))


class CachedSession(AwaitableSession):
    """A session in a cache that waits, whichever one a subclass sets."""

    @property
    def _cache(self) -> Any:
        return self.__dict__["_cache"]

    @_cache.setter
    def _cache(self, cache: Any) -> None:
        self.__dict__["_cache"] = WaitingCache(cache)

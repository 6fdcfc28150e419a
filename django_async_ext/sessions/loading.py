"""Lets an asynchronous view read ``request.session``, whatever its engine.

Contract: ``adopt()`` changes when Django's ``SessionBase`` may load, not what: the
session is loaded when it is first used, waiting on the event loop, and once. What
Django's own engines write there, they write to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.sessions.backends import cache, cached_db, db
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import SynchronousOnlyOperation

from django_async_ext.bridge import await_, driver, in_bridge, run
from django_async_ext.db.backends.rendezvous import aleave_meeting, leave_meeting
from django_async_ext.driving import let_wait
from django_async_ext.sessions.base import not_loaded, to_its_end

_session: Any = SessionBase
_stock_get, _stock_aget = _session._get_session, _session._aget_session
_stock_property = _session._session


def _get_session(self: Any, no_load: bool = False) -> Any:
    try:
        return let_wait(_get_in_turn, self, no_load)
    except SynchronousOnlyOperation as error:
        if driver() is not None:
            raise
        raise not_loaded() from error


def _get_in_turn(self: Any, no_load: bool) -> Any:
    if not in_bridge() or not _loads(self, no_load):
        return _stock_get(self, no_load)
    leave_meeting("a session")
    lock = _lock_of(self)
    await_(lock.acquire())
    try:
        return _stock_get(self, no_load)
    finally:
        _release(self, lock)


async def _aget_session(self: Any, no_load: bool = False) -> Any:
    if not _loads(self, no_load):
        return await _stock_aget(self, no_load)
    await aleave_meeting()
    lock = _lock_of(self)
    await lock.acquire()
    try:
        return await _stock_aget(self, no_load)
    finally:
        _release(self, lock)


def _loads(self: Any, no_load: bool) -> bool:
    known = no_load or self.session_key is None or hasattr(self, "_session_cache")
    return not known


def _lock_of(self: Any) -> asyncio.Lock:
    # Or of two that load it, the second would undo what the first has set.
    lock: asyncio.Lock = self.__dict__.setdefault("_loading", asyncio.Lock())
    return lock


def _release(self: Any, lock: asyncio.Lock) -> None:
    # After an error those who wait, and who comes then, still need the same one.
    if hasattr(self, "_session_cache"):
        self.__dict__.pop("_loading", None)
    lock.release()


def _completed(method: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return to_its_end(method, *args, **kwargs)

    return wraps(method)(inner)


def _acompleted(method: Callable[..., Any]) -> Callable[..., Any]:
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await run(to_its_end, lambda: await_(method(*args, **kwargs)))

    return wraps(method)(inner)


_WRITING = {
    **dict.fromkeys(("save", "delete"), _completed),
    **dict.fromkeys(("asave", "adelete"), _acompleted),
}
#: Of the engines of Django that may wait on the loop.
_stock_writing: list[tuple[Any, str, Any]] = [
    (engine.SessionStore, name, vars(engine.SessionStore)[name])
    for engine in (db, cache, cached_db)
    for name in _WRITING
]


def adopt() -> None:
    """Put this module in force; does nothing the second time."""
    _session._get_session, _session._aget_session = _get_session, _aget_session
    _session._session = property(_get_session)
    for engine, name, method in _stock_writing:
        setattr(engine, name, _WRITING[name](method))


def release() -> None:
    """Undo ``adopt()``."""
    _session._get_session, _session._aget_session = _stock_get, _stock_aget
    _session._session = _stock_property
    for seam in _stock_writing:
        setattr(*seam)

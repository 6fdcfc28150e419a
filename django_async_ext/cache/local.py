"""Django's caches that speak to no server of their own, on the loop.

Contract: in memory, at once; in a file, in a thread; in the database, through
its connection, hence in the caller's transaction.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from django.core.cache.backends import db, dummy, filebased, locmem
from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_async_ext.bridge import in_bridge
from django_async_ext.cache.base import InlineCache, LoopCache, in_threads
from django_async_ext.driving import let_wait


class LocMemCache(InlineCache, locmem.LocMemCache):
    """Django's LocMemCache, whose awaitables answer at once."""


class DummyCache(InlineCache, dummy.DummyCache):
    """Django's DummyCache, whose awaitables answer at once."""


class DatabaseCache(LoopCache, db.DatabaseCache):
    """Django's DatabaseCache, on the loop if its database's ENGINE is."""


#: Each is one call to a thread, however many files it is about. Not get_or_set():
#: what it calls to have a default may wait.
_IN_FILES = (
    *("add", "get", "set", "touch", "delete", "has_key", "clear"),
    *("get_many", "set_many", "delete_many"),
    *("incr", "decr", "incr_version", "decr_version"),
)


class _InFiles(filebased.FileBasedCache):
    """Django's cache, each of whose methods is one call to a thread."""


for _name in _IN_FILES:
    setattr(_InFiles, _name, in_threads(getattr(filebased.FileBasedCache, _name)))


class _Pickled:
    """A value that was pickled already; what is unpickled of it is the value."""

    def __init__(self, value: Any) -> None:
        self._data = pickle.dumps(value, filebased.FileBasedCache.pickle_protocol)

    def __reduce__(self) -> Any:
        return pickle.loads, (self._data,)


def _pickled(cache: Any, value: Any) -> Any:
    # To pickle a queryset is to query, which belongs to the caller's transaction.
    return _Pickled(value) if in_bridge() and _pickles(type(cache)) else value


def _pickles(cls: Any) -> bool:
    # A subclass may write the value otherwise.
    return bool(cls._write_content is _InFiles._write_content)  # type: ignore[attr-defined]


class FileBasedCache(LoopCache, _InFiles):
    """Django's FileBasedCache, whose file operations run in a few threads."""

    def add(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        """As in Django."""
        return super().add(key, let_wait(_pickled, self, value), timeout, version)

    def set(
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> None:
        """As in Django."""
        super().set(key, let_wait(_pickled, self, value), timeout, version)

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        """As in Django."""
        data = {key: let_wait(_pickled, self, value) for key, value in data.items()}
        return super().set_many(data, timeout, version)

"""Django's caches that speak to no server of their own, on the loop.

Contract: in memory, at once; in a file, in a thread; in the database, through
its connection, hence in the caller's transaction.
"""

from __future__ import annotations

from django.core.cache.backends import db, dummy, filebased, locmem

from django_async_ext.cache.base import InlineCache, LoopCache, in_threads


class LocMemCache(InlineCache, locmem.LocMemCache):
    """Django's LocMemCache, whose awaitables answer at once."""


class DummyCache(InlineCache, dummy.DummyCache):
    """Django's DummyCache, whose awaitables answer at once."""


class DatabaseCache(LoopCache, db.DatabaseCache):
    """Django's DatabaseCache, on the loop if its database's ENGINE is."""


class FileBasedCache(LoopCache, filebased.FileBasedCache):
    """Django's FileBasedCache, whose file operations run in a few threads."""


#: Each is one call to a thread, however many files it is about. Not get_or_set():
#: what it calls to have a default may wait.
_IN_FILES = (
    *("add", "get", "set", "touch", "delete", "has_key", "clear"),
    *("get_many", "set_many", "delete_many"),
    *("incr", "decr", "incr_version", "decr_version"),
)

for _name in _IN_FILES:
    _method = in_threads(getattr(filebased.FileBasedCache, _name))
    setattr(FileBasedCache, _name, _method)

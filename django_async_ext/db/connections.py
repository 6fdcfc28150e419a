"""The public side of leases: hold a connection, look at the pool.

Contract: everything here acts on the running task and event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from django_async_ext.bridge import run
from django_async_ext.db.backends.base import LoopDatabaseWrapper
from django_async_ext.db.backends.guard import wrong_engine
from django_async_ext.db.backends.registry import pool_for


@asynccontextmanager
async def hold_connection(using: str | None = None) -> AsyncIterator[Any]:
    """Keep one connection of database ``using`` for the block, in this task.

    For what lives in a session of the server: advisory locks, temporary tables,
    ``SET``, ``LISTEN``. Gives Django's connection wrapper. The session is reset
    afterwards, before anybody else gets the connection.
    """
    wrapper = _wrapper(using)
    begun = False

    def begin() -> None:
        nonlocal begun
        wrapper.begin_hold()
        begun = True

    try:
        # A cancellation that was held back may come when it has begun.
        await run(begin)
        yield wrapper
    finally:
        if begun:
            wrapper.end_hold()


def open_transactions() -> Iterator[Any]:
    """Yield each wrapper on which the running task is in a transaction."""
    for wrapper in connections.all(initialized_only=True):
        if getattr(wrapper, "is_in_transaction", wrapper.in_atomic_block):
            yield wrapper


def open_transaction() -> Any:
    """Return the first of them, if any."""
    return next(open_transactions(), None)


def pool_stats(using: str | None = None) -> dict[str, int]:
    """Return the counts of the running loop's pool for database ``using``.

    Keys: ``size``, ``idle``, ``in_use``, ``waiting``, ``max_size``. Raises
    ``RuntimeError`` without a running loop.
    """
    return pool_for(_wrapper(using)).stats()


def _wrapper(using: str | None) -> LoopDatabaseWrapper:
    wrapper = connections[using or DEFAULT_DB_ALIAS]
    if not isinstance(wrapper, LoopDatabaseWrapper):
        raise ImproperlyConfigured(wrong_engine(wrapper))
    return wrapper

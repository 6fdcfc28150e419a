"""Which pool serves a database on the running event loop.

Contract: one pool per (process, event loop, alias). Pools close with their
loop; a forked child starts with none and never touches its parent's sockets.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple

from django.db import connections

from django_async_ext.db.backends.pool import Pool


class LoopPools(NamedTuple):
    """The pools of one loop, by alias, and what closes them with it."""

    pools: dict[str, Pool]
    closer: AsyncIterator[None]


_loops: dict[asyncio.AbstractEventLoop, LoopPools] = {}
_before_fork: list[object] = []


def pool_for(wrapper: Any) -> Pool:
    """Return the running loop's pool for ``wrapper``, made on first use."""
    loop = get_running_loop()
    entry = _loops.get(loop) or _add_loop(loop)
    pool = entry.pools.get(wrapper.alias)
    database = wrapper.settings_dict["NAME"]
    if pool is None or pool.database != database:
        if pool is not None:
            # The test runner renamed the database.
            pool.close()
        pool = entry.pools[wrapper.alias] = wrapper.make_pool()
        pool.database = database
    return pool


def existing_pool(alias: str) -> Pool | None:
    """Return the running loop's pool for ``alias``, if it was used already."""
    entry = _loops.get(get_running_loop())
    return entry.pools.get(alias) if entry else None


def close_pools(alias: str) -> None:
    """Close the pools of ``alias`` on the running loop and on closed loops."""
    running = asyncio._get_running_loop()
    for loop, entry in list(_loops.items()):
        if (loop is running or loop.is_closed()) and alias in entry.pools:
            entry.pools.pop(alias).close()


def _add_loop(loop: asyncio.AbstractEventLoop) -> LoopPools:
    for closed in [known for known in list(_loops) if known.is_closed()]:
        _end_loop(closed)
    connections._connections.forget_closed_loops()
    closer = _close_with(loop)
    # The loop closes the asynchronous generators that were started on it when it
    # shuts down: the one hook that every runner and server calls.
    with suppress(StopIteration):
        closer.__anext__().send(None)  # type: ignore[attr-defined]
    entry = _loops[loop] = LoopPools({}, closer)
    return entry


async def _close_with(loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
    try:
        yield
    finally:
        _end_loop(loop)


def _end_loop(loop: asyncio.AbstractEventLoop) -> None:
    entry = _loops.pop(loop, None)
    for pool in entry.pools.values() if entry else ():
        pool.close_all()


def _after_fork() -> None:
    # Kept, never finalised: the sockets belong to the parent process.
    _before_fork.append(dict(_loops))
    _loops.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Which pool serves a database on the running event loop.

Contract: one pool per (process, event loop, alias), closed with its loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from django.db import connections

from django_async_ext.db.backends.pool import Pool
from django_async_ext.loops import PerLoop

Pools = dict[str, Pool]


def _make() -> Pools:
    connections._connections.forget_closed_loops()
    return {}


def _end(pools: Pools) -> None:
    for pool in pools.values():
        pool.close_all()


_pools: PerLoop[Pools] = PerLoop(_make, _end)


def pool_for(wrapper: Any) -> Pool:
    """Return the running loop's pool for ``wrapper``, made on first use."""
    pools = _pools.get()
    pool = pools.get(wrapper.alias)
    database = wrapper.settings_dict["NAME"]
    if pool is None or pool.database != database:
        if pool is not None:
            # The test runner renamed the database.
            pool.close()
        pool = pools[wrapper.alias] = wrapper.make_pool()
        pool.database = database
    return pool


def known_state(alias: str, database: Any) -> Mapping[str, Any]:
    """Return what the running loop's connections have left on their wrappers."""
    pool = _pools.values.get(asyncio.get_running_loop(), {}).get(alias)
    return {} if pool is None or pool.database != database else pool.wrapper_state


async def open_pools() -> None:
    """Open the pools of the running loop, each with its ``min_size`` connections."""
    for wrapper in connections.all():
        if hasattr(wrapper, "make_pool"):
            with wrapper.wrap_database_errors:
                await pool_for(wrapper).fill()


async def drain_pools(seconds: float) -> None:
    """Close the pools of the running loop as the connections in use come back."""
    pools = _pools.values.get(asyncio.get_running_loop(), {})
    await asyncio.gather(*(pool.drain(seconds) for pool in pools.values()))


def close_pools(alias: str) -> None:
    """Close the pools of ``alias``, also those of loops that rest between tests."""
    running = asyncio._get_running_loop()
    for loop, pools in list(_pools.values.items()):
        if (loop is running or not loop.is_running()) and alias in pools:
            pools.pop(alias).close()


def pools_of(loop: asyncio.AbstractEventLoop) -> list[Pool]:
    """Return the pools that were used on ``loop``."""
    return list(_pools.values.get(loop, {}).values())

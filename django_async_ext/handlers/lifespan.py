"""The lifespan of a server process: pools open before the first request.

Contract: ends what belongs to the loop when the server shuts down, after its last
request. A database that cannot be reached does not keep the server from starting:
the requests that need it say so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.db import Error

from django_async_ext import conf, loops
from django_async_ext.db.backends.registry import drain_pools, open_pools

logger = logging.getLogger("django_async_ext.handlers")


async def serve(
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer the lifespan messages of an ASGI server until it shuts down."""
    while (await receive())["type"] == "lifespan.startup":
        try:
            await open_pools()
        except Error as error:
            logger.warning("Could not open the connection pools: %s", error)
        await send({"type": "lifespan.startup.complete"})
    # A task that the server has just cancelled is still about its statement.
    await drain_pools(conf.get("CANCEL_TIMEOUT"))
    loops.end_running()
    await send({"type": "lifespan.shutdown.complete"})

"""The ASGI application, watched from outside by the middleware of ASGI."""

import json
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.site.settings")

from django.conf import settings

from django_async_ext.asgi import get_asgi_application
from django_async_ext.db.connections import pool_stats

inner = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Write down how the pool stands after each step of the server's life."""

    async def telling(message: Any) -> None:
        if scope["type"] == "lifespan":
            with settings.STATE_FILE.open("a") as file:
                line = {"step": message["type"], "size": pool_stats()["size"]}
                print(json.dumps(line), file=file)
        await send(message)

    await inner(scope, receive, telling)

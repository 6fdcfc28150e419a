"""Has an ASGI application answer one request, without a server."""

from __future__ import annotations

import asyncio
from typing import Any


async def ask(application: Any, path: str) -> int:
    """Return the status of a GET of ``path``."""
    asked, ended = False, asyncio.Event()
    status = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await ended.wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
    }
    await application(scope, receive, send)
    return status

"""The lifespan of a server process opens pools before requests, and closes them."""

import asyncio
from typing import Any

import pytest
from django.db import connections

from django_async_ext.asgi import get_asgi_application
from django_async_ext.db.connections import pool_stats
from tests.waiting import PATIENCE

urlpatterns: list[Any] = []


@pytest.fixture
def ready_pool() -> Any:
    pool = connections.settings["default"]["OPTIONS"]["pool"]
    pool["min_size"] = 3
    yield
    del pool["min_size"]


class Server:
    """The server's side of a lifespan."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self.task = asyncio.create_task(
            get_asgi_application()(scope, self.messages.get, self.answers.put)
        )

    async def say(self, moment: str) -> dict[str, str]:
        await self.messages.put({"type": f"lifespan.{moment}"})
        async with asyncio.timeout(PATIENCE):
            return await self.answers.get()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("ready_pool")
async def test_pools_open_with_the_server_and_close_with_it() -> None:
    server = Server()
    assert await server.say("startup") == {"type": "lifespan.startup.complete"}
    assert pool_stats()["idle"] == 3
    assert await server.say("shutdown") == {"type": "lifespan.shutdown.complete"}
    assert pool_stats()["size"] == 0
    await server.task


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("ready_pool")
async def test_a_server_starts_without_its_database(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "PORT", "1")
    server = Server()
    assert await server.say("startup") == {"type": "lifespan.startup.complete"}
    assert "Could not open the connection pools" in caplog.text
    await server.say("shutdown")
    await server.task


async def test_another_kind_of_connection_is_refused_as_in_django() -> None:
    with pytest.raises(ValueError, match="not websocket"):
        await get_asgi_application()({"type": "websocket"}, Any, Any)

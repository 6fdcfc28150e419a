"""The measured side: runs all operations under one technique, on one loop.

Prints one JSON list, an entry for each operation.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import sys
import time
from collections.abc import Awaitable, Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.detector import project
from benchmarks.detector.servers import Servers
from benchmarks.detector.serving import ask
from benchmarks.detector.techniques import TECHNIQUES, Technique

#: Seconds after which a process says where it hangs, and ends.
MOST = 900
#: Seconds after which an operation is given up: what raises in the middle of other
#: people's code may leave it waiting for ever.
PATIENCE = 30


class Stepped:
    """Awaits a coroutine, and measures its longest step, in seconds."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine, self.longest = coroutine, 0.0

    def __await__(self) -> Generator[Any, Any, None]:
        resume, value = self._coroutine.send, None
        while True:
            began = time.monotonic()
            try:
                waited = resume(value)
            except StopIteration:
                return
            finally:
                self.longest = max(self.longest, time.monotonic() - began)
            try:
                resume, value = self._coroutine.send, (yield waited)
            except BaseException as exc:  # noqa: BLE001
                resume, value = self._coroutine.throw, exc


class Child:
    """Runs one operation after another."""

    def __init__(self, technique: Technique, database: str, redis: str) -> None:
        self.technique, self._database, self._redis = technique, database, redis

    async def run(self, servers: Servers) -> list[dict[str, Any]]:
        from django.core.asgi import get_asgi_application

        from benchmarks.detector.calls import OPERATIONS

        self._application, self._servers = get_asgi_application(), servers
        await ask(self._application, "/hello/")
        await _import_client(servers)
        self.technique.begin()
        return [await self._one(operation) for operation in OPERATIONS]

    async def _one(self, operation: Any) -> dict[str, Any]:
        from benchmarks.detector.urls import running
        from benchmarks.detector.world import World

        world = await asyncio.to_thread(
            World, self._servers, self._database, self._redis, operation.name
        )
        error: list[BaseException] = []
        stepped = Stepped(operation.call(world))

        async def run() -> None:
            await self.technique.settle()
            await asyncio.to_thread(world.begin, operation.name)
            self.technique.forget()
            try:
                await stepped
            except Exception as exc:  # noqa: BLE001
                error.append(exc)

        running[operation.name] = run
        try:
            await _apart(ask(self._application, f"/{operation.name}/"))
        except TimeoutError as exc:
            error.append(exc)
        alarms = await self.technique.found(error[0] if error else None)
        await asyncio.to_thread(world.close)
        return {
            "name": operation.name,
            "seconds": stepped.longest,
            "error": repr(error[0]) if error else None,
            "alarms": [alarm._asdict() for alarm in alarms],
        }


async def _import_client(servers: Servers) -> None:
    """Make one request: what the client imports then would be a stall of its own."""
    import httpx

    host, port = servers.http
    async with httpx.AsyncClient(verify=False) as client:
        await client.get(f"http://{host}:{port}/")


async def _apart(awaitable: Awaitable[int]) -> None:
    """Await it in a task of its own, as a server does."""
    async with asyncio.timeout(PATIENCE):
        status = await asyncio.ensure_future(awaitable)
    if status != 200:
        raise SystemExit(f"The site answered {status}.")


def main() -> None:
    name, loop, database, redis = sys.argv[1:]
    faulthandler.dump_traceback_later(MOST, exit=True)
    technique = TECHNIQUES[name]()
    with TemporaryDirectory() as home, Servers() as servers:
        more = {"DEBUG": True, **technique.settings}
        project.use(database, redis, Path(home), servers.smtp[1], **more)
        project.fill_own()
        child = Child(technique, database, redis)
        with asyncio.Runner(loop_factory=factory_of(loop)) as runner:
            found = runner.run(child.run(servers))
    print(json.dumps(found))


def factory_of(loop: str) -> Any:
    if loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop


if __name__ == "__main__":
    main()

"""Things to wait for, and synchronous code that waits for them."""

import asyncio
from typing import Any

from django_async_ext.bridge import await_, on_loop


async def answer(value: Any) -> Any:
    """Give ``value`` after a turn of the loop."""
    await asyncio.sleep(0)
    return value


class Waiting:
    """Sync code that waits until it is told to go on; and what it went through."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    def wait(self) -> None:
        self.reached.set()
        await_(self.go.wait())

    def work(self) -> str:
        try:
            self.wait()
            self.log.append("went on")
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        finally:
            self.log.append(await_(answer("cleaned up")))
        return "done"

    async def started(self) -> "asyncio.Task[str]":
        """Give a task in which ``work()`` is waiting."""
        task = asyncio.create_task(on_loop(self.work)())
        await self.reached.wait()
        return task


def current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task

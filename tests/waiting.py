"""Things to wait for, and synchronous code that waits for them.

What another process or thread does in its own time is waited for with ``until()``,
never expected at once nor after a fixed time: the machine may be slow.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

from django_async_ext.bridge import await_, on_loop

#: Seconds after which what has not happened never will, on the slowest machine.
PATIENCE = 60


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait for what only another process can make true, and nothing announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def timing_out(condition: Callable[[], Any]) -> AsyncIterator[None]:
    """An ``asyncio.timeout()`` that expires as soon as ``condition`` is true.

    A fixed one expires on a slow machine before the block is where it should be.
    """
    over = False
    async with asyncio.timeout(None) as timeout:

        def expire(watch: "asyncio.Task[None]") -> None:
            if not watch.cancelled() and not over:
                timeout.reschedule(0)

        # It is no part of the block: neither its transaction nor its tasks.
        loop = asyncio.get_running_loop()
        watch = loop.create_task(until(condition), context=Context())
        watch.add_done_callback(expire)
        try:
            yield
        finally:
            over = True
            watch.cancel()
            never = watch.done() and not watch.cancelled() and watch.exception()
            assert not never, "the condition never became true"


def new_threads(before: set[threading.Thread]) -> set[threading.Thread]:
    """Return those started since ``before``: those of earlier tests come to an end."""
    return set(threading.enumerate()) - before


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

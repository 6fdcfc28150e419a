"""Cancels an operation at each of its suspension points, one after the other.

Contract: an ``Interruption`` awaits a coroutine in the running task, counts how
often the task (or a child that it starts meanwhile) gives way to the loop, and
cancels the task at the n-th time. ``Interruption.reached`` tells whether there
was an n-th time. Nothing sleeps, and no server needs to be slow.
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context
from enum import Enum
from functools import partial
from typing import Any


class Kind(Enum):
    """When the cancellation comes, and how often."""

    #: As the task suspends: what it waits for is cancelled before it began.
    AT = "cancelled while it waits"
    #: What it waits for has happened, but the task has not been told yet.
    SERVED = "cancelled as it is served"
    #: Once more at the next suspension, which is that of the clean-up.
    TWICE = "cancelled again while it cleans up"
    #: At every suspension from the n-th on, as cancel scopes do it.
    ALWAYS = "cancelled at every wait"
    #: By asyncio.timeout() around it.
    TIMEOUT = "timed out"


class Interruption:
    """Awaits ``operation``, and cancels the task at its n-th suspension."""

    def __init__(
        self, operation: Coroutine[Any, Any, Any], point: int, kind: Kind
    ) -> None:
        self.operation = operation
        self.point = point
        self.kind = kind
        self.suspensions = 0
        self.cancels = 0
        self.over = False
        self.timeout = asyncio.timeout(None)

    @property
    def reached(self) -> bool:
        return self.suspensions >= self.point

    async def run(self) -> Any:
        """Give the operation's result; raise as whoever awaits it would see it."""
        self.task = asyncio.current_task()
        self.before = self.task.cancelling()
        is_timed = self.kind is Kind.TIMEOUT
        try:
            async with self.timeout if is_timed else nullcontext():
                with self._children():
                    return await Stepped(self.operation, self._suspended)
        finally:
            self.over = True
            self.counted = self.task.cancelling() - self.before
            for _ in range(self.counted):
                self.task.uncancel()

    def _suspended(self, yielded: Any) -> None:
        if self.over:
            return
        self.suspensions += 1
        times = {Kind.TWICE: 2, Kind.ALWAYS: self.suspensions}.get(self.kind, 1)
        if not self.point <= self.suspensions < self.point + times:
            return
        if self.kind is Kind.TIMEOUT:
            self.timeout.reschedule(0)
        elif self.kind is not Kind.SERVED:
            self._cancel()
        elif asyncio.isfuture(yielded):
            # Before the task's own callback, which it adds when it has the future.
            yielded.add_done_callback(self._cancel)
        else:
            self.task.get_loop().call_soon(self._cancel)

    def _cancel(self, *args: Any) -> None:
        self.cancels += 1
        self.task.cancel()

    @contextmanager
    def _children(self) -> Iterator[None]:
        loop = self.task.get_loop()
        before = loop.get_task_factory()

        def create(loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
            # With a context of its own it is no child: a chore of the pool, say.
            if kwargs.get("context") is None:
                coroutine = _stepped(coroutine, self._suspended)
            return asyncio.Task(coroutine, loop=loop, **kwargs)

        loop.set_task_factory(create)
        try:
            yield
        finally:
            loop.set_task_factory(before)


class Stepped:
    """Awaits a coroutine and tells of each of its suspensions."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], suspended: Any) -> None:
        self.coroutine, self.suspended = coroutine, suspended

    def __await__(self) -> Generator[Any, Any, Any]:
        resume = partial(self.coroutine.send, None)
        while True:
            try:
                yielded = resume()
            except StopIteration as stop:
                return stop.value
            self.suspended(yielded)
            try:
                value = yield yielded
            except BaseException as error:  # noqa: BLE001 (the coroutine gets it)
                resume = partial(self.coroutine.throw, error)
            else:
                resume = partial(self.coroutine.send, value)


async def _stepped(coroutine: Coroutine[Any, Any, Any], suspended: Any) -> Any:
    return await Stepped(coroutine, suspended)


async def apart(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await ``coroutine`` in a task that inherits nothing from this one."""
    loop = asyncio.get_running_loop()
    return await loop.create_task(coroutine, context=Context())

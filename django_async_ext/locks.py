"""A lock between tasks as well as threads, and a number of places between tasks.

Contract: to a ``threading.Lock`` all tasks of a loop are one thread, and to an
``RLock`` one holder. These hold tasks of the same thread apart: inside the bridge
they wait on the loop. No Django, no driver.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django_async_ext.bridge import await_


class Lock:
    """Takes the place of a ``threading.Lock`` in synchronous code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.locked = self._lock.locked

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for the lock, at most ``timeout`` seconds; tell whether it is had."""
        if self._lock.acquire(blocking=False):
            return True
        loop = asyncio._get_running_loop()
        if loop is None:
            return self._lock.acquire(timeout=-1 if timeout is None else timeout)
        deadline = None if timeout is None else loop.time() + timeout
        freed = self._stand_in_line(loop)
        while not self._lock.acquire(blocking=False):
            if deadline is not None and loop.time() >= deadline:
                return False
            _await(freed, deadline)
            freed = self._stand_in_line(loop)
        with suppress(ValueError):
            self._waiting.remove(freed)
        return True

    def _stand_in_line(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        freed = loop.create_future()
        self._waiting.append(freed)
        return freed

    def release(self) -> None:
        """Let the next one have it."""
        self._lock.release()
        if self._waiting:
            self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            with suppress(RuntimeError, IndexError):
                freed = self._waiting.popleft()
                freed.get_loop().call_soon_threadsafe(_settle, freed)

    def __enter__(self) -> None:
        # Nearly always it is free: each call here is paid for by every statement.
        if not self._lock.acquire(blocking=False):
            self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()
        if self._waiting:
            self._wake_next()


def _await(freed: asyncio.Future[None], deadline: float | None) -> None:
    timer = None
    if deadline is not None:
        timer = freed.get_loop().call_at(deadline, _settle, freed)
    try:
        await_(freed)
    finally:
        if timer is not None:
            timer.cancel()


def _settle(freed: asyncio.Future[None]) -> None:
    if not freed.done():
        freed.set_result(None)


class Slots:
    """``size`` places for tasks of one loop; inside the bridge only.

    Who finds none free waits, first come, first served. After ``timeout`` seconds,
    or never if that is None, it gets the exception that ``refuse`` makes.
    """

    def __init__(
        self, size: int, timeout: float | None, refuse: Callable[[], Exception]
    ) -> None:
        self._free = size
        self._timeout = math.inf if timeout is None else timeout
        self._refuse = refuse
        #: Until when each waits, by the loop's clock.
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def acquire(self) -> None:
        """Take a place; wait for one if need be."""
        if self._free:
            self._free -= 1
        else:
            self._wait()

    def release(self) -> None:
        """Give a place back, or on to who waits longest."""
        while self._waiting:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        deadline = loop.time() + self._timeout
        self._waiting.append((deadline, waiter))
        self._start_timer(loop, deadline)
        try:
            await_(waiter)
        except BaseException:
            if waiter.done() and not (waiter.cancelled() or waiter.exception()):
                # Cancelled in the same moment in which it was served.
                self.release()
            raise

    def _start_timer(self, loop: Any, deadline: float) -> None:
        # All wait equally long: only the first in the row needs one.
        if self._timer is None and deadline < math.inf:
            self._timer = loop.call_at(deadline, self._give_up, loop)

    def _give_up(self, loop: Any) -> None:
        self._timer = None
        while self._waiting:
            deadline, waiter = self._waiting[0]
            if not waiter.done():
                if deadline > loop.time():
                    self._start_timer(loop, deadline)
                    return
                waiter.set_exception(self._refuse())
            self._waiting.popleft()

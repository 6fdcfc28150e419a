"""A lock between tasks as well as threads.

Contract: to a ``threading.Lock`` all tasks of a loop are one thread, and to an
``RLock`` one holder. This one holds tasks of the same thread apart: inside the
bridge it waits on the loop. No Django, no driver.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress

from django_async_ext.bridge import await_


class Lock:
    """Takes the place of a ``threading.Lock`` in synchronous code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.locked = self._lock.locked

    def __enter__(self) -> None:
        if self._lock.acquire(blocking=asyncio._get_running_loop() is None):
            return
        freed = asyncio.get_running_loop().create_future()
        self._waiting.append(freed)
        while not self._lock.acquire(blocking=False):
            await_(freed)
            freed = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
        with suppress(ValueError):
            self._waiting.remove(freed)

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()
        while self._waiting:
            with suppress(RuntimeError, IndexError):
                freed = self._waiting.popleft()
                freed.get_loop().call_soon_threadsafe(_settle, freed)


def _settle(freed: asyncio.Future[None]) -> None:
    if not freed.done():
        freed.set_result(None)

"""A bounded pool of database connections for one event loop.

Contract: ``take()`` gives an idle connection, or None once room for a new one
is reserved (the taker opens it and calls ``add()``, or ``forget()`` when that
failed); ``put()`` returns a connection at any time without waiting. Waiting
tasks are served first come, first served.

Knows no driver: a connection is anything ``Leasable``. Opening happens in the
task that needs the connection, so that the server's own refusal reaches it at
once; that, and taking without a wait when one is idle, is why this is not
``psycopg_pool``, whose option names it follows.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from django.db.utils import OperationalError

from django_async_ext.bridge import await_
from django_async_ext.db.backends.holders import describe_holders
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.options import PoolOptions
from django_async_ext.exceptions import describe

logger = logging.getLogger("django_async_ext.db")


class Pool:
    """The connections of one database for one event loop.

    ``reset`` is a coroutine function that makes a used connection like new;
    ``open`` one that opens a connection and returns it.
    """

    def __init__(
        self,
        alias: str,
        options: PoolOptions,
        *,
        open: Callable[[], Coroutine[Any, Any, Leasable]],
        reset: Callable[[Leasable], Coroutine[Any, Any, object]],
    ) -> None:
        self.alias = alias
        self.database: str | None = None
        #: What opening its connections left on their wrappers, the last time.
        self.wrapper_state: Mapping[str, Any] = {}
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._open = open
        self._reset = reset
        self._size = 0
        self._idle: deque[Leasable] = deque()
        self.lent: set[Leasable] = set()
        self._waiting: deque[asyncio.Future[Leasable | None]] = deque()
        self.chores: set[asyncio.Task[None]] = set()
        self._shrinker: asyncio.TimerHandle | None = None
        self._drained: asyncio.Event | None = None

    # Taking

    def take(self) -> Leasable | None:
        """Take an idle connection, or None: open one and ``add()`` it.

        Inside the bridge; waits when all are in use. Raises Django's
        ``OperationalError`` naming the holders after ``timeout`` seconds, or
        when ``max_waiting`` tasks wait already.
        """
        if self.closed:
            raise self._closed_error()
        while self._idle:
            connection = self._idle.pop()
            if connection.expires_at > monotonic() and connection.is_alive():
                self.lent.add(connection)
                return connection
            self.drop(connection)
        if self._size < self.options.max_size:
            self._size += 1
            return None
        return self._wait_for_one()

    def add(self, connection: Leasable) -> None:
        """Count a connection opened by the taker; it is in use."""
        lifetime = self.options.max_lifetime
        # Spread, so that connections opened together do not expire together.
        spread = random.uniform(0.95, 1.0)  # noqa: S311 (no secret)
        connection.expires_at = monotonic() + lifetime * spread
        connection.home = self
        self.wrapper_state = connection.wrapper_state
        self.lent.add(connection)
        if self._size < self.options.min_size:
            self._start(self.fill())

    def forget(self) -> None:
        """Give back the room of a connection that could not be opened."""
        self._size -= 1
        if self._drained is not None and not self._size:
            self._drained.set()
        self._offer_room()

    def _wait_for_one(self) -> Leasable | None:
        limit = self.options.max_waiting
        if limit and len(self._waiting) >= limit:
            raise self._exhausted(f"{limit} tasks wait for one already (max_waiting)")
        waiter: asyncio.Future[Leasable | None] = self.loop.create_future()
        self._waiting.append(waiter)
        timer = self.loop.call_later(self.options.timeout, self._give_up, waiter)
        try:
            return await_(waiter)
        except BaseException:
            self._take_back(waiter)
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: asyncio.Future[Any]) -> None:
        if not waiter.done():
            self._waiting.remove(waiter)
            timeout = self.options.timeout
            waiter.set_exception(self._exhausted(f"none came free in {timeout:g} s"))

    def _take_back(self, waiter: asyncio.Future[Leasable | None]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.cancelled() and waiter.exception() is None:
            # Cancelled in the same moment in which it was served.
            connection = waiter.result()
            self.forget() if connection is None else self.put(connection)

    # Returning

    def put(self, connection: Leasable) -> None:
        """Return a connection; never waits.

        An unclean or expired one is closed, a marked one is reset first.
        """
        connection.lessee = connection.task = None
        if connection.open_cursors:
            # Their task has ended before them.
            connection.reset_sql = connection.reset_sql or connection.close_cursors_sql
            connection.open_cursors.clear()
        fit = connection.is_clean() and connection.expires_at > monotonic()
        if self.closed or not fit:
            self.drop(connection)
        elif connection.reset_sql or self.options.reset:
            self._start(self._reset_and_put(connection))
        else:
            self.lent.discard(connection)
            self._hand_on(connection)

    def drop(self, connection: Leasable) -> None:
        """Close a connection of this pool and make room for another."""
        self.lent.discard(connection)
        connection.lessee = connection.task = None
        connection.open_cursors.clear()
        connection.terminate()
        self.forget()

    def _hand_on(self, connection: Leasable) -> None:
        connection.idle_since = monotonic()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.lent.add(connection)
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if self._shrinker is None:
            self._shrinker = self.loop.call_later(self.options.max_idle, self._shrink)

    def _offer_room(self) -> None:
        while self._waiting and self._size < self.options.max_size:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._size += 1
                waiter.set_result(None)

    # Upkeep

    def close(self) -> None:
        """Close every idle connection; those in use close when they come back."""
        self.closed = True
        if self._shrinker is not None:
            self._shrinker.cancel()
        for waiter in self._waiting:
            if not waiter.done() and not self.loop.is_closed():
                waiter.set_exception(self._closed_error())
        self._waiting.clear()
        while self._idle:
            self.drop(self._idle.pop())

    async def drain(self, seconds: float) -> None:
        """Close, and wait until those in use came back, but not for ever."""
        self.close()
        self._drained = asyncio.Event()
        if self._size:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._drained.wait()

    def close_all(self) -> None:
        """Close those in use too: the event loop that uses them has ended."""
        self.close()
        for connection in list(self.lent):
            self.drop(connection)

    def stats(self) -> dict[str, int]:
        """Return counts: size, idle, in_use, waiting, max_size."""
        return {
            "size": self._size,
            "idle": len(self._idle),
            "in_use": self._size - len(self._idle),
            "waiting": sum(not waiter.done() for waiter in self._waiting),
            "max_size": self.options.max_size,
        }

    def _shrink(self) -> None:
        self._shrinker = None
        oldest = monotonic() - self.options.max_idle
        while self._idle and self._idle[0].idle_since <= oldest:
            if self._size <= self.options.min_size:
                break
            self.drop(self._idle.popleft())
        if self._idle:
            wait = max(self._idle[0].idle_since - oldest, 1.0)
            self._shrinker = self.loop.call_later(wait, self._shrink)

    def _start(self, chore: Coroutine[Any, Any, None]) -> None:
        if self.loop.is_closed():
            chore.close()
            return
        # In a context of its own: it must not inherit the caller's transaction.
        task = self.loop.create_task(chore, context=contextvars.Context())
        self.chores.add(task)
        task.add_done_callback(self._end_chore)

    def _end_chore(self, task: asyncio.Task[None]) -> None:
        self.chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            words = "upkeep of the connection pool of database %r failed: %r"
            logger.warning(words, self.alias, error)

    async def fill(self) -> None:
        """Open connections until there are ``min_size``."""
        # All at once: add() need not start this once more.
        missing = max(self.options.min_size - self._size, 0)
        self._size += missing
        try:
            while missing and not self.closed:
                connection = await self._open()
                missing -= 1
                self.add(connection)
                self.put(connection)
        finally:
            for _ in range(missing):
                self.forget()

    async def _reset_and_put(self, connection: Leasable) -> None:
        try:
            await self._reset(connection)
        except BaseException:
            self.drop(connection)
            raise
        connection.reset_sql = None
        self.lent.discard(connection)
        if self.closed or not connection.is_clean():
            self.drop(connection)
        else:
            self._hand_on(connection)

    # Errors

    def _exhausted(self, why: str) -> OperationalError:
        return OperationalError(
            describe(
                "pool-timeout",
                f"No connection to database {self.alias!r}: all "
                f"{self.options.max_size} are in use and {why}.",
                f"They are held by {describe_holders(self.lent)}.",
                "Make the holders finish sooner, lower the concurrency, or raise "
                "OPTIONS['pool']['max_size'].",
            )
        )

    def _closed_error(self) -> OperationalError:
        return OperationalError(
            describe(
                "pool-closed",
                f"The connection pool of database {self.alias!r} is closed, because "
                "its event loop is shutting down.",
                "Await the tasks that still use the database before the loop ends.",
            )
        )

"""What belongs to one event loop, and ends with it.

Contract: a ``PerLoop`` makes its value on first use on each running loop, and
ends it with the loop. A forked child starts with none: what its parent's
values hold open belongs to the parent. No Django, no driver.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")

#: What hears of the end of each loop.
_closers: dict[asyncio.AbstractEventLoop, AsyncIterator[None]] = {}
_all: WeakSet[PerLoop[Any]] = WeakSet()
_before_fork: list[object] = []


class PerLoop(Generic[T]):
    """A value for each event loop: ``make`` makes it, ``end`` ends it.

    ``end`` must not wait: it is called when the loop shuts down, or when a loop
    is found closed.
    """

    def __init__(self, make: Callable[[], T], end: Callable[[T], object]) -> None:
        self._make = make
        self._end = end
        self.values: dict[asyncio.AbstractEventLoop, T] = {}
        _all.add(self)

    def get(self) -> T:
        """Return the running loop's value, made now if there is none."""
        loop = get_running_loop()
        try:
            return self.values[loop]
        except KeyError:
            _watch(loop)
            value = self.values[loop] = self._make()
            return value

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the value of ``loop``; does nothing when it has none."""
        # Two threads may find the loop closed.
        if (value := self.values.pop(loop, None)) is not None:
            self._end(value)


def _watch(loop: asyncio.AbstractEventLoop) -> None:
    end_closed_loops()
    if loop in _closers:
        return
    closer = _closers[loop] = _close_with(loop)
    # The loop closes the asynchronous generators that were started on it when it
    # shuts down: the one hook that every runner and server calls.
    with suppress(StopIteration):
        closer.__anext__().send(None)  # type: ignore[attr-defined]


async def _close_with(loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
    try:
        yield
    finally:
        _end_all(loop)


def end_closed_loops() -> None:
    """End what belongs to loops that were closed without shutting down."""
    for loop in [known for known in list(_closers) if known.is_closed()]:
        _end_all(loop)


def end_running() -> None:
    """End what belongs to the running loop, which is about to shut down."""
    _end_all(get_running_loop())


def _end_all(loop: asyncio.AbstractEventLoop) -> None:
    _closers.pop(loop, None)
    for per_loop in list(_all):
        per_loop.end(loop)


def _after_fork() -> None:
    # Kept, never finalised: the sockets belong to the parent process.
    _before_fork.append(dict(_closers))
    _closers.clear()
    for per_loop in list(_all):
        _before_fork.append(dict(per_loop.values))
        per_loop.values.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Runs what no event loop can wait for in a few threads: hashing, files.

Contract: ``Threads.call()`` is a plain call wherever the caller may block, and a
wait where it must not: inside the bridge, and in a coroutine that the request
handler drives. What a cancelled task asked for is not begun, or its result dropped;
what writes files is awaited first.
"""

from __future__ import annotations

import os
from asyncio import CancelledError, wrap_future
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from django_async_ext.bridge import await_, in_bridge, shielded
from django_async_ext.driving import let_wait

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A bounded number of threads of this process, started when first needed.

    With ``outlasting`` no call ends before its thread: what that still writes would
    undo what is written later.
    """

    def __init__(
        self, name: str, size: Callable[[], int], *, outlasting: bool = False
    ) -> None:
        self._name, self._size, self._outlasting = name, size, outlasting
        self._executor: ThreadPoolExecutor | None = None
        _all.add(self)

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``fn(*args, **kwargs)``, called in a thread where that is needed."""
        return let_wait(self._call, partial(fn, *args, **kwargs))

    def _call(self, job: Callable[[], T]) -> T:
        if not in_bridge():
            return job()
        begun = self._started().submit(copy_context().run, job)
        try:
            return await_(wrap_future(begun))
        except CancelledError:
            if self._outlasting and not begun.cancel():
                _outlast(begun)
            raise

    def _started(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._size(), self._name)
        return self._executor

    def forget(self) -> None:
        """Start new threads at the next call: a child process has none."""
        self._executor = None


def _outlast(job: Future[Any]) -> None:
    # What comes of it is nobody's any more; nor is a second cancellation heard before.
    with shielded(), suppress(Exception):
        await_(wrap_future(job))


_all: WeakSet[Threads] = WeakSet()


def _after_fork() -> None:
    for threads in _all:
        threads.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

#: A disk serves few at a time.
FILES = Threads("async-ext-files", lambda: 4, outlasting=True)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

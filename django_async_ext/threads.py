"""Runs what no event loop can wait for in a few threads: hashing, files.

Contract: ``Threads.call()`` is a plain call wherever the caller may block, and a
wait where it must not: inside the bridge, and in a coroutine that the request
handler drives. What a cancelled task asked for is not begun, or its result dropped.
"""

from __future__ import annotations

import os
from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakSet

from django_async_ext.bridge import await_, in_bridge
from django_async_ext.driving import let_wait

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A bounded number of threads of this process, started when first needed."""

    def __init__(self, name: str, size: Callable[[], int]) -> None:
        self._name, self._size = name, size
        self._executor: ThreadPoolExecutor | None = None
        _all.add(self)

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``fn(*args, **kwargs)``, called in a thread where that is needed."""
        return let_wait(self._call, partial(fn, *args, **kwargs))

    def _call(self, job: Callable[[], T]) -> T:
        if not in_bridge():
            return job()
        job = partial(copy_context().run, job)
        return await_(get_running_loop().run_in_executor(self._started(), job))

    def _started(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._size(), self._name)
        return self._executor

    def forget(self) -> None:
        """Start new threads at the next call: a child process has none."""
        self._executor = None


_all: WeakSet[Threads] = WeakSet()


def _after_fork() -> None:
    for threads in _all:
        threads.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

#: A disk serves few at a time.
FILES = Threads("async-ext-files", lambda: 4)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Three ways to run synchronous Django code from async code.

Django's awaitable methods are ``sync_to_async(method)``; with django-async-ext they
are ``on_loop(method)``. What the comparison page runs on each side is the same
synchronous function, against the same database.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import ClassVar, Protocol, TypeVar

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

from django_async_ext import gather_queries, on_loop
from testproject.databases import POOL

T = TypeVar("T")
Work = Callable[[], T]


class Side(Protocol):
    """One of the contestants."""

    name: ClassVar[str]
    code: ClassVar[str]
    using: ClassVar[str]

    def call(self, work: Work[T]) -> Awaitable[T]:
        """Run one piece of work."""

    def gather(self, works: Sequence[Work[T]]) -> Awaitable[Sequence[T]]:
        """Run several, as much at once as this side can."""

    def request(self) -> AbstractAsyncContextManager[None]:
        """Surround what one request does."""


class OnTheLoop:
    """Ours: a greenlet on the event loop's thread, a connection per statement."""

    name = "django-async-ext"
    code = "on_loop(work)"
    using = "default"

    async def call(self, work: Work[T]) -> T:
        """Run it in the bridge."""
        return await on_loop(work)()

    async def gather(self, works: Sequence[Work[T]]) -> Sequence[T]:
        """Run each in a task of its own."""
        return await gather_queries(*works)

    def request(self) -> AbstractAsyncContextManager[None]:
        """Do nothing: a request holds nothing that it must give back."""
        return nullcontext()


class StockDjango:
    """Django's own: one thread per request, and the request's connection."""

    name = "Stock Django"
    code = "sync_to_async(work)"
    using = "stock"

    async def call(self, work: Work[T]) -> T:
        """Run it in the request's thread."""
        return await sync_to_async(work)()

    async def gather(self, works: Sequence[Work[T]]) -> Sequence[T]:
        """Hand all to the request's thread, which takes them in turn."""
        return await asyncio.gather(*map(self.call, works))

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Do as Django's ASGI handler: a thread for the request, then clean up."""
        async with ThreadSensitiveContext():
            try:
                yield
            finally:
                await self.call(lambda: connections[self.using].close())


class ThreadPool:
    """Stock Django, told to use many threads; the author must mind connections."""

    name = "Stock Django, many threads"
    code = "sync_to_async(work, thread_sensitive=False)"
    using = "stock"

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.executor = executor

    async def call(self, work: Work[T]) -> T:
        """Run it in any thread, and give that thread's connection back."""

        def work_and_close() -> T:
            try:
                return work()
            finally:
                connections[self.using].close()

        hop = sync_to_async(
            work_and_close, thread_sensitive=False, executor=self.executor
        )
        return await hop()

    async def gather(self, works: Sequence[Work[T]]) -> Sequence[T]:
        """Run as many at once as there are threads."""
        return await asyncio.gather(*map(self.call, works))

    def request(self) -> AbstractAsyncContextManager[None]:
        """Do nothing: each call gave its connection back."""
        return nullcontext()


def many_threads() -> ThreadPoolExecutor:
    """Return as many threads as the stock alias has connections."""
    return ThreadPoolExecutor(POOL["max_size"], thread_name_prefix="many-threads")

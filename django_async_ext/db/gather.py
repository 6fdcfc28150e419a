"""Several queries at once: ``await gather_queries(...)``.

Contract: results come in the order of the arguments. Outside a transaction each
query runs in a task of its own, on a connection of its own; inside one all run
on the transaction's connection, in one task, and share round trips where the
database can pipeline. When one fails the rest are cancelled, and have ended,
before its exception is raised.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.db.models.query import RawQuerySet

from django_async_ext import conf
from django_async_ext.bridge import run
from django_async_ext.db.backends.leases import LeasingWrapper
from django_async_ext.db.backends.rendezvous import (
    TOLERATED,
    is_cancelled,
    run_together,
)
from django_async_ext.db.connections import open_transaction

Job = Callable[[], Awaitable[Any]]


async def gather_queries(
    *queries: Any,
    limit: int | None = None,
    return_exceptions: bool = False,
    pipeline: bool = False,
) -> list[Any]:
    """Run ``queries`` concurrently; return their results in order.

    A query is a queryset (its result is the list of its rows, and its cache is
    filled), an awaitable, or a callable without arguments, synchronous or not.
    Given twice, a queryset or awaitable runs once, and a callable twice.

    ``limit`` is how many may run at once, by default one less than the pool
    holds. ``return_exceptions`` puts exceptions among the results, as
    asyncio.gather() does; otherwise the first failure is raised. ``pipeline``
    sends all over one connection in few round trips, for many small reads;
    inside a transaction that is always so.

    Raises ``TypeError`` for anything else, before any query has started.
    """
    try:
        _validate(queries, limit)
        first: dict[tuple[int, int], int] = {}
        for index, query in enumerate(queries):
            first.setdefault(_key(index, query), index)
        unique = {index: queries[index] for index in first.values()}
        results = await _run(unique, limit, return_exceptions, pipeline)
    finally:
        _close_unstarted(queries)
    by_key = dict(zip(first, results, strict=True))
    return [by_key[_key(*item)] for item in enumerate(queries)]


def _key(index: int, query: Any) -> tuple[int, int]:
    return (0, id(query)) if _is_query(query) else (1, index)


def _is_query(value: Any) -> bool:
    return isinstance(value, (QuerySet, RawQuerySet)) or inspect.isawaitable(value)


async def _run(
    unique: dict[int, Any], limit: int | None, return_exceptions: bool, pipeline: bool
) -> list[Any]:
    jobs = [partial(_named, *item) for item in unique.items()]
    queries = list(unique.values())
    wrapper = open_transaction() or _kept(queries)
    if wrapper is None and pipeline:
        wrapper = connections[next(iter(_aliases(queries)))]
    if wrapper is not None:
        return await run_together(wrapper, jobs, return_exceptions)
    return await _parallel(jobs, limit or _default_limit(queries), return_exceptions)


async def _named(index: int, query: Any) -> Any:
    try:
        return await _result(query)
    except Exception as error:
        error.add_note(f"Raised by argument {index} of gather_queries().")
        raise


async def _result(query: Any) -> Any:
    if isinstance(query, (QuerySet, RawQuerySet)):
        return await run(list, query)
    if inspect.isawaitable(query):
        return await query
    called = query() if inspect.iscoroutinefunction(query) else await run(query)
    # A manager's method is a plain function that returns a coroutine.
    return await _result(called) if _is_query(called) else called


def _kept(queries: Iterable[Any]) -> Any:
    """Return the first wrapper whose connection the task will keep, if any.

    With ``lease="task"`` it does to its end, without autocommit until it commits.
    """
    for alias in _aliases(queries):
        wrapper: Any = connections[alias]
        if isinstance(wrapper, LeasingWrapper) and (
            wrapper.is_kept or wrapper.is_in_transaction
        ):
            return wrapper
    return None


def _default_limit(queries: Iterable[Any]) -> int:
    configured = conf.get("GATHER_LIMIT")
    if configured is not None:
        return int(configured)
    wrappers = [connections[alias] for alias in _aliases(queries)]
    sizes = [getattr(wrapper, "pool_size", 1) for wrapper in wrappers]
    return max(min(sizes) - 1, 1)


def _aliases(queries: Iterable[Any]) -> Iterable[str]:
    kinds = (QuerySet, RawQuerySet)
    aliases = [query.db for query in queries if isinstance(query, kinds)]
    return dict.fromkeys(aliases) or [DEFAULT_DB_ALIAS]


class _InContext:
    """Awaits a coroutine in a context of its own, as a task of its own would have."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine, self._context = coroutine, copy_context()

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                yielded = self._context.run(resume)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield yielded
            except BaseException as error:
                resume = partial(self._coroutine.throw, error)
            else:
                resume = partial(self._coroutine.send, value)


class _WorkerError(Exception):
    """Ends a worker, whatever its query raised: a cancellation wakes nobody."""


async def _parallel(jobs: Sequence[Job], limit: int, tolerant: bool) -> list[Any]:
    results: list[Any] = [None] * len(jobs)
    failures: list[BaseException] = []
    queue = iter(enumerate(jobs))

    async def work() -> None:
        for index, job in queue:
            if failures:
                return
            try:
                results[index] = await _InContext(job())
            except BaseException as error:
                if is_cancelled(error):
                    raise
                results[index] = error
                if not (tolerant and isinstance(error, TOLERATED)):
                    failures.append(error)
                    raise _WorkerError from None

    workers = [asyncio.create_task(work()) for _ in range(min(limit, len(jobs)))]
    try:
        if workers:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await _end(workers)
    if failures:
        raise failures[0]
    if any(worker.cancelled() for worker in workers):
        # By a job of its own; the rest of its jobs never began.
        raise asyncio.CancelledError
    return results


async def _end(workers: Sequence[asyncio.Task[None]]) -> None:
    # Until all have ended, and their connections are back, whatever happens.
    cancelled = None
    for worker in workers:
        worker.cancel()
    while pending := [worker for worker in workers if not worker.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    for worker in workers:
        with suppress(BaseException):
            worker.result()
    if cancelled is not None:
        raise cancelled


def _validate(queries: Sequence[Any], limit: int | None) -> None:
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(
            f"gather_queries() takes a limit of at least 1, not {limit!r}. Leave it "
            "out to use one less than the connection pool holds."
        )
    for index, query in enumerate(queries):
        if not _is_query(query) and (isinstance(query, type) or not callable(query)):
            raise TypeError(_refusal(index, query))


def _refusal(index: int, query: Any) -> str:
    remedy = "Pass querysets, awaitables or callables without arguments."
    if inspect.isgenerator(query) or isinstance(query, (list, tuple, set)):
        remedy = "Unpack it with a star: gather_queries(*queries)."
    elif hasattr(query, "get_queryset"):
        remedy = "Pass a queryset of the manager, as in Model.objects.all()."
    elif hasattr(query, "_default_manager"):
        remedy = "Pass a queryset of its manager, as in Model.objects.all()."
    return f"Argument {index} of gather_queries() is {query!r}, no query. {remedy}"


def _close_unstarted(queries: Iterable[Any]) -> None:
    for query in queries:
        if not inspect.iscoroutine(query):
            continue
        if inspect.getcoroutinestate(query) == inspect.CORO_CREATED:
            query.close()

"""Caches what coroutine functions return; of several tasks, one computes.

Contract: while a task computes the value of a key, the other tasks of its loop
that want it wait, and get a copy of the value, as from the cache, or the error. When
the computing task is cancelled, the next one computes.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import pickle
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.db.models import Model

from django_async_ext.bridge import run
from django_async_ext.db.backends.rendezvous import aleave_meeting
from django_async_ext.db.connections import open_transaction, open_transactions
from django_async_ext.db.transaction import aon_commit
from django_async_ext.exceptions import describe
from django_async_ext.loops import PerLoop

P = ParamSpec("P")
T = TypeVar("T")
#: What a task that computes will have found, pickled.
Flight = asyncio.Future[bytes | None]

_MISSING = object()
_PLAIN = (
    *(str, bytes, bool, int, float, Decimal, type(None)),
    *(date, time, timedelta, UUID, Enum),
)


class _Where(NamedTuple):
    """Which value of which cache is wanted."""

    using: str
    version: int | None
    key: str
    #: What the cache makes of the key here: a KEY_FUNCTION may tell tenants apart.
    made: str


class _Line:
    """The tasks of one loop that want the value of one key."""

    length = 0
    flight: Flight | None = None
    #: How many have computed since the first in the line came.
    ended = 0


_lines: PerLoop[dict[_Where, _Line]] = PerLoop(dict, dict.clear)
#: What the running code computes already: to wait for that would never end. A task that
#: is left behind has them still, but must not keep alive what they have found.
_computing: ContextVar[WeakValueDictionary[_Where, Flight]] = ContextVar(
    "computing",
    default=WeakValueDictionary(),  # noqa: B039 (it is copied, never changed)
)


def acached(
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    key: Callable[P, str] | None = None,
    using: str = "default",
    version: int | None = None,
) -> Callable[
    [Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]
]:
    """Cache what the decorated coroutine function returns, ``None`` included.

    ``timeout`` is in seconds, as Django's caches take it; ``using`` the alias in
    CACHES. ``key`` makes the cache's key of the arguments; without it, it is made
    of the function's name and arguments, which must be plain values or saved
    models, or a ``TypeError`` is raised; so it is for a function that was made with
    values of another one's, or a partial.

    Tasks that want the same value while one computes it wait for that one, and get
    copies. In a transaction each computes for itself: what it sees, or waits for, may
    be its own. It is stored when that commits.
    """
    if callable(timeout):
        raise TypeError("acached takes arguments: write @acached(), not @acached.")

    def decorator(
        fn: Callable[P, Coroutine[Any, Any, T]],
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(f"acached takes a coroutine function, not {fn!r}.")
        if key is None:
            _require_own_name(fn)
        make_key: Callable[..., str] = key or partial(_make_key, fn)

        @wraps(fn)
        async def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            where = await _find(using, version, make_key(*args, **kwargs))
            compute = partial(fn, *args, **kwargs)
            value: T = await _get_or_compute(where, compute, timeout)
            return value

        return inner

    return decorator


async def _find(using: str, version: int | None, key: str) -> _Where:
    # A KEY_FUNCTION may ask the database who the tenant is.
    made = await run(caches[using].make_key, key, version=version)
    return _Where(using, version, key, made)


async def _get_or_compute(
    where: _Where, compute: Callable[[], Awaitable[Any]], timeout: float | None
) -> Any:
    if open_transaction() is not None or _is_computing(where):
        value = await _look_up(where)
        if value is _MISSING:
            value = await _fly(_Line(), where, compute, timeout)
        return value
    # A job that stops for another one's statement cannot compute meanwhile.
    await aleave_meeting()
    lines = _lines.get()
    line = lines.setdefault(where, _Line())
    line.length += 1
    try:
        return await _stand_in(line, where, compute, timeout)
    finally:
        line.length -= 1
        if not line.length:
            lines.pop(where, None)


def _is_computing(where: _Where) -> bool:
    flight = _computing.get().get(where)
    return flight is not None and not flight.done()


async def _stand_in(
    line: _Line,
    where: _Where,
    compute: Callable[[], Awaitable[Any]],
    timeout: float | None,
) -> Any:
    while True:
        if line.flight is not None:
            found = await asyncio.shield(line.flight)
            if found is not None:
                return pickle.loads(found)  # noqa: S301 (this process pickled it)
        ended = line.ended
        value = await _look_up(where)
        if value is not _MISSING:
            return value
        # A flight that has ended meanwhile may have stored it after the look.
        if line.flight is None and line.ended == ended:
            return await _fly(line, where, compute, timeout)


async def _look_up(where: _Where) -> Any:
    cache = caches[where.using]
    return await cache.aget(where.key, _MISSING, version=where.version)


async def _fly(
    line: _Line,
    where: _Where,
    compute: Callable[[], Awaitable[Any]],
    timeout: float | None,
) -> Any:
    flight = line.flight = asyncio.get_running_loop().create_future()
    token = _computing.set(_computing.get() | {where: flight})
    # What the others get if this task is cancelled: before it has a value, nothing.
    value = _MISSING
    try:
        value = await compute()
        await _store(where, value, timeout)
    except Exception as error:
        flight.set_exception(error)
        # Whether anybody waits or not: this task raises it.
        flight.exception()
        raise
    finally:
        _computing.reset(token)
        line.flight, line.ended = None, line.ended + 1
        if not flight.done():
            flight.set_result(_pickled(value) if line.length > 1 else None)
    return value


async def _store(where: _Where, value: Any, timeout: float | None) -> None:
    set_ = partial(caches[where.using].aset, timeout=timeout, version=where.version)
    wrappers = list(open_transactions())
    if not wrappers:
        await set_(where.key, value)
    # Nobody is told of the commit of one that is managed by hand.
    elif all(wrapper.in_atomic_block for wrapper in wrappers):
        # What it is now: the caller may change it before the commit.
        data = await run(pickle.dumps, value)
        await _at_commit(
            [wrapper.alias for wrapper in wrappers],
            where,
            lambda: set_(where.key, pickle.loads(data)),  # noqa: S301 (as above)
        )


async def _at_commit(
    aliases: list[str], where: _Where, store: Callable[[], Awaitable[None]]
) -> None:
    uncommitted = set(aliases)

    async def committed(alias: str) -> None:
        uncommitted.discard(alias)
        # The code around the block may be another tenant's.
        if not uncommitted and await _find(*where[:3]) == where:
            await store()

    for alias in aliases:
        await aon_commit(partial(committed, alias), alias, robust=True)


def _pickled(value: Any) -> bytes | None:
    # Before the task that computed it goes on, and may change it. Whatever pickling
    # raises, those who wait must be told to look or compute themselves.
    with suppress(Exception):
        return None if value is _MISSING else pickle.dumps(value)
    return None


def _require_own_name(fn: Callable[..., Any]) -> None:
    # Not so of what each call of the function around it makes anew, and of a partial.
    name = getattr(fn, "__qualname__", None)
    if name and not ("<locals>" in name and getattr(fn, "__closure__", None)):
        return
    raise TypeError(
        describe(
            "acached-function",
            f"acached cannot make a key of the name of {fn!r}: it was made with values "
            "of which its name says nothing, and another one may have others.",
            "Make them arguments, or say what the key is: "
            "@acached(key=lambda ...: ...).",
        )
    )


def _make_key(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    named = list(bound.arguments.items())
    if inspect.ismethod(method := inspect.unwrap(fn)):
        named.insert(0, ("self", method.__self__))
    parts = [_plain(fn, name, value) for name, value in named]
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    return f"{fn.__module__}.{fn.__qualname__}:{digest[:32]}"


def _text(value: Any) -> str:
    # Not what a class of the project's own shows: that may be less than there is.
    if isinstance(value, Enum):
        return repr(value.value) if isinstance(value, Flag) else value.name
    for kind in (bytes, int, float):
        if isinstance(value, kind):
            return kind.__repr__(value)
    plain: Any = next(kind for kind in _PLAIN if isinstance(value, kind))
    return str(plain.__str__(value))


def _plain(fn: Callable[..., Any], name: str, value: Any) -> Any:
    kind = type(value).__module__, type(value).__qualname__
    if isinstance(value, _PLAIN):
        return *kind, _text(value)
    if isinstance(value, Model) and value.pk is not None:
        return value._meta.label, value._state.db, str(value.pk)
    if isinstance(value, list | tuple):
        return [*kind, *(_plain(fn, name, item) for item in value)]
    if isinstance(value, dict):
        items = value.items()
        texts = [repr([_plain(fn, name, part) for part in item]) for item in items]
        return [*kind, *sorted(texts)]
    raise TypeError(
        describe(
            "acached-key",
            f"acached cannot make a key of the argument {name}={value!r} of "
            f"{fn.__qualname__}(): its text may differ from process to process.",
            "Say what the key is: @acached(key=lambda ...: ...).",
        )
    )

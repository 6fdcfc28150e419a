"""Decides where Django's database wrappers may be used on the event loop.

Contract: Django marks the methods that block with ``async_unsafe``, which asks
``django.utils.asyncio.get_running_loop``. ``install()`` answers in its place:
inside the bridge our engines pass and others are refused by name; on the loop
outside the bridge the refusal says what to write instead.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from types import FrameType, MethodType
from typing import Any

import django.utils.asyncio
from django.core.exceptions import SynchronousOnlyOperation
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.dummy.base import DatabaseWrapper as DummyWrapper
from django.db.models import ForeignObject, Model
from django.db.models.query_utils import DeferredAttribute

from django_async_ext.bridge import in_bridge
from django_async_ext.exceptions import describe

_DJANGO_TEXT = (
    "You cannot call this from an async context - use a thread or sync_to_async."
)


def install() -> None:
    """Answer Django's ``async_unsafe`` from here; does nothing the second time."""
    django.utils.asyncio.get_running_loop = _running_loop


#: The code of all that Django has marked.
_MARKED = django.utils.asyncio.async_unsafe(len).__code__


def unguarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method`` of a wrapper of ours, unmarked if called in the bridge.

    To ask and to be told costs more than most of what is marked.
    """
    bound: Any = method
    if getattr(bound, "__code__", None) is _MARKED and in_bridge():
        return MethodType(bound.__wrapped__, bound.__self__)
    return method


def _running_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio._get_running_loop()
    if loop is None:
        raise RuntimeError("Django may go on")
    wrapper = _guarded(sys._getframe(1))
    if in_bridge():
        if hasattr(wrapper, "make_pool") or not _would_block(wrapper):
            raise RuntimeError("Django may go on")
        text = wrong_engine(wrapper)
    elif _does_nothing(sys._getframe(1), wrapper):
        raise RuntimeError("Django may go on")
    else:
        text = _outside(wrapper)
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        raise RuntimeError("Django may go on")
    raise SynchronousOnlyOperation(text)


def _is_wrapper(guarded: Any) -> bool:
    return isinstance(guarded, BaseDatabaseWrapper)


def _would_block(guarded: Any) -> bool:
    # The dummy engine only says that DATABASES is empty.
    return _is_wrapper(guarded) and not isinstance(guarded, DummyWrapper)


def _does_nothing(frame: FrameType, wrapper: Any) -> bool:
    # As assertNumQueries() in a TestCase, whose connection is open.
    guarded = getattr(frame.f_locals.get("func"), "__name__", None)
    is_ours = hasattr(wrapper, "make_pool")
    return guarded == "ensure_connection" and is_ours and bool(wrapper.connection)


def _guarded(frame: FrameType) -> Any:
    # Follows Django: django.utils.asyncio.async_unsafe(), for the name "args".
    arguments = frame.f_locals.get("args")
    return arguments[0] if arguments else None


def wrong_engine(wrapper: BaseDatabaseWrapper) -> str:
    """Say that the engine of ``wrapper`` cannot be used on the loop."""
    engine = wrapper.settings_dict["ENGINE"]
    return describe(
        "wrong-engine",
        f"Database {wrapper.alias!r} was used on the event loop, but its ENGINE "
        f"{engine!r} would block it.",
        f"Set DATABASES[{wrapper.alias!r}]['ENGINE'] to the engine of the same name "
        "in django_async_ext.db.backends, or to its threaded engine, or use this "
        "database in a thread (sync_to_async).",
    )


def _outside(wrapper: Any) -> str:
    for frame in _callers(sys._getframe(2)):
        if lazy := _lazy_access(frame):
            return lazy
    if not _is_wrapper(wrapper):
        return _DJANGO_TEXT
    remedy = (
        "Use the awaitable method of the same name with an 'a' in front (aget, "
        "asave, ...), or call the function as `await on_loop(fn)(...)`."
    )
    if any(map(_counts_queries, islice(_callers(sys._getframe(2)), 4))):
        remedy = (
            "Count queries with `async with self.aassertNumQueries(...)` of "
            "django_async_ext.test, or `async with acapture_queries()`."
        )
    return describe(
        "query-outside-bridge",
        _DJANGO_TEXT,
        f"A synchronous query to database {wrapper.alias!r} would block the event "
        "loop.",
        remedy,
    )


def _counts_queries(frame: FrameType) -> bool:
    if frame.f_code.co_name != "__enter__":
        return False
    kinds = type(frame.f_locals.get("self")).__mro__
    return any(kind.__name__ == "CaptureQueriesContext" for kind in kinds)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _lazy_access(frame: FrameType) -> str | None:
    # Follows Django: DeferredAttribute.__get__(), for the names of its locals.
    if frame.f_code.co_name != "__get__":
        return None
    instance, descriptor = frame.f_locals.get("instance"), frame.f_locals.get("self")
    if not isinstance(instance, Model):
        return None
    name, load = _attribute(descriptor)
    if name is None:
        return None
    model = type(instance).__name__
    return describe(
        "lazy-relation",
        _DJANGO_TEXT,
        f"{model}.{name} is not loaded, and reading it would query the database and "
        "block the event loop.",
        f"Load it with the object ({load}), load it now (await "
        f'afetch({model.lower()}, "{name}")), or let this coroutine wait implicitly '
        "(@implicit_waits).",
    )


def _attribute(descriptor: Any) -> tuple[str | None, str]:
    """Name the attribute that is read, and what loads it with the object."""
    if isinstance(descriptor, DeferredAttribute):
        return descriptor.field.attname, "without defer(), or with its name in only()"
    if related := getattr(descriptor, "related", None):
        name = related.get_accessor_name()
        return name, f"select_related({name!r}), or prefetch_related"
    # Until Django 6.0, a GenericForeignKey is its own descriptor.
    field = getattr(descriptor, "field", descriptor)
    if not getattr(field, "is_relation", False):
        return None, ""
    name, prefetch = field.name, "prefetch_related"
    if isinstance(field, ForeignObject):
        return name, f"select_related({name!r}), or {prefetch}"
    return name, f"{prefetch}({name!r})"

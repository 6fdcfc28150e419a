"""Makes Django's own awaitables wait through the bridge instead of in threads.

Contract: ``adopt()`` gives the modules of ``MODULES`` the bridge's version of
``sync_to_async``, lets ``async_to_sync`` wait inside the bridge, where asgiref
refuses, and keeps receivers of signals in the transaction of their sender;
``release()`` undoes all of it. Calls with ``thread_sensitive=False`` stay in
threads. A test fails when a new Django adds a module that is not in one of the
two tables.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import asgiref.sync
from django.apps import apps
from django.core.handlers.base import BaseHandler
from django.core.signals import request_finished, request_started
from django.db import connections
from django.dispatch import dispatcher

from django_async_ext import conf
from django_async_ext.bridge import await_, in_bridge, run
from django_async_ext.db.backends.ownership import lend
from django_async_ext.db.connections import open_transaction
from django_async_ext.db.transaction import aatomic
from django_async_ext.driving import Driven, drive

_OURS = ("django.", "django_async_ext.")

_stock_sync_to_async = asgiref.sync.sync_to_async
_stock_call = asgiref.sync.AsyncToSync.__call__
_stock_make_view_atomic = BaseHandler.make_view_atomic


def sync_to_async(
    func: Callable[..., Any] | None = None,
    *,
    thread_sensitive: bool = True,
    **options: Any,
) -> Any:
    """Follows asgiref: sync_to_async(), by way of the bridge."""
    if func is None:
        return partial(sync_to_async, thread_sensitive=thread_sensitive, **options)
    if not thread_sensitive:
        return _stock_sync_to_async(func, thread_sensitive=False, **options)
    return partial(run, func)


def sync_to_async_in_signal(func: Callable[..., Any], **options: Any) -> Any:
    """Use the bridge, except for the signals of Django's request handler.

    What their receivers close belongs to the thread that runs synchronous views.
    """
    # Follows Django: django.dispatch.dispatcher.Signal.asend(), for the name "self".
    signal = sys._getframe(1).f_locals.get("self")
    if signal in (request_started, request_finished):
        return _stock_sync_to_async(func, **options)
    return sync_to_async(func, **options)


def sync_to_async_if_known(func: Callable[..., Any], **options: Any) -> Any:
    """Use the bridge for Django's implementation, a thread for a third party's.

    For base classes whose subclasses may wait for anything (LDAP, Redis), and for
    the tests of user_passes_test().
    """
    if func.__module__.startswith(_OURS):
        return sync_to_async(func, **options)
    return _stock_sync_to_async(func, **options)


def sync_to_async_of_hashing(
    func: Callable[..., Any],
    **options: Any,  # noqa: ARG001
) -> Any:
    """Use the bridge, where Django means a thread: ``auth`` has some for hashing."""
    return partial(run, func)


#: Django's caches that wait for the database, or for nothing.
_CACHES = {f"django.core.cache.backends.{name}" for name in ("base", "db", "locmem")}


def sync_to_async_in_cache(func: Callable[..., Any], **options: Any) -> Any:
    """Use the bridge for a cache in the database, which belongs to the transaction.

    Other caches may block on any server or disk.
    """
    if func.__module__ in _CACHES:
        return sync_to_async(func, **options)
    return _stock_sync_to_async(func, **options)


#: Modules whose calls wait through the database wrapper, and what they get.
MODULES = {
    "django.contrib.auth": sync_to_async_of_hashing,
    "django.contrib.auth.backends": sync_to_async_if_known,
    "django.contrib.auth.decorators": sync_to_async_if_known,
    "django.contrib.auth.hashers": sync_to_async_of_hashing,
    "django.contrib.contenttypes.fields": sync_to_async,
    "django.contrib.sessions.backends.base": sync_to_async_if_known,
    "django.contrib.sessions.backends.db": sync_to_async,
    "django.core.cache.backends.base": sync_to_async_in_cache,
    "django.core.paginator": sync_to_async,
    "django.db.models.base": sync_to_async,
    "django.db.models.fields.related_descriptors": sync_to_async,
    "django.db.models.query": sync_to_async,
    "django.dispatch.dispatcher": sync_to_async_in_signal,
}

#: Not adopted, and why.
LEFT = {
    "django.contrib.auth.middleware": "runs the project's own process_request()",
    "django.contrib.staticfiles.handlers": "reads files",
    "django.core.handlers.asgi": "runs the project's synchronous code",
    "django.core.handlers.base": "runs the project's synchronous code",
    "django.core.handlers.exception": "runs the project's synchronous code",
    "django.http.response": "iterates the project's own content",
    "django.tasks.backends.base": "may block on any task backend",
    "django.tasks.base": "runs the project's synchronous code",
    "django.utils.deprecation": "runs the project's synchronous middleware",
}


def _make_view_atomic(self: Any, view: Any) -> Any:
    # Follows Django: BaseHandler.make_view_atomic(), which refuses async views.
    # asgiref knows the marked ones of Python 3.11 too.
    if not asgiref.sync.iscoroutinefunction(view):
        return _stock_make_view_atomic(self, view)
    exempt: set[str] = getattr(view, "_non_atomic_requests", set())
    for alias, database in connections.settings.items():
        if database["ATOMIC_REQUESTS"] and alias not in exempt:
            view = aatomic(using=alias)(view)
    return _waiting(view, reserved=not conf.get("IMPLICIT_WAITS"))


def _waiting(view: Any, *, reserved: bool) -> Any:
    """Drive ``view`` and its streaming body, so that they may wait.

    ``reserved`` is for what Django loads when it is first used, ``request.user``.
    """

    async def driven(*args: Any, **kwargs: Any) -> Any:
        response = view(*args, **kwargs)
        if inspect.isawaitable(response):
            # A view with LoginRequiredMixin may answer at once.
            response = await response
        if getattr(response, "is_async", False):
            response._iterator = Driven(response._iterator, reserved)
        return response

    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await run(drive, driven(*args, **kwargs), reserved=reserved)

    return inner


async def _in_turn(*receivers: Any) -> list[Any]:
    # Django gives each a task of its own, which is not in the transaction.
    waiting, answers = list(receivers), []
    try:
        while waiting:
            answers.append(await waiting.pop(0))
    finally:
        for receiver in waiting:
            receiver.close()
    return answers


def _run_parallel(*receivers: Any) -> Any:
    # Follows Django: django.dispatch.dispatcher._run_parallel().
    parallel = _in_turn if open_transaction() else _stock_run_parallel
    return parallel(*receivers)


class _Asyncio:
    """Stands for asyncio in Django's dispatcher, which gathers up to 6.0."""

    gather = staticmethod(_run_parallel)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


_RECEIVING = "_run_parallel" if hasattr(dispatcher, "_run_parallel") else "asyncio"
_stock_receiving = getattr(dispatcher, _RECEIVING)
_stock_run_parallel = getattr(dispatcher, "_run_parallel", asyncio.gather)
_receiving = _run_parallel if _RECEIVING == "_run_parallel" else _Asyncio()


def adopt() -> None:
    """Let Django's awaitables wait on the loop; does nothing the second time."""
    for name, version in MODULES.items():
        if module := _module(name):
            module.sync_to_async = version
    setattr(dispatcher, _RECEIVING, _receiving)
    asgiref.sync.AsyncToSync.__call__ = _call  # type: ignore[method-assign]
    handler: Any = BaseHandler
    handler.make_view_atomic = _make_view_atomic


def release() -> None:
    """Undo ``adopt()``."""
    for name in MODULES:
        if module := _module(name):
            module.sync_to_async = _stock_sync_to_async
    setattr(dispatcher, _RECEIVING, _stock_receiving)
    asgiref.sync.AsyncToSync.__call__ = _stock_call  # type: ignore[method-assign]
    handler: Any = BaseHandler
    handler.make_view_atomic = _stock_make_view_atomic


def _module(name: str) -> Any:
    try:
        return sys.modules.get(name) or import_module(name)
    except RuntimeError:
        # Its models have no application, unless that is installed.
        if apps.is_installed(".".join(name.split(".")[:3])):
            raise
        return None


def _call(self: Any, *args: Any, **kwargs: Any) -> Any:
    if in_bridge() and not self.force_new_loop:
        return await_(self.awaitable(*args, **kwargs))
    # This thread waits for the coroutine, which belongs to its transaction.
    with lend():
        return _stock_call(self, *args, **kwargs)

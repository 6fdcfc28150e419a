"""Users and passwords on the event loop.

Contract: ``adopt()`` lets Django's own code hash passwords in a few threads
whenever it runs on the loop, gives ``request.user`` and ``request.auser()`` one
user, and lets an asynchronous view read ``request.user``. Django's authentication
backends need nothing more, so there are no subclasses of them here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache, partial, wraps
from importlib import import_module
from typing import Any

from django.apps import apps
from django.contrib import auth
from django.contrib.auth import base_user, hashers
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import functional
from django.views.decorators.debug import sensitive_variables

from django_async_ext import conf
from django_async_ext.bridge import await_, driver, in_bridge, run
from django_async_ext.db.backends.rendezvous import aleave_meeting, leave_meeting
from django_async_ext.driving import let_wait, reserved_waits
from django_async_ext.exceptions import describe
from django_async_ext.threads import Threads, processors

_MOST = 4


def _size() -> int:
    return conf.get("HASHING_THREADS") or min(processors(), _MOST)


HASHING = Threads("async-ext-hashing", _size)

_hashers: Any = hashers
_make_hashers = _hashers.get_hashers.__wrapped__


@lru_cache
def get_hashers() -> Any:
    """Follows Django: get_hashers(), whose hashers here work in threads."""
    found = _make_hashers()
    for hasher in found:
        for name in ("encode", "verify", "harden_runtime"):
            setattr(hasher, name, partial(_in_thread, hasher, name))
    return found


def _in_thread(hasher: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    job = _Hashing(getattr(type(hasher), name), (hasher, *args), kwargs)
    del args, kwargs
    return HASHING.call(job)


class _Hashing:
    """A call of a hasher that shows no password where an error report looks."""

    def __init__(self, method: Any, args: Any, kwargs: Any) -> None:
        self._method, self._args, self._kwargs = method, args, kwargs

    @sensitive_variables()
    def __call__(self) -> Any:
        return self._method(*self._args, **self._kwargs)


class SimpleLazyObject(functional.SimpleLazyObject):  # type: ignore[type-arg]
    """Django's, by which AuthenticationMiddleware's user is told from others."""


def get_user(request: Any) -> Any:
    """Follows Django: django.contrib.auth.middleware.get_user(), but may wait."""
    if not hasattr(request, "_cached_user"):
        try:
            let_wait(_load_in_turn, request)
        except SynchronousOnlyOperation as error:
            if driver() is not None:
                raise
            raise SynchronousOnlyOperation(_not_loaded()) from error
    return request._cached_user


def _load_in_turn(request: Any) -> None:
    if not in_bridge():
        request._cached_user = auth.get_user(request)
        return
    leave_meeting("a user")
    lock = _lock_of(request, "_user_loading")
    await_(lock.acquire())
    try:
        if not hasattr(request, "_cached_user"):
            request._cached_user = auth.get_user(request)
    finally:
        lock.release()


def _lock_of(request: Any, name: str) -> asyncio.Lock:
    # A view and tasks that ask at the same time get one user, from one query.
    lock: asyncio.Lock = request.__dict__.setdefault(name, asyncio.Lock())
    return lock


def _not_loaded() -> str:
    return describe(
        "lazy-user",
        "You cannot call this from an async context - use a thread or sync_to_async. "
        "request.user is not loaded, and reading it here would block the event loop: "
        "the view itself may read it, but not a task that it started.",
        "Use `await request.auser()`, or read request.user before the task starts.",
    )


async def auser(request: Any) -> Any:
    """Follows Django: django.contrib.auth.middleware.auser().

    Here it gives the user of ``request.user``.
    """
    user = request.__dict__.get("user")
    # Not isinstance(), which would load a lazy one here and now.
    of_session = user is None or type(user) is SimpleLazyObject
    if not (of_session or _loads_lazy.get()):
        # Somebody has set it: login() up to Django 5.2, or a middleware.
        await _load_lazy(request, user)
        return user
    if not hasattr(request, "_cached_user"):
        await aleave_meeting()
        async with _lock_of(request, "_user_loading"):
            if not hasattr(request, "_cached_user"):
                request._cached_user = await auth.aget_user(request)
    return request._cached_user


#: Whether the running code loads a lazy user, for which it may want the session's.
_loads_lazy: ContextVar[bool] = ContextVar("loads_lazy", default=False)


async def _load_lazy(request: Any, user: Any) -> None:
    if not issubclass(type(user), functional.LazyObject):
        return
    await aleave_meeting()
    async with _lock_of(request, "_lazy_user_loading"):
        _loads_lazy.set(True)
        try:
            await run(getattr, user, "__class__")
        finally:
            _loads_lazy.set(False)


def _letting(fn: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any) -> Any:
        return let_wait(fn, *args)

    return wraps(fn)(inner)


#: Coroutine functions of Django that hash, in some version, where they run.
_HASHING = {"acheck_password", "_acreate_user", "aauthenticate"}


def _seams() -> list[tuple[Any, str, Any]]:
    found: list[tuple[Any, str, Any]] = [(hashers, "get_hashers", get_hashers)]
    owners: list[Any] = [hashers, base_user.AbstractBaseUser]
    if apps.is_installed("django.contrib.auth"):
        # Its models have no application otherwise.
        middleware = import_module("django.contrib.auth.middleware")
        taken = (get_user, auser, SimpleLazyObject)
        found += [(middleware, each.__name__, each) for each in taken]
        backend: Any = import_module("django.contrib.auth.backends").ModelBackend
        # In a template, or has_perm() in a view: they belong to the user.
        found.append((backend, "_get_permissions", _letting(backend._get_permissions)))
        owners.append(backend)
        owners.append(import_module("django.contrib.auth.models").UserManager)
    for owner in owners:
        for name in _HASHING & vars(owner).keys():
            found.append((owner, name, reserved_waits(vars(owner)[name])))
    return found


_stock: list[tuple[Any, str, Any]] = []


def adopt() -> None:
    """Put this module in force; does nothing the second time."""
    if _stock:
        return
    for owner, name, version in _seams():
        _stock.append((owner, name, vars(owner)[name]))
        setattr(owner, name, version)
    _forget_hashers()


def release() -> None:
    """Undo ``adopt()``."""
    while _stock:
        setattr(*_stock.pop())
    _forget_hashers()


def _forget_hashers() -> None:
    _hashers.get_hashers.cache_clear()
    _hashers.get_hashers_by_algorithm.cache_clear()

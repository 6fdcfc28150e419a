"""Decides which code runs on the event loop and which in a thread.

Contract: one policy, which the request handler follows and ``manage.py asyncext``
prints. Django's own code and this package's are known to wait through the bridge,
as long as what they wait for does (databases, caches, sessions). Synchronous code
of others runs in a thread, as in stock Django, unless it is declared loop-safe.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from django_async_ext import conf
from django_async_ext.handlers.declaring import MARK

LOOP = "loop"
WORKER = "worker"
THREAD = "thread"

OURS = "django_async_ext"
_DECLARE = "If it never blocks, add {name!r} to ASYNC_EXT['LOOP_SAFE']."


class Place(NamedTuple):
    """Where something runs, why, and what to change to have it on the loop."""

    where: str
    why: str
    change: str = ""


def name_of(target: Any) -> str:
    """Return the dotted name by which ``target`` is declared and reported."""
    while isinstance(target, partial):
        target = target.func
    # What as_view() of Django and of Django REST framework return.
    target = getattr(target, "view_class", None) or getattr(target, "cls", target)
    if inspect.ismethod(target):
        owner = target.__self__
        cls = owner if isinstance(owner, type) else type(owner)
        return f"{cls.__module__}.{cls.__qualname__}.{target.__name__}"
    if not hasattr(target, "__qualname__"):
        target = type(target)
    return f"{target.__module__}.{target.__qualname__}"


def _within(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _declared(name: str, target: Any = None) -> Place | None:
    if getattr(target, MARK, False):
        return Place(LOOP, "declared with loop_safe() or on_loop()")
    for prefix in conf.get("LOOP_SAFE"):
        if _within(name, prefix):
            return Place(LOOP, f"declared: {prefix!r} in LOOP_SAFE")
    return None


# What Django's code waits for


def database(alias: str) -> Place:
    """Where queries to database ``alias`` wait."""
    engine = connections.settings[alias]["ENGINE"]
    if engine == f"{OURS}.db.backends.sqlite3":
        return Place(WORKER, "each connection has a worker thread")
    if _within(engine, OURS) or engine == "django.db.backends.dummy":
        return Place(LOOP, "its connections wait on the loop")
    change = f"Use the engine of the same name in {OURS}.db.backends."
    return Place(THREAD, f"{engine} would block the loop", change)


def databases() -> Place:
    """Where queries wait when it is not known to which database."""
    return _worst(database(alias) for alias in connections.settings)


_INLINE_CACHES = ("locmem", "dummy")


def cache(alias: str) -> Place:
    """Where operations of cache ``alias`` wait."""
    backend = settings.CACHES[alias]["BACKEND"]
    name = backend.removeprefix("django.core.cache.backends.").partition(".")[0]
    if _within(backend, "django") and name in _INLINE_CACHES:
        return Place(LOOP, "waits for nothing")
    if _within(backend, "django") and name == "db":
        return databases()
    if _within(backend, OURS):
        return Place(LOOP, "waits on the loop")
    change = f"Use the backend of that name in {OURS}.cache, where there is one."
    return _declared(backend) or Place(THREAD, f"{backend} would block", change)


def sessions() -> Place:
    """Where sessions are loaded and saved."""
    engine = settings.SESSION_ENGINE
    kind = engine.removeprefix("django.contrib.sessions.backends.")
    if kind == "signed_cookies":
        return Place(LOOP, "sessions are in the cookie")
    if kind == "db":
        return databases()
    if kind == "cache":
        return cache(settings.SESSION_CACHE_ALIAS)
    if kind == "cached_db":
        return _worst([cache(settings.SESSION_CACHE_ALIAS), databases()])
    if _within(engine, OURS):
        return Place(LOOP, "waits on the loop")
    change = _DECLARE.format(name=engine)
    return _declared(engine) or Place(THREAD, f"{engine} may block", change)


def auth_backend(path: str) -> Place:
    """Where the authentication backend ``path`` runs."""
    if _within(path, "django", OURS):
        return databases()
    change = _DECLARE.format(name=path)
    return _declared(path) or Place(THREAD, f"{path} may block", change)


def auth() -> Place:
    """Where users are loaded and authenticated."""
    return _worst(
        [sessions(), *(auth_backend(path) for path in settings.AUTHENTICATION_BACKENDS)]
    )


def _worst(places: Any) -> Place:
    order = {LOOP: 0, WORKER: 1, THREAD: 2}
    nothing = Place(LOOP, "waits for nothing")
    return max(places, key=lambda place: order[place.where], default=nothing)


def _page_cache() -> Place:
    return cache(settings.CACHE_MIDDLEWARE_ALIAS)


def _csrf() -> Place:
    return sessions() if settings.CSRF_USE_SESSIONS else _nothing()


def _nothing() -> Place:
    return Place(LOOP, "Django's own, waits for nothing")


#: What Django's own middleware waits for; the others wait for nothing.
_MIDDLEWARE_NEEDS: dict[str, Callable[[], Place]] = {
    "django.contrib.auth.middleware.LoginRequiredMiddleware": auth,
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware": auth,
    "django.contrib.auth.middleware.RemoteUserMiddleware": auth,
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware": databases,
    "django.contrib.messages.middleware.MessageMiddleware": sessions,
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware": databases,
    "django.contrib.sessions.middleware.SessionMiddleware": sessions,
    "django.contrib.sites.middleware.CurrentSiteMiddleware": databases,
    "django.middleware.cache.CacheMiddleware": _page_cache,
    "django.middleware.cache.FetchFromCacheMiddleware": _page_cache,
    "django.middleware.cache.UpdateCacheMiddleware": _page_cache,
    "django.middleware.csrf.CsrfViewMiddleware": _csrf,
}

#: What Django's own views wait for; the others may query any database.
_VIEW_NEEDS: dict[str, Callable[[], Place]] = {
    "django.contrib.auth.views": auth,
    "django.views.defaults": _nothing,
}

#: Django's views that run the project's code, or read files.
_NOT_ONLY_DJANGO = {
    "django.contrib.admin": "the admin runs the project's ModelAdmin classes",
    "django.contrib.staticfiles.views": "reads files",
    "django.views.static": "reads files",
}

# Middleware

#: How a middleware is called: in a thread with its hooks only, or as a whole.
ASYNC, HOOKS = "async", "hooks"


class Mode(NamedTuple):
    """How the handler calls a middleware, and why."""

    how: str
    place: Place


def middleware(path: str) -> Mode:
    """How the middleware ``path`` of ``settings.MIDDLEWARE`` is called."""
    factory = import_string(path)
    if not getattr(factory, "sync_capable", True):
        return Mode(ASYNC, Place(LOOP, "it is asynchronous"))
    if declared := _declared(path, factory) or _declared(name_of(factory)):
        return Mode(LOOP, declared)
    if _within(path, "django", OURS):
        place = _MIDDLEWARE_NEEDS.get(path, _nothing)()
        return Mode(HOOKS if place.where == THREAD else LOOP, place)
    return _third_party(path, factory)


def _third_party(path: str, factory: Any) -> Mode:
    change = _DECLARE.format(name=path)
    if _has_hooks_only(factory):
        why = "synchronous hooks that may block"
        return Mode(HOOKS, Place(THREAD, why, change))
    if getattr(factory, "async_capable", False):
        return Mode(ASYNC, Place(LOOP, "it has an asynchronous mode"))
    return Mode(THREAD, Place(THREAD, "synchronous code that may block", change))


def _has_hooks_only(factory: Any) -> bool:
    return (
        isinstance(factory, type)
        and issubclass(factory, MiddlewareMixin)
        and factory.__call__ is MiddlewareMixin.__call__
    )


# Views


def view(callback: Any) -> Place:
    """Where the view ``callback`` runs."""
    try:
        return _view(callback)
    except TypeError:
        # Not hashable, so not to be remembered.
        return _view.__wrapped__(callback)


@lru_cache(maxsize=4096)
def _view(callback: Any) -> Place:
    name = name_of(callback)
    if iscoroutinefunction(callback):
        return Place(LOOP, ASYNC)
    if declared := _declared(name, callback):
        return declared
    if conf.get("SYNC_VIEWS") == LOOP:
        return Place(LOOP, "SYNC_VIEWS is 'loop'")
    if _within(name, "django", OURS):
        return _django_view(name)
    why = "synchronous code that may block"
    return Place(THREAD, why, _DECLARE.format(name=name))


def _django_view(name: str) -> Place:
    for prefix, why in _NOT_ONLY_DJANGO.items():
        if _within(name, prefix):
            return Place(THREAD, why, _DECLARE.format(name=prefix))
    for prefix, needs in _VIEW_NEEDS.items():
        if _within(name, prefix):
            return needs()
    return databases()


def is_awaited(place: Place) -> bool:
    """Tell whether ``place`` is that of an async view."""
    return place.why == ASYNC


def may_block(callback: Any) -> bool:
    """Tell whether synchronous code that the view ``callback`` leaves may block."""
    place = view(callback)
    if not is_awaited(place):
        return place.where == THREAD
    return conf.get("SYNC_VIEWS") != LOOP and not _declared(name_of(callback), callback)


@lru_cache(maxsize=4096)
def receiver(function: Any) -> Place:
    """Where the synchronous receiver ``function`` of a request's signal runs."""
    name = name_of(function)
    if _within(name, "django", OURS):
        return Place(LOOP, "Django's own, waits for nothing")
    why = "synchronous code that may block"
    return _declared(name, function) or Place(THREAD, why, _DECLARE.format(name=name))


def _forget(**kwargs: Any) -> None:
    _view.cache_clear()
    receiver.cache_clear()


setting_changed.connect(_forget)

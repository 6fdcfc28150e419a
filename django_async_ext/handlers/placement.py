"""Decides which code runs on the event loop and which in a thread.

Contract: one policy, which the request handler follows and ``manage.py asyncext``
prints. Django's own code and this package's are known to wait through the bridge,
as long as what they wait for does (see ``resources``). Synchronous code of others
runs in a thread, as in stock Django, unless it is declared loop-safe.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.signals import setting_changed
from django.http import Http404
from django.urls import get_resolver, get_urlconf
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from django_async_ext import conf
from django_async_ext.handlers.resources import (
    DECLARE,
    LOOP,
    OURS,
    THREAD,
    Place,
    auth,
    cache,
    databases,
    declared,
    email,
    logs,
    name_of,
    sessions,
    within,
    worst,
)


def _nothing() -> Place:
    return Place(LOOP, "Django's own, waits for nothing")


def _page_cache() -> Place:
    return cache(settings.CACHE_MIDDLEWARE_ALIAS)


def _csrf() -> Place:
    return sessions() if settings.CSRF_USE_SESSIONS else _nothing()


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
    "django.middleware.common.BrokenLinkEmailsMiddleware": email,
    "django.middleware.csrf.CsrfViewMiddleware": _csrf,
}

#: What Django's own views wait for; the others may query any database.
_VIEW_NEEDS: dict[str, Callable[[], Place]] = {
    "django.contrib.auth.views": auth,
    "django.views.csrf": _nothing,
    "django.views.defaults": _nothing,
    "django.views.generic.base.RedirectView": _nothing,
    "django.views.i18n": _nothing,
}

#: Django's views that run the project's code, or read files.
_NOT_ONLY_DJANGO = {
    "django.contrib.admin": "the admin runs the project's ModelAdmin classes",
    "django.contrib.staticfiles.views": "reads files",
    "django.views.static": "reads files",
}

# Middleware

#: How a middleware is called, besides on the loop and, as a whole, in a thread:
#: awaited, or on the loop with only its hooks in the thread.
ASYNC, HOOKS = "async", "hooks"


class Mode(NamedTuple):
    """How the handler calls a middleware, and why."""

    how: str
    place: Place


def middleware(path: str) -> Mode:
    """How the middleware ``path`` of ``settings.MIDDLEWARE`` is called."""
    factory: Any = import_string(path)
    if not getattr(factory, "sync_capable", True):
        return Mode(ASYNC, Place(LOOP, "it is asynchronous"))
    if place := declared(factory, path):
        return Mode(LOOP, place)
    if within(path, "django", OURS):
        place = _MIDDLEWARE_NEEDS.get(path, _nothing)()
        return Mode(HOOKS if place.where == THREAD else LOOP, place)
    change = DECLARE.format(name=path)
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


_AWAITED = "it is asynchronous"


@lru_cache(maxsize=4096)
def _view(callback: Any) -> Place:
    if iscoroutinefunction(callback):
        return Place(LOOP, _AWAITED)
    if place := declared(callback):
        return place
    if conf.get("SYNC_VIEWS") == LOOP:
        return Place(LOOP, "SYNC_VIEWS is 'loop'")
    name = name_of(callback)
    if within(name, "django", OURS):
        return _django_view(name)
    why = "synchronous code that may block"
    return Place(THREAD, why, DECLARE.format(name=name))


def _django_view(name: str) -> Place:
    for prefix, why in _NOT_ONLY_DJANGO.items():
        if within(name, prefix):
            return Place(THREAD, why, DECLARE.format(name=prefix))
    for prefix, needs in _VIEW_NEEDS.items():
        if within(name, prefix):
            return needs()
    return databases()


def is_awaited(place: Place) -> bool:
    """Tell whether ``place`` is that of an async view."""
    return place.why == _AWAITED


@lru_cache(maxsize=1)
def waits_implicitly() -> bool:
    """Tell whether all code of async views may wait."""
    return bool(conf.get("IMPLICIT_WAITS"))


def may_block(callback: Any) -> bool:
    """Tell whether synchronous code that the view ``callback`` leaves may block."""
    place = view(callback)
    if not is_awaited(place):
        return place.where == THREAD
    return conf.get("SYNC_VIEWS") != LOOP and not declared(callback)


# The rest of a request


@lru_cache(maxsize=4096)
def receiver(function: Any) -> Place:
    """Where the synchronous receiver ``function`` of a request's signal runs."""
    name = name_of(function)
    if within(name, "django", OURS):
        return _nothing()
    why = "synchronous code that may block"
    change = DECLARE.format(name=name)
    return declared(function) or Place(THREAD, why, change)


def upload_handler(handler: Any) -> Place:
    """Where ``handler`` takes the files of a form."""
    name = name_of(handler)
    if within(name, "django", OURS):
        return _nothing()
    change = DECLARE.format(name=name)
    return declared(handler) or Place(THREAD, "may store files anywhere", change)


def error_response(error: Exception) -> Place:
    """Where the response to ``error`` is made and logged."""
    quiet = isinstance(error, (Http404, PermissionDenied))
    level = logging.WARNING if quiet else logging.ERROR
    loggers = [logging.getLogger("django.request")]
    if not quiet:
        loggers.append(logging.getLogger("django.security"))
    return worst([*error_views(), *(logs(logger, level) for logger in loggers)])


def error_views() -> list[Place]:
    """Where the project's pages for errors are made: ``handler404`` and others."""
    resolver = get_resolver(get_urlconf())
    try:
        handlers = [resolver.resolve_error_handler(n) for n in (400, 403, 404, 500)]
    except Exception:  # noqa: BLE001 (Django is about to meet it too)
        return []
    return [view(handler) for handler in handlers]


def _forget(**kwargs: Any) -> None:
    _view.cache_clear()
    receiver.cache_clear()
    waits_implicitly.cache_clear()


setting_changed.connect(_forget)

"""What a project runs where, and what its requests cost: ``manage.py asyncext``.

Contract: reads the settings and the URLs, and asks the policy that the handler
follows. Counts hops, pieces of work that a request hands to a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import connections
from django.urls import URLResolver, get_resolver
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from django_async_ext.handlers import placement, resources
from django_async_ext.handlers.placement import HOOKS
from django_async_ext.handlers.resources import LOOP, THREAD, Place


class Row(NamedTuple):
    """One line of the report."""

    kind: str
    name: str
    where: str
    why: str
    change: str


class Hops(NamedTuple):
    """The hops of an average request, over all views, here and in stock Django."""

    here: float
    stock: float


def rows() -> list[Row]:
    """Report on every part of the project, in the order of a request."""
    return [Row(kind, name, *place) for kind, name, place in _places()]


def _places() -> Iterator[tuple[str, str, Place]]:
    for path in settings.MIDDLEWARE:
        yield "middleware", path, placement.middleware(path).place
    for route, callback in views():
        name = f"/{route}  {resources.name_of(callback)}"
        yield "view", name, placement.view(callback)
    for signal, receivers in _receivers().items():
        for receiver in receivers:
            name = f"{signal}  {resources.name_of(receiver)}"
            yield "receiver", name, placement.receiver(receiver)
    for alias in connections.settings:
        engine = connections.settings[alias]["ENGINE"]
        yield "database", f"{alias}  {engine}", resources.database(alias)
    for alias, cache in settings.CACHES.items():
        yield "cache", f"{alias}  {cache['BACKEND']}", resources.cache(alias)
    yield "session", settings.SESSION_ENGINE, resources.sessions()
    for path in settings.AUTHENTICATION_BACKENDS:
        yield "auth", path, resources.auth_backend(path)
    for path in resources.email_backends():
        yield "email", path, resources.email_backend(path)


def views() -> list[tuple[str, Any]]:
    """Return the route and the callback of each view that has a URL."""
    return list(_views(get_resolver().url_patterns, ""))


def _views(patterns: Any, before: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def _receivers() -> dict[str, list[Any]]:
    """Return the synchronous receivers of a request's signals, without Django's."""
    signals = {"request_started": request_started, "request_finished": request_finished}
    return {
        name: [
            each for each in signal._live_receivers(None)[0] if not _is_djangos(each)
        ]
        for name, signal in signals.items()
    }


def _is_djangos(receiver: Callable[..., Any]) -> bool:
    return resources.within(resources.name_of(receiver), "django", resources.OURS)


# Hops


def hops() -> Hops:
    """Count the hops of an average request."""
    callbacks = [callback for _, callback in views()] or [None]
    here = [_hops_here(callback) for callback in callbacks]
    stock = [_hops_in_stock(callback) for callback in callbacks]
    return Hops(sum(here) / len(here), sum(stock) / len(stock))


def _hops_here(callback: Any) -> int:
    count, neighbour = 0, None
    for path in settings.MIDDLEWARE:
        how = placement.middleware(path).how
        # Neighbours in a thread call one another there.
        count += how == THREAD and neighbour != THREAD
        if how != LOOP:
            count += _hooks(path, whole=how == HOOKS)
        neighbour = how
    count += callback is not None and placement.view(callback).where == THREAD
    started, finished = (
        any(placement.receiver(each).where == THREAD for each in receivers)
        for receivers in _receivers().values()
    )
    count += started
    # What a thread has opened is closed there, and the signal sent from there.
    return count + (count > 0 or finished)


def _hops_in_stock(callback: Any) -> int:
    # Follows Django: BaseHandler.load_middleware(). Two are for request_started and
    # the closing of the response.
    count, is_async = 2, True
    for path in reversed(settings.MIDDLEWARE):
        factory: Any = import_string(path)
        inner_is_async = is_async
        is_async = getattr(factory, "async_capable", False)
        if not inner_is_async and getattr(factory, "sync_capable", True):
            is_async = False
        count += is_async and not inner_is_async
        count += _hooks(path, whole=is_async)
    count += not is_async
    if callback is not None and not placement.is_awaited(placement.view(callback)):
        count += 1
    return count


def _hooks(path: str, *, whole: bool) -> int:
    """Count the synchronous hooks of a middleware that go to a thread one by one."""
    factory: Any = import_string(path)
    names = ["process_view"]
    if whole and isinstance(factory, type) and issubclass(factory, MiddlewareMixin):
        names += ["process_request", "process_response"]
    hooks = (getattr(factory, name, None) for name in names)
    return sum(hook is not None and not iscoroutinefunction(hook) for hook in hooks)

"""The middleware chain, run in its synchronous mode inside the bridge.

Contract: the class to put before one of Django's handlers. The chain is one
greenlet of the request's task; what may block runs in a thread (see
``placement``), and what is asynchronous is awaited through the bridge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS, partial, update_wrapper
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.handlers import base
from django.core.handlers.exception import response_for_exception
from django.db import connections
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import get_callable
from django.utils.log import log_response

from django_async_ext.bridge import await_, run
from django_async_ext.driving import Driven, drive
from django_async_ext.handlers import placement, resources
from django_async_ext.handlers.placement import ASYNC, HOOKS
from django_async_ext.handlers.resources import LOOP, THREAD

Handler = Callable[..., Any]


class BaseHandler(base.BaseHandler):
    """Follows Django: BaseHandler; see the module."""

    #: While the chain is made: the handler seen last, how it is called, and how the
    #: middleware that is made with it will be called.
    _seen: object = None
    _mode = LOOP
    _next_mode = LOOP

    def load_middleware(self, is_async: bool = False) -> None:
        """As in Django, but always in the synchronous mode."""
        self._seen, self._next_mode = None, LOOP
        super().load_middleware(is_async=False)
        loaded: Any = self
        loaded._middleware_chain = _logging(loaded._middleware_chain)

    async def get_response_async(self, request: Any) -> Any:
        """As in Django, by way of the synchronous chain."""
        return await run(self.get_response, request)

    def adapt_method_mode(
        self,
        is_async: bool,
        method: Handler,
        method_is_async: bool | None = None,
        debug: bool = False,
        name: str | None = None,
    ) -> Handler:
        """As in Django, with three modes: on the loop, in a thread, asynchronous."""
        if method_is_async is None:
            return self._adapt_hook(method)
        handler = self._take(method)
        wanted = LOOP
        if name is not None:
            # Django names the middleware for which the handler is adapted.
            path = name.removeprefix("middleware ")
            self._next_mode = placement.middleware(path).how
            wanted = LOOP if self._next_mode == HOOKS else self._next_mode
        if debug and THREAD in (self._mode, wanted) and self._mode != wanted:
            kind = "Synchronous" if self._mode == THREAD else "Asynchronous"
            base.logger.debug("%s handler adapted for %s.", kind, name)
        return _adapt(handler, self._mode, wanted)

    def _take(self, method: Handler) -> Handler:
        """Note how ``method`` is called; it is the last middleware, unless unused."""
        if method is not self._seen:
            self._seen, self._mode = method, self._next_mode
            target: Any = method.__wrapped__  # type: ignore[attr-defined]
            if iscoroutinefunction(target):
                self._mode = ASYNC
            elif self._mode == HOOKS:
                _send_to_thread(target, "process_request", "process_response")
                self._mode = LOOP
            if isinstance(target, CsrfViewMiddleware) and _failure_view_may_block():
                _send_to_thread(target, "_reject")
        return _converting(method) if self._mode == LOOP else method

    def _adapt_hook(self, method: Handler) -> Handler:
        if iscoroutinefunction(method):
            return _driving(method)
        return method if self._next_mode == LOOP else in_thread(method)

    def make_view_atomic(self, view: Handler) -> Handler:
        """As in Django; what it returns is called in the bridge."""
        place = placement.view(view)
        if any(it["ATOMIC_REQUESTS"] for it in connections.settings.values()):
            view = super().make_view_atomic(view)
        if placement.is_awaited(place):
            return partial(_await_view, view)
        return partial(_view_in_thread, view) if place.where == THREAD else view


def in_thread(fn: Handler) -> Handler:
    """Let ``fn``, called in the bridge, run in the thread of the request."""
    return _awaiting(sync_to_async(fn, thread_sensitive=True), fn)


def _awaiting(
    awaitable: Handler, fn: Handler, wait: Callable[[Any], Any] = await_
) -> Handler:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return wait(awaitable(*args, **kwargs))

    if owner := getattr(fn, "__self__", None):
        # Django's messages name the class of a method.
        inner.__self__ = owner  # type: ignore[attr-defined]
    return _named(inner, fn)


def _driving(fn: Handler) -> Handler:
    # As a view: it may read request.user, and costs no switch unless it waits.
    return _awaiting(fn, fn, wait=partial(drive, reserved=True))


def _named(inner: Handler, fn: Handler) -> Handler:
    # Not its attributes, one of which may say that it is asynchronous.
    return update_wrapper(inner, fn, WRAPPER_ASSIGNMENTS, ())


def _adapt(handler: Handler, mode: str, wanted: str) -> Handler:
    if mode == wanted:
        return handler
    if mode == THREAD:
        return sync_to_async(handler) if wanted == ASYNC else in_thread(handler)
    if mode == ASYNC and wanted == LOOP:
        return _driving(handler)
    if mode == LOOP:
        handler = _bridged(handler)
    return async_to_sync(handler) if wanted == THREAD else handler


def _bridged(handler: Handler) -> Handler:
    async def inner(request: Any) -> Any:
        return await run(handler, request)

    return _named(inner, handler)


def _converting(method: Any) -> Handler:
    # Follows Django: convert_exception_to_response().
    get_response: Handler = method.__wrapped__

    def inner(request: Any) -> Any:
        try:
            return get_response(request)
        except Exception as exc:  # noqa: BLE001 (as Django does)
            answer: Handler = response_for_exception
            if placement.error_response(exc).where == THREAD:
                answer = in_thread(answer)
            return answer(request, exc)

    return _named(inner, get_response)


def _logging(chain: Handler) -> Handler:
    def inner(request: Any) -> Any:
        response = chain(request)
        if response.status_code >= 400:
            _log(request, response)
        return response

    return inner


def _log(request: Any, response: Any) -> None:
    # Follows Django: BaseHandler.get_response(), which logs nothing twice.
    level = logging.ERROR if response.status_code >= 500 else logging.WARNING
    if resources.logs(base.logger, level).where == THREAD:
        log: Any = sync_to_async(log_response, thread_sensitive=False)
        words = ("%s: %s", response.reason_phrase, request.path)
        await_(log(*words, response=response, request=request))


def _failure_view_may_block() -> bool:
    return placement.view(get_callable(settings.CSRF_FAILURE_VIEW)).where == THREAD


def _send_to_thread(middleware: Any, *names: str) -> None:
    for name in names:
        if method := getattr(middleware, name, None):
            setattr(middleware, name, in_thread(method))


def _await_view(view: Handler, /, *args: Any, **kwargs: Any) -> Any:
    # In the greenlet of the request: a view that need not wait costs no switch.
    reserved = not placement.waits_implicitly()
    response = view(*args, **kwargs)
    if not isinstance(response, HttpResponseBase):
        # A view with LoginRequiredMixin may have answered at once.
        response = drive(response, reserved=reserved)
    if getattr(response, "is_async", False):
        response._iterator = Driven(response._iterator, reserved)
    render = getattr(response, "render", None)
    if render is not None and iscoroutinefunction(render):
        response.render = _awaiting(render, render)
    return response


def _view_in_thread(view: Handler, /, *args: Any, **kwargs: Any) -> Any:
    response = in_thread(view)(*args, **kwargs)
    if callable(getattr(response, "render", None)):
        _render_in_thread(response)
    return response


def _render_in_thread(response: Any) -> None:
    def render() -> Any:
        # Or it would be pickled with the response, by a cache.
        del response.render
        if iscoroutinefunction(response.render):
            return await_(response.render())
        return in_thread(response.render)()

    response.render = render

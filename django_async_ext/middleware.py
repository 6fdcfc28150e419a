"""The middleware of this package.

Contract: works in both modes of Django's handlers, and under this package's own.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from django_async_ext.detection import activation, requests

#: Entries of one header: servers and proxies refuse a long one.
_MOST = 20

GetResponse = Callable[[HttpRequest], Any]


class BlockingCallDetectionMiddleware:
    """Starts the detector, and lets its reports name the request and the view.

    Put it first in ``MIDDLEWARE``. With ``DEBUG``, the header ``Server-Timing`` shows
    what blocked in the browser's tools.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        activation.start()

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """As in Django."""
        if self._is_async:
            return self._acall(request)
        token = _make_known(request)
        try:
            return _timed(request, self.get_response(request))
        finally:
            requests.running.reset(token)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        token = _make_known(request)
        try:
            return _timed(request, await self.get_response(request))
        finally:
            requests.running.reset(token)


def _make_known(request: HttpRequest) -> Token[HttpRequest | None]:
    """Let the detector know of ``request``, until the token is given back."""
    if _get_running_loop() is not None:
        activation.watch_loop()
    return requests.running.set(request)


def _timed(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Show in the header ``Server-Timing`` what blocked, with ``DEBUG``."""
    if settings.DEBUG and (found := requests.noted(request)):
        entries = [
            f'blocking;desc="{each.what} at line {each.place.line} of '
            f'{each.place.function}"' + _duration(each.seconds)
            for each in found[:_MOST]
        ]
        if before := response.headers.get("Server-Timing"):
            entries.insert(0, before)
        response.headers["Server-Timing"] = ", ".join(entries)
    return response


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else f";dur={seconds * 1000:.1f}"

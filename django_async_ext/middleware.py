"""The middleware of this package.

Contract: works in both modes of Django's handlers, and under this package's own.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from django_async_ext.detection import activation, requests

GetResponse = Callable[[HttpRequest], Any]


class BlockingCallDetectionMiddleware:
    """Starts the detector, and lets its reports name the request and the view.

    Put it first in ``MIDDLEWARE``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
        activation.start()

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """As in Django."""
        if iscoroutinefunction(self):
            return self._acall(request)
        with _Known(request):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        with _Known(request):
            response: HttpResponseBase = await self.get_response(request)
            return response


class _Known:
    """While it is entered, the detector knows of ``request``."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __enter__(self) -> None:
        self._token = requests.running.set(self._request)
        if _get_running_loop() is not None:
            activation.watch_loop()

    def __exit__(self, *exc: object) -> None:
        requests.running.reset(self._token)

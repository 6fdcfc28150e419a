"""Django's asynchronous test client, over the handler of this package.

Contract: a request takes the way that it takes under
``django_async_ext.asgi.get_asgi_application()``: one greenlet, no thread.
"""

from __future__ import annotations

from typing import Any

from django.test import client

from django_async_ext.handlers.base import BaseHandler


class AsyncClientHandler(BaseHandler, client.AsyncClientHandler):
    """Follows Django: AsyncClientHandler."""


class AsyncClient(client.AsyncClient):
    """Follows Django: AsyncClient."""

    def __init__(
        self,
        enforce_csrf_checks: bool = False,
        raise_request_exception: bool = True,
        **defaults: Any,
    ) -> None:
        super().__init__(enforce_csrf_checks, raise_request_exception, **defaults)
        self.handler = AsyncClientHandler(enforce_csrf_checks)

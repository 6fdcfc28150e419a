"""Django's ASGI handler on the event loop: one greenlet, no thread, for a request.

Contract: does all that ``django.core.handlers.asgi.ASGIHandler`` does, in one task:
the client's disconnect is watched for only when the request has to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from typing import Any

from django.core.exceptions import RequestAborted
from django.core.handlers import asgi
from django.core.signals import request_finished, request_started
from django.urls import set_script_prefix

from django_async_ext.bridge import run
from django_async_ext.handlers import signals, streaming
from django_async_ext.handlers.base import BaseHandler

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class ASGIHandler(BaseHandler, asgi.ASGIHandler):
    """Follows Django: ASGIHandler; see the module."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As in Django, without a task for each request."""
        try:
            body_file = await self.read_body(receive)
        except RequestAborted:
            return
        with closing(body_file):
            set_script_prefix(asgi.get_script_prefix(scope))
            await run(signals.send, request_started, self.__class__, scope=scope)
            response: Any
            request, response = self.create_request(scope, body_file)
            if request is None:
                await self.send_response(response, send)
                await run(signals.close, response, self.__class__)
                return
            try:
                with Watch(self.listen_for_disconnect, receive):
                    response = await self.run_get_response(request)
                    if response.streaming and not response.is_async:
                        streaming.make_async(response, request)
                    await self.send_response(response, send)
            finally:
                if response is None:
                    await run(signals.send, request_finished, self.__class__)
                else:
                    await run(signals.close, response, self.__class__)


class Watch:
    """Cancels the running task when the client is gone before the block ends.

    It begins when the task first waits: most requests are over before that.
    Follows asyncio.timeout(), which tells its own cancellation from others alike.
    """

    def __init__(self, listen: Callable[[Any], Any], receive: Receive) -> None:
        self._listen, self._receive = listen, receive
        self._listener: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.call_soon(self._begin)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        self._over = True
        self._start.cancel()
        if self._listener is not None:
            self._listener.cancel()
        if self._error is None:
            return False
        if self._task.uncancel() > self._cancelling or not isinstance(
            error, asyncio.CancelledError
        ):
            return False
        if not isinstance(self._error, RequestAborted):
            raise self._error
        return True

    def _begin(self) -> None:
        self._listener = self._loop.create_task(self._listen(self._receive))
        self._listener.add_done_callback(self._end)

    def _end(self, listener: asyncio.Task[None]) -> None:
        if self._over or listener.cancelled():
            return
        if (error := listener.exception()) is not None:
            self._error = error
            self._task.cancel()

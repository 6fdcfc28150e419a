"""Django's ASGI handler on the event loop: one greenlet, no thread, for a request.

Contract: does all that ``django.core.handlers.asgi.ASGIHandler`` does, in one task:
the client's disconnect is watched for only when the request has to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from io import BytesIO
from typing import Any

from django.core.exceptions import RequestAborted
from django.core.handlers import asgi
from django.http import HttpRequest
from django.urls import set_script_prefix

from django_async_ext.bridge import in_bridge
from django_async_ext.handlers import lifespan, placement, signals, streaming
from django_async_ext.handlers.base import BaseHandler, in_thread
from django_async_ext.handlers.resources import THREAD, worst

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


#: The message of a request without a body, as servers send it.
_NO_BODY = [
    {"type": "http.request", "body": b"", "more_body": False},
    {"type": "http.request", "body": b""},
    {"type": "http.request"},
]


class ASGIRequest(asgi.ASGIRequest):
    """Follows Django: ASGIRequest; a large upload is parsed in a thread."""

    def _load_post_and_files(self) -> None:
        load = super()._load_post_and_files
        in_thread(load)() if in_bridge() and self._is_long_to_load() else load()

    def _is_long_to_load(self) -> bool:
        if self.content_type != "multipart/form-data":
            return False
        places = (placement.upload_handler(each) for each in self.upload_handlers)
        on_disk: bool = getattr(self._stream, "_rolled", False)
        return on_disk or worst(places).where == THREAD


class ASGIHandler(BaseHandler, asgi.ASGIHandler):
    """Follows Django: ASGIHandler; see the module."""

    request_class = ASGIRequest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As in Django, and the lifespan of the server process."""
        if scope["type"] == "lifespan":
            await lifespan.serve(receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As in Django, without a task for each request."""
        try:
            body_file = await self.read_body(receive)
        except RequestAborted:
            return
        sender, response = self.__class__, None
        with closing(body_file):
            set_script_prefix(asgi.get_script_prefix(scope))
            await signals.send_started(sender, scope)
            try:
                with Watch(self.listen_for_disconnect, receive):
                    request, response = self.create_request(scope, body_file)
                    if request is not None:
                        response = await self.run_get_response(request)
                    await self.send_response(response, send)
            finally:
                if response is None:
                    await signals.send_finished(sender)
                else:
                    await signals.close(response, sender)

    async def read_body(self, receive: Receive) -> Any:
        """As in Django; no body needs no file."""
        messages = [await receive()]
        if messages[0] in _NO_BODY:
            return BytesIO()

        async def replay() -> Mapping[str, Any]:
            return messages.pop() if messages else await receive()

        return await super().read_body(replay)

    async def run_get_response(self, request: HttpRequest) -> Any:
        """As in Django; what is streamed never blocks the loop."""
        response: Any = await super().run_get_response(request)
        if response.streaming and not response.is_async:
            streaming.make_async(response, request)
        return response


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

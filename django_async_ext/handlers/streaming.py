"""Streams a synchronous iterator to an asynchronous server, part by part.

Contract: nothing is collected. The code of the iterator runs where the view that
made it ran; a file on disk is read in one of the threads for files.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async

from django_async_ext.bridge import run
from django_async_ext.handlers import placement
from django_async_ext.threads import FILES

_END: Any = object()


def make_async(response: Any, request: Any) -> None:
    """Let the synchronous content of ``response`` be consumed asynchronously."""
    parts: Iterator[bytes] = response.streaming_content
    response.streaming_content = _parts(parts, _stepper(response, request))


async def _parts(
    parts: Iterator[bytes], step: Callable[..., Awaitable[Any]]
) -> AsyncIterator[bytes]:
    while (part := await step(next, parts, _END)) is not _END:
        yield part


def _stepper(response: Any, request: Any) -> Callable[..., Awaitable[Any]]:
    file = getattr(response, "file_to_stream", None)
    if file is not None:
        # Django's File has the file itself as an attribute.
        raw = getattr(file, "file", file)
        if isinstance(raw, io.BytesIO):
            return _on_loop
        if isinstance(raw, io.FileIO | io.BufferedReader | io.BufferedRandom):
            return _from_disk
    match = request.resolver_match
    if match is not None and not placement.may_block(match.func):
        return _on_loop
    return _in_request_thread


async def _on_loop(step: Callable[..., Any], *args: Any) -> Any:
    # An endless iterator would otherwise never let the loop see the disconnect.
    await asyncio.sleep(0)
    return await run(step, *args)


async def _from_disk(step: Callable[..., Any], *args: Any) -> Any:
    return await run(FILES.call, step, *args)


async def _in_request_thread(step: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(step, thread_sensitive=True)(*args)

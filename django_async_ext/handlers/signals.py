"""Sends the signals of a request, and ends it, without a thread where possible.

Contract: receivers of Django and of this package run on the loop, and so do others
that are declared loop-safe. A synchronous receiver of a third party runs in the
request's thread, as in stock Django. What belongs to that thread, such as its
database connections, is closed in it.
"""

from __future__ import annotations

from asyncio import get_running_loop
from typing import Any
from weakref import ref

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, reset_queries
from django.dispatch import Signal
from django.dispatch.dispatcher import NO_RECEIVERS

from django_async_ext.bridge import await_, run
from django_async_ext.handlers import placement
from django_async_ext.handlers.resources import LOOP

_DATABASES = (reset_queries, close_old_connections)
_DJANGOS = (*_DATABASES, close_caches, reset_urlconf)


class Quiet:
    """The sender of signals that none but Django's own receivers would get."""


async def send_started(sender: type, scope: dict[str, Any]) -> None:
    """Send ``request_started``."""
    if not _is_quiet(request_started) or _has_connections():
        await run(_send, request_started, sender, scope=scope)


async def send_finished(sender: type) -> None:
    """Send ``request_finished`` for a request that has no response."""
    if _has_thread():
        await request_finished.asend(sender)
    else:
        await run(_send, request_finished, sender)


async def close(response: Any, sender: type) -> None:
    """Close ``response``, which sends ``request_finished``."""
    if _has_thread():
        # Its connections are closed there.
        await sync_to_async(response.close, thread_sensitive=True)()
    elif not _is_quiet(request_finished) or _has_connections():
        await run(_close, response, sender)
    else:
        await _close_quietly(response)


async def _close_quietly(response: Any) -> None:
    response._handler_class = Quiet
    if response.streaming or len(response._resource_closers) > 1:
        # They may wait: a generator closes the cursor it reads from.
        await run(response.close)
    else:
        response.close()
    close_caches()
    reset_urlconf(None)


def _close(response: Any, sender: type) -> None:
    if _stays_on_loop(request_finished, sender):
        response.close()
    else:
        await_(sync_to_async(response.close, thread_sensitive=True)())


def _send(signal: Signal, sender: type, **named: Any) -> None:
    if _stays_on_loop(signal, sender):
        signal.send(sender=sender, **named)
    else:
        await_(signal.asend(sender=sender, **named))


def _is_quiet(signal: Signal) -> bool:
    # Follows Django: Signal.send(), which looks up its sender here first. Whatever
    # connects or disconnects a receiver empties it.
    known: Any = signal.sender_receivers_cache
    quiet = known.get(Quiet)
    if quiet is None:
        receivers = [entry[1] for entry in signal.receivers]
        alive = [each() if isinstance(each, ref) else each for each in receivers]
        others = [each for each in alive if each not in (None, *_DJANGOS)]
        quiet = known[Quiet] = others or NO_RECEIVERS
    return quiet is NO_RECEIVERS


def _has_connections() -> bool:
    """Tell whether the databases' receivers would find anything to do."""
    storage: Any = connections._connections  # type: ignore[attr-defined]
    if not hasattr(storage, "of_running_task"):
        return True
    return any(wrapper.connection is not None for wrapper in storage.of_running_task())


def _stays_on_loop(signal: Signal, sender: type) -> bool:
    receivers, awaitables = signal._live_receivers(sender)
    # Django sends to these with async_to_sync(), which waits in the bridge if the
    # package's own version is in force.
    if awaitables and AsyncToSync.__call__.__module__.startswith("asgiref"):
        return False
    return all(placement.receiver(each).where == LOOP for each in receivers)


def _has_thread() -> bool:
    """Tell whether something ran in the thread of this request."""
    if get_running_loop() in AsyncToSync.loop_thread_executors:
        # A thread waits in async_to_sync() for this loop, and serves it.
        return True
    context = SyncToAsync.thread_sensitive_context.get(None)
    return context in SyncToAsync.context_to_thread_executor

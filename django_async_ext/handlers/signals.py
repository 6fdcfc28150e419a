"""Sends the signals of a request, and ends it, without a thread where possible.

Contract: inside the bridge. Receivers of Django and of this package run there, and
so do others that are declared loop-safe. A synchronous receiver of a third party
runs in the request's thread, as in stock Django. What belongs to that thread, such
as its database connections, is closed in it.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.core.signals import request_finished
from django.dispatch import Signal

from django_async_ext.bridge import await_
from django_async_ext.handlers import placement


def send(signal: Signal, sender: type, **named: Any) -> None:
    """Send ``request_started``, or ``request_finished`` where there is no response."""
    if _stays_on_loop(signal, sender):
        signal.send(sender=sender, **named)
    else:
        await_(signal.asend(sender=sender, **named))


def close(response: Any, sender: type) -> None:
    """Close ``response``, which sends ``request_finished``."""
    if _stays_on_loop(request_finished, sender):
        response.close()
    else:
        await_(sync_to_async(response.close, thread_sensitive=True)())


def _stays_on_loop(signal: Signal, sender: type) -> bool:
    if signal is request_finished and _has_thread():
        return False
    receivers, awaitables = signal._live_receivers(sender)
    # Django sends to these with async_to_sync(), which waits in the bridge if the
    # package's own version is in force.
    if awaitables and AsyncToSync.__call__.__module__.startswith("asgiref"):
        return False
    return all(placement.receiver(each).where == placement.LOOP for each in receivers)


def _has_thread() -> bool:
    """Tell whether something ran in the thread of this request."""
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return True
    context = SyncToAsync.thread_sensitive_context.get(None)
    return context in SyncToAsync.context_to_thread_executor

"""Knows which request the running code belongs to.

Contract: the middleware sets it, all that the request starts inherits it. What is
told of a request is read when something is reported, not before.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import Any, NamedTuple

from django.http import HttpRequest

running: ContextVar[HttpRequest | None] = ContextVar(
    "django_async_ext_request", default=None
)


class RequestInfo(NamedTuple):
    """What a report says of a request."""

    method: str
    path: str
    view: str
    url_name: str


def current(context: Context | None = None) -> RequestInfo | None:
    """Describe the request of the running code, or of ``context``."""
    request = running.get() if context is None else context.get(running)
    return None if request is None else describe(request)


def describe(request: HttpRequest) -> RequestInfo:
    """Describe ``request``; the view is unknown before its URL was resolved."""
    match: Any = getattr(request, "resolver_match", None)
    view, url_name = (match._func_path, match.view_name) if match else ("", "")
    return RequestInfo(request.method or "", request.path, view, url_name or "")


def note(occurrence: Any) -> None:
    """Remember ``occurrence`` with the request of the running code, once for a line.

    For what is shown with the response: a view may block in a loop.
    """
    request = running.get()
    if request is not None:
        found = request.__dict__.setdefault("_blocking_calls", {})
        found.setdefault(occurrence.key, occurrence)


def noted(request: HttpRequest) -> list[Any]:
    """Return what was found while ``request`` was served."""
    return list(request.__dict__.get("_blocking_calls", {}).values())

"""How a project declares its synchronous code loop-safe: views, URLs, middleware.

Contract: a declaration is an attribute, which only the request handler of this
package reads. Under any other handler, WSGI included, nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

from django.urls import URLResolver

from django_async_ext import bridge

C = TypeVar("C", bound=Callable[..., Any])

MARK = "_async_ext_loop_safe"


def loop_safe(target: C) -> C:
    """Declare that ``target`` blocks nowhere: a view, a middleware, or a receiver.

    It then runs on the event loop, where it may wait through the bridge only. On a
    class it holds for the subclasses too.
    """
    try:
        setattr(target, MARK, True)
    except AttributeError:
        # A bound method has no attributes of its own.
        relay: Any = update_wrapper(
            lambda *args, **kwargs: target(*args, **kwargs), target
        )
        setattr(relay, MARK, True)
        return cast(C, relay)
    return target


def on_loop(target: Any) -> Any:
    """Take URL patterns too: ``path("admin/", on_loop(admin.site.urls))``.

    Declares their views loop-safe and gives them back: a list of patterns, or what
    ``include()`` returns. Anything else is for ``bridge.on_loop()``.
    """
    if isinstance(target, list):
        _declare(target)
    elif isinstance(target, tuple):
        # include() gives the module of the patterns, or a list of them.
        _declare(getattr(target[0], "urlpatterns", target[0]))
    else:
        return bridge.on_loop(target)
    return target


def _declare(patterns: Any) -> None:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            _declare(pattern.url_patterns)
        else:
            pattern.callback = loop_safe(pattern.callback)

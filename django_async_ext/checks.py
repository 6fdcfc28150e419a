"""System checks: say at start-up what will not work on the event loop.

Contract: tag ``async``. Each check has an id, a hint, and an entry in
``docs/reference/checks``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.checks import register as register_check
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_async_ext.db.backends.leases import LEASES
from django_async_ext.db.backends.options import PoolOptions
from django_async_ext.db.backends.threaded.base import cancel_option, wrapped_class
from django_async_ext.detection.static import checking
from django_async_ext.handlers import placement, resources

TAG = "async"
ENGINES = "django_async_ext.db.backends"
_SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


def register() -> None:
    """Register every check of this module."""
    register_check(check_databases, TAG)
    register_check(check_environment, TAG)
    register_check(check_middleware, TAG)
    checking.register()


def check_databases(**kwargs: Any) -> list[CheckMessage]:
    """E001 to E003, W001 and W002: how each database behaves on the event loop."""
    found: list[CheckMessage] = []
    for alias, database in connections.settings.items():
        if database["ENGINE"].startswith(ENGINES):
            found += _check_ours(alias, database)
        elif any(
            d["ENGINE"].startswith(ENGINES) for d in connections.settings.values()
        ):
            found.append(_wrong_engine(alias, database["ENGINE"]))
    return found


def check_environment(**kwargs: Any) -> list[CheckMessage]:
    """W003: Django's guard against queries that block the loop is off."""
    engines = [database["ENGINE"] for database in connections.settings.values()]
    ours = any(engine.startswith(ENGINES) for engine in engines)
    if not (ours and os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")):
        return []
    return [
        Warning(
            "DJANGO_ALLOW_ASYNC_UNSAFE is set: a synchronous query on the event loop "
            "blocks it, and runs outside the transaction of its task.",
            "Unset it; call synchronous code through on_loop().",
            id="async_ext.W003",
        )
    ]


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """W004 and W005: what keeps threads busy in every request on the event loop."""
    found: list[CheckMessage] = []
    for path in settings.MIDDLEWARE:
        mode = placement.middleware(path)
        if mode.how == resources.THREAD:
            found.append(
                Warning(
                    f"Middleware {path} is synchronous: on the event loop it keeps a "
                    "thread for the whole of each request.",
                    f"{mode.place.change} Or make it a MiddlewareMixin, or awaitable.",
                    id="async_ext.W004",
                )
            )
    sessions = resources.sessions()
    if _SESSIONS in settings.MIDDLEWARE and sessions.where == resources.THREAD:
        found.append(
            Warning(
                f"Sessions are not on the event loop ({sessions.why}): each request "
                "goes to a thread for its session.",
                sessions.change,
                id="async_ext.W005",
            )
        )
    return found


def _check_ours(alias: str, database: dict[str, Any]) -> Iterator[CheckMessage]:
    try:
        PoolOptions.parse(database["OPTIONS"].get("pool"), alias)
    except ImproperlyConfigured as error:
        hint = "The text above names the options that there are."
        yield Error(str(error), hint, id="async_ext.E001")
    if database["OPTIONS"].get("lease", LEASES[0]) not in LEASES:
        yield Error(
            f"OPTIONS['lease'] of database {alias!r} must be one of {LEASES}.",
            "Leave it out to lease a connection for each statement.",
            id="async_ext.E002",
        )
    if database["ENGINE"] == f"{ENGINES}.threaded":
        try:
            wrapped_class(database, alias)
            cancel_option(database["OPTIONS"].get("cancel"), alias)
        except ImproperlyConfigured as error:
            hint = "The engine that runs in threads is given in OPTIONS['engine']."
            yield Error(str(error), hint, id="async_ext.E003")
    if database["CONN_MAX_AGE"] != 0:
        yield Warning(
            f"CONN_MAX_AGE of database {alias!r} applies to synchronous code only: on "
            "the event loop connections are leased from a pool for one statement or "
            "one transaction.",
            "Use OPTIONS['pool'] with max_idle and max_lifetime for the event loop; "
            "CONN_MAX_AGE = 0 silences this.",
            id="async_ext.W001",
        )


def _wrong_engine(alias: str, engine: str) -> CheckMessage:
    return Warning(
        f"Database {alias!r} has the ENGINE {engine!r}, which would block the event "
        "loop: its awaitables raise SynchronousOnlyOperation.",
        f"Use the engine of the same name in {ENGINES}, or its threaded engine, or "
        "query this database in threads only (sync_to_async).",
        id="async_ext.W002",
    )

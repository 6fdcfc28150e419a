"""What Django's code waits for, and where: databases, caches, sessions, mail, logs.

Contract: each function reads the settings of the moment and gives a ``Place``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import partial
from logging import Handler, Logger, NullHandler, StreamHandler
from logging.handlers import QueueHandler
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.utils.log import AdminEmailHandler, RequireDebugFalse, RequireDebugTrue
from django.utils.module_loading import import_string

from django_async_ext import conf
from django_async_ext.handlers.declaring import MARK

LOOP = "loop"
WORKER = "worker"
THREAD = "thread"

OURS = "django_async_ext"
DECLARE = "If it never blocks, add {name!r} to ASYNC_EXT['LOOP_SAFE']."


class Place(NamedTuple):
    """Where something runs, why, and what to change to have it on the loop."""

    where: str
    why: str
    change: str = ""


def name_of(target: Any) -> str:
    """Return the dotted name by which ``target`` is declared and reported."""
    target = _subject(target)
    if inspect.ismethod(target):
        owner = target.__self__
        cls = owner if isinstance(owner, type) else type(owner)
        return f"{cls.__module__}.{cls.__qualname__}.{target.__name__}"
    if not hasattr(target, "__qualname__"):
        target = type(target)
    return f"{target.__module__}.{target.__qualname__}"


def _subject(target: Any) -> Any:
    while isinstance(target, partial):
        target = target.func
    # What as_view() of Django and of Django REST framework give.
    return getattr(target, "view_class", None) or getattr(target, "cls", target)


def within(name: str, *prefixes: str) -> bool:
    """Tell whether ``name`` is one of ``prefixes``, or below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def declared(target: Any, *names: str) -> Place | None:
    """Return the place of ``target`` if the project declared it loop-safe."""
    if getattr(target, MARK, False) or getattr(_subject(target), MARK, False):
        return Place(LOOP, "declared with loop_safe() or on_loop()")
    return declared_name(name_of(target), *names)


def declared_name(*names: str) -> Place | None:
    """Return the place of what has one of ``names``, if it is in ``LOOP_SAFE``."""
    for prefix in conf.get("LOOP_SAFE"):
        if any(within(name, prefix) for name in names):
            return Place(LOOP, f"declared: {prefix!r} is in LOOP_SAFE")
    return None


def worst(places: Iterable[Place]) -> Place:
    """Return the place that is farthest from the loop."""
    order = (LOOP, WORKER, THREAD)
    nothing = Place(LOOP, "waits for nothing")
    return max(places, key=lambda place: order.index(place.where), default=nothing)


def database(alias: str) -> Place:
    """Where queries to database ``alias`` wait."""
    engine = connections.settings[alias]["ENGINE"]
    if within(engine, f"{OURS}.db.backends.sqlite3", f"{OURS}.db.backends.threaded"):
        return Place(WORKER, "each connection has a worker")
    if engine == f"{OURS}.db.backends.mysql":
        return _mysql(alias)
    if within(engine, OURS) or engine == "django.db.backends.dummy":
        return Place(LOOP, "its connections wait on the loop")
    change = f"Use the engine of the same name in {OURS}.db.backends, if there is one."
    return Place(THREAD, f"{engine} would block the loop", change)


def _mysql(alias: str) -> Place:
    # Not before it is needed: a module of this engine needs one of its drivers.
    choose = import_string(f"{OURS}.db.backends.mysql.drivers.choose")
    if choose(connections.settings[alias], alias).STREAMS:
        return Place(LOOP, "its connections wait on the loop")
    return Place(WORKER, "each connection has a worker", "Install PyMySQL.")


def databases(*models: str) -> Place:
    """Where queries for ``models`` wait; without any, those for most models."""
    aliases = {DEFAULT_DB_ALIAS} if not models else set[str]()
    for label in models:
        try:
            model = apps.get_model(label)
        except LookupError:
            aliases.add(DEFAULT_DB_ALIAS)
        else:
            aliases |= {router.db_for_read(model), router.db_for_write(model)}
    return worst(database(alias) for alias in aliases)


def cache(alias: str) -> Place:
    """Where operations of cache ``alias`` wait."""
    backend = settings.CACHES[alias]["BACKEND"]
    kind = backend.rpartition(".")[2]
    if within(backend, "django", OURS) and kind in ("LocMemCache", "DummyCache"):
        return Place(LOOP, "waits for nothing")
    if within(backend, "django", OURS) and kind == "DatabaseCache":
        return databases()
    if within(backend, OURS):
        return _in_files() if kind == "FileBasedCache" else _on_loop()
    change = DECLARE.format(name=backend)
    if within(backend, "django"):
        change = f"Use the backend of the same name in {OURS}.cache, if there is one."
    return declared_name(backend) or Place(THREAD, f"{backend} may block", change)


def _on_loop() -> Place:
    return Place(LOOP, "waits on the loop")


def _in_files() -> Place:
    return Place(WORKER, "files are read and written in a few threads of their own")


def sessions() -> Place:
    """Where sessions are loaded and saved."""
    engine = settings.SESSION_ENGINE
    kind = engine.rpartition(".")[2]
    if not within(engine, "django.contrib.sessions.backends", OURS):
        change = DECLARE.format(name=engine)
        return declared_name(engine) or Place(THREAD, f"{engine} may block", change)
    if kind == "signed_cookies":
        return Place(LOOP, "sessions are in the cookie")
    if kind == "db":
        return databases("sessions.Session")
    if kind == "cache":
        return _session_cache(engine)
    if kind == "cached_db":
        return worst([_session_cache(engine), databases("sessions.Session")])
    if within(engine, OURS):
        return _in_files()
    change = f"Use {OURS}.sessions.{kind}."
    return declared_name(engine) or Place(THREAD, f"{engine} blocks", change)


def _session_cache(engine: str) -> Place:
    place = cache(settings.SESSION_CACHE_ALIAS)
    if place.where == THREAD and within(engine, OURS):
        return Place(WORKER, f"asks the cache's awaitables; {place.why}", place.change)
    return place


def auth_backend(path: str) -> Place:
    """Where the authentication backend ``path`` runs."""
    if within(path, "django", OURS):
        return databases(settings.AUTH_USER_MODEL)
    change = DECLARE.format(name=path)
    return declared_name(path) or Place(THREAD, f"{path} may block", change)


def auth() -> Place:
    """Where users are loaded and authenticated."""
    return worst(
        [sessions(), *(auth_backend(path) for path in settings.AUTHENTICATION_BACKENDS)]
    )


_SMTP = "django.core.mail.backends.smtp.EmailBackend"


def email() -> Place:
    """Where e-mail is sent."""
    return worst(email_backend(path) for path in email_backends())


def email_backends() -> list[str]:
    """Return the backends that send e-mail."""
    if mailers := getattr(settings, "MAILERS", None):
        return [mailer.get("BACKEND", _SMTP) for mailer in mailers.values()]
    # Not through the settings object, which warns of it since Django 6.1.
    return [settings._wrapped.EMAIL_BACKEND]


def email_backend(path: str) -> Place:
    """Where the e-mail backend ``path`` runs."""
    kind = path.removeprefix("django.core.mail.backends.").partition(".")[0]
    if kind in ("console", "dummy", "filebased", "locmem"):
        return Place(LOOP, "talks to no server")
    if within(path, OURS):
        return _on_loop()
    change = DECLARE.format(name=path)
    if within(path, "django"):
        change = f"Use {OURS}.mail.EmailBackend."
    return declared_name(path) or Place(THREAD, f"{path} may block", change)


#: Handlers of the standard library that write at most to a file.
_QUICK_HANDLERS = (StreamHandler, NullHandler, QueueHandler)


def logs(logger: Logger | None, level: int) -> Place:
    """Where a record of ``level`` is handled, when ``logger`` gets it."""
    while logger is not None:
        for handler in logger.handlers:
            if level >= handler.level and _may_wait(handler):
                why = f"{name_of(handler)} may block"
                return Place(THREAD, why, "Use a QueueHandler.")
        logger = logger.parent if logger.propagate else None
    return Place(LOOP, "written at once")


def _may_wait(handler: Handler) -> bool:
    if isinstance(handler, _QUICK_HANDLERS):
        return False
    if isinstance(handler, AdminEmailHandler) and email().where == LOOP:
        return False
    kind = RequireDebugFalse if settings.DEBUG else RequireDebugTrue
    return not any(isinstance(each, kind) for each in handler.filters)

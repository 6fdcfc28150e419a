"""Caches that wait for a server or a disk, and sessions.

Contract: data only. What works by way of the database or of a cache leads there.
"""

from __future__ import annotations

from django_async_ext.detection.endpoints.making import each, twin, twins
from django_async_ext.detection.guards.families import Family
from django_async_ext.detection.rules import Endpoint

_CACHE = "django.core.cache.backends"
_BASE_CACHE = f"{_CACHE}.base.BaseCache"
_CACHED = (
    "add get set touch delete get_many get_or_set has_key incr decr set_many "
    "delete_many clear incr_version decr_version"
)

CACHES = Family(
    "cache",
    _BASE_CACHE,
    {name: twin(name, "cache") for name in _CACHED.split()}
    | {"__contains__": "await cache.ahas_key(...)"},
    # The last one waits for a database, which is guarded.
    silent=(
        f"{_CACHE}.locmem.LocMemCache",
        f"{_CACHE}.dummy.DummyCache",
        f"{_CACHE}.db.DatabaseCache",
    ),
    inside="set its BACKEND to the class of the same name in django_async_ext.cache",
)

_SESSION = "django.contrib.sessions.backends"
_BASE_SESSION = f"{_SESSION}.base.SessionBase"
_SESSIONS = "request.session"
_STORED = "load save exists delete create clear_expired"

SESSIONS = Family(
    "sessions",
    _BASE_SESSION,
    {name: twin(name, _SESSIONS) for name in _STORED.split()},
    # Their caches and databases are guarded, and may be in memory.
    silent=tuple(
        f"{_SESSION}.{name}.SessionStore"
        for name in ("cache", "cached_db", "db", "signed_cookies")
    ),
    inside="set SESSION_ENGINE to the module of the same name in "
    "django_async_ext.sessions",
)

_LOADING = (
    "get pop setdefault set_test_cookie test_cookie_worked delete_test_cookie update "
    "has_key keys values items get_expiry_age get_expiry_date set_expiry "
    "get_expire_at_browser_close flush cycle_key exists create save delete load "
    "clear_expired"
)
_ITEMS = {
    "__getitem__": "await request.session.aget(...)",
    "__setitem__": "await request.session.aset(...)",
    "__delitem__": "await request.session.apop(...)",
    "__contains__": "await request.session.ahas_key(...)",
}

TABLE: tuple[Endpoint, ...] = (
    *twins("cache", _BASE_CACHE, _CACHED, "cache"),
    *each("cache", _BASE_CACHE, "__contains__", "await cache.ahas_key(...)"),
    *twins("sessions", _BASE_SESSION, _LOADING, _SESSIONS),
    *(
        Endpoint("sessions", f"{_BASE_SESSION}.{name}", remedy, leads=True)
        for name, remedy in _ITEMS.items()
    ),
)
FAMILIES = (CACHES, SESSIONS)

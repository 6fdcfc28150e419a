"""The first layer: functions of Django that block, and what to write instead.

Contract: ``install()`` guards what is in the tables, of modules that the project
imports, now or later; ``uninstall()`` is done by ``guards.release()``.
"""

from __future__ import annotations

from functools import lru_cache

from django_async_ext.detection import guards
from django_async_ext.detection.endpoints import (
    caches,
    database,
    files,
    orm,
    pages,
    sending,
    users,
)
from django_async_ext.detection.guards.families import Family, guard_family
from django_async_ext.detection.judging import judge
from django_async_ext.detection.rules import Endpoint

FAMILIES: tuple[Family, ...] = (
    *caches.FAMILIES,
    *users.FAMILIES,
    *sending.FAMILIES,
    *files.FAMILIES,
)


@lru_cache(maxsize=1)
def table() -> tuple[Endpoint, ...]:
    """Return all endpoints that have a name of their own."""
    subjects = (orm, database, caches, users, sending, files, pages)
    return tuple(endpoint for subject in subjects for endpoint in subject.TABLE)


def install() -> None:
    """Put this layer in force."""
    for endpoint in table():
        guards.guard(endpoint, judge)
    database.guard_unsafe(judge)
    for family in FAMILIES:
        guard_family(family, judge)


def uninstall() -> None:
    """Undo ``install()``, with all other layers."""

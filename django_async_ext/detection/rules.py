"""The rules: what kinds of blocking there are, and what an endpoint is.

Contract: data only. A rule belongs to one layer, and has a mode of its own if the
settings give it one. An ``Endpoint`` is a function that blocks, or that leads to
something that does, with the remedy that is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

ENDPOINTS = "ENDPOINTS"
PRIMITIVES = "PRIMITIVES"
WATCHDOG = "WATCHDOG"
LAYERS = (ENDPOINTS, PRIMITIVES, WATCHDOG)


class Rule(NamedTuple):
    """A kind of blocking: its name in the settings, its layer, and in words."""

    name: str
    layer: str
    about: str


RULES = {
    rule.name: rule
    for rule in (
        Rule("orm", ENDPOINTS, "queries, saving, lazy relations"),
        Rule("transactions", ENDPOINTS, "atomic blocks, commit, cursors"),
        Rule("cache", ENDPOINTS, "caches that wait for a server or a disk"),
        Rule("sessions", ENDPOINTS, "loading and saving of sessions"),
        Rule("auth", ENDPOINTS, "users, permissions, logging in and out"),
        Rule("hashing", ENDPOINTS, "making and checking of passwords"),
        Rule("mail", ENDPOINTS, "sending of e-mail"),
        Rule("storage", ENDPOINTS, "files in storages, uploads"),
        Rule("templates", ENDPOINTS, "loading of templates, rendering that queries"),
        Rule("forms", ENDPOINTS, "validation that queries"),
        Rule("signals", ENDPOINTS, "send() to asynchronous receivers"),
        Rule("staticfiles", ENDPOINTS, "finding and serving of static files"),
        Rule("request", ENDPOINTS, "reading of a body or of uploads from disk"),
        Rule("shortcuts", ENDPOINTS, "get_object_or_404() and the like"),
        Rule("tasks", ENDPOINTS, "enqueueing of tasks"),
        Rule("sockets", PRIMITIVES, "network input and output"),
        Rule("dns", PRIMITIVES, "looking up of host names"),
        Rule("sleep", PRIMITIVES, "time.sleep()"),
        Rule("subprocess", PRIMITIVES, "starting of and waiting for processes"),
        Rule("locks", PRIMITIVES, "locks, events, queues of threads"),
        Rule("threads", PRIMITIVES, "waiting for threads and futures"),
        Rule("files", PRIMITIVES, "files opened, read or written"),
        Rule("http", PRIMITIVES, "synchronous HTTP clients"),
        Rule("drivers", PRIMITIVES, "synchronous drivers of databases and caches"),
        Rule("stall", WATCHDOG, "the loop did not get on"),
    )
}


class Endpoint(NamedTuple):
    """A function that blocks the event loop, and what to write instead.

    ``name`` is its dotted path. ``blocks``, given the first argument, says whether
    this call does; None: always. What only ``leads`` to blocking is not reported by
    itself: it gives its rule and remedy to what blocks below it. What is ``inside``
    blocks inside the bridge too, where words are its remedy; True: and not where
    Python's machinery calls it. ``waits``, given the frame of the call (of C code: its
    caller's), says whether that one waits. ``exact``, given the frame of a call, tells
    more of it, or that it is none by None.
    """

    rule: str
    name: str
    remedy: str
    blocks: Callable[[Any], bool] | None = None
    leads: bool = False
    inside: bool | str = False
    waits: Callable[[FrameType], bool] | None = None
    exact: Callable[[FrameType], Endpoint | None] | None = None

    @property
    def short(self) -> str:
        """Its name as code calls it: ``QuerySet.get``, ``time.sleep``."""
        parts = self.name.split(".")
        if len(parts) <= 2:
            return self.name
        first = next(
            (n for n, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1
        )
        return ".".join(parts[first:])

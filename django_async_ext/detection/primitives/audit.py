"""Listens to what Python says of itself: its audit events.

Contract: the hook is added once in a process, when the layer is first in force, and
is there to the end: Python has no way to remove one. Every event of the process
passes it, so it only looks the event up; out of force there is nothing to find.
"""

from __future__ import annotations

import os
import sys
from asyncio import _get_running_loop
from collections.abc import Callable
from typing import Any, NamedTuple

from django_async_ext.detection.judging import judge
from django_async_ext.detection.primitives import subjects
from django_async_ext.detection.rules import Endpoint

if sys.platform != "win32":
    import fcntl

_TO_THREAD = "await asyncio.to_thread({})"


class Event(NamedTuple):
    """An audit event: the endpoint it stands for, and when it blocks.

    ``subject`` is the number of the argument that ``blocks`` of the endpoint is
    asked about; ``blocks``, given all arguments, is asked first.
    """

    endpoint: Endpoint
    subject: int = 0
    blocks: Callable[[tuple[Any, ...]], bool] | None = None


def _files(*names: str) -> dict[str, Event]:
    return {
        name: Event(
            Endpoint(
                "files",
                name,
                _TO_THREAD.format(f"{name}, ..."),
                subjects.on_disk,
                inside=True,
            )
        )
        for name in names
    }


def _waits_for_lock(args: tuple[Any, ...]) -> bool:
    return not args[1] & (fcntl.LOCK_NB | fcntl.LOCK_UN)


_NAMES = "await asyncio.get_running_loop().getaddrinfo(host, port)"
_SHELL = "await asyncio.create_subprocess_shell(...)"

EVENTS: dict[str, Event] = {
    **_files("open", "os.listdir", "os.scandir", "os.remove", "os.rename"),
    **_files("os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"),
    **_files("os.chmod", "os.chown", "os.utime"),
    "socket.connect": Event(
        Endpoint(
            "sockets",
            "socket.connect",
            "await asyncio.open_connection(host, port)",
            subjects.blocking_connection,
            inside=True,
        )
    ),
    "socket.gethostbyname": Event(
        Endpoint("dns", "socket.gethostbyname", _NAMES, subjects.host_name, inside=True)
    ),
    "socket.gethostbyaddr": Event(
        Endpoint(
            "dns",
            "socket.gethostbyaddr",
            "await asyncio.get_running_loop().getnameinfo(address)",
            inside=True,
        )
    ),
    "time.sleep": Event(
        Endpoint(
            "sleep",
            "time.sleep",
            "await asyncio.sleep(seconds)",
            subjects.not_zero,
            inside=True,
        )
    ),
    "os.system": Event(Endpoint("subprocess", "os.system", _SHELL, inside=True)),
    "os.spawn": Event(
        Endpoint(
            "subprocess",
            "os.spawn",
            "await asyncio.create_subprocess_exec(...)",
            inside=True,
        ),
        blocks=lambda args: args[0] == os.P_WAIT,
    ),
    "fcntl.flock": Event(
        Endpoint(
            "locks", "fcntl.flock", _TO_THREAD.format("fcntl.flock, ..."), inside=True
        ),
        blocks=_waits_for_lock,
    ),
    "fcntl.lockf": Event(
        Endpoint(
            "locks", "fcntl.lockf", _TO_THREAD.format("fcntl.lockf, ..."), inside=True
        ),
        blocks=_waits_for_lock,
    ),
    "sqlite3.connect": Event(
        Endpoint(
            "drivers",
            "sqlite3.connect",
            "the ORM's awaitables, or aiosqlite",
            subjects.not_in_memory,
            inside=True,
        )
    ),
}

#: Those in force; the hook's own.
_listening: dict[str, Event] = {}
_has_hook: list[bool] = []


def listen() -> None:
    """Report what blocks; add the hook if that was not done in this process."""
    _listening.update(EVENTS)
    if not _has_hook:
        _has_hook.append(True)
        sys.addaudithook(_hook)


def stop() -> None:
    """Report nothing more."""
    _listening.clear()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    found = _listening.get(event)
    if found is not None and _get_running_loop() is not None:
        _told(found, args)


def _told(event: Event, args: tuple[Any, ...]) -> None:
    subject, blocks = args[event.subject] if args else None, event.endpoint.blocks
    if (event.blocks is None or event.blocks(args)) and (
        blocks is None or blocks(subject)
    ):
        judge(event.endpoint, sys._getframe(2), subject)

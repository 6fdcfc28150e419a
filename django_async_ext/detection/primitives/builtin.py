"""The functions of this layer that are written in C, each with its remedy.

Contract: data only. They are found by their dotted names in modules that Python always
has; a name that a version of Python or a platform does not have is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from django_async_ext.detection.primitives import subjects
from django_async_ext.detection.rules import Endpoint

_STREAMS = "asyncio.open_connection(), or loop.sock_recv() and its like"
_TO_THREAD = "await asyncio.to_thread(...)"
_SQLITE = "the ORM's awaitables, or aiosqlite"


def _all(
    rule: str,
    prefix: str,
    names: str,
    remedy: str,
    blocks: Callable[[Any], bool] | None = None,
) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(rule, f"{prefix}.{name}", remedy, blocks, inside=True)
        for name in names.split()
    )


SOCKETS = _all(
    "sockets",
    "_socket.socket",
    "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into send sendall sendto "
    "sendmsg _accept",
    _STREAMS,
    subjects.blocking_socket,
)

SLEEP = Endpoint(
    "sleep",
    "time.sleep",
    "await asyncio.sleep(seconds)",
    subjects.not_zero,
    inside=True,
)

_LOCKS = (
    Endpoint(
        "locks",
        "_thread.LockType.acquire",
        "asyncio.Lock, or keep the lock only where nothing waits",
        subjects.held_lock,
        inside=True,
        waits=subjects.lock_timeout,
    ),
    Endpoint(
        "locks",
        "_thread.RLock.acquire",
        "asyncio.Lock, or keep the lock only where nothing waits",
        subjects.held_rlock,
        inside=True,
        waits=subjects.lock_timeout,
    ),
    Endpoint(
        "locks",
        "_queue.SimpleQueue.get",
        "asyncio.Queue, or await asyncio.to_thread(queue.get)",
        subjects.empty,
        inside=True,
        waits=subjects.queue_timeout,
    ),
)

_WAITING = (
    Endpoint(
        "sockets",
        "select.select",
        "loop.add_reader(), or asyncio's streams",
        inside=True,
        waits=subjects.select_timeout,
    ),
    *(
        Endpoint(
            "sockets",
            name,
            "loop.add_reader(), or asyncio's streams",
            inside=True,
            waits=subjects.poll_timeout,
        )
        for name in (
            "select.epoll.poll",
            "selectors.SelectSelector.select",
            "selectors.PollSelector.select",
            "selectors.EpollSelector.select",
            "selectors.KqueueSelector.select",
        )
    ),
    Endpoint(
        "subprocess",
        "posix.waitpid",
        "await asyncio.create_subprocess_exec(...), then await process.wait()",
        inside=True,
        waits=subjects.wait_options,
    ),
    *(
        Endpoint(
            "subprocess",
            f"posix.{name}",
            "await asyncio.create_subprocess_exec(...), then await process.wait()",
            inside=True,
        )
        for name in ("wait", "waitid")
    ),
)

_FILES = (
    *(
        each
        for kind, names in {
            "TextIOWrapper": "read readline readlines write writelines flush",
            "BufferedReader": "read read1 readline readlines readinto",
            "BufferedWriter": "write writelines flush",
            "BufferedRandom": "read readline readlines write flush",
            "FileIO": "read readall readinto readline readlines write",
        }.items()
        for each in _all("files", f"_io.{kind}", names, _TO_THREAD, subjects.slow_file)
    ),
    *_all("files", "posix", "read write fsync", _TO_THREAD, subjects.slow_descriptor),
    *_all("files", "posix", "stat lstat access", _TO_THREAD, subjects.in_strict_mode),
)

_SQL = (
    *_all(
        "drivers",
        "_sqlite3.Connection",
        "execute executemany executescript commit rollback backup",
        _SQLITE,
    ),
    *_all(
        "drivers",
        "_sqlite3.Cursor",
        "execute executemany executescript fetchall",
        _SQLITE,
    ),
)

_TABLE = (*SOCKETS, *_LOCKS, *_WAITING, *_FILES, *_SQL)
#: Before, no audit event tells of it.
if sys.version_info < (3, 13):
    _TABLE = (*_TABLE, SLEEP)

_PUBLIC = {
    "_socket.socket.": "socket.socket.",
    "_thread.LockType.": "threading.Lock.",
    "_thread.RLock.": "threading.RLock.",
    "_queue.": "queue.",
    "_io.": "io.",
    "_sqlite3.": "sqlite3.",
    "posix.": "os.",
}


def found() -> Iterator[tuple[Any, Endpoint]]:
    """Yield each function that there is, and its endpoint under its public name."""
    for endpoint in _TABLE:
        module, *path = endpoint.name.split(".")
        each: Any = sys.modules.get(module)
        for name in path:
            each = getattr(each, name, None)
        if each is not None:
            yield each, endpoint._replace(name=public(endpoint.name))


def endpoints() -> Iterator[Endpoint]:
    """Yield each endpoint under its public name, whether or not it can be watched."""
    for endpoint in _TABLE:
        yield endpoint._replace(name=public(endpoint.name))


def public(name: str) -> str:
    """Return ``name`` as it is written in code."""
    for private, known in _PUBLIC.items():
        if name.startswith(private):
            return known + name.removeprefix(private).lstrip("_")
    return name

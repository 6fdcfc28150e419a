"""Waits for file descriptors on the running event loop.

Contract: synchronous code inside the bridge says which descriptor it waits
for; these functions decide how. Everything above (drivers, sockets) is a thin
layer over them. No Django, no driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from django_async_ext.bridge import await_
from django_async_ext.exceptions import describe


def wait_readable(fd: int, timeout: float | None = None) -> bool:
    """Wait until ``fd`` can be read, at most ``timeout`` seconds.

    Return whether it can. Only inside the bridge. Raises ``RuntimeError`` on an
    event loop without ``add_reader()`` (the Proactor loop of Windows).
    """
    return wait_ready(fd, True, False, timeout)[0]


def wait_writable(fd: int, timeout: float | None = None) -> bool:
    """Wait until ``fd`` can be written; see ``wait_readable()``."""
    return wait_ready(fd, False, True, timeout)[1]


def wait_ready(
    fd: int, read: bool, write: bool, timeout: float | None = None
) -> tuple[bool, bool]:
    """Wait until ``fd`` is ready in one of the ways asked for.

    Return (readable, writable); both are false once ``timeout`` seconds are over.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[tuple[bool, bool]] = loop.create_future()
    timer = loop.call_later(timeout, _settle, ready, False, False) if timeout else None
    try:
        if read:
            _watch(loop.add_reader, fd, _settle, ready, True, False)
        if write:
            _watch(loop.add_writer, fd, _settle, ready, False, True)
        return await_(ready)
    finally:
        if read:
            loop.remove_reader(fd)
        if write:
            loop.remove_writer(fd)
        if timer is not None:
            timer.cancel()


def _settle(ready: asyncio.Future[tuple[bool, bool]], read: bool, write: bool) -> None:
    if not ready.done():
        ready.set_result((read, write))


def _watch(register: Callable[..., Any], fd: int, *callback: Any) -> None:
    try:
        register(fd, *callback)
    except NotImplementedError:
        raise RuntimeError(
            describe(
                "proactor-loop",
                "The running event loop cannot wait for a socket: it has no "
                "add_reader(), as the ProactorEventLoop of Windows has not.",
                "Use the selector loop: asyncio.run(main(), "
                "loop_factory=asyncio.SelectorEventLoop).",
            )
        ) from None

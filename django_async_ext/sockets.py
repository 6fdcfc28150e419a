"""Waits for file descriptors, and for addresses, on the running event loop.

Contract: synchronous code inside the bridge says which descriptor it waits
for; this module decides how. Everything above (drivers, sockets) is a thin
layer over it. No Django, no driver.
"""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio import _get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from django.core.exceptions import SynchronousOnlyOperation

from django_async_ext.bridge import await_, in_bridge
from django_async_ext.exceptions import ConnectionOwnershipError, describe

#: (readable, writable)
Readiness = tuple[bool, bool]

#: What ``limit_silence()`` sets, where the system has it.
_DEAD_AFTER = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 60_000,
}


def wait_readable(fd: int, timeout: float | None = None) -> bool:
    """Wait until ``fd`` can be read, at most ``timeout`` seconds.

    Return whether it can. Only inside the bridge. Raises ``RuntimeError`` on an
    event loop without ``add_reader()`` (the Proactor loop of Windows).
    """
    return _wait_once(fd, True, False, timeout)[0]


def wait_writable(fd: int, timeout: float | None = None) -> bool:
    """Wait until ``fd`` can be written; see ``wait_readable()``."""
    return _wait_once(fd, False, True, timeout)[1]


def _wait_once(fd: int, read: bool, write: bool, timeout: float | None) -> Readiness:
    watcher = Watcher(fd)
    try:
        return watcher.wait(read, write, timeout)
    finally:
        watcher.close()


#: Which watcher of a loop has the reader, or the writer, of a descriptor.
_watching: WeakValueDictionary[tuple[int, int, str], Watcher] = WeakValueDictionary()


class Watcher:
    """Watches one descriptor for one task at a time, over many waits.

    The reader stays registered between waits, and on asyncio's own loops the
    task that waits runs in the very callback in which the descriptor became
    ready: so a wait costs neither two system calls nor a second turn. Must be
    closed before, or at once after, the descriptor is. A second one for the same
    descriptor takes over from one in which nobody waits, and is refused otherwise.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.loop = asyncio.get_running_loop()
        self._process = os.getpid()
        #: What the task waits for that waits now.
        self.waiter: asyncio.Future[Readiness] | None = None
        self._new_waiter: Callable[[], asyncio.Future[Readiness]]
        self._new_waiter = self.loop.create_future
        if isinstance(self.loop, asyncio.BaseEventLoop):
            self._new_waiter = partial(_Wake, loop=self.loop)
        self._wants_read = False
        self._is_registered = False
        #: Until when the task waits, and what looks whether that is over: mostly it
        #: is not, so it is set anew when it looks, not for each wait.
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing came after the last wait, as far as the loop looked."""
        return self._is_registered and self.waiter is None

    def wait(self, read: bool, write: bool, timeout: float | None = None) -> Readiness:
        """Wait until the descriptor is ready in one of the ways asked for.

        Return (readable, writable); both are false after ``timeout`` seconds, or
        when it is closed meanwhile. Raises ``ConnectionOwnershipError`` when
        another task waits already.
        """
        if self.waiter is not None:
            raise in_use(self.fd)
        waiter = self._new_waiter()
        if read and not self._is_registered:
            self._claim("read")
            # The loop keeps the context of whoever registers, with all that is in it.
            add = self.loop.add_reader
            Context().run(_register, add, self.fd, self._on_readable)
            self._is_registered = True
        if write:
            self._claim("write")
            _register(self.loop.add_writer, self.fd, _wake, waiter, (False, True))
        self.waiter, self._wants_read = waiter, read
        if timeout is not None:
            self._limit(self.loop.time() + timeout)
        try:
            return await_(waiter)
        finally:
            self.waiter = self._deadline = None
            if write and self._disclaim("write"):
                self.loop.remove_writer(self.fd)

    def _limit(self, deadline: float) -> None:
        self._deadline, timer = deadline, self._timer
        if timer is None or timer.when() > deadline:
            if timer is not None:
                timer.cancel()
            look = self._look_at_the_clock
            self._timer = self.loop.call_at(deadline, look, context=Context())

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self.waiter is None or self._deadline is None:
            return
        if self._deadline > self.loop.time():
            self._limit(self._deadline)
        else:
            _wake(self.waiter, (False, False))

    def close(self) -> None:
        """Forget the descriptor, and wake who waits; does nothing the second time."""
        waiter = self.waiter
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_registered:
            self._is_registered = False
            if self._disclaim("read"):
                self.loop.remove_reader(self.fd)
        if waiter is not None and not self.loop.is_closed():
            if self._disclaim("write"):
                self.loop.remove_writer(self.fd)
            self.loop.call_soon_threadsafe(_wake, waiter, (False, False))

    def _claim(self, way: str) -> None:
        key = (id(self.loop), self.fd, way)
        other = _watching.get(key)
        if other is not None and other is not self:
            if other.waiter is not None and (way == "write" or other._wants_read):
                raise in_use(self.fd)
            # Its descriptor was closed without it, or it only keeps its reader.
            other._is_registered = False
            self.loop.remove_reader(self.fd)
        _watching[key] = self

    def _disclaim(self, way: str) -> bool:
        """Return whether the registration was this one's, and still means something."""
        key = (id(self.loop), self.fd, way)
        if _watching.get(key) is not self:
            return False
        del _watching[key]
        # A forked child shares the selector with its parent.
        return not self.loop.is_closed() and self._process == os.getpid()

    def _on_readable(self) -> None:
        waiter = self.waiter
        if waiter is not None and self._wants_read and not waiter.done():
            waiter.set_result((True, False))
        elif self._is_registered:
            # Nobody reads now, or ever will: the loop would call again and again.
            self._is_registered = False
            if self._disclaim("read"):
                self.loop.remove_reader(self.fd)


def _wake(waiter: asyncio.Future[Readiness], readiness: Readiness) -> None:
    if not waiter.done():
        waiter.set_result(readiness)


class _Wake(asyncio.Future[Readiness]):
    """A future that resumes its task at once; for loops that are written in Python.

    libuv keeps a list of the ready descriptors on the C stack while it calls back,
    and changes it when a descriptor is registered or forgotten. A greenlet has that
    piece of the stack swapped for its own: its code, resumed in such a callback,
    would let libuv write there. In the loop's next turn there is no such list.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._resumers: list[tuple[Callable[[Any], object], Context | None]] = []

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        if self.done():
            super().add_done_callback(fn, context=context)
        else:
            self._resumers.append((fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        removed = super().remove_done_callback(fn)
        before = len(self._resumers)
        self._resumers = [entry for entry in self._resumers if entry[0] != fn]
        return removed + before - len(self._resumers)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self.get_loop().call_soon(self._resume)
        return cancelled

    def set_result(self, result: Readiness, /) -> None:
        super().set_result(result)
        self._resume()

    def _resume(self) -> None:
        resumers, self._resumers = self._resumers, []
        for resume, context in resumers:
            context.run(resume, self) if context is not None else resume(self)


def in_use(fd: int) -> ConnectionOwnershipError:
    """Say that a socket is being waited for by somebody else."""
    return ConnectionOwnershipError(
        describe(
            "socket-in-use",
            f"Descriptor {fd} was used while another task waits for it: each would "
            "read what the other one asked for.",
            "Give each task a connection of its own, as a pool does, or let one wait "
            "for the other with a lock.",
        )
    )


def _register(add: Callable[..., Any], fd: int, *callback: Any) -> None:
    try:
        add(fd, *callback)
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


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """Look addresses up as ``socket.getaddrinfo()`` does, in a thread in the bridge."""
    if _get_running_loop() is None:
        return socket.getaddrinfo(host, port, family, type, proto, flags)
    with suppress(socket.gaierror):
        numeric = flags | socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, family, type, proto, numeric)
    if not in_bridge():
        raise outside_bridge()
    loop = asyncio.get_running_loop()
    return await_(
        loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
    )


def outside_bridge() -> SynchronousOnlyOperation:
    """Say that a socket would block the loop."""
    return SynchronousOnlyOperation(
        describe(
            "socket-outside-bridge",
            "A blocking call of a socket was made on the event loop, outside the "
            "bridge: it would stop every other task.",
            "Call the function that uses the socket as `await on_loop(fn)(...)`.",
        )
    )


def limit_silence(sock: socket.socket) -> None:
    """Give up a TCP connection when the network has been silent for a minute.

    The defaults of most systems mean hours. Does nothing where the system has no
    such options.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _DEAD_AFTER.items():
        if option := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


@contextmanager
def closed_if_interrupted(connection: Any) -> Iterator[None]:
    """Close ``connection`` when something other than an ``Exception`` ends the block.

    Clients close it themselves after an error, but know of no interruption.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException:
        connection.close()
        raise

"""A socket that blocks in plain code and waits on the event loop in the bridge.

Contract: ``LoopSocket`` is ``socket.socket`` wherever no event loop runs. Inside
the bridge what would block waits through ``await_()``, with the same timeouts and
the same errors. On the loop but outside the bridge it raises
``SynchronousOnlyOperation`` before it sends or reads a byte. One task at a time:
another one is refused. A cancelled wait leaves the socket as it was; what a
``sendall()`` had sent by then is not known, as after a timeout.

It is a subclass, not a wrapper, because of what clients and ``ssl`` do with a
socket: PyMySQL and smtplib call ``makefile()``, which needs its counting of open
files; redis-py and pymemcache pass it to ``SSLContext.wrap_socket()``, which takes
the descriptor over. TLS is a subclass in turn, made by every context that went
through ``with_loop_sockets()``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from asyncio import _get_running_loop
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, TypeVar

from django_async_ext.bridge import await_, in_bridge
from django_async_ext.sockets import (
    Watcher,
    closed_if_interrupted,
    getaddrinfo,
    in_use,
    outside_bridge,
)

T = TypeVar("T")

_WANTS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY}

#: Seconds between two attempts to connect to a Unix socket whose queue is full.
_PATIENCE = 0.01

#: For how many seconds the pools take a peer that they heard of to be there. To look
#: each time would be a system call for each command.
JUST_NOW = 0.001

#: The longest that TLS encrypts as one; a read never returns more.
_RECORD = 16 * 1024

# What socket.create_connection() means by "no timeout was given".
_DEFAULT: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


class LoopSocket(socket.socket):
    """See the module; every method has the meaning that it has in ``socket``."""

    _timeout: float | None = None
    _watcher: Watcher | None = None
    #: The timeout that C knows of: none at all while the loop does the waiting.
    _native: float | None = None
    #: Whether the last read took all that it could. An answer that has just been
    #: asked for is not there yet: to try at once would be a system call in vain.
    _has_more = False
    #: When something last came that was waited for, by ``monotonic()``.
    _heard = -inf

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        super().__init__(family, type, proto, fileno)
        self._timeout = self._native = super().gettimeout()
        if fileno is not None:
            # Who opened it may have left it in another mode than C assumes.
            self._native = -1.0

    # Timeouts

    def settimeout(self, value: float | None) -> None:
        """Set the timeout of each call, in seconds; 0 means not to wait at all."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = None if value is None else float(value)

    def gettimeout(self) -> float | None:
        """Return the timeout, whoever keeps it."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait without limit, or not at all."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Tell whether calls wait."""
        return self._timeout != 0.0

    # Reading and writing

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read up to ``bufsize`` bytes."""
        at_once = self._has_more or flags != 0 or not bufsize
        found = self._call(super().recv, bufsize, flags, at_once=at_once)
        self._has_more = len(found) == bufsize
        return found

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read into ``buffer``."""
        size = nbytes or memoryview(buffer).nbytes
        at_once = self._has_more or flags != 0 or not size
        found = self._call(super().recv_into, buffer, nbytes, flags, at_once=at_once)
        self._has_more = found == size
        return found

    def recvfrom(self, *args: Any) -> Any:
        """Read, and tell from where."""
        return self._call(super().recvfrom, *args)

    def recvfrom_into(self, *args: Any) -> Any:
        """Read into a buffer, and tell from where."""
        return self._call(super().recvfrom_into, *args)

    def recvmsg(self, *args: Any) -> Any:
        """Read, with ancillary data."""
        return self._call(super().recvmsg, *args)

    def recvmsg_into(self, *args: Any) -> Any:
        """Read into buffers, with ancillary data."""
        return self._call(super().recvmsg_into, *args)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Write what the socket takes; return how much that was."""
        return self._call(super().send, data, flags, write=True)

    def sendto(self, *args: Any) -> int:
        """Write to an address."""
        return self._call(super().sendto, *args, write=True)

    def sendmsg(self, *args: Any) -> int:
        """Write several buffers; return how much was taken."""
        return self._call(super().sendmsg, *args, write=True)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Write all of ``data``, within one timeout."""
        if not self._waits_on_loop():
            return super().sendall(data, flags)
        deadline = self._deadline()
        # Most of what is sent fits, and needs no view of what is left.
        sent = self._repeat(deadline, True, super().send, data, flags)
        if type(data) is bytes and sent == len(data):
            return None
        with memoryview(data) as view, view.cast("B") as left:
            while sent < len(left):
                sent += self._repeat(deadline, True, super().send, left[sent:], flags)
        return None

    def sendfile(self, *args: Any, **kwargs: Any) -> Any:
        """Write a file; on the loop without the system call that would block."""
        if self._waits_on_loop():
            return self._sendfile_use_send(*args, **kwargs)  # type: ignore[attr-defined]
        return super().sendfile(*args, **kwargs)

    def _accept(self) -> Any:
        return self._call(super()._accept)  # type: ignore[misc]

    # Connecting

    def connect(self, address: Any, /) -> None:
        """Connect; a host's name is looked up in a thread, not on the loop."""
        if not self._waits_on_loop():
            return super().connect(address)
        with closed_if_interrupted(self):
            self._connect_on_loop(address)
        return None

    def _connect_on_loop(self, address: Any) -> None:
        deadline = self._deadline()
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host, port, *rest = address
            found = getaddrinfo(host, port, self.family, self.type, self.proto)
            address = (*found[0][4][:2], *rest)
        code = super().connect_ex(address)
        while code == errno.EAGAIN and self.family == socket.AF_UNIX:
            self._left(deadline)
            await_(asyncio.sleep(_PATIENCE))
            code = super().connect_ex(address)
        if code in _IN_PROGRESS:
            self._wait(deadline, write=True)
            code = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def connect_ex(self, address: Any, /) -> int:
        """Connect, and return the number of the error or 0."""
        if not self._waits_on_loop():
            return super().connect_ex(address)
        try:
            self.connect(address)
        except TimeoutError:
            return errno.EAGAIN
        except OSError as error:
            if error.errno is None:
                raise
            return error.errno
        return 0

    def is_dropped(self, trusted: float = 0.0) -> bool:
        """Tell, without waiting, whether an idle connection can be used no more.

        That is so when the peer has closed it, or has sent what nobody asked for. It
        is not looked at when the last answer came within ``trusted`` seconds, and the
        loop has seen nothing since.
        """
        is_recent = monotonic() - self._heard < trusted
        if is_recent and self._watcher is not None and self._watcher.is_quiet:
            return False
        before, self._timeout = self._timeout, 0.0
        # Where C waits for nothing any more, there is nothing to arrange.
        is_plain = self._native == 0.0 and type(self) is LoopSocket
        read = super().recv if is_plain else self.recv
        try:
            read(1)
        except _WANTS:
            return False
        except OSError:
            return True
        finally:
            self._timeout = before
        return True

    # Ending

    def detach(self) -> int:
        """Give the descriptor away."""
        self._unwatch()
        return super().detach()

    def _real_close(self, *args: Any) -> None:
        # Before the number of the descriptor can be used again.
        self._unwatch()
        super()._real_close(*args)  # type: ignore[misc]

    def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def __del__(self) -> None:
        self._unwatch()
        super().__del__()  # type: ignore[misc]

    # Waiting

    def _call(
        self,
        operation: Callable[..., T],
        *args: Any,
        write: bool = False,
        at_once: bool = True,
    ) -> T:
        if not self._waits_on_loop():
            return operation(*args)
        deadline = self._deadline()
        if not at_once:
            self._wait(deadline, write)
        return self._repeat(deadline, write, operation, *args)

    def _repeat(
        self,
        deadline: float | None,
        write: bool,
        operation: Callable[..., T],
        *args: Any,
    ) -> T:
        while True:
            try:
                return operation(*args)
            except BlockingIOError:
                wants_write = write
            except ssl.SSLWantReadError:
                wants_write = False
            except ssl.SSLWantWriteError:
                wants_write = True
            self._wait(deadline, wants_write)

    def _wait(self, deadline: float | None, write: bool) -> None:
        if self.fileno() < 0:
            # The operation itself says best that it was closed.
            return
        watcher, loop = self._watcher, asyncio.get_running_loop()
        if watcher is None or watcher.loop is not loop:
            self._unwatch()
            watcher = self._watcher = Watcher(self.fileno())
        ready = watcher.wait(not write, write, self._left(deadline))
        if ready[0]:
            self._heard = monotonic()
        elif not ready[1] and self._watcher is watcher:
            raise TimeoutError("timed out")

    def _deadline(self) -> float | None:
        return None if self._timeout is None else monotonic() + self._timeout

    @staticmethod
    def _left(deadline: float | None) -> float | None:
        if deadline is None:
            return None
        if (left := deadline - monotonic()) <= 0:
            raise TimeoutError("timed out")
        return left

    def _waits_on_loop(self) -> bool:
        """Tell who waits, refuse who must not, and let C know."""
        waits, native = False, self._timeout
        if _get_running_loop() is not None:
            native = 0.0
            if self._timeout != 0.0:
                if not in_bridge():
                    raise outside_bridge()
                waits = True
            watcher = self._watcher
            if watcher is not None and watcher.waiter is not None:
                raise in_use(self.fileno())
        if native != self._native:
            super().settimeout(native)
            self._native = native
        return waits


class LoopTLSSocket(ssl.SSLSocket, LoopSocket):
    """TLS over a ``LoopSocket``; made by ``SSLContext.wrap_socket()``."""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Read decrypted bytes."""
        size = len if buffer is None else memoryview(buffer).nbytes
        at_once = not size or self._has_more or self.pending() > 0
        found: Any = self._call(super().read, len, buffer, at_once=at_once)
        count = found.__len__() if buffer is None else found
        self._has_more = count >= min(len, _RECORD)
        return found

    def write(self, data: Any) -> int:
        """Write bytes to encrypt."""
        return self._call(super().write, data, write=True)

    def send(self, data: Any, flags: int = 0) -> int:
        """Write what is taken; return how much that was."""
        return self._call(super().send, data, flags, write=True)

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys; interrupted, the connection is of no use to anybody."""
        with closed_if_interrupted(self):
            self._call(super().do_handshake, block)

    def unwrap(self) -> socket.socket:
        """End TLS; return the socket under it."""
        return self._call(super().unwrap)


def with_loop_sockets(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let ``context`` wrap sockets into ``LoopTLSSocket``; return it."""
    context.sslsocket_class = LoopTLSSocket
    return context


def create_connection(
    address: tuple[str, int],
    timeout: float | None = _DEFAULT,
    source_address: tuple[str, int] | None = None,
) -> LoopSocket:
    """Connect to the first address of a host that answers.

    Follows ``socket.create_connection()``.
    """
    failure: OSError | None = None
    for family, type_, proto, _, found in getaddrinfo(*address, 0, socket.SOCK_STREAM):
        sock = LoopSocket(family, type_, proto)
        try:
            if timeout is not _DEFAULT:
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(found)
            return sock
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    try:
        raise failure or OSError("getaddrinfo returns an empty list")
    finally:
        # Its traceback refers to this frame.
        del failure

"""Whether a call waits: questions to what it is called on, and to its arguments.

Contract: nothing is changed, nothing is waited for. Of a frame only the arguments are
read. What cannot be known is taken as not waiting.
"""

from __future__ import annotations

import _socket
import ast
import ipaddress
import linecache
import os
import socket
import stat
import sys
import threading
from contextlib import suppress
from inspect import getattr_static
from types import FrameType
from typing import Any

from django_async_ext.detection.settings import current
from django_async_ext.loop_socket import LoopSocket

_native_timeout = _socket.socket.gettimeout


class UnknownError(Exception):
    """An argument cannot be told from outside the call."""


# What a call is made on


def blocking_socket(subject: Any) -> bool:
    """Tell whether calls of a socket wait in C."""
    if isinstance(subject, LoopSocket) or not isinstance(subject, _socket.socket):
        return False
    return subject.fileno() >= 0 and _native_timeout(subject) != 0.0


def blocking_connection(subject: Any) -> bool:
    """Tell whether to connect such a socket waits for a peer."""
    return blocking_socket(subject) and subject.type != socket.SOCK_DGRAM


def held_lock(subject: Any) -> bool:
    """Tell whether somebody has the lock."""
    return bool(subject.locked())


def held_rlock(subject: Any) -> bool:
    """Tell whether another thread has the lock."""
    # It has no locked() before Python 3.14.
    return repr(subject).startswith("<locked") and not subject._is_owned()


def empty(subject: Any) -> bool:
    """Tell whether a queue has nothing to give."""
    return bool(subject.empty())


def running_process(subject: Any) -> bool:
    """Tell whether a ``Popen`` must be waited for."""
    return subject.returncode is None and subject.poll() is None


def living_thread(subject: Any) -> bool:
    """Tell whether a thread, or a process of multiprocessing, must be waited for."""
    return subject is not threading.current_thread() and bool(subject.is_alive())


def slow_file(subject: Any) -> bool:
    """Tell whether a file object is a pipe, or in strict mode on a disk."""
    if subject in (sys.stdin, sys.stdout, sys.stderr):
        return False
    with suppress(OSError, ValueError, AttributeError):
        return slow_descriptor(subject.fileno())
    return False


def slow_descriptor(subject: Any) -> bool:
    """Tell the same of a descriptor."""
    with suppress(OSError, TypeError, ValueError):
        kind = os.fstat(subject).st_mode
        if stat.S_ISFIFO(kind):
            return subject > 2 and os.get_blocking(subject)
        return current().strict and stat.S_ISREG(kind)
    return False


def on_disk(subject: Any) -> bool:
    """Tell whether the name of a file is that of one on a disk."""
    if isinstance(subject, int):
        return False
    with suppress(TypeError):
        return not os.fsdecode(subject).startswith(("/dev/", "/proc/", "/sys/"))
    return True


def in_strict_mode(subject: Any) -> bool:
    """Tell whether a file on a disk counts at all, short as it is."""
    return current().strict and on_disk(subject)


def host_name(subject: Any) -> bool:
    """Tell whether ``subject`` must be looked up."""
    if isinstance(subject, bytes):
        subject = subject.decode("ascii", "replace")
    if not isinstance(subject, str) or not subject:
        return False
    with suppress(ValueError):
        ipaddress.ip_address(subject.partition("%")[0])
        return False
    return True


def not_zero(subject: Any) -> bool:
    """Tell whether a time is not 0."""
    return bool(subject)


def not_in_memory(subject: Any) -> bool:
    """Tell whether an SQLite database is a file."""
    return subject not in (":memory:", b":memory:", "")


# Arguments of functions that are written in Python


def timeout(frame: FrameType) -> bool:
    """Tell whether the argument ``timeout`` is not 0."""
    given = frame.f_locals.get("timeout")
    return given is None or given > 0


def lookup(frame: FrameType) -> bool:
    """Tell whether ``getaddrinfo()`` asks somebody."""
    given = frame.f_locals
    if int(given.get("flags") or 0) & socket.AI_NUMERICHOST:
        return False
    return host_name(given.get("host"))


# Arguments of functions that are not: they are read in the source


def lock_timeout(frame: FrameType) -> bool:
    """Tell whether ``acquire()`` waits."""
    with suppress(UnknownError):
        if not argument(frame, 0, "blocking", True):
            return False
        return bool(argument(frame, 1, "timeout", -1) != 0)
    return False


def queue_timeout(frame: FrameType) -> bool:
    """Tell whether ``get()`` waits."""
    with suppress(UnknownError):
        if not argument(frame, 0, "block", True):
            return False
        return bool(argument(frame, 1, "timeout", None) != 0)
    return False


def select_timeout(frame: FrameType) -> bool:
    """Tell whether ``select.select()`` waits."""
    return _not_zero_at(frame, 3)


def poll_timeout(frame: FrameType) -> bool:
    """Tell whether ``poll()``, or a selector's ``select()``, waits."""
    return _not_zero_at(frame, 0)


def wait_options(frame: FrameType) -> bool:
    """Tell whether ``os.waitpid()`` waits."""
    with suppress(UnknownError):
        return not argument(frame, 1, "options", 0) & os.WNOHANG
    return False


def _not_zero_at(frame: FrameType, position: int) -> bool:
    with suppress(UnknownError):
        return bool(argument(frame, position, "timeout", None) != 0)
    return False


def argument(frame: FrameType, position: int, name: str, default: Any) -> Any:
    """Return an argument of the call that ``frame`` is about to make.

    Raises ``UnknownError`` where the source is not there, or no constant or variable.
    """
    call = _call(frame)
    found = [each.value for each in call.keywords if each.arg == name]
    if any(isinstance(each, ast.Starred) for each in call.args) or any(
        each.arg is None for each in call.keywords
    ):
        raise UnknownError(name)
    if position < len(call.args):
        found.append(call.args[position])
    return _value(found[0], frame) if found else default


def _call(frame: FrameType) -> ast.Call:
    positions = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    first, last, start, end = positions
    if first is None or last is None or start is None or end is None:
        raise UnknownError
    file, scope = frame.f_code.co_filename, frame.f_globals
    lines = [linecache.getline(file, n, scope).encode() for n in range(first, last + 1)]
    if not all(lines):
        raise UnknownError
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        node = ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
    except (SyntaxError, ValueError):
        raise UnknownError from None
    if not isinstance(node, ast.Call):
        raise UnknownError
    return node


def _value(node: ast.expr, frame: FrameType) -> Any:
    """Evaluate a constant, a variable, or an attribute that needs no code to run."""
    if isinstance(node, ast.Name):
        for scope in (frame.f_locals, frame.f_globals):
            if node.id in scope:
                return scope[node.id]
    elif isinstance(node, ast.Attribute):
        found = getattr_static(_value(node.value, frame), node.attr, UnknownError)
        if found is None or isinstance(found, int | float):
            return found
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise UnknownError from None

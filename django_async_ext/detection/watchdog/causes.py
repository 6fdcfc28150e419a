"""Tells why an event loop stood still, from processor times and run queues.

Contract: ``cause()`` is a matter of numbers only. ``Scheduling`` and ``Threads`` read
what the kernel tells of single threads, by ``schedstat`` of Linux; elsewhere they know
nothing, and what needs it is not told.
"""

from __future__ import annotations

import os
import threading
from time import monotonic
from typing import NamedTuple

BLOCKED, CPU, GIL, STARVED, SATURATED = CAUSES = (
    "blocked",
    "cpu",
    "gil",
    "starved",
    "saturated",
)
ABOUT = {
    BLOCKED: "it waited, without computing",
    CPU: "it computed",
    GIL: "another thread held Python's lock",
    STARVED: "the machine had no processor for it",
    SATURATED: "many tasks in a row had work, none of them much",
}

_TASKS = "/proc/self/task"
#: At most this share of the time goes into reading what all threads have used.
_SHARE = 0.0002
_OFTEN = 0.5


class Evidence(NamedTuple):
    """What is known of a stall; times are in seconds.

    ``seconds`` is how long it was, ``least`` how long it must be to matter. ``own`` and
    ``others`` are the processor time of the loop's thread and of the others. ``queued``
    is how long the loop's thread could have run but had no processor. ``overslept`` is
    by how much the watchdog woke too late, without having been queued itself. ``turns``
    tells that no task had the most of it, ``unseen`` that none was seen at all.
    """

    seconds: float
    least: float
    own: float
    others: float
    queued: float
    overslept: float
    turns: bool
    unseen: bool


def cause(known: Evidence) -> str:
    """Return in one word what it is that made a stall.

    What would have been one on an idle machine is not the machine's fault.
    """
    waited = max(0.0, known.seconds - known.queued - known.own)
    if waited + known.own < known.least:
        return STARVED
    if known.own >= waited:
        return SATURATED if known.turns else CPU
    if known.overslept >= waited / 2:
        # The watchdog was kept from running as well, by Python's lock or by a stop.
        return GIL if known.others >= known.least else STARVED
    if (known.turns or known.unseen) and known.others >= waited / 2:
        return GIL
    return SATURATED if known.turns else BLOCKED


class Times(NamedTuple):
    """What one thread has had so far, in seconds: processors, and queues for them."""

    used: float
    queued: float


def queued_since(before: Times | None, now: Times | None) -> float:
    """Return how long a thread was queued between two readings; 0 if not known."""
    return max(0.0, now.queued - before.queued) if before and now else 0.0


class Scheduling:
    """The times of one thread of this process, read again and again."""

    def __init__(self, native: int) -> None:
        self.native = native
        try:
            self._file = os.open(f"{_TASKS}/{native}/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def read(self) -> Times | None:
        """Return its times; None if they cannot be known."""
        if self._file < 0:
            return None
        try:
            used, queued, *_ = os.pread(self._file, 100, 0).split()
        except (OSError, ValueError):
            return None
        return Times(int(used) / 1e9, int(queued) / 1e9)

    def close(self) -> None:
        """Read no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Threads:
    """What each thread of this process has used, noted from time to time."""

    def __init__(self) -> None:
        self._before: dict[int, float] = {}
        self._next = 0.0

    def note(self) -> None:
        """Note it, if that is due: the more threads there are, the less often."""
        began = monotonic()
        if began < self._next:
            return
        self._before = _used()
        took = monotonic() - began
        self._next = began + max(_OFTEN, took / _SHARE)

    def busiest(self, *but: int) -> threading.Thread | None:
        """Return the thread that used most since it was noted, by Python's name.

        ``but`` are the native identifiers of those that do not count. None if the
        thread is not Python's, or if nothing is known.
        """
        used = {
            native: seconds - self._before.get(native, 0.0)
            for native, seconds in _used().items()
            if native not in but
        }
        most = max(used, key=used.__getitem__, default=None)
        return next((t for t in threading.enumerate() if t.native_id == most), None)


def _used() -> dict[int, float]:
    try:
        natives = os.listdir(_TASKS)
    except OSError:
        return {}
    found = {}
    for native in natives:
        try:
            with open(f"{_TASKS}/{native}/schedstat", "rb", 0) as file:
                found[int(native)] = int(file.read().split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            # It has ended.
            continue
    return found

"""Wakes the watchdog when a beat is late, and not for each beat that is not.

Contract: a heart sets its alarm at each beat, and only one that was not put off in time
wakes whoever waits. That needs timers that can be set while another thread waits for
them: Linux has them (``timerfd``), Python from 3.13 on. Without them ``make()`` gives
none, and the watchdog wakes for each beat, which costs some more.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Iterable
from math import ceil

if (
    sys.version_info >= (3, 13)
    and sys.platform == "linux"
    and hasattr(os, "timerfd_create")
):

    class Alarm:
        """A timer that rings at the time, of ``time.monotonic()``, last set."""

        def __init__(self) -> None:
            flags = os.TFD_NONBLOCK | os.TFD_CLOEXEC
            self._file = -1
            self._file = os.timerfd_create(time.CLOCK_MONOTONIC, flags=flags)

        def set(self, when: float) -> None:
            """Ring at ``when``, and not when it should have so far."""
            os.timerfd_settime(self._file, flags=os.TFD_TIMER_ABSTIME, initial=when)

        def fileno(self) -> int:
            """Return what becomes readable when it rings."""
            return self._file

        def __del__(self) -> None:
            # Not when its heart ends: the watchdog may wait for it until it wakes.
            if self._file >= 0:
                os.close(self._file)

    class Bell:
        """What one thread waits for: ``ring()`` of any other, and alarms."""

        def __init__(self) -> None:
            self._file = -1
            self._file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

        def ring(self) -> None:
            """End the wait, or the next one."""
            os.eventfd_write(self._file, 1)

        def wait(self, seconds: float | None, alarms: Iterable[Alarm]) -> bool:
            """Wait ``seconds`` at most; tell whether it rang itself."""
            poll = select.poll()
            for file in (self._file, *(each.fileno() for each in alarms)):
                poll.register(file, select.POLLIN)
            ready = poll.poll(None if seconds is None else ceil(seconds * 1000))
            if has_rung := self._file in (file for file, _ in ready):
                os.eventfd_read(self._file)
            return has_rung

        def __del__(self) -> None:
            if self._file >= 0:
                os.close(self._file)

    def make() -> Alarm | None:
        """Return a new alarm, None if there can be none."""
        try:
            return Alarm()
        except OSError:
            # There are too many descriptors, or the process may have no timers.
            return None

else:

    class Alarm:
        """Is not there."""

        def set(self, when: float) -> None:
            """Do nothing."""

    class Bell:
        """What one thread waits for: ``ring()`` of any other."""

        def __init__(self) -> None:
            self._rung = threading.Event()

        def ring(self) -> None:
            """End the wait, or the next one."""
            self._rung.set()

        def wait(
            self,
            seconds: float | None,
            alarms: Iterable[Alarm],  # noqa: ARG002
        ) -> bool:
            """Wait ``seconds`` at most; tell whether it rang."""
            has_rung = self._rung.wait(seconds)
            self._rung.clear()
            return has_rung

    def make() -> Alarm | None:
        """Return a new alarm, None if there can be none."""
        return None

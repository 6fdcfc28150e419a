"""Layer: watchdog. Notices that an event loop stands still, and says why.

Contract: ``watch()`` has the running loop watched until it ends. One thread of the
process watches all loops; it is started for the first one, in a forked child anew.
What goes wrong in it is logged, and reaches nobody's code.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from asyncio import AbstractEventLoop, get_running_loop
from threading import get_native_id
from time import monotonic

from django_async_ext.detection.watchdog.alarms import Alarm, Bell
from django_async_ext.detection.watchdog.causes import Scheduling, Threads
from django_async_ext.detection.watchdog.heart import Heart, hearts
from django_async_ext.detection.watchdog.vigil import Vigil
from django_async_ext.exceptions import describe

NAME = "async-ext-watchdog"

logger = logging.getLogger("django.async_blocking")


class Watchdog:
    """The thread that watches."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._ended = False
        self._vigils: dict[AbstractEventLoop, Vigil] = {}
        self.thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def wake(self) -> None:
        """Have it look at once, since there is a loop to watch."""
        self._bell.ring()

    def end(self) -> None:
        """Have it end, without waiting for that."""
        self._ended = True
        self._bell.ring()

    def _run(self) -> None:
        self._threads, self._own = Threads(), Scheduling(get_native_id())
        planned: float | None = None
        while not self._ended:
            now = monotonic()
            overslept = 0.0 if planned is None else max(0.0, now - planned)
            try:
                planned, alarms = self._look(now, overslept), self._alarms()
            except Exception:
                logger.exception(
                    describe("detector-failed", "The watchdog failed; it goes on.")
                )
                # An alarm that nobody looked at would end each wait at once.
                planned, alarms = now + 1.0, []
            pause = None if planned is None else max(0.0, planned - monotonic())
            if self._bell.wait(pause, alarms):
                planned = None
        self._own.close()

    def _look(self, now: float, overslept: float) -> float | None:
        """Look at each loop; return when to look again, None without a loop."""
        known = dict(hearts.values)
        for loop in [each for each in self._vigils if each not in known]:
            del self._vigils[loop]
        times = []
        for loop, heart in known.items():
            if loop.is_closed():
                hearts.end(loop)
            else:
                times.append(self._vigil(loop, heart).look(now, overslept))
        # Not in a stall: what the threads have used since its beginning counts.
        if all(each.calm for each in self._vigils.values()):
            self._threads.note()
        return min(times, default=None)

    def _alarms(self) -> list[Alarm]:
        """Return those that are to wake it."""
        known = [each.heart.alarm for each in self._vigils.values() if each.rests]
        return [alarm for alarm in known if alarm is not None]

    def _vigil(self, loop: AbstractEventLoop, heart: Heart) -> Vigil:
        vigil = self._vigils.get(loop)
        if vigil is None or vigil.heart is not heart:
            vigil = self._vigils[loop] = Vigil(heart, self._threads, self._own)
        return vigil


_installed = False
_watchdog: Watchdog | None = None
#: Loops of several threads may begin at the same time.
_lock = threading.Lock()


def install() -> None:
    """Watch each loop that ``watch()`` is called on from now on."""
    global _installed
    _installed = True


def uninstall() -> None:
    """Watch no loop; the thread ends."""
    global _installed, _watchdog
    _installed = False
    for loop in list(hearts.values):
        hearts.end(loop)
    with _lock:
        watchdog, _watchdog = _watchdog, None
    if watchdog is not None:
        watchdog.end()


def watch() -> None:
    """Watch the running loop."""
    heart = hearts.values.get(get_running_loop())
    if heart is not None and not heart.paused:
        return
    if not _installed:
        return
    if heart is None:
        hearts.get()
    else:
        heart.resume()
    _wake()


def _wake() -> None:
    try:
        watchdog = _begun()
    except (OSError, RuntimeError):
        failure = "The watchdog cannot start; no loop is watched."
        logger.exception(describe("watchdog-cannot-start", failure))
        uninstall()
    else:
        if watchdog is not None:
            watchdog.wake()


def _begun() -> Watchdog | None:
    """Return the process's watchdog, begun now if there is none but should be."""
    global _watchdog
    with _lock:
        if _watchdog is None and _installed:
            watchdog = Watchdog()
            watchdog.thread.start()
            _watchdog = watchdog
        return _watchdog


async def settled() -> None:
    """Wait until each stall that the running loop has had is reported.

    For tests: a stall is known at the next beat, and reported somewhat later.
    """
    heart = hearts.values.get(get_running_loop())
    target = heart.beats + 1 if heart is not None else 0
    while heart is not None and heart.explained < target:
        await asyncio.sleep(heart.interval)
        _wake()
        # It may be uninstalled meanwhile.
        heart = hearts.values.get(get_running_loop())


def _after_fork() -> None:
    global _watchdog, _lock
    _watchdog, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

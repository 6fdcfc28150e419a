"""The heartbeat of an event loop: a timer that tells how late it is.

Contract: ``hearts.get()`` gives the running loop's heart, which beats until the loop
ends or the heart is ended. A beat measures in the loop's own thread, so that what it
tells is true even if the watchdog was late itself; it never waits.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, TimerHandle, current_task, get_running_loop
from collections import deque
from threading import get_ident, get_native_id
from time import monotonic, process_time, thread_time
from types import CodeType
from typing import NamedTuple

from django_async_ext.detection.settings import current
from django_async_ext.detection.watchdog import alarms, lag
from django_async_ext.detection.watchdog.causes import Scheduling, queued_since
from django_async_ext.loops import PerLoop


class Late(NamedTuple):
    """A beat that was late: its number, and what was measured; times in seconds.

    The loop stood still somewhere between ``last``, the beat before, and ``beat``; it
    did from ``due`` on. ``own`` and ``others`` are the processor time of the loop's
    thread and of all other threads of the process since ``last``, and ``queued`` is how
    long the loop's thread stood in the queue for a processor.
    """

    number: int
    last: float
    due: float
    beat: float
    own: float
    others: float
    queued: float

    @property
    def seconds(self) -> float:
        """How long the loop stood still, at least."""
        return self.beat - self.due


class Heart:
    """Beats every ``interval`` seconds, and keeps the beats that are ``late`` by more.

    ``beats`` and ``due``, the number of beats and when the next one is due, and
    ``process`` and ``times``, those of the process and of the loop's thread at the last
    one, are for the watchdog to read. It sets ``paused`` when the loop is not running,
    and ``explained`` to the number of the last beat whose stall, if there was one, has
    been reported.
    """

    def __init__(self, loop: AbstractEventLoop, interval: float, late: float) -> None:
        self.loop, self.interval, self.late = loop, interval, late
        self.thread, self.native = get_ident(), get_native_id()
        self.scheduling = Scheduling(self.native)
        self.caller = _caller(loop)
        #: How late a beat is that is looked at, in seconds, and what rings then.
        self.patience, self.alarm = max(late / 2, 0.005), alarms.make()
        self.lag = lag.start()
        self.beats = self.explained = 0
        self.paused = False
        #: The last late beats, for the watchdog to take.
        self.missed: deque[Late] = deque(maxlen=16)
        self._note(monotonic())

    def _note(self, now: float) -> None:
        self.last, self.due = now, now + self.interval
        self._measure()
        self._timer: TimerHandle = self.loop.call_later(self.interval, self._beat)
        self._set_alarm()

    def _set_alarm(self) -> None:
        if (alarm := self.alarm) is not None:
            alarm.set(self.due + self.patience)

    def _measure(self) -> None:
        self._own, self.process = thread_time(), process_time()
        self.times = self.scheduling.read()

    def _beat(self) -> None:
        # It may have been ended by another thread, or belong to the parent process.
        if hearts.values.get(self.loop) is not self:
            return
        now, ident = monotonic(), get_ident()
        late = max(0.0, now - self.due)
        if ident != self.thread:
            self._move(ident)
        if not self.paused:
            self.lag.observe(late, self.interval)
            if late >= self.late:
                self._miss(now, late)
        self.paused = False
        self.caller = sys._getframe(1).f_code
        # In this order: the watchdog must not see a new beat with its old time.
        self._note(now)
        self.beats += 1

    def _miss(self, now: float, late: float) -> None:
        own = thread_time() - self._own
        others = max(0.0, process_time() - self.process - own)
        queued = queued_since(self.times, self.scheduling.read())
        number, times = self.beats + 1, (self.last, self.due, now)
        self.missed.append(Late(number, *times, own, others, queued))
        self.lag.stall(late)

    def _move(self, ident: int) -> None:
        """Beat in another thread, whose times are not those of the one before."""
        self.thread, self.native = ident, get_native_id()
        self.scheduling.close()
        self.scheduling = Scheduling(self.native)
        self.paused = True

    def resume(self) -> None:
        """Beat again, in a loop that runs again after a pause."""
        self.last = self.due = monotonic()
        self._measure()
        self._set_alarm()
        self.paused = False

    def end(self) -> None:
        """Beat no more; what was counted stays."""
        lag.end(self.lag)
        self.scheduling.close()
        self.alarm = None
        # Elsewhere it would not be safe; the timer ends by itself then.
        if get_ident() == self.thread and not self.loop.is_closed():
            self._timer.cancel()


def _caller(loop: AbstractEventLoop) -> CodeType | None:
    """Return the code that calls what ``loop`` runs, as far as can be seen now."""
    task = current_task(loop)
    frame = getattr(task and task.get_coro(), "cr_frame", None)
    outer = frame and frame.f_back
    return outer.f_code if outer else None


def _make() -> Heart:
    settings = current()
    return Heart(get_running_loop(), settings.heartbeat, late_enough())


def late_enough() -> float:
    """Return by how many seconds a beat is late that tells of a stall.

    A stall of ``STALL`` that begins right after a beat makes the next one late by less.
    """
    settings = current()
    return max(settings.stall - settings.heartbeat, settings.stall / 2)


#: The heart of each loop that is watched.
hearts: PerLoop[Heart] = PerLoop(_make, Heart.end)

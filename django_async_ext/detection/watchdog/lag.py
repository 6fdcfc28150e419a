"""Counts how late the timers of this process's event loops are.

Contract: each loop has a ``Lag`` of its own, which only its thread writes, without a
lock. ``total()`` adds them up, those of loops that have ended included; it may be
called from any thread. A forked child starts from zero.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from math import ceil
from time import time

#: The upper bounds of the buckets, in seconds; one more bucket has none.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: How many seconds the history goes back.
HISTORY = 120


class Lag:
    """What is known of one loop's lateness; times are in seconds.

    ``counts`` are those of the buckets, ``sum`` is of all that was counted. ``stalls``
    lasted ``stalled`` seconds together. ``worst`` holds the time of each of the last
    seconds, and how late a timer was in it at most.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        self.stalls = 0
        self.stalled = 0.0
        self.worst: deque[tuple[int, float]] = deque(maxlen=HISTORY)

    def observe(self, late: float, interval: float) -> None:
        """Count a timer that was ``late``, one of those due every ``interval``.

        Those that were never started, because that one was so late, would have been
        late too: all are counted, or one long stall would be one among many.
        """
        if late <= interval:
            self.counts[bisect_left(BOUNDS, late)] += 1
            self.sum += late
        else:
            self._observe_missed(late, interval)
        second, worst = int(time()), self.worst
        if worst and worst[-1][0] == second:
            if late > worst[-1][1]:
                worst[-1] = (second, late)
        else:
            worst.append((second, late))

    def _observe_missed(self, late: float, interval: float) -> None:
        # They were late by ``late``, ``late - interval`` and so on, down to zero.
        number = above = ceil(late / interval)
        for bucket, bound in enumerate(BOUNDS):
            still = max(0, ceil((late - bound) / interval))
            self.counts[bucket] += above - still
            above = still
        self.counts[-1] += above
        self.sum += number * late - interval * number * (number - 1) / 2

    def stall(self, seconds: float) -> None:
        """Count a stall."""
        self.stalls += 1
        self.stalled += seconds

    def add(self, other: Lag) -> None:
        """Add what ``other`` has counted."""
        counts = zip(self.counts, other.counts, strict=True)
        self.counts = [mine + its for mine, its in counts]
        self.sum += other.sum
        self.stalls += other.stalls
        self.stalled += other.stalled
        self.worst = deque(_worst_of(self.worst, other.worst), maxlen=HISTORY)


def _worst_of(*several: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    found: dict[int, float] = {}
    for each in several:
        # A copy, at once: a loop may be writing to it.
        for second, late in tuple(each):
            found[second] = max(late, found.get(second, 0.0))
    return sorted(found.items())


class _Lags:
    """Those of all loops of this process."""

    def __init__(self) -> None:
        self.of_loops: list[Lag] = []
        self.ended = Lag()
        self.lock = threading.Lock()


_lags = _Lags()


def start() -> Lag:
    """Return a ``Lag`` for a loop."""
    lag = Lag()
    with _lags.lock:
        _lags.of_loops.append(lag)
    return lag


def end(lag: Lag) -> None:
    """Keep the sum of what ``lag`` has counted, whose loop has ended."""
    with _lags.lock:
        if lag in _lags.of_loops:
            _lags.of_loops.remove(lag)
            _lags.ended.add(lag)


def total() -> Lag:
    """Return what all loops have counted, at this moment."""
    found = Lag()
    with _lags.lock:
        for lag in (_lags.ended, *_lags.of_loops):
            found.add(lag)
    return found


def history() -> list[tuple[float, float]]:
    """Return the time of each of the last seconds, and how late a timer was in it."""
    return [(float(second), late) for second, late in total().worst]


def stalls() -> int:
    """Return how many stalls there were."""
    return total().stalls


def reset() -> None:
    """Forget all that was counted."""
    global _lags
    _lags = _Lags()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset)

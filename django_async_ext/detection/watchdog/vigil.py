"""Watches one loop's heart: samples while a beat is late, explains it afterwards.

Contract: ``look()`` is called by the watchdog's thread alone, at the times that it
returns or later. It takes at most ``MOST`` samples of one stall, at growing distances.
A stall that goes on for long is reported while it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import process_time

from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import Key
from django_async_ext.detection.watchdog import sampling, stalls
from django_async_ext.detection.watchdog.causes import (
    Evidence,
    Scheduling,
    Threads,
    queued_since,
)
from django_async_ext.detection.watchdog.heart import Heart, Late
from django_async_ext.detection.watchdog.sampling import Look, Sample

MOST = 20
#: Between the first samples of a stall, in seconds; each distance is longer by a fifth.
STEP, GROWTH = 0.01, 1.2
#: After how many seconds a stall is reported that has not ended.
LONG = 2.0
#: How often a loop is looked at that is not running, or whose alarm is set.
REST = 1.0


class Vigil:
    """What the watchdog knows of one loop since its last beat.

    ``calm`` tells that nothing at the last look was still to be explained, and
    ``rests`` that there is nothing to look at before its alarm rings.
    """

    def __init__(
        self,
        heart: Heart,
        threads: Threads,
        watchdog: Scheduling,
        take: Callable[[Heart], Look] = sampling.look,
        report: Callable[[stalls.Stall], Key | None] = stalls.report,
    ) -> None:
        self.heart, self._threads = heart, threads
        self._watchdog = watchdog
        self._take, self._report = take, report
        self.calm = self.rests = False
        self._seen = self._watchdog.read()
        self._begin()

    def _begin(self, overslept: float = 0.0) -> None:
        """Wait for the next beat."""
        self._beats = self.heart.beats
        self._samples: list[Sample] = []
        self._threads_seen: list[Mapping[int, Place]] = []
        self._looks = 0
        self._overslept = overslept
        self._told: tuple[Key, float] | None = None
        self._before = self._seen

    def look(self, now: float, overslept: float) -> float:
        """Return when to look again; ``overslept`` is by how much this is too late."""
        heart = self.heart
        rested, self.calm, self.rests = self.rests, False, False
        self._overslept += overslept
        # A beat that is just being made is in missed, and not yet in beats.
        if heart.beats != self._beats or heart.missed:
            if rested and heart.missed:
                late = heart.missed[0]
                # It slept on if that beat put the alarm off before it could wake.
                self._oversleep_alarm(late.due, min(now, late.beat))
            self._explain()
            # What came after that beat, and while the watchdog slept.
            self._begin(min(overslept, max(0.0, now - heart.last)))
        if rested:
            self._oversleep_alarm(heart.due, now)
        is_running, first = heart.loop.is_running(), heart.due + heart.patience
        if is_running and now >= first:
            self._sample()
        # Only now: while it reads a file, a loop that stood still goes on.
        self._seen = self._watchdog.read()
        if not is_running:
            heart.paused = self.calm = True
            return now + REST
        if now < first:
            self._before, self._overslept = self._seen, 0.0
            self.calm, self.rests = True, heart.alarm is not None
            return now + REST if self.rests else first
        if self._looks >= MOST and now - heart.due > LONG and self._told is None:
            self._report_unfinished(now)
        self.calm = self._told is not None
        return now + STEP * GROWTH ** min(self._looks, MOST)

    def _oversleep_alarm(self, due: float, until: float) -> None:
        """Note that the alarm of the beat that was ``due`` rang, until that time."""
        overslept = until - due - self.heart.patience
        self._overslept = max(self._overslept, overslept)

    def _sample(self) -> None:
        if self._looks >= MOST:
            return
        self._looks += 1
        sample, threads = self._take(self.heart)
        self._threads_seen.append(threads)
        # The loop got on while it was looked at: that may be anything.
        if sample is not None and self.heart.beats == self._beats:
            self._samples.append(sample)

    def _explain(self) -> None:
        """Report each stall that has ended since."""
        beats = self.heart.beats
        while self.heart.missed:
            late = self.heart.missed.popleft()
            seen = late.number == self._beats + 1
            samples = self._samples if seen else []
            stall = self._stall(late, samples)
            if seen and self._told:
                stalls.prolong(self._told, stall)
            else:
                self._report(stall)
        self.heart.explained = beats

    def _report_unfinished(self, now: float) -> None:
        heart, times = self.heart, self.heart.scheduling.read()
        own = times.used - heart.times.used if times and heart.times else 0.0
        others = max(0.0, process_time() - heart.process - own)
        queued = queued_since(heart.times, times)
        number, when = self._beats + 1, (heart.last, heart.due, now)
        late = Late(number, *when, own, others, queued)
        key = self._report(self._stall(late, self._samples))
        self._told = (key or stalls.UNTOLD, late.seconds)

    def _stall(self, late: Late, samples: list[Sample]) -> stalls.Stall:
        _, several = stalls.culprit(samples)
        slept = queued_since(self._before, self._watchdog.read())
        evidence = Evidence(
            seconds=late.seconds,
            least=self.heart.late,
            own=late.own,
            others=late.others,
            queued=late.queued,
            overslept=max(0.0, self._overslept - slept),
            turns=several,
            unseen=not samples,
        )
        mine = (self.heart.native, self._watchdog.native)
        return stalls.Stall(
            thread=self.heart.thread,
            began=late.last,
            ended=late.beat,
            slack=late.due - late.last,
            evidence=evidence,
            samples=samples,
            # If there was no time to look: what they do now is all that can be told.
            threads=self._threads_seen or [self._take(self.heart).threads],
            busiest=self._threads.busiest(*mine),
        )

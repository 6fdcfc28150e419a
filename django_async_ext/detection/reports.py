"""Keeps what was found, merged by rule, line and view, and makes it known.

Contract: ``reports.add()`` merges an occurrence, logs it if asked to, not more often
than ``INTERVAL`` says, sends ``blocking_call_detected`` as often, and tells each of
``listeners`` every time. It may be called from any thread. The least recent of more
than ``MOST`` reports is forgotten.
"""

from __future__ import annotations

import linecache
import logging
import os
import threading
import traceback
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from types import FrameType
from typing import Any

from django.dispatch import Signal

from django_async_ext.detection import frames
from django_async_ext.detection.requests import RequestInfo
from django_async_ext.detection.settings import current

MOST = 500
STACKS = 3
DEPTH = 60

logger = logging.getLogger("django.async_blocking")

#: Sent with ``report``, a ``Report``, when one is new and then at most once in
#: ``INTERVAL`` seconds. The sender is the class ``Report``.
blocking_call_detected = Signal()

Key = tuple[str, str, int, str]


@dataclass(frozen=True)
class Occurrence:
    """One call that blocked the event loop, or one stall.

    ``seconds`` is how long the loop stood still, None if that is not known; it may have
    been longer by ``slack``. ``cause`` says why in one word.
    """

    rule: str
    what: str
    remedy: str
    place: frames.Place
    request: RequestInfo | None = None
    task: str = ""
    seconds: float | None = None
    slack: float = 0.0
    cause: str = ""

    @property
    def duration(self) -> str:
        """How long the loop stood still, in words; "" if that is not known."""
        if self.seconds is None:
            return ""
        least, most = (
            1000 * each for each in (self.seconds, self.seconds + self.slack)
        )
        more = f" to {most:.0f}" if f"{most:.0f}" != f"{least:.0f}" else ""
        return f"{least:.0f}{more} ms"

    @property
    def key(self) -> Key:
        """What is merged into one report."""
        view = self.request.view if self.request else ""
        # What has no line is told apart by what is blamed for it.
        return self.rule, self.place.file or self.what, self.place.line, view


@dataclass
class Report:
    """What is known of one place that blocks, from all its occurrences.

    Times are in seconds; ``latest`` is the last occurrence.
    """

    latest: Occurrence
    first_seen: datetime
    last_seen: datetime
    count: int = 0
    stalls: int = 0
    total: float = 0.0
    longest: float = 0.0
    stacks: list[str] = field(default_factory=list)
    told: float | None = None

    def text(self) -> str:
        """Say it to a person, in a few lines."""
        one, request = self.latest, self.latest.request
        facts = [f"{request.method} {request.path}"] if request else []
        facts += [f"view={request.view}"] if request and request.view else []
        facts += [f"task={one.task}"] if one.task else []
        how_long = f" for {one.duration}" if one.duration else ""
        why = f" ({one.cause})" if one.cause else ""
        lines = [f"{one.what} blocked the event loop{how_long}{why}. {' '.join(facts)}"]
        if one.place.file:
            where = f"{one.place.file}:{one.place.line} in {one.place.function}"
            code = linecache.getline(one.place.file, one.place.line).strip()
            lines.append(f"{where}: {code}")
        lines += [f"instead: {one.remedy}", f"seen {self.count} times"]
        return "\n  ".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON and for logs."""
        one, request = self.latest, self.latest.request
        return {
            "rule": one.rule,
            "what": one.what,
            "remedy": one.remedy,
            "file": one.place.file,
            "line": one.place.line,
            "function": one.place.function,
            "code": linecache.getline(one.place.file, one.place.line).strip(),
            "request": request._asdict() if request else None,
            "task": one.task,
            "cause": one.cause,
            "count": self.count,
            "stalls": self.stalls,
            "seconds": one.seconds,
            "slack": one.slack,
            "total": self.total,
            "longest": self.longest,
            "first_seen": self.first_seen.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "stacks": list(self.stacks),
        }


class Reports:
    """All reports of this process."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Occurrence, Report], None]] = []
        #: The last occurrences: when (monotonic), in which thread, their key.
        self.recent: deque[tuple[float, int, Key]] = deque(maxlen=64)
        #: How often each rule was broken, whatever has been forgotten since.
        self.counts: Counter[str] = Counter()
        self._by_key: OrderedDict[Key, Report] = OrderedDict()
        self._lock = threading.Lock()

    def add(
        self, occurrence: Occurrence, stack: FrameType | str, *, log: bool
    ) -> Report:
        """Merge ``occurrence``, found in ``stack``, into its report; return that."""
        with self._lock:
            report = self._merge(occurrence, stack)
            is_due = _is_due(report)
            self.recent.append((monotonic(), threading.get_ident(), occurrence.key))
        for listener in list(self.listeners):
            listener(occurrence, report)
        if is_due:
            self._tell(report, log)
        return report

    def lengthen(
        self, key: Key, occurrence: Occurrence, known: float | None = None
    ) -> Report | None:
        """Add the stall ``occurrence`` to what was reported when it began.

        A call that is known to block and the stall that it causes are one report. Of
        a stall that was reported while it lasted, ``known`` seconds were added then.
        """
        with self._lock:
            if (report := self._by_key.get(key)) is not None:
                report.stalls += known is None
                report.total -= known or 0.0
                _add_time(report, occurrence)
        return report

    def hits(self, since: float, until: float, thread: int) -> list[Key]:
        """Return what ``thread`` was reported for in that time, the last one first."""
        with self._lock:
            return [
                key
                for when, where, key in reversed(self.recent)
                if where == thread and since <= when <= until
            ]

    def _merge(self, occurrence: Occurrence, stack: FrameType | str) -> Report:
        now = datetime.now(UTC)
        report = self._by_key.get(occurrence.key)
        if report is None:
            report = self._by_key[occurrence.key] = Report(occurrence, now, now)
            if len(self._by_key) > MOST:
                self._by_key.popitem(last=False)
        self._by_key.move_to_end(occurrence.key)
        report.latest, report.last_seen = occurrence, now
        report.count += 1
        self.counts[occurrence.rule] += 1
        if len(report.stacks) < STACKS:
            text = stack if isinstance(stack, str) else formatted(stack)
            if text not in report.stacks:
                report.stacks.append(text)
        if occurrence.seconds is not None:
            report.stalls += 1
        _add_time(report, occurrence)
        return report

    def _tell(self, report: Report, log: bool) -> None:
        if log:
            fields = {f"blocking_{k}": v for k, v in report.as_dict().items()}
            logger.warning("%s", report.text(), extra=fields)
        blocking_call_detected.send_robust(Report, report=report)

    def all(self) -> list[Report]:
        """Return the reports, the most recent one first."""
        with self._lock:
            return list(reversed(self._by_key.values()))

    def renew_lock(self) -> None:
        """Let go of a lock that a thread of the parent process has."""
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget all reports."""
        with self._lock:
            self._by_key.clear()
            self.recent.clear()


def _is_due(report: Report) -> bool:
    now = monotonic()
    if report.told is not None and now - report.told < current().interval:
        return False
    report.told = now
    return True


def _add_time(report: Report, occurrence: Occurrence) -> None:
    seconds = occurrence.seconds or 0.0
    report.total += seconds
    report.longest = max(report.longest, seconds)


def formatted(frame: FrameType) -> str:
    """Return the stack that ends in ``frame``, as Python prints it."""
    return "".join(traceback.format_stack(frame, DEPTH))


reports = Reports()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reports.renew_lock)

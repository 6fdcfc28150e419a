"""Turns what was seen of a stall into a report.

Contract: ``report()`` says which line, for which request, and why; what is allowed to
block, or cannot be explained, is only counted. A call that was reported already and
the stall that it causes are one report.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread

from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import Key, Occurrence, reports
from django_async_ext.detection.settings import OFF, RECORD, current
from django_async_ext.detection.watchdog import advice, causes
from django_async_ext.detection.watchdog.sampling import Sample

#: The name of this layer's rule.
RULE = "stall"
NOWHERE = Place("", 0, "")
#: The key of what was only counted.
UNTOLD: Key = (RULE, "", 0, "untold")
#: How many stalls had which cause.
explained: Counter[str] = Counter()

_HELD = (
    "; Python's lock was held all the time, so that it may be an earlier line of this "
    "function"
)


@dataclass(frozen=True)
class Stall:
    """A stall of the loop of ``thread``, and what was seen of it.

    It lasted ``evidence.seconds``, or longer by up to ``slack``. It was somewhere
    between the times ``began`` and ``ended``.
    """

    thread: int
    began: float
    ended: float
    slack: float
    evidence: causes.Evidence
    samples: Sequence[Sample]
    threads: Sequence[Mapping[int, Place]] = ()
    busiest: Thread | None = None


def culprit(samples: Sequence[Sample]) -> tuple[Sample | None, bool]:
    """Return the sample that tells most, and whether several tasks took turns."""
    if not samples:
        return None, False
    turn, count = Counter(each.turn for each in samples).most_common(1)[0]
    its = [each for each in samples if each.turn == turn]
    place, _ = Counter(each.place for each in its).most_common(1)[0]
    several = count < len(samples) and count * 2 <= len(samples)
    return next(each for each in its if each.place == place), several


def report(stall: Stall) -> Key | None:
    """Report ``stall``; return under which key, if it was not only counted."""
    sample, _ = culprit(stall.samples)
    why = causes.cause(stall.evidence)
    explained[why] += 1
    mode = current().mode(RULE)
    if mode == OFF or (sample is not None and sample.allowed):
        return None
    occurrence = _occurrence(stall, sample, why)
    if occurrence is None:
        return None
    if why in (causes.BLOCKED, causes.CPU) and (key := _known(stall, occurrence)):
        reports.lengthen(key, occurrence)
        return key
    stack = _formatted(sample.stack) if sample else ""
    # Nobody is there to raise anything at: "raise" warns.
    reports.add(occurrence, stack, log=mode != RECORD)
    return occurrence.key


def prolong(told: tuple[Key, float], stall: Stall) -> None:
    """Add the rest of a stall that was reported, with its key, after some seconds."""
    key, known = told
    sample, _ = culprit(stall.samples)
    why = causes.cause(stall.evidence)
    if (occurrence := _occurrence(stall, sample, why)) is not None:
        reports.lengthen(key, occurrence, known)


def _occurrence(stall: Stall, sample: Sample | None, why: str) -> Occurrence | None:
    if why == causes.STARVED:
        return _accuse(stall, why, "The machine", NOWHERE)
    if why == causes.GIL:
        thread = stall.busiest
        name = f"Thread {thread.name!r}" if thread else "Another thread"
        return _accuse(stall, why, name, _place_of(thread, stall.threads))
    if sample is None:
        # Python's lock was held to the end, and then the loop was quicker.
        is_sure = why == causes.CPU
        return _accuse(stall, why, "Something unseen", NOWHERE) if is_sure else None
    if why == causes.SATURATED:
        same = all(each.place == sample.place for each in stall.samples)
        return _accuse(stall, why, "Many tasks", sample.place if same else NOWHERE)
    function = "" if sample.called else advice.called_by(sample.instruction)
    called = [*reversed(sample.called), *([function] if function else [])]
    what = called[0] if called else sample.place.function
    remedy = advice.remedy(why, called)
    if sample.endpoint is not None:
        what, remedy = sample.endpoint.short, sample.endpoint.remedy
    elif why == causes.CPU and stall.evidence.overslept > stall.evidence.seconds / 2:
        remedy += _HELD
    return Occurrence(
        rule=RULE,
        what=what,
        remedy=remedy,
        place=sample.place,
        request=sample.request,
        task=sample.task,
        seconds=stall.evidence.seconds,
        slack=stall.slack,
        cause=why,
    )


def _accuse(stall: Stall, why: str, what: str, place: Place) -> Occurrence:
    """Blame what is none of the loop's tasks: no request has to do with it."""
    return Occurrence(
        rule=RULE,
        what=what,
        remedy=advice.remedy(why, ()),
        place=place,
        seconds=stall.evidence.seconds,
        slack=stall.slack,
        cause=why,
    )


def _place_of(thread: Thread | None, seen: Sequence[Mapping[int, Place]]) -> Place:
    ident = thread.ident or 0 if thread else 0
    places = [each[ident] for each in seen if ident in each]
    return Counter(places).most_common(1)[0][0] if places else NOWHERE


def _known(stall: Stall, occurrence: Occurrence) -> Key | None:
    """Return the key of the guarded call that was reported when it began."""
    place = occurrence.place
    for key in reports.hits(stall.began, stall.ended, stall.thread):
        if key[1:3] == (place.file, place.line):
            return key
    return None


def _formatted(stack: Sequence[Place]) -> str:
    entries = [
        (each.file, each.line, each.function.rpartition(".")[2], None)
        for each in stack[::-1]
    ]
    return "".join(traceback.StackSummary.from_list(entries).format())

"""Decides whether a call blocks the event loop, and has it reported.

Contract: ``judge()`` is told of every guarded call on a loop's thread. The outermost
endpoint wins: what it calls is not judged again. Nothing that goes wrong here
reaches the project's code; only the error of the mode "raise" does, after the
report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextvars import ContextVar
from types import FrameType
from typing import Any

from django_async_ext.bridge import awaiting_frame, in_bridge
from django_async_ext.detection import allowing, frames, guards, requests
from django_async_ext.detection.reports import Occurrence, reports
from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.settings import OFF, RAISE, WARN, current
from django_async_ext.exceptions import (
    BlockingCallError,
    BlockingCallInterrupt,
    describe,
)

logger = logging.getLogger("django.async_blocking")

#: While something is reported: a log handler may send e-mail, a receiver query.
_judging: ContextVar[bool] = ContextVar("judging", default=False)


def judge(endpoint: Endpoint, frame: FrameType, subject: Any) -> None:
    """Report the call of ``endpoint`` in ``frame``, if it blocks the event loop.

    ``subject`` is its first argument. Raises ``BlockingCallError`` in the mode
    "raise".
    """
    if _judging.get() or (in_bridge() and not endpoint.inside):
        return
    token = _judging.set(True)
    try:
        error = _judged(endpoint, frame, subject)
    except Exception:
        logger.exception("The detector failed on %s; the call goes on.", endpoint.name)
        return
    finally:
        _judging.reset(token)
    if error is not None:
        raise error


def _judged(endpoint: Endpoint, frame: FrameType, subject: Any) -> Any:
    if endpoint.blocks is not None and not endpoint.blocks(subject):
        return None
    stack = list(frames.synchronous(frame))
    outer = [each for each in _endpoints_of(stack) if each[1] is not frame]
    if any(_has_been_judged(*each) for each in outer):
        return None
    leading = _leading(endpoint, outer, stack)
    mode = current().mode(leading.rule)
    if mode == OFF or allowing.in_context() or allowing.by_settings(stack):
        return None
    occurrence = _occurrence(leading, frame)
    requests.note(occurrence)
    report = reports.add(occurrence, frame, log=mode == WARN)
    return _error(report.text()) if mode == RAISE else None


def _endpoints_of(stack: Iterable[FrameType]) -> list[tuple[Endpoint, FrameType]]:
    known = guards.guarded
    return [(known[f.f_code], f) for f in stack if f.f_code in known]


def _has_been_judged(endpoint: Endpoint, frame: FrameType) -> bool:
    if endpoint.leads:
        return False
    subject = guards.first_argument(frame)
    return endpoint.blocks is None or endpoint.blocks(subject)


def _leading(
    endpoint: Endpoint,
    outer: list[tuple[Endpoint, FrameType]],
    stack: list[FrameType],
) -> Endpoint:
    """Return the outermost endpoint that the innermost code of the project calls."""
    code = next((n for n, f in enumerate(stack) if frames.is_project(f.f_code)), None)
    called = stack[:code]
    return next((each for each, f in reversed(outer) if f in called), endpoint)


def _occurrence(endpoint: Endpoint, frame: FrameType) -> Occurrence:
    user = frames.of_project(frame) or frames.of_project(awaiting_frame())
    task = asyncio.current_task()
    return Occurrence(
        rule=endpoint.rule,
        what=endpoint.short,
        remedy=endpoint.remedy,
        place=frames.place(user or frame),
        request=requests.current(),
        task=task.get_name() if task else "",
    )


def _error(text: str) -> BaseException:
    kind = (
        BlockingCallInterrupt
        if current().raise_as_base_exception
        else BlockingCallError
    )
    return kind(
        describe(
            "blocking-call",
            text,
            "ASYNC_EXT['DETECTION'] says to raise.",
            'Write what the remedy says, or allow it: allow_blocking("the reason").',
        )
    )

"""Decides whether a call blocks the event loop, and has it reported.

Contract: ``judge()`` is told of every guarded call on a loop's thread. The outermost
endpoint wins, the one that the project called: it is reported once, whatever blocks
below it, at the line that called it. Nothing that goes wrong here reaches the
project's code; only the error of the mode "raise" does, after the report.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from types import FrameType
from typing import Any

from django_async_ext.bridge import awaiting_frame, in_bridge
from django_async_ext.detection import allowing, frames, guards, machinery, requests
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
#: In the locals of an endpoint's frame: what was reported of this call.
_REPORTED = "_blocking_call_reported"


def judge(endpoint: Endpoint, frame: FrameType, *subject: Any) -> None:
    """Report the call of ``endpoint`` in ``frame``, if it blocks the event loop.

    ``subject`` is its first argument, for what has no frame of its own; ``frame`` is
    that of its caller then. Raises ``BlockingCallError`` in the mode "raise".
    """
    if (in_bridge() and not endpoint.inside) or _judging.get():
        return
    token = _judging.set(True)
    try:
        error = _judged(endpoint, frame, subject)
    except Exception:
        failure = "The detector failed on %s; the call goes on."
        logger.exception(describe("detector-failed", failure), endpoint.name)
        return
    finally:
        _judging.reset(token)
    if error is not None:
        raise error


def _judged(endpoint: Endpoint, frame: FrameType, subject: tuple[Any, ...]) -> Any:
    if not _does_block(endpoint, frame, subject):
        return None
    stack = list(frames.synchronous(frame))
    outermost, at = _outermost(endpoint, stack)
    mode = current().mode(outermost.rule)
    if mode == OFF:
        return None
    text = at and at.f_locals.get(_REPORTED)
    if text is None:
        if allowing.in_context() or allowing.by_settings(stack):
            return None
        text = _reported(outermost, frame, at, log=mode == WARN)
        if at is not None:
            at.f_locals[_REPORTED] = text
    return _error(text) if mode == RAISE else None


def _does_block(endpoint: Endpoint, frame: FrameType, subject: tuple[Any, ...]) -> bool:
    if endpoint.blocks is not None:
        of = subject[0] if subject else guards.first_argument(frame)
        if not endpoint.blocks(of):
            return False
    if endpoint.inside is True and not machinery.does_wait(endpoint, frame):
        return False
    return endpoint.exact is None or bool(subject) or endpoint.exact(frame) is not None


def _outermost(
    endpoint: Endpoint, stack: list[FrameType]
) -> tuple[Endpoint, FrameType | None]:
    """Return what the project called that led to ``endpoint``, and its frame."""
    calls = [(each, f) for f in stack if (each := guards.endpoint_of(f)) is not None]
    found, at = calls[-1] if calls else (endpoint, None)
    if at is not None and found.exact is not None:
        found = found.exact(at) or found
    if isinstance(endpoint.inside, str) and in_bridge():
        found = found._replace(remedy=endpoint.inside)
    return found, at


def _reported(
    endpoint: Endpoint, frame: FrameType, at: FrameType | None, *, log: bool
) -> str:
    occurrence = _occurrence(endpoint, frame if at is None else at.f_back or at)
    requests.note(occurrence)
    return reports.add(occurrence, frame, log=log).text()


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

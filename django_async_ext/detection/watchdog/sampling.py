"""Looks at an event loop from another thread: what its thread runs, and for whom.

Contract: ``look()`` only reads, within some microseconds: what it reads changes as soon
as the loop gets on, so that whoever looks compares the heart's beats before and after.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio.events import Handle
from collections.abc import Iterator, Mapping
from contextvars import Context
from types import CodeType, FrameType
from typing import Any, NamedTuple

from django_async_ext.bridge import awaiting_frame
from django_async_ext.detection import allowing, frames, guards, requests
from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import DEPTH
from django_async_ext.detection.requests import RequestInfo
from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.watchdog.heart import Heart

_HANDLE_RUN = Handle._run.__code__
#: Whoever stops here wants the loop to stand still.
_DEBUGGERS = ("bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy")


class Instruction(NamedTuple):
    """What a frame executes: where in its code, and the names known there."""

    code: CodeType
    offset: int
    names: Mapping[str, Any]


class Sample(NamedTuple):
    """What a loop runs at one moment.

    ``turn`` tells one task, or one callback, from another. ``stack`` goes outwards from
    the innermost frame; ``place`` is the innermost line of the project in it, if it has
    one. ``called`` are the functions that this line calls, innermost first, and
    ``endpoint`` the outermost known one among them.
    """

    turn: object
    task: str
    request: RequestInfo | None
    place: Place
    stack: tuple[Place, ...]
    called: tuple[str, ...]
    instruction: Instruction
    endpoint: Endpoint | None
    allowed: bool


class Look(NamedTuple):
    """What all threads run at one moment: that of the loop, and the places of others.

    ``sample`` is None when the loop runs nothing.
    """

    sample: Sample | None
    threads: Mapping[int, Place]


def look(heart: Heart) -> Look:
    """Return what the loop of ``heart`` and the other threads run now."""
    threads = sys._current_frames()
    innermost = threads.pop(heart.thread, None)
    # The loop's own first: it may get on at any time.
    sample = _take(heart, innermost)
    return Look(sample, {ident: _place_of(each) for ident, each in threads.items()})


def _take(heart: Heart, innermost: FrameType | None) -> Sample | None:
    stack = list(running(innermost, heart.caller))
    task = asyncio.current_task(heart.loop)
    if not stack or (task is None and _is_idle(innermost, heart.caller)):
        return None
    context = _context_of(task) if task else _context_of_callback(innermost)
    place = next((f for f in stack if frames.is_project(f.f_code)), stack[0])
    inner = stack[: stack.index(place)]
    return Sample(
        turn=id(task) if task else frames.name(stack[-1]),
        task=task.get_name() if task else "",
        request=requests.current(context) if context else None,
        place=frames.place(place),
        stack=tuple(map(frames.place, stack[:DEPTH])),
        called=tuple(frames.name(f) for f in inner if not frames.is_ours(f.f_code)),
        instruction=Instruction(place.f_code, place.f_lasti, place.f_globals),
        endpoint=_endpoint(inner),
        allowed=_is_allowed(stack, context),
    )


def running(frame: FrameType | None, caller: CodeType | None) -> Iterator[FrameType]:
    """Yield ``frame`` and its callers, up to what the event loop called itself.

    What runs inside the bridge was called by what waits for it outside.
    """
    while frame is not None:
        if frame.f_code is _HANDLE_RUN or frame.f_code is caller:
            return
        yield frame
        frame = frame.f_back or awaiting_frame(frame)


def _is_idle(frame: FrameType | None, caller: CodeType | None) -> bool:
    """Tell whether ``frame`` is the loop itself: nothing that it called."""
    return not any(
        each.f_code is _HANDLE_RUN or each.f_code is caller
        for each in frames.outwards(frame)
    )


def _context_of(task: asyncio.Task[Any]) -> Context | None:
    if get_context := getattr(task, "get_context", None):
        found: Context = get_context()
        return found
    # Python 3.11 does not tell it; of all that a task refers to, it comes first.
    known = (each for each in gc.get_referents(task) if isinstance(each, Context))
    return next(known, None)


def _context_of_callback(frame: FrameType | None) -> Context | None:
    # There is none to be found on uvloop, where the loop is no Python code.
    for each in frames.outwards(frame):
        if each.f_code is _HANDLE_RUN:
            handle: Any = each.f_locals.get("self")
            context: Context | None = getattr(handle, "_context", None)
            return context
    return None


def _endpoint(called: list[FrameType]) -> Endpoint | None:
    found = (guards.known(frame.f_code) for frame in called[::-1])
    return next((endpoint for endpoint in found if endpoint is not None), None)


def _is_allowed(stack: list[FrameType], context: Context | None) -> bool:
    modules = (str(f.f_globals.get("__name__")).partition(".")[0] for f in stack)
    return (
        any(module in _DEBUGGERS for module in modules)
        or (context is not None and allowing.in_context(context))
        or allowing.by_settings(stack)
    )


def _place_of(frame: FrameType) -> Place:
    return frames.place(frames.of_project(frame) or frame)

"""Names who holds a connection, for the error of an exhausted pool.

Nothing is recorded while all goes well: the lines are read from the suspended
tasks when the error is made.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator
from time import monotonic
from types import FrameType
from typing import Any

from django_async_ext.bridge import suspended_frame
from django_async_ext.driving import driven_coroutine

_MOST = 5
_FOREIGN = (
    sysconfig.get_path("stdlib"),
    f"{os.sep}site-packages{os.sep}",
    f"{os.sep}dist-packages{os.sep}",
    f"{os.sep}django_async_ext{os.sep}",
)


def describe_holders(connections: Iterable[Any]) -> str:
    """Say which tasks hold ``connections``, since when and at which line."""
    held = sorted(connections, key=lambda connection: connection.since)
    words = [_describe(connection) for connection in held[:_MOST]]
    if len(held) > _MOST:
        words.append(f"{len(held) - _MOST} more")
    return "; ".join(words) or "connections that are being opened"


def _describe(connection: Any) -> str:
    if connection.task is None:
        is_reset = connection.reset_sql or connection.home.options.reset
        return "the pool itself, which resets one" if is_reset else "one just served"
    seconds = monotonic() - connection.since
    return (
        f"task {connection.task.get_name()!r} for {seconds:.1f} s "
        f"at {task_line(connection.task)}"
    )


def task_line(task: Any) -> str:
    """Return the innermost line of the user's code at which ``task`` waits."""
    frames = list(_frames(task.get_coro()))
    if not frames:
        return "an unknown line"
    return line_of(_innermost(reversed(frames)) or frames[-1])


def user_frame(frame: FrameType) -> FrameType:
    """Return the nearest caller of ``frame`` in the user's code."""
    return _innermost(_callers(frame)) or frame


def _innermost(frames: Iterable[FrameType]) -> FrameType | None:
    for frame in frames:
        if not any(part in frame.f_code.co_filename for part in _FOREIGN):
            return frame
    return None


def _frames(awaited: Any) -> Iterator[FrameType]:
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            yield frame
            if inner := suspended_frame(frame):
                yield from _inside(inner)
        awaited = getattr(awaited, "cr_await", None) or getattr(
            awaited, "ag_await", None
        )


def _inside(innermost: FrameType) -> Iterator[FrameType]:
    for frame in reversed(list(_callers(innermost))):
        yield frame
        yield from _frames(driven_coroutine(frame))


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def line_of(frame: FrameType) -> str:
    """Say in which file, line and function ``frame`` is."""
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"

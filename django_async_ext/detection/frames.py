"""Reads a stack: whose code it is, and where the event loop called it.

Contract: looks at frames, never runs or changes what they belong to. "The project"
is what is neither Python's, nor installed beside it, nor this package.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
from asyncio.events import Handle
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_INSTALLED = tuple(
    {
        sysconfig.get_path(name)
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    | {str(Path(path)) for path in sys.path if Path(path).name == "site-packages"}
)
_HANDLE_RUN = Handle._run.__code__
#: Coroutines and the like: what awaits them resumes them.
SUSPENDABLE = (
    inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
)


class Place(NamedTuple):
    """A line of code, and the dotted name of the function that it is in."""

    file: str
    line: int
    function: str


def place(frame: FrameType) -> Place:
    """Return where ``frame`` is."""
    return Place(frame.f_code.co_filename, frame.f_lineno, name(frame))


def name(frame: FrameType) -> str:
    """Return the dotted name of the function of ``frame``."""
    module = frame.f_globals.get("__name__", "?")
    return f"{module}.{frame.f_code.co_qualname}"


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield ``frame``, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def synchronous(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield ``frame`` and its callers, up to what the event loop called itself.

    That is the innermost coroutine, or a callback.
    """
    for each in outwards(frame):
        if each.f_code is _HANDLE_RUN:
            return
        yield each
        if each.f_code.co_flags & SUSPENDABLE:
            return


def of_project(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame of the project's code, from ``frame`` outwards."""
    return next((each for each in outwards(frame) if is_project(each.f_code)), None)


def is_project(code: CodeType) -> bool:
    """Tell whether ``code`` is the project's own."""
    return is_project_file(code.co_filename)


@lru_cache(maxsize=4096)
def is_project_file(file: str) -> bool:
    """Tell whether ``file`` is one of the project's own."""
    if file.startswith("<"):
        return False
    return not is_below(file, _PACKAGE, *_INSTALLED)


def is_ours(code: CodeType) -> bool:
    """Tell whether ``code`` is of this package."""
    return is_below(code.co_filename, _PACKAGE)


def is_below(file: str, *folders: str) -> bool:
    """Tell whether ``file`` is in one of ``folders``."""
    return any(file.startswith(f"{folder}/") for folder in folders)

"""A sampling profiler for the main thread, driven by CPU time.

A deterministic profiler charges every Python call and so flatters code in C; it also
loses its place when greenlets switch. Here a timer signal looks at the running frame,
and a share of the samples is a share of the CPU.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

EVERY = 0.001


@contextmanager
def sampled(path: str) -> Iterator[None]:
    """Sample the block and write the counts to `path`; nothing when that is empty."""
    if not path:
        yield
        return
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        stack = list(walk(frame))
        own[stack[0]] += 1
        within.update(set(stack))

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    Path(path).write_text(json.dumps({"own": own, "within": within}))


def walk(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"
        frame = frame.f_back

"""A mode's process: loads one mode and answers each job with a result.

Every job runs on a fresh event loop with fresh pools, so that between jobs an idle
process holds no connection and the processes of all modes can wait side by side.
Standard output belongs to the protocol; stray prints go to stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from benchmarks import protocol
from benchmarks.load import measure, measure_sync
from benchmarks.modes import load_mode
from benchmarks.modes.base import AsyncMode, Mode, SyncMode
from benchmarks.protocol import Config, Hello, Job, Result

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    name, config = sys.argv[1], protocol.decode(Config, sys.argv[2])
    answers = claim_stdout()
    try:
        mode = load_mode(name, config)
    except Exception as error:  # noqa: BLE001 - the runner is told
        say(answers, Hello(unavailable=f"{type(error).__name__}: {error}"))
        return
    say(answers, Hello(cases=mode.cases(), versions=mode.versions()))
    for line in sys.stdin:
        say(answers, run(mode, protocol.decode(Job, line)))


def claim_stdout() -> TextIO:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def say(answers: TextIO, message: Hello | Result) -> None:
    print(protocol.encode(message), file=answers)


def run(mode: Mode, job: Job) -> Result:
    try:
        if isinstance(mode, SyncMode):
            return measure_sync(mode, job)
        assert isinstance(mode, AsyncMode)
        with asyncio.Runner(loop_factory=loop_factory(mode.config.loop)) as runner:
            return runner.run(measure(mode, job))
    except BaseException as error:  # noqa: BLE001 - the runner is told
        traceback.print_exc()
        return Result(error=describe(error))


def describe(error: BaseException) -> str:
    """The first real failure: task groups wrap it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop


if __name__ == "__main__":
    main()

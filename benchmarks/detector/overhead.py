"""What the detector costs a request: two processes at once, of which one has it.

Both answer the same requests, through the middleware of a new Django project, and share
one processor: whatever else the machine does slows both. Each has half of its time, and
so a heartbeat half as often, which makes as many beats in a second of its own. Each has
a timer pending, as under uvicorn. The processor time of the whole process counts, the
watchdog's thread included.

The module is the program of one of the two processes; it prints how many seconds of
processor time a request took.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.detector import project
from benchmarks.detector.child import factory_of
from benchmarks.detector.serving import ask
from benchmarks.startproject import MIDDLEWARE

#: The settings of each mode: DEBUG, and whether one of the two has the detector.
MODES = {"none": (False, False), "production": (False, True), "debug": (True, True)}
#: How long both are measured, and work before that and after it, in seconds.
SECONDS, BEFORE, AFTER = 6.0, 6.0, 0.5
#: Requests before that: what runs often has been made quicker then.
WARMING = 300
TICK = 0.1


def pair(mode: str, loop: str, database: str, redis: str) -> float:
    """Return by what part a request costs more with the detector than without.

    Raises ``CalledProcessError`` if one of the processes fails.
    """
    debug, on = MODES[mode]
    begin = time.monotonic() + BEFORE
    command = [sys.executable, "-m", __spec__.name, loop, str(begin), database, redis]
    running = [
        subprocess.Popen(
            [*command, str(int(debug)), str(int(has_it))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for has_it in (False, on)
    ]
    # Both to their ends: what goes on would disturb the next pair.
    said = [process.communicate() for process in running]
    for process, (output, error) in zip(running, said, strict=True):
        if process.returncode:
            raise subprocess.CalledProcessError(
                process.returncode, command, output, error
            )
    without, with_it = (json.loads(output.splitlines()[-1]) for output, _ in said)
    return float(with_it / without - 1)


async def _measure(begin: float, on: bool) -> float:
    from django.core.asgi import get_asgi_application

    from django_async_ext.detection.settings import current, force

    if on:
        force(HEARTBEAT=2 * current().heartbeat)
    application = get_asgi_application()
    ticking = asyncio.create_task(_tick())
    for _ in range(WARMING):
        await ask(application, "/hello/")
    await _ask_until(begin, application)
    before = time.process_time()
    number = await _ask_until(begin + SECONDS, application)
    cost = (time.process_time() - before) / number
    # The other one is to share the processor to its own end.
    await _ask_until(begin + SECONDS + AFTER, application)
    ticking.cancel()
    return cost


async def _tick() -> None:
    while True:  # noqa: ASYNC110
        await asyncio.sleep(TICK)


async def _ask_until(end: float, application: Any) -> int:
    number = 0
    while time.monotonic() < end:
        await ask(application, "/hello/")
        number += 1
    return number


def main() -> None:
    loop, begin, database, redis, debug, on = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    detector = [project.MIDDLEWARE] if int(on) else []
    settings: dict[str, Any] = {
        "DEBUG": bool(int(debug)),
        "MIDDLEWARE": [*detector, *MIDDLEWARE],
    }
    with TemporaryDirectory() as home:
        project.use(database, redis, Path(home), **settings)
        with asyncio.Runner(loop_factory=factory_of(loop)) as runner:
            print(json.dumps(runner.run(_measure(float(begin), bool(int(on))))))


if __name__ == "__main__":
    main()

"""What the detector costs a request: a trivial view with and without it, by turns.

One process for each mode. A pair is as many requests with it as without, in either
order; the processor time of the whole process counts, the watchdog's thread included.
All of it runs on one processor: how Django's threads meet on two changes from one
request to the next, by more than what is measured.
Prints one JSON list of pairs, in seconds per request.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.detector import project
from benchmarks.detector.child import factory_of
from benchmarks.detector.serving import ask

#: The settings of each mode: DEBUG, and whether it is switched on at all.
MODES = {"none": (False, False), "production": (False, True), "debug": (True, True)}
#: Requests of one half of a pair.
REQUESTS = 50
#: Seconds before each half that are not measured.
BEGINNING = 0.1

Pair = tuple[float, float]


async def measure(pairs: int, on: bool) -> list[Pair]:
    """Return each pair: without the detector, and with it if it is ``on``."""
    from django.core.asgi import get_asgi_application
    from django.test import override_settings

    from django_async_ext.detection import activation

    plain = get_asgi_application()
    with override_settings(MIDDLEWARE=[project.MIDDLEWARE] if on else []):
        guarded = get_asgi_application()
    activation.stop()

    async def without() -> float:
        return await _cost(plain)

    async def with_it() -> float:
        if on:
            activation.start()
        try:
            return await _cost(guarded)
        finally:
            activation.stop()

    for half in (without, with_it):
        await half()
    found = []
    for number in range(pairs):
        if number % 2:
            after, before = await with_it(), await without()
        else:
            before, after = await without(), await with_it()
        found.append((before, after))
    return found


async def _cost(application: Any) -> float:
    await ask(application, "/hello/")
    # The watchdog's thread begins, once in a process's life.
    await asyncio.sleep(BEGINNING)
    began = time.process_time()
    for _ in range(REQUESTS):
        await ask(application, "/hello/")
    return (time.process_time() - began) / REQUESTS


def interval(pairs: list[Pair], rounds: int = 5000) -> tuple[float, float, float]:
    """Return the median of the relative differences, and where 95% of them lie.

    The interval is a bootstrap's, over the pairs; the seed is fixed.
    """
    differences = [after / before - 1 for before, after in pairs]
    chance = random.Random(1)
    medians = sorted(
        median(chance.choices(differences, k=len(differences))) for _ in range(rounds)
    )
    low, high = medians[int(rounds * 0.025)], medians[int(rounds * 0.975) - 1]
    return median(differences), low, high


def main() -> None:
    mode, pairs, loop, database, redis = sys.argv[1:]
    debug, on = MODES[mode]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with TemporaryDirectory() as home:
        project.use(database, redis, Path(home), DEBUG=debug)
        with asyncio.Runner(loop_factory=factory_of(loop)) as runner:
            found = runner.run(measure(int(pairs), on))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

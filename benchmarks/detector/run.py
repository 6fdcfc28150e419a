"""The run that the command line asks for: the processes, the results."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.database import CACHE
from benchmarks.detector.overhead import MODES, pair
from benchmarks.detector.report import Report
from benchmarks.detector.rounds import LOOPS, Outcome, run, save
from benchmarks.detector.techniques import TECHNIQUES
from benchmarks.machine import processors

if TYPE_CHECKING:
    import argparse


#: Pairs of the overhead: of a quick run, and of another one.
QUICK, FULL = 3, 10


def compare(options: argparse.Namespace, url: str) -> None:
    """Try and measure, print the report, and keep all that was said in a file."""
    before, redis = os.getloadavg()[0], os.environ["REDIS_URL"]
    names = options.peers or list(TECHNIQUES)
    outcome = run(url, redis, names, say)
    costs = overhead(outcome, options.rounds or (QUICK if options.quick else FULL), url)
    report = Report(outcome, costs)
    said = ", ".join(f"{name} {value}" for name, value in facts(before).items())
    path = CACHE / "results" / time.strftime("detector-%Y%m%d-%H%M%S.json")
    save(outcome, path)
    print(said, report.text(), f"All that was said: {path}", sep="\n\n")
    if options.rst:
        options.rst.write_text(f"{said}.\n\n{report.rst()}\n")
    if outcome.failures:
        raise SystemExit("\n\nFailures:\n\n" + "\n".join(outcome.failures))


def overhead(
    outcome: Outcome, number: int, url: str
) -> dict[tuple[str, str], list[float]]:
    """Return what was measured of the detector, by mode and loop."""
    found = {}
    for mode in MODES:
        for loop in LOOPS:
            say(f"overhead, {mode} on {loop}")
            try:
                redis = os.environ["REDIS_URL"]
                found[mode, loop] = [
                    pair(mode, loop, url, redis) for _ in range(number)
                ]
            except subprocess.CalledProcessError as exc:
                outcome.failures.append(f"overhead, {mode}:\n{exc.stderr[-3000:]}")
    return found


def facts(load_before: float) -> dict[str, object]:
    from importlib.metadata import version

    peers = ("Django", "blockbuster", "aiodebug", "uvloop")
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in peers},
        "processors": processors(),
        "load before": round(load_before, 2),
        "load after": round(os.getloadavg()[0], 2),
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

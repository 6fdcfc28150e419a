"""Two modes at once on one processor: what an operation of each costs beside the other.

Whatever else the machine does slows both. Where modes take turns, two that cost the
same differ by a tenth and more on a busy machine; so they differ by one in a hundred.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.child import Child
from benchmarks.rounds import progress

if TYPE_CHECKING:
    from benchmarks.database import Inspector
    from benchmarks.protocol import Job
    from benchmarks.rounds import Plan


@dataclass(slots=True)
class Pairs:
    """How many times the CPU of ``mode`` an operation of ``against`` takes."""

    mode: str
    against: str
    case: str
    concurrency: int
    ratios: list[float] = field(default_factory=list)


def run_pairs(plan: Plan, inspector: Inspector, mode: str, against: str) -> list[Pairs]:
    """Measure every job of ``plan`` with both at once, as often as it has rounds."""
    found = []
    children = [Child(name, plan.config, inspector) for name in (mode, against)]
    try:
        for child in children:
            share_a_processor(child.process.pid)
        for job in plan.jobs():
            pairs = Pairs(mode, against, job.case, job.concurrency)
            for number in range(plan.rounds):
                progress(plan, number, job)
                pairs.ratios += ratio(children, job)
            found.append(pairs)
    finally:
        for child in children:
            child.end()
    return found


def share_a_processor(pid: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})


def ratio(children: list[Child], job: Job) -> list[float]:
    """One measurement; nothing if one of the two failed."""
    with ThreadPoolExecutor(len(children)) as threads:
        running = [
            threads.submit(child.run, job, 30 + 10 * job.seconds) for child in children
        ]
    ours, theirs = (each.result()[0] for each in running)
    return [] if ours.error or theirs.error else [theirs.cpu_us / ours.cpu_us]

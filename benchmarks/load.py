"""The load: workers repeat one operation for a while; what that cost is the result.

A worker works in requests of `per_request` operations each, because peers do per
request what this project does not: open a session, take a connection, start a thread.
Asynchronous modes get one task per worker, synchronous ones one thread per worker, or
none at all at concurrency 1. Nothing here may cost more than a microsecond or two per
operation.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.cases import CASES, Case
from benchmarks.library.rows import BOOKS
from benchmarks.protocol import Job, Result
from benchmarks.sampler import sampled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.modes.base import AsyncMode, SyncMode


class WrongAnswerError(Exception):
    """An operation saw fewer or more things than its case says."""


@dataclass(slots=True)
class Phase:
    """One stretch of load: until when it lasts, and how long each operation took."""

    case: Case
    per_request: int
    deadline: float
    latencies: list[float] = field(default_factory=list)

    def record(self, started: float, seen: int) -> None:
        self.latencies.append(time.perf_counter() - started)
        if seen != self.case.seen:
            raise WrongAnswerError(
                f"{self.case.name} saw {seen} things, not {self.case.seen}"
            )

    def open(self) -> bool:
        return time.perf_counter() < self.deadline


# In a random order that is the same for every mode and every round. A page of books
# follows each key.
KEYS = random.Random(0).sample(range(1, BOOKS - 100), BOOKS - 101)


def keys(worker: int) -> Iterator[int]:
    """Primary keys without end; each worker starts elsewhere."""
    start = worker * 1009 % len(KEYS)
    return itertools.chain(itertools.islice(KEYS, start, None), itertools.cycle(KEYS))


async def work(mode: AsyncMode, phase: Phase, worker: int) -> None:
    operation, pks = getattr(mode, phase.case.name), keys(worker)
    while phase.open():
        async with mode.request() as scope:
            for _ in range(phase.per_request):
                if not phase.open():
                    break
                started = time.perf_counter()
                phase.record(started, await operation(scope, next(pks)))


def work_in_thread(mode: SyncMode, phase: Phase, worker: int) -> None:
    operation, pks = getattr(mode, phase.case.name), keys(worker)
    while phase.open():
        with mode.request() as scope:
            for _ in range(phase.per_request):
                if not phase.open():
                    break
                started = time.perf_counter()
                phase.record(started, operation(scope, next(pks)))


async def measure(mode: AsyncMode, job: Job) -> Result:
    """One job on the running loop."""
    await mode.open(job.concurrency)
    try:
        meter = Meter(mode.config.per_request, job)
        for phase in meter.phases():
            async with asyncio.TaskGroup() as group:
                for worker in range(job.concurrency):
                    group.create_task(work(mode, phase, worker))
        return meter.result()
    finally:
        await mode.close()


def measure_sync(mode: SyncMode, job: Job) -> Result:
    """One job on threads that live as long as the job, as those of a WSGI server do."""
    mode.open(job.concurrency)
    meter = Meter(mode.config.per_request, job)
    try:
        if job.concurrency == 1:
            for phase in meter.phases():
                work_in_thread(mode, phase, 0)
            return meter.result()
        with ThreadPoolExecutor(job.concurrency) as pool:
            for phase in meter.phases():
                list(
                    pool.map(
                        work_in_thread,
                        *zip(
                            *((mode, phase, n) for n in range(job.concurrency)),
                            strict=True,
                        ),
                    )
                )
            return meter.result()
    finally:
        mode.close()


class Meter:
    """Hands out the two phases of a job, the warm-up and the one that counts.

    The clocks are read around the second one.
    """

    def __init__(self, per_request: int, job: Job) -> None:
        self.per_request = per_request
        self.job = job

    def phases(self) -> Iterator[Phase]:
        yield self._phase(self.job.warmup)
        gc.collect()
        with sampled(self.job.profile):
            phase = self._phase(self.job.seconds)
            wall, cpu = time.perf_counter(), time.process_time()
            yield phase
            self.cpu, self.wall = time.process_time() - cpu, time.perf_counter() - wall
        self.latencies = phase.latencies

    def _phase(self, seconds: float) -> Phase:
        return Phase(
            CASES[self.job.case], self.per_request, time.perf_counter() + seconds
        )

    def result(self) -> Result:
        count = len(self.latencies)
        cuts = quantiles(self.latencies, n=100) if count > 1 else self.latencies * 99
        return Result(
            operations=count,
            seconds=self.wall,
            cpu_us=self.cpu * 1e6 / count,
            p50_ms=cuts[49] * 1e3,
            p99_ms=cuts[98] * 1e3,
            peak_mib=peak_memory(),
        )


def peak_memory() -> float:
    """The most memory this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            line for line in status.read_text().splitlines() if line.startswith("VmHWM")
        )
        return int(line.split()[1]) / 1024
    import resource  # not there on Windows, where the benchmarks do not run

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

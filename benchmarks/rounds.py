"""A run: rounds of fresh processes, and inside a round every job by every mode in turn.

Turns are what makes the comparison hold on a busy machine: the modes meet the same
minute. The order of the modes is rotated from job to job. Only one process works at a
time; the others wait on their stdin with no connection open.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.cases import CASES
from benchmarks.child import Child
from benchmarks.figures import QUIET
from benchmarks.protocol import Config, Job, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.database import Inspector


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    modes: list[str]
    cases: list[str]
    concurrency: list[int]
    rounds: int
    seconds: float
    warmup: float
    retries: int
    config: Config

    def jobs(self) -> Iterator[Job]:
        for name, concurrency in itertools.product(self.cases, self.concurrency):
            if concurrency <= CASES[name].most:
                yield Job(name, concurrency, self.seconds, self.warmup)


@dataclass(frozen=True, slots=True)
class Sample:
    """One result, with what was seen from outside."""

    mode: str
    round: int
    job: Job
    result: Result
    threads: int
    connections: int
    others: float


@dataclass(slots=True)
class Outcome:
    samples: list[Sample] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)


def run(plan: Plan, inspector: Inspector) -> Outcome:
    outcome = Outcome()
    for number in range(plan.rounds):
        children = start(plan, inspector, outcome)
        try:
            for turn, job in enumerate(plan.jobs()):
                progress(plan, number, job)
                first = (turn + number) % max(1, len(children))
                for child in children[first:] + children[:first]:
                    if job.case in child.hello.cases:
                        outcome.samples.append(quietest(plan, child, number, job))
        finally:
            for child in children:
                child.end()
    print(file=sys.stderr)
    return outcome


def start(plan: Plan, inspector: Inspector, outcome: Outcome) -> list[Child]:
    children = []
    for mode in plan.modes:
        child = Child(mode, plan.config, inspector)
        if child.hello.unavailable:
            outcome.unavailable[mode] = child.hello.unavailable
            child.end()
        else:
            outcome.versions[mode] = child.hello.versions
            children.append(child)
    return children


def quietest(plan: Plan, child: Child, number: int, job: Job) -> Sample:
    """Measure again while others disturb it; keep the least disturbed one."""
    best = measure(child, number, job)
    for _ in range(plan.retries):
        if best.others <= QUIET or best.result.error:
            break
        best = min(best, measure(child, number, job), key=lambda found: found.others)
    return best


def measure(child: Child, number: int, job: Job) -> Sample:
    child.inspector.empty_entries()
    result, watch = child.run(job, patience=30 + 10 * job.seconds)
    return Sample(
        mode=child.mode,
        round=number,
        job=job,
        result=result,
        threads=watch.threads,
        connections=watch.connections,
        others=watch.others,
    )


def progress(plan: Plan, number: int, job: Job) -> None:
    text = f"round {number + 1} of {plan.rounds}: {job.case} at {job.concurrency}"
    print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)

"""Where a mode's microseconds go: shares of CPU samples, times CPU per operation.

The main thread is what is looked at, so threaded modes show themselves at concurrency
1 only.

``scripts/bench --profile --modes sync,ext --cases get --concurrency 1 --seconds 10``
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.child import Child
from benchmarks.database import CACHE, Inspector
from benchmarks.report import grid

if TYPE_CHECKING:
    from benchmarks.protocol import Job
    from benchmarks.rounds import Plan

ROWS = 40


def show_profile(plan: Plan) -> None:
    inspector = Inspector(plan.config.url)
    for job in plan.jobs():
        for mode in plan.modes:
            child = Child(mode, plan.config, inspector)
            try:
                print(profile(child, job))
            finally:
                child.end()
    inspector.close()


def profile(child: Child, job: Job) -> str:
    path = CACHE / "profiles" / f"{child.mode}-{job.case}-{job.concurrency}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result, _watch = child.run(
        dataclasses.replace(job, profile=str(path)), patience=60 + 2 * job.seconds
    )
    if result.error:
        return f"{child.mode}: {result.error}"
    counts = {
        kind: Counter(found) for kind, found in json.loads(path.read_text()).items()
    }
    scale = result.cpu_us / counts["own"].total()
    title = f"{child.mode} {job.case} at {job.concurrency}: {result.cpu_us:.0f} us"
    return "\n\n".join(
        [
            title,
            table("By package, own time", by_package(counts["own"]), scale),
            table("By function, own time", counts["own"], scale),
            table("By function, with what it calls", counts["within"], scale),
            "",
        ]
    )


def by_package(own: Counter[str]) -> Counter[str]:
    """Own time by the first two names of the module's path."""
    packages: Counter[str] = Counter()
    for name, count in own.items():
        packages[".".join(name.split(".")[:2])] += count
    return packages


def table(title: str, counts: Counter[str], scale: float) -> str:
    rows = [[name, f"{count * scale:.1f}"] for name, count in counts.most_common(ROWS)]
    return grid(title, ["where", "us per operation"], rows)

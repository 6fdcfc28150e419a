"""The run that the command line asks for: the database, the cores, the results."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.database import CACHE, Inspector
from benchmarks.http import wrk
from benchmarks.http.cases import CASES
from benchmarks.http.peers import PEERS
from benchmarks.http.report import Report
from benchmarks.http.rounds import Plan, run
from benchmarks.http.server import pin
from benchmarks.machine import processors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

FILL = "benchmarks.http.sites.django_site.fill"


def compare(options: argparse.Namespace, url: str) -> None:
    """Measure, print the report, and keep every sample in a file."""
    wrk.find()
    fill(url)
    chosen = plan(options)
    before = os.getloadavg()[0]
    inspector = Inspector(url)
    with cores(chosen, inspector):
        outcome = run(chosen, inspector)
    report = Report(chosen, outcome)
    facts = {
        "python": platform.python_version(),
        "postgresql": inspector.server_version(),
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "processors": processors(),
        "load before": round(before, 2),
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    inspector.close()
    keep(report, facts, options.rst)


def keep(report: Report, facts: dict[str, object], rst: Path | None) -> None:
    path = CACHE / "results" / time.strftime("http-%Y%m%d-%H%M%S.json")
    report.save(path, facts)
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    print(said, report.text(), f"All samples: {path}", sep="\n\n")
    if rst:
        rst.write_text(f"{said}.\n\n{report.rst()}\n")
    if report.outcome.failures:
        raise SystemExit("\n\nFailures:\n\n" + "\n".join(report.outcome.failures))


def plan(options: argparse.Namespace) -> Plan:
    several = len(os.sched_getaffinity(0)) > 1
    server, other, *_ = [*sorted(os.sched_getaffinity(0)), None]
    return Plan(
        peers=options.peers or list(PEERS),
        cases=options.cases or list(CASES),
        rounds=options.rounds or (1 if options.quick else 3),
        seconds=max(1, round(options.seconds or (1 if options.quick else 2))),
        server_core=server if several else None,
        other_core=other if several else None,
    )


def fill(url: str) -> None:
    """Make and fill the tables, in a process that goes away with its Django."""
    environment = PEERS["sync"].variables(url)
    subprocess.run([sys.executable, "-m", FILL], check=True, env=environment)


@contextmanager
def cores(chosen: Plan, inspector: Inspector) -> Iterator[None]:
    """Keep this process and the database's new sessions off the servers' core."""
    ours = [os.getpid(), *inspector.servers]
    before = {pid: os.sched_getaffinity(pid) for pid in ours}
    try:
        for pid in ours:
            try_to_pin(pid, chosen.other_core)
        yield
    finally:
        for pid, allowed in before.items():
            try:
                os.sched_setaffinity(pid, allowed)
            except PermissionError:
                continue


def try_to_pin(pid: int, core: int | None) -> None:
    try:
        pin(pid, core)
    except PermissionError:
        print("The database's sessions may run on the servers' core.", file=sys.stderr)

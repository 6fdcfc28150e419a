"""Runs each technique on each loop, in its own process, and judges what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.detector.calls import OPERATIONS
from benchmarks.detector.techniques import TECHNIQUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.detector.operations import Operation

LOOPS = ("asyncio", "uvloop")
#: A stall that the machine's load made is no alarm about the code.
NOBODY = ("starved",)


@dataclass
class Verdict:
    """What one technique said of one operation on one loop."""

    operation: Operation
    technique: str
    loop: str
    seconds: float
    error: str | None
    alarms: list[dict[str, Any]]

    @property
    def caught(self) -> bool:
        return any(alarm["cause"] not in NOBODY for alarm in self.alarms)

    @property
    def caught_a_call(self) -> bool:
        return any(alarm["kind"] == "call" for alarm in self.alarms)

    @property
    def right_line(self) -> bool:
        marked = {(self.operation.file, line) for line in self.operation.lines}
        return any(
            marked & {(file, line) for file, line in alarm["places"]}
            for alarm in self.alarms
        )

    @property
    def right_request(self) -> bool:
        path = f"/{self.operation.name}/"
        return any(alarm["path"] == path for alarm in self.alarms)


@dataclass
class Outcome:
    """All verdicts, and what went wrong."""

    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def of(self, technique: str, loop: str, blocks: bool) -> list[Verdict]:
        return [
            each
            for each in self.verdicts
            if (each.technique, each.loop) == (technique, loop)
            and each.operation.blocks == blocks
        ]


def run(
    database: str, redis: str, names: Iterable[str], say: Callable[[str], None]
) -> Outcome:
    """Try the techniques ``names``; ``database`` is empty, ``redis`` may be emptied."""
    outcome = Outcome()
    with TemporaryDirectory() as home:
        module = "benchmarks.detector.project"
        subprocess.run(
            [sys.executable, "-m", module, database, redis, home], check=True
        )
    for name in names:
        for loop in LOOPS:
            say(f"{name} on {loop}")
            _try(outcome, name, loop, [database, redis])
    return outcome


def _try(outcome: Outcome, name: str, loop: str, urls: list[str]) -> None:
    environment = dict(os.environ)
    if not TECHNIQUES[name].refuses:
        environment["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    command = [sys.executable, "-m", "benchmarks.detector.child", name, loop, *urls]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        outcome.failures.append(f"{name} on {loop}:\n{done.stderr[-3000:]}")
        return
    known = {operation.name: operation for operation in OPERATIONS}
    for each in json.loads(done.stdout.splitlines()[-1]):
        operation = known[each.pop("name")]
        outcome.verdicts.append(Verdict(operation, name, loop, **each))


def save(outcome: Outcome, path: Path) -> None:
    """Keep what was said, for whoever looks into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {**vars(each), "operation": each.operation.name, "lines": each.operation.lines}
        for each in outcome.verdicts
    ]
    data = {"verdicts": entries, "failures": outcome.failures}
    path.write_text(json.dumps(data, indent=1))

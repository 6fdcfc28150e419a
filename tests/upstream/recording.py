"""The results that are kept in the repository, of which the documentation tells.

Contract: ``record()`` puts the result of one label in one mode in the place of
the former one, so that a label can be run again alone. A file holds one series
of Django on one engine, a line for each label and mode.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Result:
    """What came out for one label in one mode."""

    label: str
    mode: str
    date: str
    versions: dict[str, str]
    #: Tests that were found, and how many passed with Django's engine and ours.
    tests: int = 0
    baseline: int = 0
    ours: int = 0
    #: Asynchronous tests, of which each ran on the loop or is among the faults.
    coroutines: int = 0
    expected: list[str] = field(default_factory=list)
    #: Differences and other faults that nothing explains.
    faults: list[str] = field(default_factory=list)
    #: Why the server at hand cannot run the label, with Django's engine either.
    cannot_run: str = ""


def path_of(series: str, engine: str, folder: Path = RESULTS) -> Path:
    """Return the file for one series of Django on one engine."""
    return folder / f"django{series}-{engine}.json"


def load_results(path: Path) -> list[Result]:
    """Read a file of results; a file that does not exist has none."""
    if not path.exists():
        return []
    kept: dict[str, Any] = json.loads(path.read_text())
    versions = kept["versions"]
    return [
        Result(**{**line, "versions": versions[line["versions"]]})
        for line in kept["results"]
    ]


def record(results: Iterable[Result], path: Path) -> None:
    """Merge ``results`` into the file at ``path``."""
    known = {(it.label, it.mode): it for it in load_results(path)}
    for it in results:
        # A server that lacks something says nothing about the last result.
        if not it.cannot_run or (it.label, it.mode) not in known:
            known[it.label, it.mode] = it
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one step: who stops a run of hours does not lose what it has found.
    beside = path.with_suffix(".part")
    beside.write_text(_as_text([known[key] for key in sorted(known)]))
    beside.replace(path)


def sound(results: Iterable[Result], label: str, django: str) -> set[str]:
    """Return the modes in which ``label`` ran on that Django without a fault."""
    return {
        it.mode
        for it in results
        if it.label == label and it.versions["Django"] == django
        if not it.faults and not it.cannot_run
    }


def _as_text(results: list[Result]) -> str:
    versions: list[dict[str, str]] = []
    lines = []
    for result in results:
        if result.versions not in versions:
            versions.append(result.versions)
        line = {name: value for name, value in asdict(result).items() if value}
        line["versions"] = versions.index(result.versions)
        lines.append(json.dumps(line))
    head = ",\n  ".join(json.dumps(one) for one in versions)
    body = ",\n  ".join(lines)
    return f'{{\n "versions": [\n  {head}\n ],\n "results": [\n  {body}\n ]\n}}\n'

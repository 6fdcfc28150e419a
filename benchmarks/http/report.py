"""The tables of a run: printed, and as reStructuredText for the documentation.

One row for each peer, one column for each case. Targets are ratios inside the rounds.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from benchmarks.figures import QUIET, Figures, mark
from benchmarks.http.peers import PEERS
from benchmarks.report import grid, verdict, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from benchmarks.http.rounds import Outcome, Plan, Sample

OURS, STOCK, WSGI = "ext", "async", "wsgi"
#: At most so much of the CPU that stock Django's asynchronous views take.
OF_STOCK = {"plaintext": 1 / 7, "db": 1 / 3, "whoami": 1 / 2}
WAITING, TIMES, MOST_THREADS = "sleep256", 5, 8


def cpu(sample: Sample) -> float:
    return sample.cpu_us


def rate(sample: Sample) -> float:
    return sample.load.requests / sample.load.seconds


def p50(sample: Sample) -> float:
    return sample.load.p50_ms


def p99(sample: Sample) -> float:
    return sample.load.p99_ms


def threads(sample: Sample) -> float:
    return sample.threads


def connections(sample: Sample) -> float:
    return sample.connections


def memory(sample: Sample) -> float:
    return sample.memory_mib


TABLES: tuple[tuple[str, tuple[Callable[[Sample], float], ...], int], ...] = (
    ("Server CPU, microseconds per request", (cpu,), 0),
    ("Requests per second", (rate,), 0),
    ("Latency, milliseconds, p50 / p99", (p50, p99), 1),
    ("Threads", (threads,), 0),
    ("Database connections", (connections,), 0),
    ("Memory, MiB", (memory,), 0),
)


class Report:
    """The samples of a run by peer and case."""

    def __init__(self, plan: Plan, outcome: Outcome) -> None:
        self.plan = plan
        self.outcome = outcome
        self.figures = Figures(outcome.samples, lambda s: (s.peer, s.case))

    def text(self) -> str:
        head = ["peer", *self.plan.cases]
        parts = [grid(title, head, rows) for title, rows in self._tables()]
        targets = list(self.targets())
        if targets:
            parts.append(grid("Targets", ["target", "measured", "limit", ""], targets))
        return "\n\n".join([self._peers(), *parts, self._noise()])

    def rst(self) -> str:
        head = ["Peer", *self.plan.cases]
        parts = [rst(title, head, rows) for title, rows in self._tables()]
        targets = list(self.targets())
        if targets:
            parts.append(rst("Targets", ["Target", "Measured", "Limit", ""], targets))
        return "\n\n".join([*parts, self._noise()])

    def _tables(self) -> Iterable[tuple[str, list[list[str]]]]:
        cases = self.plan.cases
        for title, figures, digits in TABLES:
            rows = [
                [peer, *(self._cell(peer, case, figures, digits) for case in cases)]
                for peer in self.plan.peers
            ]
            yield title, rows

    def _cell(
        self,
        peer: str,
        case: str,
        figures: tuple[Callable[[Sample], float], ...],
        digits: int,
    ) -> str:
        samples = self.figures.of(peer, case)
        if not samples:
            return "-"
        values = [self.figures.value(figure, peer, case) or 0 for figure in figures]
        marks = mark(samples, figures[0]) if figures[0] in (cpu, rate) else ""
        failed = "!" * any(sample.load.errors for sample in samples)
        return marks + failed + " / ".join(f"{value:.{digits}f}" for value in values)

    def targets(self) -> Iterable[list[str]]:
        """What the project promises, with what was measured."""
        for case, limit in OF_STOCK.items():
            yield from self._at_most(limit, case, STOCK)
        for case in self.plan.cases:
            yield from self._at_most(1, case, WSGI)
        ours, theirs = (OURS, WAITING), (STOCK, WAITING)
        found = self.figures.ratio(rate, ours, theirs)
        if found is not None:
            name, said = f"throughput of {WAITING} / {STOCK}", verdict(found >= TIMES)
            yield [name, f"{found:.2f}", f">= {TIMES}", said + self._doubt(*ours)]
        most = self.figures.value(threads, *ours)
        if most is not None:
            said = verdict(most <= MOST_THREADS)
            yield [f"threads in {WAITING}", f"{most:.0f}", f"<= {MOST_THREADS}", said]

    def _at_most(self, limit: float, case: str, peer: str) -> Iterable[list[str]]:
        found = self.figures.ratio(cpu, (OURS, case), (peer, case))
        if found is not None:
            said = verdict(found <= limit) + self._doubt(OURS, case)
            yield [f"CPU of {case} / {peer}", f"{found:.3f}", f"<= {limit:.3f}", said]

    def _doubt(self, *key: str) -> str:
        """A question mark for what others disturbed."""
        return "?" * any(sample.others > QUIET for sample in self.figures.of(*key))

    def _peers(self) -> str:
        lines = [
            f"  {name:<9} {PEERS[name].about} ({versions(found)})"
            for name, found in self.outcome.versions.items()
        ]
        return "\n".join(["Peers", *lines])

    def _noise(self) -> str:
        shares = [sample.others for sample in self.outcome.samples]
        quiet = sum(share <= QUIET for share in shares) / max(1, len(shares))
        return (
            f"{quiet:.0%} of the measurements were quiet. ``*``: no quiet round; "
            "``~``: the rounds differ by more than 15%; ``!``: errors."
        )

    def save(self, path: Path, facts: Mapping[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        plan, outcome = dataclasses.asdict(self.plan), dataclasses.asdict(self.outcome)
        targets = list(self.targets())
        data = {**facts, "plan": plan, **outcome, "targets": targets}
        path.write_text(json.dumps(data, indent=1))


def rst(title: str, head: list[str], rows: list[list[str]]) -> str:
    """The same as a table of reStructuredText, with its title."""
    cells = [head, *([cell.replace("*", r"\*") or r"\ " for cell in r] for r in rows)]
    cells = [[cell if cell != "-" else r"\-" for cell in row] for row in cells]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    head_line, *others = (line.rstrip() for line in lines)
    return "\n".join([f"**{title}**", "", rule, head_line, rule, *others, rule])

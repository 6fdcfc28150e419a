"""The readable tables and the JSON file of a run.

Every figure is the median over the rounds; see ``figures`` for ratios and for what
counts. ``*`` says that no round was quiet, ``~`` that the rounds differ by more than 15
percent.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from statistics import geometric_mean, median
from typing import TYPE_CHECKING, ClassVar

from benchmarks.figures import QUIET, Figures, mark
from benchmarks.modes import ABOUT
from benchmarks.rounds import Outcome, Plan, Sample

if TYPE_CHECKING:
    from pathlib import Path

Figure = Callable[[Sample], float]
ORM_CASES = ("get", "list50", "related50", "prefetch50", "create", "update")


def cpu(sample: Sample) -> float:
    return sample.result.cpu_us


def rate(sample: Sample) -> float:
    return sample.result.operations / sample.result.seconds


def p50(sample: Sample) -> float:
    return sample.result.p50_ms


def p99(sample: Sample) -> float:
    return sample.result.p99_ms


def threads(sample: Sample) -> float:
    return sample.threads


def connections(sample: Sample) -> float:
    return sample.connections


def key(sample: Sample) -> tuple[object, ...]:
    return sample.mode, sample.job.case, sample.job.concurrency


class Report:
    """The samples of a run by mode, case and concurrency."""

    resources: ClassVar[dict[str, Figure]] = {
        "threads": threads,
        "connections": connections,
    }

    def __init__(self, plan: Plan, outcome: Outcome) -> None:
        self.plan = plan
        self.outcome = outcome
        self.modes = [mode for mode in plan.modes if mode not in outcome.unavailable]
        self.good = [sample for sample in outcome.samples if not sample.result.error]
        self.figures = Figures(self.good, key)
        self.of = self.figures.of
        self.value = self.figures.value

    def ratio(
        self, figure: Figure, mode: str, against: str, case: str, concurrency: int
    ) -> float | None:
        mine, other = (mode, case, concurrency), (against, case, concurrency)
        return self.figures.ratio(figure, mine, other)

    def text(self) -> str:
        parts = [self._modes()]
        for at in self.plan.concurrency:
            parts += [
                self._table(
                    f"CPU of the client, us per operation (x sync), concurrency {at}",
                    at,
                    self._cpu_cell,
                ),
                self._table(
                    f"Operations per second (x async), concurrency {at}",
                    at,
                    self._rate_cell,
                ),
                self._table(
                    f"Latency, ms, p50 / p99, concurrency {at}", at, self._latency_cell
                ),
            ]
        parts += [self._summary(), self._resources(), self._noise(), self._targets()]
        parts += [self._errors()]
        return "\n\n".join(part for part in parts if part)

    def _cases(self, concurrency: int) -> list[str]:
        return [
            case
            for case in self.plan.cases
            if any(self.of(mode, case, concurrency) for mode in self.modes)
        ]

    def _table(
        self, title: str, concurrency: int, cell: Callable[[str, str, int], str]
    ) -> str:
        cases = self._cases(concurrency)
        rows = (
            [mode, *(cell(mode, case, concurrency) for case in cases)]
            for mode in self.modes
        )
        return grid(title, ["mode", *cases], rows) if cases else ""

    def _cpu_cell(self, mode: str, case: str, concurrency: int) -> str:
        return self._with_ratio(cpu, "sync", mode, case, concurrency)

    def _rate_cell(self, mode: str, case: str, concurrency: int) -> str:
        return self._with_ratio(rate, "async", mode, case, concurrency)

    def _with_ratio(
        self, figure: Figure, against: str, mode: str, case: str, concurrency: int
    ) -> str:
        samples = self.of(mode, case, concurrency)
        if not samples:
            return "-"
        found = self.ratio(figure, mode, against, case, concurrency)
        times = f" ({found:.2f})" if found is not None else ""
        return f"{mark(samples, figure)}{median(map(figure, samples)):.0f}{times}"

    def _latency_cell(self, mode: str, case: str, concurrency: int) -> str:
        half, most = (
            self.value(figure, mode, case, concurrency) for figure in (p50, p99)
        )
        return (
            f"{half:.1f} / {most:.1f}" if half is not None and most is not None else "-"
        )

    def _summary(self) -> str:
        """Each mode in a line per concurrency: geometric means over the ORM's cases."""
        rows = []
        for concurrency, mode in itertools.product(self.plan.concurrency, self.modes):
            means = [
                self._mean(figure, mode, against, concurrency)
                for figure in (cpu, rate)
                for against in ("sync", "async")
            ]
            rows.append([f"{mode} at {concurrency}", *means])
        head = [
            "geometric means",
            "CPU x sync",
            "CPU x async",
            "rate x sync",
            "rate x async",
        ]
        return grid(
            f"Summary over {', '.join(ORM_CASES)}, as far as the mode has them",
            head,
            rows,
        )

    def _mean(self, figure: Figure, mode: str, against: str, concurrency: int) -> str:
        found = [
            self.ratio(figure, mode, against, case, concurrency) for case in ORM_CASES
        ]
        ratios = [ratio for ratio in found if ratio is not None]
        return f"{geometric_mean(ratios):.2f}" if ratios else "-"

    def _modes(self) -> str:
        lines = [
            f"  {mode:<11} {ABOUT[mode]} ({versions(self.outcome.versions[mode])})"
            for mode in self.modes
        ]
        lines += [
            f"  {mode:<11} not run: {why}"
            for mode, why in self.outcome.unavailable.items()
        ]
        return "\n".join(["Modes", *lines])

    def _resources(self) -> str:
        rows = []
        for mode in self.modes:
            row = [mode]
            for figure in self.resources.values():
                row += [
                    self._most(figure, mode, concurrency)
                    for concurrency in self.plan.concurrency
                ]
            rows.append(
                [
                    *row,
                    self._memory(mode),
                ]
            )
        titles = [
            f"{name}@{n}" for name in self.resources for n in self.plan.concurrency
        ]
        return grid(
            f"The most {', '.join(self.resources)} and memory (MiB)",
            ["mode", *titles, "memory"],
            rows,
        )

    def _memory(self, mode: str) -> str:
        peaks = [s.result.peak_mib for s in self.good if s.mode == mode]
        return f"{max(peaks):.0f}" if peaks else "-"

    def _noise(self) -> str:
        shares = sorted(sample.others for sample in self.good)
        if not shares:
            return ""
        quiet = sum(share <= QUIET for share in shares) / len(shares)
        return (
            f"Noise: others used {median(shares):.2f} processors (median), "
            f"{shares[-1]:.2f} at most; {quiet:.0%} of the measurements were quiet."
        )

    def _most(self, figure: Figure, mode: str, concurrency: int) -> str:
        values = [
            figure(s)
            for s in self.good
            if s.mode == mode and s.job.concurrency == concurrency
        ]
        return f"{max(values):.0f}" if values else "-"

    def _targets(self) -> str:
        rows = list(self.targets())
        if not rows:
            return ""
        return grid("Targets", ["target", "measured", "limit", ""], rows)

    def targets(self) -> Iterable[list[str]]:
        """What the project promises, with what was measured."""
        for case in ORM_CASES:
            found = self.ratio(cpu, "ext", "sync", case, 1)
            if found is not None:
                said = self._verdict(found <= 1.25, 1, ("ext", case), ("sync", case))
                yield [f"CPU of {case} against sync", f"{found:.2f}", "<= 1.25", said]
        for case in ORM_CASES:
            found = self.ratio(rate, "ext", "async", case, 20)
            if found is not None:
                said = self._verdict(found >= 1.6, 20, ("ext", case), ("async", case))
                name = f"throughput of {case} against async, concurrency 20"
                yield [name, f"{found:.2f}", ">= 1.6", said]
        one, ten = (self.value(p50, "ext", case, 1) for case in ("sleep1", "sleep10"))
        if one and ten:
            said = self._verdict(
                ten / one <= 1.3, 1, ("ext", "sleep1"), ("ext", "sleep10")
            )
            name = "10 pg_sleep in parallel against one"
            yield [name, f"{ten / one:.2f}", "<= 1.3", said]

    def _verdict(self, met: bool, concurrency: int, *pairs: tuple[str, str]) -> str:
        """Met or missed; with a question mark if the measurements were disturbed."""
        samples = [s for mode, case in pairs for s in self.of(mode, case, concurrency)]
        disturbed = any(sample.others > QUIET for sample in samples)
        return verdict(met) + "?" * disturbed

    def _errors(self) -> str:
        failed = [sample for sample in self.outcome.samples if sample.result.error]
        lines = [
            f"  {s.mode} {s.job.case} at {s.job.concurrency}: {s.result.error[:200]}"
            for s in failed
        ]
        return "\n".join(["Failures", *dict.fromkeys(lines)]) if lines else ""

    def save(self, path: Path, facts: Mapping[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {
            **facts,
            "plan": dataclasses.asdict(self.plan),
            **dataclasses.asdict(self.outcome),
        }
        del data["plan"]["config"]["url"]
        path.write_text(json.dumps(data, indent=1))


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def versions(found: dict[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in found.items())


def grid(title: str, head: list[str], rows: Iterable[list[str]]) -> str:
    """A plain table: the first column to the left, the others to the right."""
    table = [head, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(head))]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in table
    ]
    return "\n".join(
        [
            title,
            lines[0].rstrip(),
            "-" * len(lines[0]),
            *(line.rstrip() for line in lines[1:]),
        ]
    )

"""What ``--cache`` says of this project's caches, beside what users would take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.cases import CACHE_CASES
from benchmarks.chart import Panel, chart
from benchmarks.figures import interval
from benchmarks.http.report import rst
from benchmarks.report import Figure, Report, cpu, rate, threads, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.pairs import Pairs
    from benchmarks.rounds import Outcome, Plan

REDIS, LOCMEM = "cache-ext", "locmem-ext"
REDIS_ASYNCIO = "redis-asyncio"
OF_LOCMEM = (LOCMEM, "locmem-django")
#: How many times this project's CPU an operation of each peer is to take.
TIMES = {REDIS_ASYNCIO: 1.0, "cache-django": 3.0}
Cell = Callable[[str, str, int], str]


class CacheReport(Report):
    """CPU is held against redis.asyncio, throughput against Django's awaitables."""

    # Those to PostgreSQL are counted.
    resources: ClassVar[dict[str, Figure]] = {"threads": threads}

    def __init__(self, plan: Plan, outcome: Outcome, pairs: list[Pairs]) -> None:
        super().__init__(plan, outcome)
        self.pairs = pairs

    def _cpu_cell(self, mode: str, case: str, concurrency: int) -> str:
        return self._with_ratio(cpu, REDIS_ASYNCIO, mode, case, concurrency)

    def _rate_cell(self, mode: str, case: str, concurrency: int) -> str:
        against = OF_LOCMEM[1] if mode in OF_LOCMEM else "cache-django"
        return self._with_ratio(rate, against, mode, case, concurrency)

    def _summary(self) -> str:
        return (
            "In brackets: CPU against redis.asyncio, operations per second against "
            "Django's cache of the same name, or its RedisCache."
        )

    def targets(self) -> Iterable[list[str]]:
        """3 times the rate of Django's awaitables, 20 times locmem's; ``TIMES``."""
        for at in self.plan.concurrency:
            for case in CACHE_CASES:
                yield from self._target(case, at, REDIS, "cache-django", 3.0)
                yield from self._target(case, at, LOCMEM, OF_LOCMEM[1], 20.0)
        for pairs in self.pairs:
            if pairs.ratios:
                yield self._beside(pairs)

    def _target(
        self, case: str, at: int, mode: str, against: str, least: float
    ) -> Iterable[list[str]]:
        found = self.ratio(rate, mode, against, case, at)
        if found is not None:
            said = self._verdict(found >= least, at, (mode, case), (against, case))
            name = f"rate of {mode} {case} against {against}, concurrency {at}"
            yield [name, f"{found:.2f}", f">= {least:g}", said]

    def _beside(self, pairs: Pairs) -> list[str]:
        least = TIMES[pairs.against]
        middle, low, high = interval(pairs.ratios)
        said = verdict(middle >= least) + "?" * (low < least <= middle)
        what = f"{pairs.case}, concurrency {pairs.concurrency}"
        name = f"CPU of {pairs.against} against {pairs.mode}, {what}"
        return [name, f"{middle:.2f} ({low:.2f} to {high:.2f})", f">= {least:g}", said]

    # For the documentation

    def write(self, path: Path, facts: Mapping[str, object]) -> None:
        """Write the tables to ``path``, and the chart beside it as SVG."""
        drawing = path.with_suffix(".svg")
        drawing.write_text(self.drawing())
        said = ", ".join(f"{name} {value}" for name, value in facts.items())
        figure = f".. image:: {drawing.name}\n   :alt: The same as in the tables below."
        parts = [f"{said}.", figure, *self._rst_tables(), self._noise()]
        path.write_text("\n\n".join(parts) + "\n")

    def drawing(self) -> str:
        """Draw operations per second: a row for each case, a column for each number."""
        modes = [mode for mode in self.modes if mode not in OF_LOCMEM]
        rows = [
            [self._panel(case, at, modes) for at in self.plan.concurrency]
            for case in self.plan.cases
        ]
        return chart("Operations per second, by tasks at once", rows, modes, REDIS)

    def _panel(self, case: str, at: int, modes: list[str]) -> Panel:
        found = {mode: self.value(rate, mode, case, at) for mode in modes}
        values = {mode: value for mode, value in found.items() if value is not None}
        name = case.removeprefix("cache_")
        return Panel(f"{name}, {at} at once", values)

    def _rst_tables(self) -> Iterable[str]:
        kinds: list[tuple[str, Cell]] = [
            ("Operations per second", self._rate_cell),
            ("CPU, microseconds per operation", self._cpu_cell),
            ("Latency, milliseconds, p50 / p99", self._latency_cell),
        ]
        for title, cell in kinds:
            for at in self.plan.concurrency:
                cases = self._cases(at)
                head = ["Mode", *(case.removeprefix("cache_") for case in cases)]
                rows = [[m, *(cell(m, c, at) for c in cases)] for m in self.modes]
                yield rst(f"{title}, {at} at once", head, rows)
        if targets := list(self.targets()):
            yield rst("Targets", ["Target", "Measured", "Limit", ""], targets)

"""The tables of a run: printed, and as reStructuredText for the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.detector.rounds import LOOPS
from benchmarks.detector.techniques import TECHNIQUES
from benchmarks.figures import interval
from benchmarks.http.report import rst
from benchmarks.report import grid, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.detector.rounds import Outcome, Verdict

Table = tuple[str, list[str], list[list[str]]]

#: What share of the blocking operations each of ours must catch.
LEAST = {"ours": 0.85, "ours-strict": 0.95}
#: What the production mode may cost.
MOST = 0.01


class Report:
    """The verdicts, and the costs of the detector by mode and loop."""

    def __init__(
        self, outcome: Outcome, overhead: dict[tuple[str, str], list[float]]
    ) -> None:
        self.outcome, self.overhead = outcome, overhead
        said = {each.technique for each in outcome.verdicts}
        self.techniques = [name for name in TECHNIQUES if name in said]

    def text(self) -> str:
        return self._written(grid)

    def rst(self) -> str:
        return self._written(rst)

    def _written(
        self, written: Callable[[str, list[str], list[list[str]]], str]
    ) -> str:
        return "\n\n".join(written(*table) for table in self._tables() if table[2])

    def _tables(self) -> Iterator[Table]:
        head = ["Technique", "Loop", "Caught", "Right line", "Stalls", "False alarms"]
        yield "Found", head, list(self._found())
        areas = list(dict.fromkeys(v.operation.area for v in self.outcome.verdicts))
        yield (
            "Caught by area, on asyncio",
            ["Area", *self.techniques],
            self._areas(areas),
        )
        yield "What it costs a request", ["Mode", "Loop", "CPU", "95%"], self._costs()
        yield "Targets", ["Target", "Measured", "Limit", ""], list(self._targets())

    def _found(self) -> Iterator[list[str]]:
        for name in self.techniques:
            for loop in LOOPS:
                blocks = self.outcome.of(name, loop, True)
                harmless = self.outcome.of(name, loop, False)
                if not blocks:
                    continue
                stalls = [each for each in blocks if each.operation.stalls]
                yield [
                    name,
                    loop,
                    _share(blocks, lambda each: each.caught),
                    _share(blocks, lambda each: each.right_line),
                    _share(stalls, lambda each: each.caught),
                    _share(harmless, lambda each: each.caught),
                ]

    def _areas(self, areas: list[str]) -> list[list[str]]:
        rows = []
        for area in areas:
            row = [area]
            for name in self.techniques:
                verdicts = self.outcome.of(name, LOOPS[0], True)
                of_area = [each for each in verdicts if each.operation.area == area]
                row.append(_share(of_area, lambda each: each.caught))
            if any(cell != "0/0" for cell in row[1:]):
                rows.append(row)
        return rows

    def _costs(self) -> list[list[str]]:
        rows = []
        for (mode, loop), costs in self.overhead.items():
            cost, low, high = interval(costs)
            rows.append([mode, loop, f"{cost:+.1%}", f"{low:+.1%} to {high:+.1%}"])
        return rows

    def _targets(self) -> Iterator[list[str]]:
        for name in self.techniques:
            if name not in LEAST:
                continue
            for loop in LOOPS:
                yield from self._targets_of(name, loop)
        for (mode, loop), costs in self.overhead.items():
            if mode == "production":
                cost, _, high = interval(costs)
                said = verdict(cost <= MOST) + "?" * (high > MOST >= cost)
                yield [f"CPU in production, {loop}", f"{cost:+.1%}", "<= 1%", said]

    def _targets_of(self, name: str, loop: str) -> Iterator[list[str]]:
        blocks = self.outcome.of(name, loop, True)
        if not blocks:
            return
        caught = sum(each.caught for each in blocks) / len(blocks)
        limit = LEAST[name]
        said = verdict(caught >= limit)
        yield [f"caught, {name}, {loop}", f"{caught:.1%}", f">= {limit:.0%}", said]
        stalls = [each for each in blocks if each.operation.stalls]
        right = [each for each in stalls if each.right_line and each.right_request]
        measured = f"{len(right)}/{len(stalls)}"
        said = verdict(len(right) == len(stalls))
        yield [f"stalls with line and request, {name}, {loop}", measured, "all", said]
        false = sum(e.caught_a_call for e in self.outcome.of(name, loop, False))
        yield [
            f"false guard alarms, {name}, {loop}",
            str(false),
            "0",
            verdict(not false),
        ]


def _share(verdicts: list[Verdict], is_so: Callable[[Verdict], bool]) -> str:
    return f"{sum(map(is_so, verdicts))}/{len(verdicts)}"

"""What ``--cache`` says of this project's caches, beside what users would take."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.cases import CACHE_CASES
from benchmarks.report import Report, cpu, rate

REDIS, LOCMEM = "cache-ext", "locmem-ext"


class CacheReport(Report):
    """CPU is held against redis.asyncio, throughput against Django's awaitables."""

    def _cpu_cell(self, mode: str, case: str, concurrency: int) -> str:
        return self._with_ratio(cpu, "redis-asyncio", mode, case, concurrency)

    def _rate_cell(self, mode: str, case: str, concurrency: int) -> str:
        return self._with_ratio(rate, "cache-django", mode, case, concurrency)

    def _summary(self) -> str:
        return (
            "In brackets: CPU against redis.asyncio, operations per second against "
            "Django's RedisCache."
        )

    def targets(self) -> Iterable[list[str]]:
        """3 times Django's awaitables and redis.asyncio's rate; 20 times locmem's."""
        for at in self.plan.concurrency:
            for case in CACHE_CASES:
                yield from self._target(case, at, REDIS, "cache-django", 3.0)
                yield from self._target(case, at, REDIS, "redis-asyncio", 1.0)
                yield from self._target(case, at, LOCMEM, "locmem-django", 20.0)

    def _target(
        self, case: str, at: int, mode: str, against: str, least: float
    ) -> Iterable[list[str]]:
        found = self.ratio(rate, mode, against, case, at)
        if found is not None:
            said = self._verdict(found >= least, at, (mode, case), (against, case))
            name = f"rate of {mode} {case} against {against}, concurrency {at}"
            yield [name, f"{found:.2f}", f">= {least:g}", said]

"""How much of the machine others used while something was measured (Linux only).

Others are all processes but the measured ones, the servers they ask and the runner. A
figure taken while they used a noticeable part of a processor is not to be trusted.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")


class Others:
    """Reads the clocks at its start; ``share()`` is in processors, since then."""

    def __init__(self, measured: list[int], servers: list[int]) -> None:
        self.measured = measured
        self.servers = servers
        self.wall, self.ticks = time.monotonic(), self._others()

    def share(self) -> float:
        if self.ticks is None:
            return 0.0
        elapsed = time.monotonic() - self.wall
        return max(0.0, ((self._others() or 0) - self.ticks) / TICK / elapsed)

    def _others(self) -> int | None:
        if not (self.servers and (PROC / "stat").exists()):
            return None
        known = [*self.measured, os.getpid(), *self.servers]
        known += (child for server in self.servers for child in children(server))
        return busy() - sum(used(pid) for pid in known)


def processors() -> int:
    """How many may be used: under ``taskset`` fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy() -> int:
    """Clock ticks that all processors have worked: all but idle and iowait."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = (
        int(text) for text in (PROC / "stat").read_text().splitlines()[0].split()[1:]
    )
    return user + nice + system + irq + softirq


def used(pid: int) -> int:
    """Clock ticks of a process and of its children that have ended."""
    with suppress(OSError):
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return sum(int(text) for text in fields[11:15])
    return 0


def children(pid: int) -> list[int]:
    with suppress(OSError):
        text = (PROC / str(pid) / "task" / str(pid) / "children").read_text()
        return [int(child) for child in text.split()]
    return []


def postgres_process(backend: int) -> list[int]:
    """The server whose backend this is, if it runs on this machine."""
    with suppress(OSError):
        comm, _, fields = (PROC / str(backend) / "stat").read_text().rpartition(")")
        if "postgres" in comm:
            return [int(fields.split()[1])]
    return []


def redis_process(url: str) -> list[int]:
    """The Redis server of this address, if it runs on this machine."""
    import redis

    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    with suppress(OSError):
        if "redis" in (PROC / str(pid) / "comm").read_text():
            return [pid]
    return []

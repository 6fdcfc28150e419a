"""The stress test without end: ``scripts/soak --minutes N``.

Executes plan after plan on one event loop, and every tenth on a loop of its own in a
thread, and looks for what a long life would show: connections, tasks, greenlets,
descriptors, threads or memory that only ever become more.
"""

import argparse
import asyncio
import ctypes
import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random, SystemRandom
from time import monotonic
from typing import NamedTuple

from django.db import connections
from greenlet import greenlet

from django_async_ext.db.connections import pool_stats
from tests.db.server import Server
from tests.stress.bank import execute_plan
from tests.stress.plan import make_plan
from tests.waiting import PATIENCE

SAMPLE_EVERY = 5.0
#: What may become more without a leak: a heap has holes, and caches fill.
TOLERATED = {"rss_kib": 8192, "heap_kib": 512, "blocks": 2000}


class Sample(NamedTuple):
    """What is alive between two rounds, when nothing should be."""

    rss_kib: int
    #: What is in use of the heap of C, and how many objects and parts of them Python
    #: has: exact, where the memory of a process is not, which has holes.
    heap_kib: int
    blocks: int
    tasks: int
    greenlets: int
    descriptors: int
    threads: int
    sessions: int


@dataclass
class Soak:
    """A run, and what it has seen so far."""

    seed: int
    seconds: float
    rounds: int = 0
    operations: int = 0
    faults: int = 0
    errors: int = 0
    wrong: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = Server()
        self.start = self._sampled_at = self._printed_at = monotonic()
        options = connections.settings["default"]["OPTIONS"]
        options |= {
            "pool": {
                "max_size": 6,
                "timeout": PATIENCE,
                "max_idle": 5,
                "max_lifetime": 30,
            },
            "options": "-c deadlock_timeout=20ms",
        }

    async def run(self) -> None:
        with named(self.server):
            while monotonic() < self.start + self.seconds:
                await self._round(self.server)
                # The first too: its thread stays.
                if self.rounds % 10 == 1:
                    await asyncio.to_thread(self._run_in_thread)
                self._look()
            self._sample()

    def _run_in_thread(self) -> None:
        with Server() as server, named(server):
            asyncio.run(self._round(server))

    async def _round(self, server: Server) -> None:
        self.rounds += 1
        seed = self.seed + self.rounds
        random = Random(seed)
        faults = random.choice((0, 0, 3, 10))
        plan = make_plan(random, operations=40, faults=faults)
        self.operations += len(plan.operations)
        self.faults += faults
        try:
            bank = await execute_plan(plan, server)
            assert not bank.wrong, "\n".join(bank.wrong)
        except Exception as error:  # noqa: BLE001 (whatever is wrong)
            self.wrong.append(f"round of seed {seed}: {error!r}")
            print(f"WRONG, --seed {seed - 1}: {error}", flush=True)
        else:
            self.errors += sum(o.error is not None for o in bank.outcomes.values())

    def _look(self) -> None:
        now = monotonic()
        if now - self._sampled_at > SAMPLE_EVERY:
            self._sampled_at = now
            self._sample()
        if now - self._printed_at > 60:
            self._printed_at = now
            print(self.describe(), flush=True)

    def _sample(self) -> None:
        gc.collect()
        pooled = pool_stats()["size"]
        self.samples.append(
            Sample(
                rss_kib=_rss_kib(),
                heap_kib=_heap_kib(),
                blocks=sys.getallocatedblocks(),
                tasks=len(asyncio.all_tasks()),
                greenlets=sum(map(_is_in_use, gc.get_objects())),
                # Those of the pool come and go.
                descriptors=len(os.listdir("/dev/fd")) - pooled,
                threads=threading.active_count(),
                sessions=self.server.sessions() - pooled,
            )
        )

    def describe(self) -> str:
        """Say in a line how far it is."""
        minutes = (monotonic() - self.start) / 60
        now = ", ".join(f"{n} {v}" for n, v in self.samples[-1]._asdict().items())
        return (
            f"{minutes:.0f} min: {self.rounds} rounds, {self.operations} operations "
            f"({self.errors} failed or cancelled), {self.faults} faults, "
            f"{len(self.wrong)} wrong; {now}; pool {pool_stats()}"
        )

    def leaks(self) -> Iterator[str]:
        """Say what became more in the second half of the run."""
        quarter = max(len(self.samples) // 4, 1)
        before, after = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        if not before:
            return
        for name in Sample._fields:
            # What only comes and goes is as low at the end as it was high before.
            most = max(getattr(sample, name) for sample in before)
            least = min(getattr(sample, name) for sample in after)
            if least > most + TOLERATED.get(name, 0):
                yield f"{name} grew from {most} to {least}"


def _is_in_use(found: object) -> bool:
    # The bridge keeps some that are idle, in each thread.
    return isinstance(found, greenlet) and getattr(found, "busy", True)


def _rss_kib() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of glibc; malloc.h names its fields."""

    _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]
    MAPPED, USED = "field4", "field7"


def _heap_kib() -> int:
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    used: int = getattr(found, found.MAPPED) + getattr(found, found.USED)
    return used // 1024


@contextmanager
def named(server: Server) -> Iterator[None]:
    """Let the sessions of this process be those at which ``server`` looks."""
    options = connections.settings["default"]["OPTIONS"]
    before = options.get("application_name")
    options["application_name"] = server.name
    yield
    options["application_name"] = before


@contextmanager
def database() -> Iterator[None]:
    creation = connections["default"].creation
    creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connections["default"].close()
        creation.destroy_test_db(connections.settings["default"]["NAME"], verbosity=0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    options = parser.parse_args()
    # They say which connections were lost, and those are many here.
    for name in ("django_async_ext.db", "psycopg"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(f"Soaking for {options.minutes:g} minutes, --seed {options.seed}", flush=True)
    with database():
        soak = Soak(options.seed, options.minutes * 60)
        asyncio.run(_with_summary(soak))
    leaks = list(soak.leaks())
    for words in (*soak.wrong, *leaks):
        print(f"WRONG: {words}")
    failed = bool(soak.wrong or leaks)
    print("Failed." if failed else "Passed: nothing lost, nothing wrong, no leak.")
    return int(failed)


async def _with_summary(soak: Soak) -> None:
    await soak.run()
    print(soak.describe(), flush=True)

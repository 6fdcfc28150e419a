"""This project at scale: many tasks on a small pool, and many that hold nothing.

The runner (``show``) starts this module as a process of its own and watches its threads
and its server connections from outside.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks import protocol
from benchmarks.cases import SLEEP_SECONDS
from benchmarks.child import Watch
from benchmarks.database import Inspector
from benchmarks.load import KEYS, peak_memory
from benchmarks.modes.ext import Ext
from benchmarks.protocol import Config
from benchmarks.report import grid, verdict
from benchmarks.worker import claim_stdout, loop_factory

if TYPE_CHECKING:
    from collections.abc import Iterable

BUSY = 2_000
IDLE = 10_000
THREADS = 10

Facts = dict[str, Any]


def show(config: Config) -> None:
    """Run both experiments and print what they showed."""
    for experiment in (busy_tasks, idle_tasks):
        facts = watch(experiment.__name__, config)
        doc = (experiment.__doc__ or "").splitlines()[0]
        print(
            grid(doc, ["what", "measured", "limit", ""], rows(facts, config)),
            end="\n\n",
        )


def watch(name: str, config: Config) -> Facts:
    inspector, done = Inspector(config.url), threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scale", name, protocol.encode(config)],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = Watch(process.pid, inspector)
    watcher = threading.Thread(target=seen.until, args=(done,))
    watcher.start()
    answer, _ = process.communicate()
    done.set()
    watcher.join()
    inspector.close()
    if process.returncode:
        raise SystemExit(f"{name} ended with status {process.returncode}")
    return {
        **json.loads(answer),
        "server connections": seen.connections,
        "threads": seen.threads,
    }


def rows(facts: Facts, config: Config) -> list[list[str]]:
    limits = {
        "failures": 0,
        "server connections": config.pool,
        "threads": THREADS - 1,
        "connections held": 0,
    }
    return [
        [
            what,
            f"{value:,}" if isinstance(value, int) else f"{value:,.1f}",
            *judge(value, limits.get(what)),
        ]
        for what, value in facts.items()
    ]


def judge(value: float, limit: int | None) -> list[str]:
    return ["", ""] if limit is None else [f"<= {limit}", verdict(value <= limit)]


async def busy_tasks(mode: Ext) -> Facts:
    """2,000 tasks at once, each one pg_sleep(0.05) and two gets."""

    async def task(number: int) -> None:
        await mode.sleep1(None, 1)
        for step in range(2):
            assert await mode.get(None, KEYS[(number * 2 + step) % len(KEYS)])

    started = time.perf_counter()
    failures = await failed(asyncio.create_task(task(number)) for number in range(BUSY))
    return {
        "tasks": BUSY,
        "failures": failures,
        "seconds": time.perf_counter() - started,
        "seconds of sleep alone": BUSY * SLEEP_SECONDS / mode.config.pool,
    }


async def idle_tasks(mode: Ext) -> Facts:
    """10,000 tasks open at once, idle between their two gets."""
    from django_async_ext.db.connections import pool_stats

    resume, parked = asyncio.Event(), asyncio.Semaphore(0)

    async def task(number: int) -> None:
        try:
            assert await mode.get(None, KEYS[number % len(KEYS)])
        finally:
            parked.release()
        await resume.wait()
        assert await mode.get(None, KEYS[-number % len(KEYS)])

    tasks = [asyncio.create_task(task(number)) for number in range(IDLE)]
    for _ in range(IDLE):
        await parked.acquire()
    held = pool_stats("default")["in_use"]
    started = time.perf_counter()
    resume.set()
    return {
        "tasks": IDLE,
        "connections held": held,
        "failures": await failed(tasks),
        "seconds for all second gets": time.perf_counter() - started,
    }


async def failed(tasks: Iterable[asyncio.Task[None]]) -> int:
    """How many of the tasks failed; the first few failures are shown."""
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [repr(end) for end in ended if end is not None]
    print(*failures[:3], sep="\n", end="", file=sys.stderr)
    return len(failures)


def main() -> None:
    experiment = {"busy_tasks": busy_tasks, "idle_tasks": idle_tasks}[sys.argv[1]]
    answers = claim_stdout()
    mode = Ext(protocol.decode(Config, sys.argv[2]))
    with asyncio.Runner(loop_factory=loop_factory(mode.config.loop)) as runner:
        facts = runner.run(experiment(mode))
    print(
        json.dumps({**facts, "peak memory, MiB": peak_memory()}),
        file=answers,
        flush=True,
    )


if __name__ == "__main__":
    main()

"""What the comparison page runs on each side, and how it measures.

The sides take turns, three rounds each after one that is not counted; the fastest
round counts, because what slows a round down is mostly something else on the machine.
One comparison runs at a time.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from time import process_time
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from atlas.crowd import QUERIES, visit
from atlas.models import Country
from atlas.process import pool
from atlas.questions import QUESTIONS, Question
from atlas.sides import OnTheLoop, Side, StockDjango, ThreadPool, Work, many_threads
from atlas.timing import Answer, Clock

ROUNDS = 3
READS = 200
VISITORS = 100
SAMPLE = 0.001

one_at_a_time = asyncio.Lock()


@dataclass
class Meter:
    """What one run cost."""

    milliseconds: float = 0
    cpu: float = 0
    connections: int = 0
    threads: set[int] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)

    def watch(self, work: Work) -> Work:
        """Return *work* that tells in which thread it ran."""

        def watched() -> object:
            self.threads.add(threading.get_ident())
            return work()

        return watched


@dataclass(frozen=True)
class Experiment:
    """Something to do on each side."""

    title: str
    explanation: str
    run: Callable[[Side, Meter, int], Awaitable[None]]


@dataclass(frozen=True)
class Result:
    """The rounds of one experiment on one side."""

    side: Side
    rounds: list[Meter]

    @property
    def milliseconds(self) -> float:
        """The time of the fastest round."""
        return min(meter.milliseconds for meter in self.rounds)

    @property
    def cpu(self) -> float:
        """The least processor time this process took, in milliseconds."""
        return min(meter.cpu for meter in self.rounds)

    @property
    def threads(self) -> int:
        """The number of threads that ran queries."""
        return max(len(meter.threads) for meter in self.rounds)

    @property
    def connections(self) -> int:
        """The most connections seen in use at once."""
        return max(meter.connections for meter in self.rounds)

    @property
    def answers(self) -> list[Answer]:
        """The answers of the fastest round, if the experiment has any."""
        return min(self.rounds, key=lambda meter: meter.milliseconds).answers


def ask(question: Question, distance: int, using: str, clock: Clock) -> Answer:
    """Ask a question: synchronous code."""
    start = clock.read()
    rows = list(question.queryset(distance, using))
    return Answer(question, start, clock.read(), rows)


async def page(side: Side, meter: Meter, distance: int) -> None:
    """Gather the ten questions of the dashboard."""
    clock = Clock()
    works = [partial(ask, q, distance, side.using, clock) for q in QUESTIONS]
    async with side.request():
        meter.answers = list(await side.gather([meter.watch(work) for work in works]))


async def reads(side: Side, meter: Meter, _: int) -> None:
    """Read one row, many times, one after the other; never from afar."""
    read = meter.watch(partial(Country.objects.using(side.using).get, pk="FR"))
    async with side.request():
        for _ in range(READS):
            await side.call(read)


async def crowd(side: Side, meter: Meter, distance: int) -> None:
    """Let many visitors in at once, each a request with a context of its own."""
    work = meter.watch(partial(visit, distance, side.using))

    async def visitor() -> None:
        async with side.request():
            await side.call(work)

    async with asyncio.TaskGroup() as group:
        for _ in range(VISITORS):
            group.create_task(visitor(), context=Context())


EXPERIMENTS = [
    Experiment(
        "One page, ten queries",
        "The dashboard's questions, gathered within one request.",
        page,
    ),
    Experiment(
        f"{READS} small reads",
        "One row by its key, one read after the other: what a single await costs.",
        reads,
    ),
    Experiment(
        f"{VISITORS} visitors at once",
        f"Each a request of its own with {QUERIES} queries.",
        crowd,
    ),
]


async def compare(distance: int) -> list[tuple[Experiment, list[Result]]]:
    """Run every experiment on every side."""
    async with one_at_a_time:
        with many_threads() as executor:
            sides = [OnTheLoop(), StockDjango(), ThreadPool(executor)]
            results = [(e, await contest(e, sides, distance)) for e in EXPERIMENTS]
        if stock_pool():
            await sync_to_async(connections["stock"].close_pool)()
        return results


async def contest(
    experiment: Experiment, sides: list[Side], distance: int
) -> list[Result]:
    """Run one experiment, the sides taking turns."""
    rounds = [
        [await measure(experiment, side, distance) for side in sides]
        for _ in range(ROUNDS + 1)
    ]
    return [
        Result(side, [meters[n] for meters in rounds[1:]])
        for n, side in enumerate(sides)
    ]


async def measure(experiment: Experiment, side: Side, distance: int) -> Meter:
    """Run one experiment on one side once, in a context like a new request's."""
    meter = Meter()

    async def run() -> None:
        async with sampled(meter, side):
            await experiment.run(side, meter, distance)

    await asyncio.create_task(run(), context=Context())
    return meter


@asynccontextmanager
async def sampled(meter: Meter, side: Side) -> AsyncIterator[None]:
    """Time what runs inside, and look at the pool every millisecond."""

    async def sample() -> None:
        while True:
            meter.connections = max(meter.connections, connections_in_use(side))
            await asyncio.sleep(SAMPLE)

    sampler = asyncio.create_task(sample())
    clock, cpu = Clock(), process_time()
    try:
        yield
    finally:
        meter.milliseconds = clock.read()
        meter.cpu = (process_time() - cpu) * 1000
        sampler.cancel()


def connections_in_use(side: Side) -> int:
    """Return how many connections *side* holds now."""
    if side.using == "default":
        return pool()["in_use"]
    if not (stock := stock_pool()):
        return 0
    stats = stock.get_stats()
    return stats["pool_size"] - stats["pool_available"]


def stock_pool() -> Any:
    """Return the pool of Django's own engine, which has one for PostgreSQL only."""
    return getattr(connections["stock"], "pool", None)

"""Asks the ten questions, one by one and all at once, and times each of them.

The clock starts when a question is asked and stops when its rows are here, so time
spent waiting for a connection counts.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from atlas.questions import QUESTIONS, Question
from django_async_ext import gather_queries


@dataclass(frozen=True)
class Answer:
    """The rows that answer a question; start and end in milliseconds of its run."""

    question: Question
    start: float
    end: float
    rows: list[dict[str, Any]]

    @property
    def milliseconds(self) -> float:
        """The time it took."""
        return self.end - self.start


class Clock:
    """Milliseconds since the clock was made."""

    def __init__(self) -> None:
        self.origin = perf_counter()

    def read(self) -> float:
        """Return the time."""
        return (perf_counter() - self.origin) * 1000


async def answer(question: Question, distance: int, clock: Clock) -> Answer:
    """Ask one question: a queryset is awaited."""
    start = clock.read()
    rows = await question.queryset(distance)
    return Answer(question, start, clock.read(), rows)


async def one_by_one(distance: int) -> list[Answer]:
    """Ask each question when the one before is answered."""
    clock = Clock()
    return [await answer(question, distance, clock) for question in QUESTIONS]


async def all_at_once(distance: int) -> list[Answer]:
    """Ask all the questions now."""
    clock = Clock()
    return await gather_queries(
        *(answer(question, distance, clock) for question in QUESTIONS)
    )


def duration(answers: list[Answer]) -> float:
    """Return the milliseconds until the last answer."""
    return max(answer.end for answer in answers)

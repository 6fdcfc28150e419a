"""Figures out of samples: medians over the rounds, and ratios inside each round.

A ratio is the median of the ratios inside each round, because two that were measured
shortly after each other share the noise of that minute. Samples taken while others used
more than ``QUIET`` processors are left out; where there are no others all count.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median
from typing import Generic, Protocol, TypeVar

#: A measurement is quiet when others used at most this many processors.
QUIET = 0.1
UNSTEADY = 0.15


class Noted(Protocol):
    """What every sample says of itself."""

    @property
    def round(self) -> int: ...

    @property
    def others(self) -> float: ...


S = TypeVar("S", bound=Noted)
Key = tuple[object, ...]


class Figures(Generic[S]):
    """Samples by key: who, what, and perhaps how many at once."""

    def __init__(self, samples: list[S], key: Callable[[S], Key]) -> None:
        self.samples: dict[Key, list[S]] = {}
        for sample in samples:
            self.samples.setdefault(key(sample), []).append(sample)

    def of(self, *key: object) -> list[S]:
        """The samples that count: the quiet ones, if there are any."""
        found = self.samples.get(key, [])
        return [sample for sample in found if sample.others <= QUIET] or found

    def value(self, figure: Callable[[S], float], *key: object) -> float | None:
        values = [figure(sample) for sample in self.of(*key)]
        return median(values) if values else None

    def ratio(
        self, figure: Callable[[S], float], mine: Key, other: Key
    ) -> float | None:
        """How many times `other` `mine` is: paired by round where possible."""
        ours, against = self.of(*mine), self.of(*other)
        if not ours or not against:
            return None
        theirs = {sample.round: figure(sample) for sample in against}
        pairs = [figure(s) / theirs[s.round] for s in ours if s.round in theirs]
        return median(pairs or [median(map(figure, ours)) / median(theirs.values())])


def mark(samples: list[S], figure: Callable[[S], float]) -> str:
    """``~``: the rounds differ by more than 15 percent; ``*``: none was quiet."""
    values = [figure(sample) for sample in samples]
    unsteady = max(values) > min(values) * (1 + UNSTEADY)
    return "~" * unsteady + "*" * any(sample.others > QUIET for sample in samples)


def interval(values: list[float], rounds: int = 5000) -> tuple[float, float, float]:
    """Return the median, and between what 95% of the medians lie that chance allows.

    The interval is a bootstrap's; the seed is fixed.
    """
    chance = random.Random(1)
    medians = sorted(
        median(chance.choices(values, k=len(values))) for _ in range(rounds)
    )
    low, high = medians[int(rounds * 0.025)], medians[int(rounds * 0.975) - 1]
    return median(values), low, high

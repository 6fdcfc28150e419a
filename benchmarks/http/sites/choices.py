"""What every site chooses at random, in the same way."""

from __future__ import annotations

import random

from benchmarks.http.cases import ROWS, WORLDS


def one() -> int:
    return random.randint(1, ROWS)


def several() -> list[int]:
    """Keys in ascending order, so that concurrent updates cannot deadlock."""
    return sorted(random.sample(range(1, ROWS + 1), WORLDS))

"""What is measured: every case, and what one operation of it must see.

A mode implements a case by having a method of the case's name. The method returns how
many things it saw, and the load generator compares that with ``seen``: a mode that is
fast because it reads less fails instead of winning.
"""

from __future__ import annotations

from dataclasses import dataclass

SLEEP_SECONDS = 0.05
GATHERED = 20
SLEEPS = 10
PAGE = 50
AUTHORS_PER_BOOK = 2
MANY = 100


@dataclass(frozen=True, slots=True)
class Case:
    """One operation: what it does and sees, and the highest concurrency for it."""

    name: str
    about: str
    seen: int
    most: int = 1_000_000


CASES = {
    case.name: case
    for case in (
        Case("get", "one book by primary key", 1),
        Case("list50", "50 books", PAGE),
        Case(
            "related50",
            "50 books with their publishers in one query (select_related)",
            PAGE,
        ),
        Case(
            "prefetch50",
            "50 books and their authors in two queries (prefetch_related)",
            PAGE * AUTHORS_PER_BOOK,
        ),
        Case("create", "insert one row", 1),
        Case("update", "read one book and save it", 1),
        Case(
            "gather20",
            f"{GATHERED} gets at once, counted as one operation",
            GATHERED,
            most=20,
        ),
        Case("sleep1", f"one pg_sleep({SLEEP_SECONDS})", 1, most=1),
        Case(
            "sleep10",
            f"{SLEEPS} x pg_sleep({SLEEP_SECONDS}) at once, counted as one operation",
            SLEEPS,
            most=1,
        ),
        Case("cache_get", "one small value", 1),
        Case("cache_set", "one small value, for 300 seconds", 1),
        Case("cache_get_many", f"{MANY} small values in one call", MANY),
        Case("cache_incr", "add one to a counter", 1),
    )
}
CACHE_CASES = [name for name in CASES if name.startswith("cache_")]
DATABASE_CASES = [name for name in CASES if name not in CACHE_CASES]

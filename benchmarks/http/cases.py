"""What is measured: every case is a path and so many clients at once.

The first seven but ``gather`` are TechEmpower's; ``sites`` has one view for each path.
Groups are measured by one process of a peer before the next peer has its turn, so that
the peers meet the same minute.
"""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 10_000
WORLDS = 20
SLEEP_SECONDS = 0.05

SESSION_KEY = "benchbenchbenchbenchbenchbench00"
USERNAME = "bench"
VISITS = 3

FORTUNES = (
    "fortune: No such file or directory",
    "A computer scientist is someone who fixes things that aren't broken.",
    "After enough decimal places, nobody gives a damn.",
    "A bad random number generator: 1, 1, 1, 1, 1, 4.33e+67, 1, 1, 1",
    "A computer program does what you tell it to do, not what you want it to do.",
    "Emacs is a nice operating system, but I prefer UNIX. — Tom Christaensen",
    "Any program that runs right is obsolete.",
    "A list is only as strong as its weakest link. — Donald Knuth",
    "Feature: A bug with seniority.",
    "Computers make very fast, very accurate mistakes.",
    '<script>alert("This should not be displayed in a browser alert box.");</script>',
    "フレームワークのベンチマーク",
)
ADDED = "Additional fortune added at request time."


@dataclass(frozen=True, slots=True)
class Case:
    """A request, from so many clients at once, and the group it is measured in."""

    name: str
    path: str
    clients: int
    group: str
    about: str
    cookie: str = ""


CASES = {
    case.name: case
    for case in (
        Case("plaintext", "/plaintext", 64, "empty", "Hello, World!"),
        Case("json", "/json", 64, "empty", "the same as JSON"),
        Case("db", "/db", 64, "one", "one row by primary key"),
        Case("fortunes", "/fortunes", 64, "one", "12 rows through a template"),
        Case(
            "whoami",
            "/whoami",
            64,
            "one",
            "a value of the session, and the user",
            cookie=f"sessionid={SESSION_KEY}",
        ),
        Case("queries", "/queries", 8, "many", f"{WORLDS} rows, one after the other"),
        Case("gather", "/gather", 8, "many", f"{WORLDS} rows at once"),
        Case("updates", "/updates", 8, "many", f"{WORLDS} rows read and written"),
        Case("sleep64", "/sleep", 64, "wait", f"pg_sleep({SLEEP_SECONDS})"),
        Case("sleep256", "/sleep", 256, "wait", "the same, for more clients"),
    )
}

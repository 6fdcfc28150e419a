"""Runs the test suite on one or more pairs of Python and Django."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from _environment import (
    ROOT,
    SUPPORTED,
    Pair,
    find_pairs,
    locked,
    make_environment,
    run,
    run_side_by_side,
    stop_on_signals,
)
from _services import find_caches, mariadb, postgres
from _services.programs import apt_install

# Without it the MySQL engine is tested on PyMySQL alone.
MYSQLCLIENT = "mysqlclient>=2.2.1"

# By the name of each part, what pytest is given; the longest are first. What the
# newest pair alone runs is below: what PgBouncer does, it does to any Django, and
# well-known packages are installed apart from tests that must not need them.
ATLAS, PGBOUNCER, THIRD_PARTY = "atlas", "pgbouncer", "third-party"
OF_EVERY_PAIR: Final = {
    "others": ["--ignore=tests/db", "--ignore=tests/contract"],
    "db": ["tests/db"],
    "contract": ["tests/contract"],
    # A project of its own, tested as users test theirs.
    ATLAS: [],
}
OF_THE_NEWEST: Final = {
    # Once more, for tests/db/pooling.py.
    PGBOUNCER: [
        f"tests/db/test_{name}.py"
        for name in ("managers", "gather", "gather_inside", "transaction", "pgbouncer")
    ]
    + ["tests/contract"],
    THIRD_PARTY: ["tests/third_party"],
}
PARTS: Final = OF_EVERY_PAIR | OF_THE_NEWEST
#: The part of those who say themselves what pytest is to run.
CHOSEN: Final = "chosen"


class Part(NamedTuple):
    """What one run of pytest tests."""

    name: str
    pair: Pair

    def __str__(self) -> str:
        return f"{self.pair}, {self.name}"

    def command(self, pytest_arguments: list[str]) -> list[str]:
        """What tests it in a process of its own, with servers of its own."""
        python, django, _ = self.pair
        options = ["--part", self.name, "--python", python, "--django", django]
        return [sys.executable, __file__, *options, *pytest_arguments]


def main() -> int:
    options, pytest_arguments = parse_arguments()
    stop_on_signals()
    parts = list(parts_of(options, pytest_arguments))
    if options.jobs > 1 and len(parts) > 1:
        commands = [part.command(pytest_arguments) for part in parts]
        statuses = run_side_by_side(commands, options.jobs)
    else:
        statuses = [test(part, pytest_arguments) for part in parts]
    if len(parts) > 1:
        for part, status in zip(parts, statuses, strict=True):
            print(f"{part}: {'failed' if status else 'passed'}")
    return max(statuses)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        usage="%(prog)s [options] [pytest arguments]",
        allow_abbrev=False,
        description="Sets up what is missing (an environment under .venv, PostgreSQL "
        "unless DATABASE_URL names one, MariaDB unless MYSQL_URL does, programs of "
        "Redis and memcached; with REDIS_URL, that database is emptied and used too) "
        "and runs pytest: on the newest supported Python found with the newest Django, "
        "unless told otherwise.",
    )
    parser.add_argument("--python", choices=SUPPORTED, help="only this Python")
    parser.add_argument("--django", help="only this Django, such as 5.2")
    parser.add_argument(
        "--part",
        choices=[*PARTS, CHOSEN],
        help="only this part of the tests; what pytest is given is one, too",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="parts to test at the same time, each with its own servers; each prints "
        "all it has to say at its end",
    )
    several = parser.add_mutually_exclusive_group()
    several.add_argument(
        "--all", action="store_true", help="every supported pair found"
    )
    several.add_argument(
        "--ends", action="store_true", help="oldest and newest pair found"
    )
    return parser.parse_known_args()


def choose(options: argparse.Namespace) -> list[Pair]:
    pairs = [
        pair
        for pair in find_pairs()
        if options.python in (None, pair.python)
        and options.django in (None, pair.django)
    ]
    if not pairs:
        sys.exit("No supported pair of Python and Django found for these options.")
    if options.all:
        return pairs
    if options.ends:
        return list(dict.fromkeys((pairs[0], pairs[-1])))
    return pairs[-1:]


def parts_of(
    options: argparse.Namespace, pytest_arguments: list[str]
) -> Iterator[Part]:
    """All parts of all chosen pairs, unless one part is asked for."""
    pairs = choose(options)
    part = options.part or (CHOSEN if pytest_arguments else None)
    for name in [part] if part else PARTS:
        for pair in pairs[-1:] if name in OF_THE_NEWEST else pairs:
            yield Part(name, pair)


def test(part: Part, pytest_arguments: list[str]) -> int:
    python = make_environment(
        part.pair, THIRD_PARTY if part.name == THIRD_PARTY else "test"
    )
    print(f"Testing {part}", flush=True)
    find_caches()
    with postgres(python) as url, mariadb() as mysql_url:
        env = os.environ | {"DATABASE_URL": url}
        if mysql_url is not None and part.name != THIRD_PARTY:
            add_mysqlclient(python)
            env["MYSQL_URL"] = mysql_url
        if part.name == PGBOUNCER:
            env["THROUGH_PGBOUNCER"] = "1"
        if part.name == ATLAS:
            command = [python, "manage.py", "test", "--noinput", *pytest_arguments]
            return run(command, env=env, cwd=ROOT / "testproject")
        what = PARTS.get(part.name, [])
        return run([python, "-m", "pytest", *what, *pytest_arguments], env=env)


def add_mysqlclient(python: Path) -> None:
    """Install it where it can be compiled; it is not there ready-made."""
    found = [python, "-c", "import MySQLdb"]
    with locked(python.parents[1]):
        if not subprocess.run(found, stderr=subprocess.DEVNULL).returncode:
            return
        apt_install("libmariadb-dev", "pkg-config", "gcc")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
        if subprocess.run([*pip, MYSQLCLIENT]).returncode:
            print(f"NOT RUN: {MYSQLCLIENT} cannot be compiled here.", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

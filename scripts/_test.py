"""Runs the test suite on one or more pairs of Python and Django."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

from _environment import (
    ROOT,
    SUPPORTED,
    Pair,
    find_pairs,
    make_environment,
    run,
    run_side_by_side,
    stop_on_signals,
)
from _services import find_caches, mariadb, postgres
from _services.programs import apt_install

# Without it the MySQL engine is tested on PyMySQL alone.
MYSQLCLIENT = "mysqlclient>=2.2.1"

# What the newest pair runs a second time when nothing was selected;
# tests/db/pooling.py does it. What PgBouncer does, it does to any Django.
PGBOUNCER = {"THROUGH_PGBOUNCER": "1"}
BEHIND_PGBOUNCER = [
    f"tests/db/test_{name}.py"
    for name in ("managers", "gather", "gather_inside", "transaction", "pgbouncer")
] + ["tests/contract"]

THIRD_PARTY: Final = "third-party packages"
Part = Pair | Literal["third-party packages"]


def main() -> int:
    options, pytest_arguments = parse_arguments()
    stop_on_signals()
    pairs = choose(options)
    parts: list[Part] = [] if options.third_party else [*pairs]
    if options.third_party or not (options.own or pytest_arguments):
        parts.append(THIRD_PARTY)

    def run_part(part: Part) -> int:
        if part == THIRD_PARTY:
            return run_third_party_tests(pairs[-1], pytest_arguments)
        return run_tests(part, pytest_arguments)

    if options.jobs > 1 and len(parts) > 1:
        commands = [command_of(part, pytest_arguments) for part in parts]
        statuses = run_side_by_side(commands, options.jobs)
    else:
        statuses = [run_part(part) for part in parts]
    results = dict(zip(parts, statuses, strict=True))
    if len(results) > 1:
        for part, status in results.items():
            print(f"{part}: {'failed' if status else 'passed'}")
    return max(results.values())


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
        "--third-party",
        action="store_true",
        help="only the tests with well-known packages, in an environment with them",
    )
    parser.add_argument(
        "--own", action="store_true", help="without the tests with other packages"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="pairs to test at the same time; each prints all it has to say at its end",
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


def command_of(part: Part, pytest_arguments: list[str]) -> list[str]:
    """What runs one part in a process of its own."""
    chosen = ["--third-party"]
    if isinstance(part, Pair):
        chosen = ["--own", "--python", part.python, "--django", part.django]
    return [sys.executable, __file__, *chosen, *pytest_arguments]


def run_tests(pair: Pair, pytest_arguments: list[str]) -> int:
    python = make_environment(pair, "test")
    print(f"Testing on {pair}", flush=True)
    find_caches()
    with postgres(python) as url, mariadb() as mysql_url:
        env = os.environ | {"DATABASE_URL": url}
        if mysql_url is not None:
            add_mysqlclient(python)
            env["MYSQL_URL"] = mysql_url
        status = run([python, "-m", "pytest", *pytest_arguments], env=env)
        if not pytest_arguments:
            # The atlas is a project of its own, tested as users test theirs.
            atlas = [python, "manage.py", "test", "--noinput"]
            status = run(atlas, env=env, cwd=ROOT / "testproject") or status
            if pair == find_pairs()[-1]:
                behind = [python, "-m", "pytest", *BEHIND_PGBOUNCER]
                status = run(behind, env=env | PGBOUNCER) or status
        return status


def run_third_party_tests(pair: Pair, pytest_arguments: list[str]) -> int:
    """Run what needs well-known packages, apart from tests that must not need them."""
    python = make_environment(pair, "third-party")
    print(f"Testing with {THIRD_PARTY} on {pair}", flush=True)
    with postgres(python) as url:
        command = [python, "-m", "pytest", "tests/third_party", *pytest_arguments]
        return run(command, env=os.environ | {"DATABASE_URL": url})


def add_mysqlclient(python: Path) -> None:
    """Install it where it can be compiled; it is not there ready-made."""
    found = [python, "-c", "import MySQLdb"]
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

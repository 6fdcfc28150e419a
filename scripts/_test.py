"""Runs the test suite on one or more pairs of Python and Django."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from _environment import (
    ROOT,
    SUPPORTED,
    Pair,
    find_pairs,
    make_environment,
    run,
    stop_on_signals,
)
from _services import find_caches, mariadb, postgres
from _services.programs import apt_install

# Without it the MySQL engine is tested on PyMySQL alone.
MYSQLCLIENT = "mysqlclient>=2.2.1"

# What is run a second time when nothing was selected; tests/db/pooling.py does it.
PGBOUNCER = {"THROUGH_PGBOUNCER": "1"}
BEHIND_PGBOUNCER = [
    f"tests/db/test_{name}.py"
    for name in ("managers", "gather", "gather_inside", "transaction", "pgbouncer")
] + ["tests/contract"]

THIRD_PARTY = "third-party packages"


def main() -> int:
    options, pytest_arguments = parse_arguments()
    stop_on_signals()
    pairs = choose(options)
    results: dict[object, int] = {}
    if not options.third_party:
        results |= {pair: run_tests(pair, pytest_arguments) for pair in pairs}
    if options.third_party or not pytest_arguments:
        results[THIRD_PARTY] = run_third_party_tests(pairs[-1], pytest_arguments)
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

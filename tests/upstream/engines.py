"""The engines that the suite runs on; the one place to add another.

Contract: ``ENGINES`` maps the name on the command line to what the runs need to
know: the engine of Django's that gives the baseline, ours, and the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

#: Yields the address of a server, given an interpreter of the run's environment.
Server = Callable[[Path], AbstractContextManager[str]]


def _no_server(python: Path) -> AbstractContextManager[str]:
    return nullcontext("")


def _postgresql(python: Path) -> AbstractContextManager[str]:
    # Not importable where pytest reads this table.
    from _services import postgres

    return postgres(python)


@contextmanager
def _mysql(python: Path) -> Iterator[str]:
    from _services import mariadb

    with mariadb() as url:
        if url is None:
            raise SystemExit("There is no MariaDB to run on.")
        yield url


@dataclass(frozen=True)
class Engine:
    """A row of ``ENGINES``."""

    #: ``ENGINE`` of the baseline.
    django: str
    #: ``ENGINE`` of our runs.
    ours: str
    #: Name of the server or library, for people.
    database: str
    server: Server = _no_server
    #: Django's list of what its tests need for it, below tests/requirements.
    requirements: str | None = None
    #: The extra of this package that it needs.
    extra: str | None = None
    #: A module that the baseline uses by the name of mysqlclient.
    as_mysqldb: str = ""
    #: ``OPTIONS`` of our runs.
    options: tuple[tuple[str, object], ...] = ()


_DJANGO, _OURS = "django.db.backends", "django_async_ext.db.backends"

ENGINES = {
    "postgresql": Engine(
        f"{_DJANGO}.postgresql",
        f"{_OURS}.postgresql",
        "PostgreSQL",
        server=_postgresql,
        requirements="postgres.txt",
        extra="postgresql",
    ),
    "sqlite3": Engine(f"{_DJANGO}.sqlite3", f"{_OURS}.sqlite3", "SQLite"),
    "mysql": Engine(
        f"{_DJANGO}.mysql",
        f"{_OURS}.mysql",
        "MariaDB",
        server=_mysql,
        requirements="mysql.txt",
        extra="mysql",
        as_mysqldb="pymysql",
        # Encrypting would only take time.
        options=(("driver", "pymysql"), ("ssl_disabled", True)),
    ),
    "mysqlclient": Engine(
        f"{_DJANGO}.mysql",
        f"{_OURS}.mysql",
        "MariaDB",
        server=_mysql,
        requirements="mysql.txt",
        options=(("driver", "mysqlclient"),),
    ),
    "threaded": Engine(
        f"{_DJANGO}.sqlite3",
        f"{_OURS}.threaded",
        "SQLite",
        options=(("engine", f"{_DJANGO}.sqlite3"),),
    ),
    "threaded-postgresql": Engine(
        f"{_DJANGO}.postgresql",
        f"{_OURS}.threaded",
        "PostgreSQL",
        server=_postgresql,
        requirements="postgres.txt",
        extra="postgresql",
        options=(("engine", f"{_DJANGO}.postgresql"),),
    ),
}


def same_baseline(name: str) -> str:
    """Return the first engine that is compared with what ``name`` is compared with."""

    def baseline(engine: Engine) -> tuple[str, str]:
        return engine.django, engine.as_mysqldb

    wanted = baseline(ENGINES[name])
    return next(one for one, row in ENGINES.items() if baseline(row) == wanted)

"""The database of a run: made on the server, filled, and looked at.

The server is the one that DATABASE_URL names; ``scripts/bench`` starts one when it
names none. The database is called ``django_async_ext_bench`` and is made anew each
time; nothing else on the server is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benchmarks.machine import postgres_process, redis_process

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "django_async_ext_bench"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"


@contextmanager
def benchmark_database() -> Iterator[str]:
    """The address of a fresh, empty database."""
    url = server_url()
    address = urlunsplit(urlsplit(url)._replace(path=f"/{NAME}"))
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(NAME)
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield address
        finally:
            connection.execute(drop)


def server_url() -> str:
    """The address of the server."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("DATABASE_URL is not set: start this with scripts/bench")
    return url.replace("postgres://", "postgresql://", 1)


def fill(url: str) -> None:
    """Make and fill the tables, in a process that goes away with its Django."""
    subprocess.run([sys.executable, "-m", "benchmarks.library.fill", url], check=True)


class Inspector:
    """The runner's own connection: counts those of others, tidies between jobs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        #: The servers' processes, as far as they run on this machine.
        self.servers = postgres_process(self.connection.info.backend_pid)
        if redis := os.environ.get("REDIS_URL"):
            self.servers += redis_process(redis)

    def connections(self) -> int:
        """How many connections others hold to this database."""
        row = self.connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def server_version(self) -> str:
        return self.connection.info.parameter_status("server_version") or "?"

    def empty_entries(self) -> None:
        self.connection.execute("TRUNCATE bench_entry")

    def close(self) -> None:
        self.connection.close()

"""The peers: what each is, how its one process is started, and what it lacks.

Every ASGI peer runs on uvicorn with uvloop and httptools; every Django has the settings
of ``startproject``, its seven middleware included. No peer may open more than ``POOL``
connections, or ``WAITING_POOL`` where the clients only wait.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

POOL = 20
WAITING_POOL = 100
#: Threads of gunicorn: what its users choose to wait on a database with.
THREADS = 16

SITES = "benchmarks.http.sites"
STOCK = "django.db.backends.postgresql"
OURS = "django_async_ext.db.backends.postgresql"


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the tables."""

    name: str
    about: str
    application: str
    packages: tuple[str, ...]
    server: str = "uvicorn"
    environment: dict[str, str] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()

    def command(self, port: int) -> list[str]:
        arguments = {"uvicorn": uvicorn, "gunicorn": gunicorn}[self.server](port)
        return [sys.executable, "-m", self.server, self.application, *arguments]

    def variables(self, url: str, pool: int = POOL) -> dict[str, str]:
        """The environment of the process; the settings of the sites read it."""
        ours = {"BENCH_URL": url, "BENCH_POOL": str(pool), "PYTHONWARNINGS": "ignore"}
        settings = {"DJANGO_SETTINGS_MODULE": f"{SITES}.django_site.settings"}
        return {**os.environ, **settings, **ours, **self.environment}


def uvicorn(port: int) -> list[str]:
    fixed = "--loop uvloop --http httptools --log-level warning --no-access-log"
    return [*fixed.split(), "--port", str(port)]


def gunicorn(port: int) -> list[str]:
    fixed = f"--worker-class gthread --threads {THREADS} --workers 1"
    return [*fixed.split(), "--log-level", "warning", "--bind", f"127.0.0.1:{port}"]


def django(
    name: str,
    about: str,
    views: str,
    *packages: str,
    application: str = "stock_asgi",
    engine: str = STOCK,
    apps: str = "",
    server: str = "uvicorn",
) -> Peer:
    return Peer(
        name,
        about,
        f"{SITES}.django_site.{application}:application",
        ("Django", "psycopg", *packages, server),
        server,
        {"BENCH_VIEWS": views, "BENCH_ENGINE": engine, "BENCH_APPS": apps},
    )


NO_SESSIONS = frozenset({"whoami"})

PEERS = {
    peer.name: peer
    for peer in (
        django(
            "ext",
            "django-async-ext: asynchronous views, its handler and engine",
            "views_ours",
            "django-async-ext",
            application="our_asgi",
            engine=OURS,
            apps="django_async_ext",
        ),
        django(
            "ext-sync",
            "the same, synchronous views on the loop",
            "views_sync",
            "django-async-ext",
            application="our_asgi",
            engine=OURS,
            apps="django_async_ext",
        ),
        django("async", "stock Django, asynchronous views", "views_async"),
        django("sync", "stock Django under ASGI, synchronous views", "views_sync"),
        django(
            "wsgi",
            f"stock Django under WSGI, gunicorn with {THREADS} threads",
            "views_sync",
            application="stock_wsgi",
            server="gunicorn",
        ),
        django(
            "dab",
            "django-async-backend: its own fork of the ORM, stock handler",
            "views_dab",
            "django-async-backend",
            engine="django_async_backend.db.backends.postgresql",
            apps="django_async_backend",
        ),
        Peer(
            "fastapi",
            "FastAPI, SQLAlchemy's asyncio ORM on asyncpg",
            f"{SITES}.fastapi_site:application",
            ("fastapi", "SQLAlchemy", "asyncpg", "uvicorn"),
            lacks=NO_SESSIONS,
        ),
        Peer(
            "floor",
            "Starlette and psycopg's asynchronous pool: SQL by hand, no middleware",
            f"{SITES}.starlette_site:application",
            ("starlette", "psycopg", "psycopg-pool", "uvicorn"),
            lacks=NO_SESSIONS,
        ),
    )
}

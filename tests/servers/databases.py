"""A database with the tables of a site and one user, ada."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.servers.processes import ROOT

MAKE_USER = """
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password="enigma")
"""


@contextmanager
def site_database(name: str, settings: str) -> Iterator[str]:
    """The URL of a new database for a project with these settings."""
    url = os.environ["DATABASE_URL"]
    # Several runs on one server at the same time need names of their own.
    name += os.environ.get("ASYNC_EXT_DB_SUFFIX", "")
    quoted = sql.Identifier(name)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
        for command in (
            ["migrate", "--run-syncdb", "--verbosity=0"],
            ["shell", "-c", MAKE_USER],
        ):
            subprocess.run(
                [sys.executable, "-m", "django", *command, f"--settings={settings}"],
                env={**os.environ, "SITE_DATABASE": name},
                cwd=ROOT,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
        connection.execute(drop)

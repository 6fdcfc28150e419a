"""The site's database, and the site on each server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.servers.processes import ASGI_SERVERS, ROOT, Site, served

MAKE_USER = """
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password="enigma")
"""


@pytest.fixture(scope="session")
def site_database() -> Iterator[str]:
    """The URL of a database with the site's tables and one user, ada."""
    url = os.environ["DATABASE_URL"]
    name = f"async_ext_site{os.environ.get('ASYNC_EXT_DB_SUFFIX', '')}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
        sql.Identifier(name)
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(
            sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)), prepare=False
        )
        for command in (["migrate", "--verbosity=0"], ["shell", "-c", MAKE_USER]):
            manage(name, *command)
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
        connection.execute(drop)


def manage(database: str, *command: str) -> None:
    settings = "--settings=tests.servers.site.settings"
    subprocess.run(
        [sys.executable, "-m", "django", *command, settings],
        env={**os.environ, "SITE_DATABASE": database},
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture(scope="package", params=ASGI_SERVERS, ids=str)
def site(request: pytest.FixtureRequest, site_database: str) -> Iterator[Site]:
    """The site on an ASGI server, each in turn; nothing wrong is in its log."""
    with served(request.param, site_database) as found:
        yield found
        complaints = found.complaints()
        assert not complaints, found.log()

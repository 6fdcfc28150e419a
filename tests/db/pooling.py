"""PgBouncer between the tests and their server; see docs/howto/pgbouncer.rst."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import connections

from scripts._services import pgbouncer

MISSING = "PgBouncer is neither on PATH nor can it be installed: not tested"

#: Tests that see what PgBouncer does: no cursors that last, and shared sessions.
NOT_BEHIND_IT = {
    "test_what_cannot_be_pipelined_is_logged",
    "test_rows_are_streamed_from_a_cursor_of_the_server",
    "test_the_first_row_comes_before_the_last_is_fetched",
    "test_a_cancelled_loop_holds_no_connection",
    "test_queries_run_in_parallel_on_connections_of_their_own",
    "test_no_more_run_at_once_than_the_limit",
}


@contextmanager
def started() -> Iterator[str]:
    """Start it before the server of the tests, or skip; with CI set, fail."""
    with pgbouncer(os.environ["DATABASE_URL"]) as url:
        if url is None and os.environ.get("CI"):
            pytest.fail(MISSING)
        elif url is None:
            pytest.skip(MISSING)
        yield url


@contextmanager
def behind(url: str, aliases: Iterable[str] = ("default", "replica")) -> Iterator[None]:
    """Connect through it, with the settings that the documentation asks for."""
    address = urlsplit(url)
    ours = {"HOST": address.hostname, "PORT": str(address.port)}
    ours["DISABLE_SERVER_SIDE_CURSORS"] = True
    before = {}
    for alias in aliases:
        settings = connections.settings[alias]
        before[alias] = {name: settings.get(name, False) for name in ours}
        settings.update(ours)
    try:
        yield
    finally:
        for alias, found in before.items():
            connections.settings[alias].update(found)

"""Rows for the tests, and what it costs to read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from psycopg import pq

from tests.library.models import Author, Book, Country, Note, Publisher, Tag

NAMES = ["Ada", "Bede", "Clio"]


def fill(using: str = "default") -> None:
    """Make three authors with two books each, and all that books may have."""
    tags = [Tag.objects.using(using).create(name=name) for name in ("new", "old")]
    countries = [Country.objects.using(using).create(name=n) for n in ("Chad", "Peru")]
    subject = ContentType.objects.db_manager(using).get_for_model(Book)
    for number, name in enumerate(NAMES):
        author = Author.objects.using(using).create(name=name, biography=name.upper())
        publisher = Publisher.objects.using(using).create(
            name=f"{name} Ltd", country=countries[number % 2]
        )
        for volume in (1, 2):
            book = Book.objects.using(using).create(
                title=f"{name} {volume}",
                pages=100 * number + volume,
                author=author,
                publisher=publisher if volume == 1 else None,
            )
            book.tags.add(*tags[:volume])
            Note.objects.using(using).create(
                text=f"on {book.title}", content_type=subject, object_id=book.pk
            )


def fill_authors(count: int, using: str = "default", biography: str = "") -> None:
    """Make many authors, in one statement."""
    Author.objects.using(using).bulk_create(
        Author(name=f"author {number:05}", biography=biography)
        for number in range(count)
    )


@contextmanager
def statements(using: str = "default") -> Iterator[list[str]]:
    """List, after the block, what the task and its children asked the database."""
    wrapper = connections[using]
    before, wrapper.force_debug_cursor = wrapper.force_debug_cursor, True
    first, found = len(wrapper.queries_log), []
    try:
        yield found
    finally:
        wrapper.force_debug_cursor = before
        found += [query["sql"] for query in list(wrapper.queries_log)[first:]]


class Trace:
    """What libpq says it sent and received on a connection."""

    #: One letter a message: F for what went to the server, B for what came back.
    directions = ""
    messages: list[str] = []

    @property
    def round_trips(self) -> int:
        return self.directions.count("FB")

    def count(self, message: str) -> int:
        return self.messages.count(message)


@contextmanager
def traced(wrapper: Any) -> Iterator[Trace]:
    """Trace, until the block ends, the connection that ``wrapper`` has now."""
    pgconn, trace = wrapper.connection.pgconn, Trace()
    with TemporaryDirectory() as folder:
        path = Path(folder, "trace")
        with path.open("w") as file:
            pgconn.trace(file.fileno())
            pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
            try:
                yield trace
            finally:
                pgconn.untrace()
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        trace.directions = "".join(line[0] for line in lines)
        trace.messages = [line[2].strip() for line in lines]

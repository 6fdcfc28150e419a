"""The rows that every case starts from, and how they are put back.

Rows that a case adds have keys above ``KNOWN``, whose values depend on what ran
before and are masked.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections, models, transaction

from tests.contract.models import (
    Award,
    Book,
    Cover,
    Edition,
    Genre,
    Licence,
    Loan,
    Note,
    Person,
    Publisher,
    Sample,
    Writer,
)

KNOWN = 100_000

#: In the order in which they refer to one another.
MODELS: list[Any] = [
    *(Genre, Person, Writer, Person.friends.through, Publisher),
    *(Book, Book.genres.through, Loan, Cover, Award, Licence, Note, Edition, Sample),
]
COLOURS = ["red", "green", "blue"]


def _books() -> Iterator[Book]:
    for n in range(1, 13):
        yield Book(
            pk=n,
            title=f"Book {n % 7}",
            isbn=f"978-{n:03}",
            pages=(n * 137) % 900 + 20,
            price=Decimal(n * 3) / 2,
            rating=None if n % 4 == 0 else n / 2,
            published=date(2020 + n % 4, 1 + n % 12, 1 + n),
            received=datetime(2021, 1 + n % 5, n, n, 30, tzinfo=UTC),
            is_available=n % 3 != 0,
            data={"n": n, "tags": ["a", "b"][: n % 3], "deep": {"even": n % 2 == 0}},
            stock=n,
            author_id=n % 5 + 1,
            publisher_id=None if n % 6 == 0 else n % 3 + 1,
        )


def _people() -> Iterator[Person]:
    for n, name in enumerate(["Ada", "Bede", "Clio", "Dora", "Egil", "Frida"], 1):
        email = None if n == 3 else f"{name.lower()}@example.org"
        yield Person(pk=n, name=name, email=email, born=date(1900 + n, n, n))


def _rows(using: str) -> Iterator[list[Any]]:
    kind = ContentType.objects.db_manager(using).get_for_model(Book)
    tree = [None, 1, 1, 2, 3, None]
    yield [Genre(pk=n, name=f"g{n}", parent_id=p) for n, p in enumerate(tree, 1)]
    yield list(_people())
    through: Any = Person.friends.through
    pairs = [(1, 2), (2, 1), (1, 3), (3, 1)]
    yield [
        through(pk=n, from_person_id=a, to_person_id=b)
        for n, (a, b) in enumerate(pairs, 1)
    ]
    yield [Publisher(pk=n, name=f"P{n}", founded=1900 + n) for n in range(1, 5)]
    yield list(_books())
    genres: Any = Book.genres.through
    pairs = [(b, g) for b in range(1, 13) for g in range(1, 7) if (b * g) % 4 == 0]
    yield [genres(pk=n, book_id=b, genre_id=g) for n, (b, g) in enumerate(pairs, 1)]
    yield [Loan(pk=n, book_id=n, reader_id=n % 6 + 1, days=n * 2) for n in range(1, 10)]
    yield [Cover(book_id=n, colour=COLOURS[n % 3]) for n in range(1, 6)]
    yield [Award(pk=1, book_id=2, name="Gold"), Award(pk=2, book_id=3, name="Tin")]
    yield [Licence(pk=1, publisher_id=1)]
    yield [
        Note(pk=n, text=f"note {n}", content_type=kind, object_id=n % 4 + 1)
        for n in range(1, 9)
    ]
    yield [Edition(book_id=b, number=n) for b in (1, 2) for n in (1, 2)]
    yield [
        Sample(
            pk=n,
            uid=uuid.UUID(int=n),
            lasts=timedelta(hours=n),
            blob=bytes([n, 0, 255]),
            at=time(n, 15),
            big=2**40 + n,
            moment=datetime(2022, 1, n, tzinfo=UTC),
        )
        for n in range(1, 4)
    ]


def empty(using: str) -> None:
    """Delete every row."""
    wrapper = connections[using]
    # MySQL looks at each row, not at the end: one may refer to another of its table.
    with (
        transaction.atomic(using),
        wrapper.constraint_checks_disabled(),
        wrapper.cursor() as cursor,
    ):
        for model in reversed(MODELS):
            name = wrapper.ops.quote_name(model._meta.db_table)
            cursor.execute(f"DELETE FROM {name}")


#: Or PostgreSQL uses room again, and MySQL counts the rows anew, at any time.
LEFT_ALONE = {
    "postgresql": ["ALTER TABLE {} SET (autovacuum_enabled = false)"],
    # The second has every connection open the table again, which plans with what was
    # known of it at that moment.
    "mysql": ["ANALYZE TABLE {}", "ALTER TABLE {} STATS_AUTO_RECALC=0"],
}


def keep_order(using: str) -> None:
    """Have rows that are read in no order, or tie, come in one that stays."""
    wrapper = connections[using]
    with wrapper.cursor() as cursor:
        for model in MODELS:
            name = wrapper.ops.quote_name(model._meta.db_table)
            for statement in LEFT_ALONE.get(wrapper.vendor, []):
                cursor.execute(statement.format(name))


def fill(using: str) -> None:
    """Put the rows back as they were."""
    with transaction.atomic(using):
        empty(using)
        for rows in _rows(using):
            type(rows[0])._base_manager.using(using).bulk_create(rows)
        for n, pen_name in ((5, "Skald"), (6, "F. K.")):
            writer = Writer(person_ptr_id=n, pen_name=pen_name)
            writer.save_base(raw=True, using=using, force_insert=(Writer,))


def raise_sequences(using: str) -> None:
    """Let the keys of new rows be above ``KNOWN``, as long as the tables are there."""
    wrapper = connections[using]
    kind = ContentType.objects.db_manager(using).get_for_model(Book)
    with transaction.atomic(using):
        made: list[models.Model] = [
            Genre(pk=KNOWN, name="sentinel"),
            Person(pk=KNOWN, name="sentinel"),
            Publisher(pk=KNOWN, name="sentinel"),
            Book(
                pk=KNOWN,
                isbn="sentinel",
                author_id=KNOWN,
                published=date(2020, 1, 1),
                received=datetime(2020, 1, 1, tzinfo=UTC),
            ),
            Person.friends.through(pk=KNOWN, from_person_id=KNOWN, to_person_id=KNOWN),
            Book.genres.through(pk=KNOWN, book_id=KNOWN, genre_id=KNOWN),
            Loan(pk=KNOWN, book_id=KNOWN, reader_id=KNOWN),
            Award(pk=KNOWN, book_id=KNOWN, name="sentinel"),
            Licence(pk=KNOWN, publisher_id=KNOWN),
            Note(pk=KNOWN, text="sentinel", content_type=kind, object_id=KNOWN),
            Sample(pk=KNOWN, uid=uuid.UUID(int=KNOWN)),
        ]
        for one in made:
            one.save_base(raw=True, using=using, force_insert=(type(one),))
        kinds = [type(one) for one in made]
        with wrapper.cursor() as cursor:
            for sql in wrapper.ops.sequence_reset_sql(no_style(), kinds):
                cursor.execute(sql)

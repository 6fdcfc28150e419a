"""Makes the tables from the models and fills them.

Usage: ``python -m benchmarks.library.fill URL``.
"""

from __future__ import annotations

import random
import sys
from datetime import date, timedelta
from decimal import Decimal

from benchmarks.cases import AUTHORS_PER_BOOK
from benchmarks.django_project import configure
from benchmarks.library.rows import AUTHORS, BOOKS, PUBLISHERS
from benchmarks.protocol import Config


def main() -> None:
    configure(Config(url=sys.argv[1]))
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", run_syncdb=True, verbosity=0)
    insert(random.Random(0))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def insert(chance: random.Random) -> None:
    """The same rows on every run."""
    from benchmarks.library.models import Author, Book, Publisher

    Publisher.objects.bulk_create(
        Publisher(name=f"Publisher {n}", city=f"City {n % 17}")
        for n in range(PUBLISHERS)
    )
    Author.objects.bulk_create(
        Author(name=f"Author {n}", born=1900 + n % 100) for n in range(AUTHORS)
    )
    Book.objects.bulk_create(
        Book(
            title=f"The book with the number {n}",
            isbn=f"978-{n:010}",
            pages=100 + n % 900,
            price=Decimal(500 + n % 4500) / 100,
            published=date(1950, 1, 1) + timedelta(days=n * 5),
            rating=chance.random() * 5,
            publisher_id=1 + chance.randrange(PUBLISHERS),
        )
        for n in range(BOOKS)
    )
    through = Book.authors.through
    through.objects.bulk_create(
        through(book_id=1 + book, author_id=1 + author)
        for book in range(BOOKS)
        for author in chance.sample(range(AUTHORS), AUTHORS_PER_BOOK)
    )


if __name__ == "__main__":
    main()

"""Synchronous functions that coroutines call."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shop.models import Book


def load_prices() -> list[int]:
    return read()


def read() -> list[int]:
    return [int(line) for line in Path("prices").read_text().splitlines()]


def one(n: int) -> int:
    return other(n - 1) if n else 0


def other(n: int) -> int:
    one(n)
    time.sleep(n)
    return n


def forever(n: int) -> int:
    return forever(n - 1) + again(n)


def again(n: int) -> int:
    return forever(n)


def store(obj: object) -> None:
    obj.save()


def rows() -> Iterator[Book]:
    yield from Book.objects.all()


@contextmanager
def waiting() -> Iterator[None]:
    time.sleep(1)
    yield


def cheap_books() -> object:
    return Book.objects.cheap()


def pure(n: int) -> int:
    return n + 1


class Mailbox:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.path = Path("mail")

    def keep(self) -> None:
        self.path.write_text(self.book.title)

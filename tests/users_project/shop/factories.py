"""Makes objects for tests."""

from itertools import count

from django.contrib.auth import get_user_model

from shop.models import Author, Book

_numbers = count(1)


def make_author(**kwargs):
    return Author.objects.create(**{"name": f"Author {next(_numbers)}"} | kwargs)


def make_book(**kwargs):
    if "author" not in kwargs:
        kwargs["author"] = make_author()
    return Book.objects.create(**{"title": f"Book {next(_numbers)}"} | kwargs)


def make_user(**kwargs):
    name = f"user{next(_numbers)}"
    defaults = {"username": name, "password": "secret", "email": f"{name}@example.com"}
    return get_user_model().objects.create_user(**defaults | kwargs)

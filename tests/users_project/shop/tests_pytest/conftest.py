"""Fixtures, as pytest-django's users write them."""

import pytest

from shop.factories import make_author, make_book, make_user


@pytest.fixture
def author(db):
    return make_author(name="Bram Stoker")


@pytest.fixture
def book(author):
    return make_book(title="Dracula", author=author, stock=1)


@pytest.fixture
def user(db):
    return make_user(username="mina")

"""Synchronous tests with pytest-django."""

import threading
from urllib.request import urlopen

import pytest
from django.core import mail
from django.db import connection, transaction

from shop.models import Book, Event, Order
from shop.services import SoldOutError, buy


def test_book(book):
    assert Book.objects.get().author.name == "Bram Stoker"


@pytest.mark.parametrize("name", ["gothic", "horror"])
def test_nothing_of_another_test_is_left(book, name):
    book.tags.create(name=name)
    assert [tag.name for tag in book.tags.all()] == [name]


def test_view(client, book):
    assert client.get("/books/").json()["books"] == ["Dracula"]


def test_sync_view(client, book):
    assert b"Dracula" in client.get("/").content


def test_admin(admin_client):
    assert b"Hello admin" in admin_client.get("/").content


def test_number_of_queries(book, django_assert_num_queries):
    with django_assert_num_queries(1):
        list(Book.objects.select_related("author"))


def test_number_of_queries_of_an_async_view(book, client, django_assert_num_queries):
    with django_assert_num_queries(3):
        client.get("/books/")


def test_hooks(book, user, django_capture_on_commit_callbacks, mailoutbox):
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        buy(user, book.pk)
    assert (len(callbacks), mailoutbox[0].to) == (1, [user.email])


def test_sold_out(book, user):
    buy(user, book.pk)
    with pytest.raises(SoldOutError):
        buy(user, book.pk)
    assert Order.objects.count() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_committed(book, user):
    buy(user, book.pk)
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_locks(book):
    if not connection.features.has_select_for_update:
        pytest.skip("no locks of rows")
    locked, done = threading.Event(), threading.Event()
    order = []

    def other():
        try:
            with transaction.atomic():
                locked.wait(10)
                Book.objects.select_for_update().get(pk=book.pk)
                order.append("second")
        finally:
            connection.close()
            done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with transaction.atomic():
        Book.objects.select_for_update().get(pk=book.pk)
        locked.set()
        order.append("first")
    done.wait(10)
    thread.join(10)
    assert order == ["first", "second"]


@pytest.mark.django_db(reset_sequences=True, serialized_rollback=True)
def test_sequences():
    assert Event.objects.create(text="first").pk == 1


@pytest.mark.django_db(databases=["default", "archive"])
def test_two_databases(book):
    assert not Book.objects.using("archive").exists()


def test_no_database():
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        Book.objects.count()


def test_live_server(live_server, django_db_serialized_rollback, book):
    with urlopen(f"{live_server.url}/books/{book.pk}/", timeout=20) as response:
        assert b"Dracula" in response.read()

"""A live server, asked by HTTP clients."""

import asyncio
from urllib.error import HTTPError
from urllib.request import urlopen

from asgiref.sync import sync_to_async
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import LiveServerTestCase

from shop.factories import make_book
from shop.models import Book, Review


class LiveTests(LiveServerTestCase):
    serialized_rollback = True

    def get(self, path):
        with urlopen(self.live_server_url + path, timeout=20) as response:
            return response.read().decode()

    def test_home(self):
        make_book(title="Dracula")
        self.assertIn("Dracula", self.get("/"))

    def test_async_view(self):
        book = make_book(title="Dracula")
        self.assertIn("Dracula", self.get(f"/books/{book.pk}/"))

    def test_missing(self):
        with self.assertRaises(HTTPError) as caught:
            self.get("/books/0/")
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()

    async def test_from_an_async_test(self):
        book = await sync_to_async(make_book)(title="Carmilla")
        page = await asyncio.to_thread(self.get, f"/books/{book.pk}/")
        self.assertIn("Carmilla", page)

    def test_the_server_writes(self):
        book = make_book()
        self.client.post(f"/books/{book.pk}/review/", {"stars": 3})
        self.assertEqual(Review.objects.get().stars, 3)
        self.assertEqual(Book.objects.count(), 1)


class StaticTests(StaticLiveServerTestCase):
    serialized_rollback = True

    def test_static_file(self):
        with urlopen(f"{self.live_server_url}/static/shop/shop.css") as response:
            self.assertIn(b"margin", response.read())

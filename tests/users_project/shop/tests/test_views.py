"""Synchronous and asynchronous views, through both clients."""

import asyncio

from django.contrib.auth.models import AnonymousUser
from django.test import AsyncRequestFactory, RequestFactory, TestCase
from django.urls import reverse

from shop import views
from shop.factories import make_book, make_user
from shop.models import Event, Order, Review, Tag


class ViewTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = make_user(username="mary")
        cls.book = make_book(title="Frankenstein", stock=2)
        cls.book.tags.add(Tag.objects.create(name="gothic"))

    def test_home(self):
        response = self.client.get(reverse("home"))
        self.assertContains(response, "Frankenstein by")
        self.assertTemplateUsed(response, "shop/home.html")

    async def test_home_async(self):
        response = await self.async_client.get(reverse("home"))
        self.assertContains(response, "Frankenstein by")

    def test_books(self):
        data = self.client.get(reverse("books")).json()
        self.assertEqual((data["books"], data["count"]), (["Frankenstein"], 1))

    async def test_books_async(self):
        data = (await self.async_client.get(reverse("books"))).json()
        self.assertEqual((data["books"], data["count"]), (["Frankenstein"], 1))

    def test_book(self):
        data = self.client.get(reverse("book", args=[self.book.pk])).json()
        self.assertEqual(data["tags"], ["gothic"])

    def test_missing_book(self):
        response = self.client.get(reverse("book", args=[0]))
        self.assertEqual(response.status_code, 404)

    async def test_missing_book_async(self):
        response = await self.async_client.get(reverse("book", args=[0]))
        self.assertEqual(response.status_code, 404)

    async def test_many_books_at_once_async(self):
        addresses = [reverse("book", args=[self.book.pk])] * 5
        responses = await asyncio.gather(*map(self.async_client.get, addresses))
        self.assertEqual({r.json()["title"] for r in responses}, {"Frankenstein"})

    def test_login(self):
        data = {"username": "mary", "password": "secret"}
        response = self.client.post(reverse("login"), data)
        self.assertRedirects(response, reverse("home"))
        self.assertContains(self.client.get(reverse("home")), "Hello mary")

    async def test_login_async(self):
        data = {"username": "mary", "password": "secret"}
        response = await self.async_client.post(reverse("login"), data)
        self.assertEqual(response.status_code, 302)
        response = await self.async_client.get(reverse("account"))
        self.assertEqual(response.json(), {"user": "mary", "orders": []})

    def test_account_needs_a_login(self):
        response = self.client.get(reverse("account"))
        self.assertRedirects(response, "/login/?next=/account/")

    def test_order(self):
        self.client.force_login(self.user)
        response = self.client.post(reverse("order", args=[self.book.pk]))
        self.assertEqual(response.status_code, 201)
        response = self.client.get(reverse("account"))
        self.assertEqual(response.json()["orders"], ["Frankenstein"])

    async def test_order_async(self):
        await self.async_client.aforce_login(self.user)
        address = reverse("order", args=[self.book.pk])
        codes = [(await self.async_client.post(address)).status_code for _ in range(3)]
        self.assertEqual(codes, [201, 201, 409])
        self.assertEqual(await Order.objects.acount(), 2)

    def test_reserve(self):
        self.client.force_login(self.user)
        response = self.client.get(reverse("reserve", args=[self.book.pk]))
        self.assertEqual(response.status_code, 201)
        self.assertEqual(self.client.session["reserved"], response.json()["order"])
        self.assertTrue(Event.objects.filter(text="reserved Frankenstein").exists())

    async def test_reserve_async(self):
        await self.async_client.aforce_login(self.user)
        response = await self.async_client.get(reverse("reserve", args=[self.book.pk]))
        self.assertEqual(response.status_code, 201)
        session = await self.async_client.asession()
        self.assertEqual(await session.aget("reserved"), response.json()["order"])

    async def test_reserve_needs_a_login_async(self):
        response = await self.async_client.get(reverse("reserve", args=[self.book.pk]))
        self.assertEqual(response.status_code, 403)

    def test_form(self):
        address = reverse("review", args=[self.book.pk])
        response = self.client.post(address, {"stars": 9})
        form = response.context["form"]
        self.assertFormError(form, "stars", "From one star to five.")
        self.assertRedirects(self.client.post(address, {"stars": 5}), "/")
        self.assertEqual(Review.objects.get().stars, 5)

    async def test_form_async(self):
        address = reverse("review", args=[self.book.pk])
        response = await self.async_client.post(address, {"stars": 5})
        self.assertEqual(response.status_code, 302)
        self.assertEqual((await Review.objects.aget()).book_id, self.book.pk)

    async def test_stream_async(self):
        response = await self.async_client.get(reverse("stream"))
        lines = [line async for line in response.streaming_content]
        self.assertEqual(lines, [b"Frankenstein\n"])

    def test_view_without_a_client(self):
        request = RequestFactory().get("/")
        request.user = AnonymousUser()
        self.assertContains(views.home(request), "Frankenstein")

    async def test_view_without_a_client_async(self):
        request = AsyncRequestFactory().get("/books/")
        response = await views.books(request)
        self.assertIn(b"Frankenstein", response.content)

    def test_number_of_queries_of_an_async_view(self):
        with self.assertNumQueries(3):
            self.client.get(reverse("books"))

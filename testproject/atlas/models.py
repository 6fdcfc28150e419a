"""The world in six tables. ``objects`` is an AsyncManager: ``await`` a queryset.

Nothing else here is unusual; models without AsyncManager work too, they only lack
``await queryset``.
"""

from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

from django.db import connections, models
from django.urls import reverse

from django_async_ext import AsyncManager, AsyncQuerySet


class Distance(models.Func):
    """A condition that is always true, after a pause on the PostgreSQL server.

    PostgreSQL evaluates the subquery once per statement, whatever the rows.
    """

    template = "(SELECT pg_sleep(%(expressions)s)) IS NOT NULL"
    output_field = models.BooleanField()


class AtlasQuerySet(AsyncQuerySet):
    """Querysets that can pretend the database is far away."""

    def from_afar(self, milliseconds: int) -> Self:
        """Simulate a network: the statement takes *milliseconds* longer."""
        if not milliseconds or connections[self.db].vendor != "postgresql":
            return self
        return self.filter(Distance(milliseconds / 1000))

    def matching(self, text: str) -> Self:
        """Keep cities with *text* in a name, in any language; the best come first."""
        rank = models.Case(
            models.When(name__iexact=text, then=0),
            models.When(name__istartswith=text, then=1),
            models.When(name__icontains=text, then=2),
            models.When(other_names__icontains=text, then=3),
        )
        matches = self.annotate(rank=rank).filter(rank__isnull=False)
        return matches.order_by("rank", "-population")


AtlasManager = AsyncManager.from_queryset(AtlasQuerySet)


class Continent(models.Model):
    """One of seven."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=40)

    objects = AtlasManager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Currency(models.Model):
    """Money, by its ISO 4217 code."""

    code = models.CharField(max_length=3, primary_key=True)
    name = models.CharField(max_length=40)

    objects = AtlasManager()

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "currencies"

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class Language(models.Model):
    """A language, by its ISO 639 code."""

    code = models.CharField(max_length=8, primary_key=True)
    name = models.CharField(max_length=60)

    objects = AtlasManager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TimeZone(models.Model):
    """A time zone, by its name in the IANA database."""

    name = models.CharField(max_length=40, primary_key=True)

    objects = AtlasManager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def now(self) -> datetime:
        """The time there."""
        return datetime.now(ZoneInfo(self.name))


class Country(models.Model):
    """A country or territory, by its ISO 3166 code."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=60, db_index=True)
    area_km2 = models.FloatField("area in km²")
    population = models.BigIntegerField(db_index=True)
    phone = models.CharField("dialling code", max_length=40, blank=True)
    domain = models.CharField("top-level domain", max_length=8, blank=True)
    continent = models.ForeignKey(Continent, models.PROTECT, related_name="countries")
    currency = models.ForeignKey(
        Currency, models.PROTECT, related_name="countries", null=True, blank=True
    )
    capital = models.OneToOneField(
        "City", models.SET_NULL, related_name="capital_of", null=True, blank=True
    )
    languages = models.ManyToManyField(Language, related_name="countries", blank=True)
    neighbours = models.ManyToManyField("self", blank=True)

    objects = AtlasManager()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of the country's page."""
        return reverse("country", args=[self.code])

    @property
    def density(self) -> float | None:
        """People per square kilometre."""
        return self.population / self.area_km2 if self.area_km2 else None


class City(models.Model):
    """A city; its primary key is its GeoNames id."""

    id = models.PositiveIntegerField(primary_key=True)
    name = models.CharField(max_length=80, db_index=True)
    other_names = models.TextField(blank=True)
    latitude = models.FloatField()
    longitude = models.FloatField()
    population = models.PositiveIntegerField(db_index=True)
    country = models.ForeignKey(Country, models.CASCADE, related_name="cities")
    timezone = models.ForeignKey(TimeZone, models.PROTECT, related_name="cities")

    objects = AtlasManager()

    class Meta:
        ordering = ["-population", "name"]
        verbose_name_plural = "cities"

    def __str__(self) -> str:
        return self.name

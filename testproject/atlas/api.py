"""The JSON endpoints."""

import json
from collections.abc import AsyncIterator

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.shortcuts import aget_object_or_404
from django.urls import reverse

from atlas import crowd as crowds
from atlas import timing
from atlas.models import City, Country
from atlas.process import snapshot
from atlas.views import distance_wanted, page_of
from django_async_ext import afetch, gather_queries

CHUNK = 200


async def index(request: HttpRequest) -> JsonResponse:
    """Name the endpoints."""
    paths = {
        "countries": reverse("api:countries"),
        "country": reverse("api:country", args=["CH"]),
        "cities": reverse("api:cities") + "?q=san&page=2",
        "city": reverse("api:city", args=[2661552]),
        "every city, streamed": reverse("api:stream"),
        "ten questions, gathered": reverse("api:dashboard"),
        "threads and connections": reverse("api:process"),
        "a crowd": reverse("api:crowd") + "?visitors=200&distance=20",
    }
    return JsonResponse(
        {name: request.build_absolute_uri(path) for name, path in paths.items()}
    )


async def countries(request: HttpRequest) -> JsonResponse:
    """List the countries."""
    fields = ("code", "name", "continent_id", "population", "area_km2", "currency_id")
    return JsonResponse({"countries": await Country.objects.values(*fields)})


async def country(request: HttpRequest, code: str) -> JsonResponse:
    """Return a country with what it relates to."""
    country = await aget_object_or_404(Country, pk=code.upper())
    await afetch(country, "continent", "currency", "capital")
    neighbours, languages, cities = await gather_queries(
        country.neighbours.values_list("code", flat=True),
        country.languages.values_list("name", flat=True),
        country.cities.acount(),
    )
    return JsonResponse(
        {
            "code": country.code,
            "name": country.name,
            "continent": country.continent.name,
            "capital": country.capital and country.capital.name,
            "currency": country.currency and country.currency.name,
            "population": country.population,
            "area_km2": country.area_km2,
            "neighbours": list(neighbours),
            "languages": list(languages),
            "cities": cities,
        }
    )


async def cities(request: HttpRequest) -> JsonResponse:
    """Return a page of cities, those with ``q`` in a name if it is given."""
    text = request.GET.get("q", "").strip()
    rows = City.objects.matching(text) if text else City.objects.all()
    page = await page_of(rows, request.GET.get("page"))
    return JsonResponse(
        {
            "count": page.paginator.count,
            "page": page.number,
            "pages": page.paginator.num_pages,
            "cities": [summary(city) for city in page],
        }
    )


async def city(request: HttpRequest, pk: int) -> JsonResponse:
    """Return a city with its country and continent."""
    city = await aget_object_or_404(City, pk=pk)
    await afetch(city, "timezone", "country__continent")
    return JsonResponse(
        summary(city)
        | {
            "country": city.country.name,
            "continent": city.country.continent.name,
            "local_time": city.timezone.now.isoformat(timespec="minutes"),
            "other_names": city.other_names.split(", "),
        }
    )


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Stream every city, a line of JSON each, from a cursor on the server."""

    async def lines() -> AsyncIterator[str]:
        cities = City.objects.defer("other_names")
        async for city in cities.aiterator(chunk_size=CHUNK):
            yield json.dumps(summary(city), ensure_ascii=False) + "\n"

    return StreamingHttpResponse(lines(), content_type="application/x-ndjson")


async def dashboard(request: HttpRequest) -> JsonResponse:
    """Ask the ten questions at once."""
    answers = await timing.all_at_once(distance_wanted(request))
    return JsonResponse(
        {
            "milliseconds": round(timing.duration(answers), 1),
            "answers": {
                answer.question.title: {
                    "start": round(answer.start, 1),
                    "end": round(answer.end, 1),
                    "rows": answer.rows,
                }
                for answer in answers
            },
        }
    )


async def process(request: HttpRequest) -> JsonResponse:
    """Return the threads and the pool's statistics."""
    return JsonResponse(snapshot())


async def crowd(request: HttpRequest) -> JsonResponse:
    """Let a crowd in: ``visitors``, up to a few hundred."""
    wanted = request.GET.get("visitors", "100")
    if not wanted.isdecimal() or not 0 < int(wanted) <= crowds.LARGEST:
        error = f"visitors must be a number from 1 to {crowds.LARGEST}"
        return JsonResponse({"error": error}, status=400)
    return JsonResponse(await crowds.crowd(int(wanted), distance_wanted(request)))


def summary(city: City) -> dict[str, object]:
    """Return what every endpoint tells of a city."""
    return {
        "id": city.pk,
        "name": city.name,
        "country": city.country_id,
        "population": city.population,
        "latitude": city.latitude,
        "longitude": city.longitude,
        "timezone": city.timezone_id,
    }

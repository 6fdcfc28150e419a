"""The pages: async views, and no query outside ``await`` or ``async for``."""

from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, render

from atlas import charts, timing
from atlas.experiments import EXPERIMENTS, compare
from atlas.models import City, Continent, Country, Language, TimeZone
from atlas.process import snapshot
from django_async_ext import afetch, gather_queries, on_loop

PAGE = 25
MAP_CITIES = 100_000

DISTANCES = {
    0: "as it is",
    2: "2 ms away",
    20: "20 ms away",
    80: "80 ms away",
}


async def dashboard(request: HttpRequest) -> HttpResponse:
    """Ask ten questions twice, one by one and all at once, and draw both runs."""
    distance = distance_wanted(request)
    apart = await timing.one_by_one(distance)
    together = await timing.all_at_once(distance)
    return render(
        request,
        "atlas/dashboard.html",
        {
            "answers": together,
            "apart": timing.duration(apart),
            "together": timing.duration(together),
            "ratio": timing.duration(apart) / timing.duration(together),
            "process": snapshot(),
            **distance_context(request),
            **draw({"one_by_one": apart, "all_at_once": together}),
        },
    )


async def countries(request: HttpRequest) -> HttpResponse:
    """List the countries by continent, below a map of the world's cities."""
    large = City.objects.filter(population__gte=MAP_CITIES).order_by()
    continents, places, cities, zones = await gather_queries(
        Continent.objects.prefetch_related("countries__capital"),
        large.values_list("latitude", "longitude"),
        City.objects.acount(),
        TimeZone.objects.acount(),
    )
    return render(
        request,
        "atlas/countries.html",
        {
            "continents": continents,
            "map": charts.world_map(places),
            "on_map": len(places),
            "cities": cities,
            "zones": zones,
        },
    )


async def country(request: HttpRequest, code: str) -> HttpResponse:
    """Show a country, what it relates to, and its cities by the page."""
    country = await aget_object_or_404(Country, pk=code.upper())
    await afetch(country, "continent", "currency", "capital__timezone")
    cities, zones, neighbours, languages, places = await gather_queries(
        page_of(country.cities.all(), request.GET.get("page")),
        zones_of(country),
        country.neighbours.select_related("capital"),
        languages_of(country),
        country.cities.values_list("latitude", "longitude").order_by()[:2000],
    )
    return render(
        request,
        "atlas/country.html",
        {
            "country": country,
            "cities": cities,
            "zones": zones,
            "neighbours": neighbours,
            "languages": languages,
            "map": charts.country_map(places),
        },
    )


async def search(request: HttpRequest) -> HttpResponse:
    """Find countries and cities by a part of their name, in any language."""
    text = request.GET.get("q", "").strip()[:80]
    context = {"text": text}
    if text:
        context["countries"], context["cities"] = await gather_queries(
            Country.objects.filter(name__icontains=text).select_related("capital"),
            page_of(
                City.objects.matching(text).select_related("country"),
                request.GET.get("page"),
            ),
        )
    return render(request, "atlas/search.html", context)


async def comparison(request: HttpRequest) -> HttpResponse:
    """Run the same work on this package and on stock Django, if asked to."""
    context = {"experiments": EXPERIMENTS, **distance_context(request)}
    if "distance" in request.GET:
        contests = await compare(distance_wanted(request))
        pages = {result.side.name: result.answers for result in contests[0][1]}
        context |= {"contests": contests, **draw(pages)}
    return render(request, "atlas/comparison.html", context)


@on_loop
def page_of(rows: QuerySet, number: str | None) -> Page:
    """Return one page of *rows*: Django's paginator, synchronous, on the loop."""
    page = Paginator(rows, PAGE).get_page(number)
    page.object_list = list(page.object_list)
    return page


def languages_of(country: Country) -> QuerySet:
    """Return the languages of *country*, with the number of countries of each."""
    return Language.objects.annotate(spread=Count("countries")).filter(
        countries=country
    )


def zones_of(country: Country) -> QuerySet:
    """Return the time zones with cities of *country*, the largest first."""
    zones = TimeZone.objects.filter(cities__country=country)
    return zones.annotate(
        number=Count("cities"), largest=Max("cities__population")
    ).order_by("-largest")


def distance_wanted(request: HttpRequest) -> int:
    """Return the distance chosen in the address, if it is one on offer."""
    chosen = request.GET.get("distance", "")
    return next((ms for ms in DISTANCES if str(ms) == chosen), 0)


def distance_context(request: HttpRequest) -> dict[str, object]:
    """Return what the choice of a distance shows; only PostgreSQL can simulate one."""
    if connection.vendor != "postgresql":
        return {"distance": 0}
    return {"distance": distance_wanted(request), "distances": DISTANCES}


def draw(runs: dict[str, list[timing.Answer]]) -> dict[str, object]:
    """Draw several runs on one axis."""
    end, ticks = charts.axis(max(map(timing.duration, runs.values())))
    drawn = {name: charts.waterfall(answers, end) for name, answers in runs.items()}
    return {"waterfalls": drawn, "ticks": ticks, "end": end}

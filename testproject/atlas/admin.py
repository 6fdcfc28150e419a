"""Django's admin for the atlas. Synchronous views: Django runs them in threads."""

from django.contrib import admin

from atlas.models import City, Continent, Country, Currency, Language, TimeZone

admin.site.register([Continent, Currency, Language, TimeZone])


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    """Countries, with the capital picked by search: there are 34,000 cities."""

    list_display = ["name", "code", "continent", "population", "capital"]
    list_filter = ["continent"]
    list_select_related = ["continent", "capital"]
    search_fields = ["name", "code"]
    autocomplete_fields = ["capital", "neighbours"]
    filter_horizontal = ["languages"]


@admin.register(City)
class CityAdmin(admin.ModelAdmin):
    """Cities."""

    list_display = ["name", "country", "population", "timezone"]
    list_filter = ["country__continent"]
    list_select_related = ["country", "timezone"]
    search_fields = ["name"]
    autocomplete_fields = ["country"]

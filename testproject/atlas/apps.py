"""The atlas as a Django app."""

from django.apps import AppConfig


class AtlasConfig(AppConfig):
    """Countries, cities, time zones, languages and currencies of the world."""

    name = "atlas"
    verbose_name = "Atlas"

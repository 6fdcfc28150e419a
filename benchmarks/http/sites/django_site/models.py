"""TechEmpower's two tables."""

# ruff: noqa: DJ008 - nobody looks at these models

from django.db import models


class World(models.Model):
    randomnumber = models.IntegerField()

    class Meta:
        app_label = "django_site"
        db_table = "world"


class Fortune(models.Model):
    message = models.CharField(max_length=2048)

    class Meta:
        app_label = "django_site"
        db_table = "fortune"

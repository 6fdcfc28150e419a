"""The schema: books, their publishers and authors, and entries to insert.

Which manager the models have is the mode's choice (see ``django_project.configure``);
the tables are the same for all.
"""

# ruff: noqa: DJ008 - nobody looks at these models

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

Manager = import_string(settings.BENCH_MANAGER)


class Publisher(models.Model):
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100)

    objects = Manager()

    class Meta:
        db_table = "bench_publisher"


class Author(models.Model):
    name = models.CharField(max_length=100)
    born = models.IntegerField()

    objects = Manager()

    class Meta:
        db_table = "bench_author"


class Book(models.Model):
    title = models.CharField(max_length=200)
    isbn = models.CharField(max_length=20)
    pages = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    published = models.DateField()
    rating = models.FloatField()
    publisher = models.ForeignKey(Publisher, models.CASCADE)
    authors = models.ManyToManyField(Author, db_table="bench_book_authors")

    objects = Manager()

    class Meta:
        db_table = "bench_book"


class Entry(models.Model):
    title = models.CharField(max_length=200)
    body = models.TextField()
    rank = models.IntegerField()
    made = models.DateTimeField()

    objects = Manager()

    class Meta:
        db_table = "bench_entry"

"""A library: each kind of relation once, and each kind of manager."""

from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from django_async_ext import AsyncManager, AsyncQuerySet


class Country(models.Model):
    name = models.CharField(max_length=50, unique=True)

    objects = AsyncManager()


class Publisher(models.Model):
    name = models.CharField(max_length=50)
    country = models.ForeignKey(Country, models.CASCADE, null=True)

    objects = AsyncManager()


class Author(models.Model):
    name = models.CharField(max_length=50)
    biography = models.TextField(default="")

    objects = AsyncManager()


class Tag(models.Model):
    """Has Django's own manager."""

    name = models.CharField(max_length=50, unique=True)


class BookQuerySet(AsyncQuerySet):
    def titled(self, title: str) -> "BookQuerySet":
        return self.filter(title=title)


class Book(models.Model):
    title = models.CharField(max_length=50)
    pages = models.PositiveIntegerField(default=100)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True)
    tags = models.ManyToManyField(Tag, related_name="books")
    notes = GenericRelation("Note")

    objects = AsyncManager.from_queryset(BookQuerySet)()
    plain = models.Manager()

    class Meta:
        get_latest_by = "pages"


class Cover(models.Model):
    book = models.OneToOneField(Book, models.CASCADE)
    colour = models.CharField(max_length=20)

    objects = AsyncManager()


class Note(models.Model):
    text = models.CharField(max_length=50)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    subject = GenericForeignKey()

    objects = AsyncManager()


class Account(models.Model):
    """Money, for the tests that must not lose any."""

    balance = models.IntegerField(default=0)

    objects = AsyncManager()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """An override, as users write them, which asave() must honour."""
        self.saved = True
        super().save(*args, **kwargs)


class Entry(models.Model):
    """What one step of a bank's operation did to one account."""

    account = models.ForeignKey(Account, models.CASCADE)
    operation = models.IntegerField()
    step = models.IntegerField()
    amount = models.IntegerField()

    objects = AsyncManager()

    class Meta:
        unique_together = [("operation", "step", "account")]

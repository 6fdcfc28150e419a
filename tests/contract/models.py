"""A publishing house: each kind of field and of relation that the ORM has."""

from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from django_async_ext import AsyncManager, AsyncQuerySet


class Genre(models.Model):
    name = models.CharField(max_length=30, unique=True)
    parent = models.ForeignKey(
        "self", models.CASCADE, null=True, related_name="children"
    )

    objects = AsyncManager()


class Person(models.Model):
    name = models.CharField(max_length=30)
    born = models.DateField(null=True)
    email = models.CharField(max_length=50, unique=True, null=True)
    friends = models.ManyToManyField("self")

    objects = AsyncManager()


class Writer(Person):
    """Has a table of its own beside that of the person."""

    pen_name = models.CharField(max_length=30)

    objects = AsyncManager()


class Publisher(models.Model):
    name = models.CharField(max_length=30, unique=True)
    founded = models.IntegerField(default=1900)

    objects = AsyncManager()


class BookQuerySet(AsyncQuerySet[Any]):
    def long(self) -> Any:
        return self.filter(pages__gte=300)


class Book(models.Model):
    title = models.CharField(max_length=50)
    isbn = models.CharField(max_length=20, unique=True)
    pages = models.PositiveIntegerField(default=100)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=10)
    rating = models.FloatField(null=True)
    published = models.DateField()
    received = models.DateTimeField()
    is_available = models.BooleanField(default=True)
    data = models.JSONField(default=dict)
    stock = models.IntegerField(db_default=5)
    leaves = models.GeneratedField(
        expression=F("pages") * 2,
        output_field=models.IntegerField(),
        db_persist=True,
    )
    author = models.ForeignKey(Person, models.CASCADE, related_name="books")
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True)
    genres = models.ManyToManyField(Genre, related_name="books")
    readers = models.ManyToManyField(Person, through="Loan", related_name="read")
    notes = GenericRelation("Note")

    objects = AsyncManager.from_queryset(BookQuerySet)()
    plain = models.Manager()

    class Meta:
        get_latest_by = "received"
        constraints = [
            models.UniqueConstraint(
                fields=["title", "author"], name="contract_one_title"
            ),
            models.CheckConstraint(
                condition=Q(pages__lt=90000), name="contract_pages_fit"
            ),
        ]


class LongBookManager(AsyncManager):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(pages__gte=300)


class LongBook(Book):
    objects = LongBookManager()

    class Meta:
        proxy = True


class Loan(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    reader = models.ForeignKey(Person, models.CASCADE)
    days = models.IntegerField(default=14)

    objects = AsyncManager()


class Cover(models.Model):
    book = models.OneToOneField(Book, models.CASCADE, primary_key=True)
    colour = models.CharField(max_length=20)

    objects = AsyncManager()


class Award(models.Model):
    """Protects its book from being deleted."""

    book = models.ForeignKey(Book, models.PROTECT)
    name = models.CharField(max_length=30)

    objects = AsyncManager()


class Licence(models.Model):
    """Restricts its publisher."""

    publisher = models.ForeignKey(Publisher, models.RESTRICT)

    objects = AsyncManager()


class Note(models.Model):
    text = models.CharField(max_length=50)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    subject = GenericForeignKey()

    objects = AsyncManager()


class Edition(models.Model):
    """Has two columns for its primary key."""

    pk = models.CompositePrimaryKey("book_id", "number")
    book = models.ForeignKey(Book, models.CASCADE, related_name="editions")
    number = models.IntegerField()
    printed = models.IntegerField(default=1000)

    objects = AsyncManager()


class Sample(models.Model):
    """One column of each remaining type."""

    uid = models.UUIDField(unique=True)
    lasts = models.DurationField(null=True)
    blob = models.BinaryField(null=True)
    at = models.TimeField(null=True)
    big = models.BigIntegerField(default=0)
    moment = models.DateTimeField(db_default=Now())

    objects = AsyncManager()

"""Books, who wrote them, who ordered them, and what happened to them."""

from django.conf import settings
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self):
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=30, unique=True)

    def __str__(self):
        return self.name


class InStock(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(stock__gt=0)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books", blank=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=10)
    stock = models.PositiveIntegerField(default=1)

    objects = models.Manager()
    in_stock = InStock()

    def __str__(self):
        return self.title


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    stars = models.PositiveSmallIntegerField()
    text = models.TextField(blank=True)


class Order(models.Model):
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    book = models.ForeignKey(Book, models.PROTECT, related_name="orders")
    paid = models.BooleanField(default=False)


class Event(models.Model):
    """What the receivers of signals noted."""

    text = models.CharField(max_length=200)

"""Books and their authors."""

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    title = models.CharField(max_length=100, unique=True)
    pages = models.PositiveIntegerField()
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.title

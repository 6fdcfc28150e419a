"""A shelf of books: each kind of field that the admin has a widget of its own for."""

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    title = models.CharField(max_length=50)
    author = models.ForeignKey(Author, models.PROTECT)
    tags = models.ManyToManyField(Tag, blank=True)
    cover = models.FileField(upload_to="covers", blank=True)
    is_lent = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.title


class Chapter(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    title = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.title

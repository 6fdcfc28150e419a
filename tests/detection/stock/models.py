"""Models with each kind of relation, and overrides as users write them."""

from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=50)


class BookQuerySet(models.QuerySet["Book"]):
    def titles(self) -> list[str]:
        return [book.title for book in self.filter(title__gt="")]

    def delete(self) -> Any:
        return super().delete()


class Book(models.Model):
    title = models.CharField(max_length=50, unique=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    readers = models.ManyToManyField(Author, related_name="read")
    tags = GenericRelation("Tag")
    file = models.FileField()
    day = models.DateField(default="2020-01-01")

    objects = BookQuerySet.as_manager()

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.full_clean()
        super().save(*args, **kwargs)

    def author_name(self) -> str:
        return self.author.name


class Cover(models.Model):
    book = models.OneToOneField(Book, models.CASCADE)


class Tag(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    subject = GenericForeignKey()

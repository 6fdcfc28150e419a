"""Books, and what relates to them."""

from django import forms
from django.conf import settings
from django.db import models
from django.dispatch import Signal

priced = Signal()


class BookQuerySet(models.QuerySet):
    def cheap(self) -> "BookQuerySet":
        return self.filter(price__lt=10)

    def total(self) -> int:
        return sum(self.values_list("price", flat=True))


class Titled(models.Model):
    title = models.CharField(max_length=100)

    class Meta:
        abstract = True

    def rename(self, title: str) -> None:
        self.title = title
        self.save()


class Author(Titled):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)


class Book(Titled):
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editor = models.ForeignKey("shop.Author", models.CASCADE, related_name="+")
    readers = models.ManyToManyField(settings.AUTH_USER_MODEL)
    cover = models.FileField()
    price = models.IntegerField(default=0)

    objects = BookQuerySet.as_manager()

    @property
    def rank(self) -> int:
        return Book.objects.filter(price__lt=self.price).count()

    async def arename(self, title: str) -> None:
        self.title = title
        self.save()  # blocks: asave


class Chapter(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)


class BookForm(forms.ModelForm):
    class Meta:
        model = Book
        fields = ["title"]


class SearchForm(forms.Form):
    text = forms.CharField()

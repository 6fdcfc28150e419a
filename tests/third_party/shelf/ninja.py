"""django-ninja: operations of both kinds."""

from typing import Any

from django.http import HttpRequest
from ninja import ModelSchema, NinjaAPI, Schema

from tests.third_party.shelf.models import Author, Book

api = NinjaAPI()


class BookIn(Schema):
    title: str
    pages: int
    author: str


class BookOut(ModelSchema):
    class Meta:
        model = Book
        fields = ("id", "title", "pages")


@api.get("/sync/books/{pk}", response=BookOut)
def read(request: HttpRequest, pk: int) -> Any:
    return Book.objects.get(pk=pk)


@api.get("/async/books/{pk}", response=BookOut)
async def read_async(request: HttpRequest, pk: int) -> Any:
    return await Book.objects.aget(pk=pk)


@api.post("/sync/books", response=BookOut)
def create(request: HttpRequest, book: BookIn) -> Any:
    author, _ = Author.objects.get_or_create(name=book.author)
    return author.books.create(title=book.title, pages=book.pages)


@api.post("/async/books", response=BookOut)
async def create_async(request: HttpRequest, book: BookIn) -> Any:
    author, _ = await Author.objects.aget_or_create(name=book.author)
    return await author.books.acreate(title=book.title, pages=book.pages)

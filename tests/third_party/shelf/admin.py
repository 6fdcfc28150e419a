"""The admin with import and export of CSV files."""

from django.contrib import admin
from import_export.admin import ImportExportActionModelAdmin
from import_export.formats import base_formats
from import_export.resources import ModelResource

from tests.third_party.shelf.models import Book


class BookResource(ModelResource):
    class Meta:
        model = Book
        fields = ("id", "title", "pages", "author")


@admin.register(Book)
class BookAdmin(ImportExportActionModelAdmin):
    resource_classes = (BookResource,)
    formats = (base_formats.CSV,)

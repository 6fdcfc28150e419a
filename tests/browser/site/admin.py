"""The admin of the shelf: search, filters, inlines, an action, autocompletion."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from tests.browser.site.models import Author, Book, Chapter, Tag

admin.site.register(Tag)


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    search_fields = ["name"]


class ChapterInline(admin.TabularInline):
    model = Chapter
    extra = 1


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "is_lent"]
    list_filter = ["is_lent", "author"]
    search_fields = ["title", "author__name"]
    autocomplete_fields = ["author"]
    filter_horizontal = ["tags"]
    inlines = [ChapterInline]
    actions = ["lend"]

    @admin.action(description="Lend the selected books")
    def lend(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.update(is_lent=True)
        self.message_user(request, f"{count} books were lent.")

"""Queries and transactions, as a project writes them."""

from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.contrib.sites.shortcuts import get_current_site
from django.core.paginator import Paginator
from django.db import connection, transaction
from django.db.models import prefetch_related_objects
from django.forms import ModelForm
from django.http import HttpRequest
from django.shortcuts import get_list_or_404, get_object_or_404

from tests.detection.stock.cases import blocks, harmless
from tests.detection.stock.models import Author, Book, Cover, Tag

LOOP = "async for row in queryset"


@blocks("orm", "QuerySet.get", "await queryset.aget(...)")
def get():
    Book.objects.get(pk=1)  # here


@blocks("orm", "QuerySet.first", "await queryset.afirst(...)")
def first():
    Book.objects.order_by("pk").first()  # here


@blocks("orm", "QuerySet.count", "await queryset.acount(...)")
def count():
    Author.objects.count()  # here


@blocks("orm", "QuerySet.exists", "await queryset.aexists(...)")
def exists():
    Author.objects.filter(pk=1).exists()  # here


@blocks("orm", "QuerySet.in_bulk", "await queryset.ain_bulk(...)")
def in_bulk():
    Author.objects.in_bulk([1])  # here


@blocks("orm", "QuerySet.get_or_create", "await queryset.aget_or_create(...)")
def get_or_create():
    Author.objects.get_or_create(name="Ann")  # here


@blocks("orm", "QuerySet.bulk_create", "await queryset.abulk_create(...)")
def bulk_create():
    Author.objects.bulk_create([Author(name="a"), Author(name="b")])  # here


@blocks("orm", "QuerySet.update", "await queryset.aupdate(...)")
def update():
    Author.objects.filter(pk=0).update(name="x")  # here


@blocks("orm", "QuerySet.delete", "await queryset.adelete(...)")
def delete_of_own_queryset():
    Book.objects.filter(pk=0).delete()  # here


@blocks("orm", "BookQuerySet.titles", "await sync_to_async(queryset.titles)(...)")
def method_of_own_queryset():
    Book.objects.titles()  # here


@blocks("orm", "QuerySet.__iter__", LOOP)
def loop_over():
    for _ in Book.objects.all():  # here
        pass


@blocks("orm", "QuerySet.__iter__", LOOP)
def loop_that_prefetches():
    list(Author.objects.prefetch_related("books", "read"))  # here


@blocks("orm", "QuerySet.__len__", "await queryset.acount()")
def length():
    len(Book.objects.all())  # here


@blocks("orm", "QuerySet.__bool__", "await queryset.aexists()")
def truth():
    bool(Book.objects.all())  # here


@blocks("orm", "QuerySet.__getitem__", "await queryset.afirst()")
def item():
    Book.objects.order_by("pk")[0]  # here


@blocks("orm", "QuerySet.iterator", "queryset.aiterator()")
def iterator():
    for _ in Book.objects.iterator():  # here
        pass


@blocks("orm", "RawQuerySet.__iter__", "await sync_to_async(lambda: list(queryset))()")
def raw():
    list(Author.objects.raw("SELECT * FROM stock_author"))  # here


@blocks("orm", "Model.save", "await object.asave(...)")
def save_that_is_overridden():
    book = Book(title="", author_id=1)
    book.save()  # here


@blocks("orm", "Model.save", "await object.asave(...)")
def save():
    Author(name="Ann").save()  # here


@blocks("orm", "Model.delete", "await object.adelete(...)")
def delete():
    Author(pk=99).delete()  # here


@blocks("orm", "Model.refresh_from_db", "await object.arefresh_from_db(...)")
def refresh():
    Author(pk=1).refresh_from_db()  # here


@blocks("orm", "Model.full_clean", "await sync_to_async(object.full_clean)(...)")
def full_clean():
    Book(title="New", author_id=1, file="f").full_clean()  # here


@blocks("orm", "Model.get_next_by_FOO", "get_next_by_")
def get_next_by():
    Book(pk=1, day="1990-01-01").get_next_by_day()  # here


@blocks("orm", "Book.author", "select_related('author')")
def lazy_foreign_key():
    book = Book(author_id=1)
    book.author  # here  # noqa: B018


@blocks("orm", "Book.author", "select_related('author')")
def lazy_foreign_key_in_a_method():
    Book(author_id=1).author_name()


@blocks("orm", "Author.name", "without defer() or only()")
def deferred_field():
    author = Author.from_db("default", ["id"], [1])
    author.name  # here  # noqa: B018


@blocks("orm", "Book.cover", "select_related('cover')")
def reverse_one_to_one():
    book = Book(pk=1)
    book.cover  # here  # noqa: B018


@blocks("orm", "Tag.subject", "prefetch_related('subject')")
def generic_foreign_key():
    tag = Tag(content_type_id=1, object_id=1)
    tag.subject  # here  # noqa: B018


@blocks("orm", "ManyRelatedManager.add", "await object.relation.aadd(...)")
def add_to_many():
    Book(pk=1).readers.add(Author(pk=1))  # here


@blocks("orm", "ManyRelatedManager.set", "await object.relation.aset(...)")
def set_many():
    Book(pk=1).readers.set([])  # here


@blocks("orm", "RelatedManager.create", "await object.relation.acreate(...)")
def create_by_relation():
    Author(pk=1).books.create(title="")  # here


@blocks("orm", "QuerySet.count", "await queryset.acount(...)")
def count_by_relation():
    Author(pk=1).books.count()  # here


@blocks("orm", "GenericRelatedObjectManager.clear", "await object.relation.aclear(...)")
def clear_generic_relation():
    Book(pk=1).tags.clear()  # here


@blocks("orm", "prefetch_related_objects", "await aprefetch_related_objects(...)")
def prefetch():
    prefetch_related_objects([Author(pk=1)], "books")  # here


@blocks("orm", "get_current_site", "get_current_site)(request)")
def site():
    Site.objects.clear_cache()
    get_current_site(HttpRequest())  # here


@blocks("orm", "Paginator.get_page", "AsyncPaginator")
def page():
    Paginator(Author.objects.order_by("pk"), 5).get_page(1)  # here


@blocks("shortcuts", "get_object_or_404", "await aget_object_or_404(...)")
def object_or_404():
    get_object_or_404(Author, pk=1)  # here


@blocks("shortcuts", "get_list_or_404", "await aget_list_or_404(...)")
def list_or_404():
    get_list_or_404(Author, pk__gt=0)  # here


class BookForm(ModelForm):
    class Meta:
        model = Book
        fields = ["title", "author"]

    def clean_title(self) -> str:
        assert Book.objects.count() >= 0
        return str(self.cleaned_data["title"])


@blocks("forms", "BaseForm.is_valid", "await sync_to_async(form.is_valid)(...)")
def form_with_a_query():
    BookForm({"title": "x", "author": 1}).is_valid()  # here


@blocks("transactions", "Atomic.__e", "sync_to_async(function)()")
def atomic():
    with transaction.atomic():  # here
        pass


@blocks("transactions", "BaseDatabaseWrapper.cursor", "sync_to_async(function)()")
def cursor():
    connection.cursor()  # here


@harmless
def none():
    assert not Book.objects.none()
    assert not Book.objects.filter(pk__in=[]).exists()


@harmless
def filled():
    books = Book.objects.all()
    books._result_cache = [Book(title="x")]
    assert len(books) == 1
    assert [book.title for book in books] == ["x"]
    assert books[0]


@harmless
def loaded_relation():
    assert Book(author=Author(name="Ann")).author.name == "Ann"


@harmless
def lazy_querysets():
    Author.objects.filter(name="x").exclude(pk=1).order_by("pk")


@harmless
def form_without_a_query():
    from django import forms

    class Asking(forms.Form):
        name = forms.CharField()

    assert Asking({"name": "x"}).is_valid()


@harmless
async def awaitables_of_querysets():
    await Author.objects.acount()
    await Author.objects.filter(pk=1).afirst()
    assert [author async for author in Author.objects.all()]
    await Author.objects.aget_or_create(name="only one")
    await Author(name="Zoe").asave()
    await Author(pk=1).arefresh_from_db()
    await Book(pk=1).readers.aadd(Author(pk=1))


@blocks("orm", "ContentTypeManager.get_for_model", "get_for_model)(...)")
def content_type():
    ContentType.objects.clear_cache()
    ContentType.objects.get_for_model(Cover)  # here

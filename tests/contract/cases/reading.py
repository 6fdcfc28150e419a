"""Querysets: all that they can ask, and all methods that read."""

from datetime import date
from typing import Any

from django.db import models
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    FloatField,
    Func,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
    Window,
    functions,
    prefetch_related_objects,
)
from django.db.models.fields.json import KT
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    ExtractYear,
    Length,
    Lower,
    Rank,
    RowNumber,
    TruncMonth,
    Upper,
)

from tests.contract.case import Given, method, on, rows
from tests.contract.models import (
    Book,
    Cover,
    Edition,
    Genre,
    Loan,
    LongBook,
    Note,
    Person,
    Publisher,
    Sample,
    Writer,
)


def books(db: str) -> Any:
    return Book.objects.using(db).order_by("pk")


def people(db: str) -> Any:
    return Person.objects.using(db).order_by("pk")


def book(db: str, pk: int = 1) -> Any:
    return Book.objects.using(db).get(pk=pk)


def of(model: Any) -> Any:
    return lambda db: model.objects.using(db).order_by("pk")


def latest_loan(name: str) -> Any:
    return Loan.objects.filter(book=OuterRef("pk")).order_by("-days").values(name)[:1]


FILTERS = {
    "all": rows(books),
    "none": rows(lambda db: books(db).none()),
    "filter": rows(lambda db: books(db).filter(pages__gt=300)),
    "filter by nothing": rows(lambda db: books(db).filter(pk__in=[])),
    "exclude": rows(lambda db: books(db).exclude(rating=None)),
    "filter over relations": rows(lambda db: books(db).filter(author__name="Ada")),
    "filter over many": rows(
        lambda db: books(db).filter(genres__name__in=["g1", "g2"]).distinct()
    ),
    "exclude over many": rows(lambda db: books(db).exclude(genres__name="g2")),
    "filter over a reverse relation": rows(
        lambda db: people(db).filter(books__pages__lt=500).distinct()
    ),
    "filter over a through model": rows(lambda db: books(db).filter(loan__days__gt=9)),
    "filter over a generic relation": rows(
        lambda db: books(db).filter(notes__text__endswith="1")
    ),
    "filter over one to one": rows(lambda db: books(db).filter(cover__colour="red")),
    "Q or": rows(lambda db: books(db).filter(Q(pages__lt=200) | Q(rating__gt=4))),
    "Q not": rows(lambda db: books(db).filter(~Q(author_id=1), Q(stock__gt=2))),
    "Q xor": rows(lambda db: books(db).filter(Q(pages__lt=400) ^ Q(pk__lt=6))),
    "F": rows(lambda db: books(db).filter(pages__gt=F("stock") * 50)),
    "F over a relation": rows(lambda db: books(db).filter(stock__gt=F("author__pk"))),
    "range": rows(lambda db: books(db).filter(pages__range=(100, 400))),
    "dates": rows(lambda db: books(db).filter(published__year=2021)),
    "text": rows(lambda db: books(db).filter(title__icontains="OOK 1")),
    "regex": rows(lambda db: books(db).filter(title__iregex=r"k [12]$")),
    "isnull": rows(lambda db: books(db).filter(publisher__isnull=True)),
    "a key in JSON": rows(lambda db: books(db).filter(data__n=3)),
    "a deep key in JSON": rows(lambda db: books(db).filter(data__deep__even=True)),
    "has a key in JSON": rows(lambda db: books(db).filter(data__has_key="tags")),
    "contains in JSON": rows(lambda db: books(db).filter(data__contains={"n": 2})),
    "an item of a list in JSON": rows(lambda db: books(db).filter(data__tags__0="a")),
    "text of a key in JSON": rows(
        lambda db: books(db).annotate(text=KT("data__deep__even")).values_list("text")
    ),
    "a generated field": rows(lambda db: books(db).filter(leaves__gt=900)),
    "a filtered relation": rows(
        lambda db: (
            books(db)
            .annotate(few=FilteredRelation("loan", condition=Q(loan__days__lt=7)))
            .filter(few__isnull=False)
        )
    ),
    "of a proxy": rows(of(LongBook)),
    "of a child": rows(of(Writer)),
    "a parent by its child": rows(
        lambda db: people(db).filter(writer__pen_name="Skald")
    ),
    "other types": rows(of(Sample)),
    "by a uid": rows(lambda db: of(Sample)(db).filter(uid__in=[Value(1)])),
    "by a composite key": rows(lambda db: of(Edition)(db).filter(pk=(1, 2))),
    "by composite keys": rows(lambda db: of(Edition)(db).filter(pk__in=[(1, 1)])),
    "a manager's own method": rows(lambda db: books(db).long()),
    "a plain manager": on(
        lambda db: Book.plain.using(db).order_by("pk"), list, lambda q: _listed(q)
    ),
}


async def _listed(queryset: Any) -> Any:
    return [row async for row in queryset]


SHAPES = {
    "order_by": rows(lambda db: books(db).order_by("-pages", "title")),
    "order_by an expression": rows(
        lambda db: books(db).order_by(F("rating").desc(nulls_last=True), "pk")
    ),
    "order_by a relation": rows(lambda db: books(db).order_by("author__name", "-pk")),
    "reverse": rows(lambda db: books(db).order_by("pages").reverse()),
    "distinct": rows(lambda db: books(db).order_by("title").values("title").distinct()),
    "distinct on": rows(lambda db: books(db).order_by("title", "pk").distinct("title")),
    "a slice": rows(lambda db: books(db)[2:7]),
    "a slice of a slice": rows(lambda db: books(db)[2:9][1:3]),
    "an empty slice": rows(lambda db: books(db)[5:5]),
    "a filter after a slice": on(
        books, lambda q: list(q[:3].filter(pk=1)), lambda q: _filter_after_slice(q)
    ),
    "values": rows(lambda db: books(db).values("pk", "title", "author__name")),
    "values of everything": rows(lambda db: books(db).values()),
    "values of an expression": rows(lambda db: books(db).values(up=Upper("title"))),
    "values_list": rows(lambda db: books(db).values_list("pk", "pages")),
    "values_list flat": rows(lambda db: books(db).values_list("title", flat=True)),
    "values_list named": rows(lambda db: books(db).values_list("pk", named=True)),
    "values over many": rows(
        lambda db: books(db).order_by("pk", "genres").values_list("pk", "genres__name")
    ),
    "values_list flat of two": on(
        books,
        lambda q: list(q.values_list("pk", "title", flat=True)),
        lambda q: _flat_of_two(q),
    ),
    "dates": rows(lambda db: books(db).dates("published", "month")),
    "datetimes": rows(lambda db: books(db).datetimes("received", "month", "DESC")),
    "union": rows(
        lambda db: (
            books(db)
            .filter(pk__lt=3)
            .union(books(db).order_by().filter(pk__gt=10))
            .order_by("pk")
        )
    ),
    "union of all": rows(
        lambda db: (
            books(db)
            .order_by()
            .values_list("title")
            .union(books(db).order_by().values_list("title"), all=True)
            .order_by("title")
        )
    ),
    "intersection": rows(
        lambda db: (
            books(db)
            .order_by()
            .filter(pk__lt=6)
            .intersection(books(db).order_by().filter(pk__gt=3))
            .order_by("pk")
        )
    ),
    "difference": rows(
        lambda db: (
            books(db)
            .order_by()
            .difference(books(db).order_by().filter(pk__gt=3))
            .order_by("pk")
        )
    ),
    "and": rows(lambda db: books(db).filter(pk__lt=6) & books(db).filter(pk__gt=3)),
    "or": rows(lambda db: books(db).filter(pk__lt=3) | books(db).filter(pk__gt=10)),
    "extra": rows(lambda db: books(db).extra(select={"one": "1"}, where=["pages > 1"])),
    "defer": rows(lambda db: books(db).defer("data", "received")),
    "only": rows(lambda db: books(db).only("title", "author__name")),
    "only over a relation": rows(
        lambda db: books(db).select_related("author").only("title", "author__name")
    ),
    "select_related": rows(lambda db: books(db).select_related("author", "publisher")),
    "select_related of none": rows(
        lambda db: books(db).select_related("author").select_related(None)
    ),
    "select_related of one to one": rows(lambda db: books(db).select_related("cover")),
    "select_related of a child": rows(lambda db: people(db).select_related("writer")),
    "prefetch_related": rows(
        lambda db: books(db).prefetch_related("genres", "author__books")
    ),
    "prefetch_related backwards": rows(
        lambda db: people(db).prefetch_related("books__genres__parent", "read")
    ),
    "prefetch_related of a generic relation": rows(
        lambda db: books(db).prefetch_related("notes")
    ),
    "prefetch_related of a generic key": rows(
        lambda db: of(Note)(db).prefetch_related("subject__author")
    ),
    "prefetch_related of one to one": rows(
        lambda db: books(db).prefetch_related("cover")
    ),
    "prefetch_related of a tree": rows(
        lambda db: of(Genre)(db).prefetch_related("children__children")
    ),
    "Prefetch": rows(
        lambda db: people(db).prefetch_related(
            Prefetch("books", Book.objects.filter(pages__gt=300), to_attr="thick")
        )
    ),
    "Prefetch in Prefetch": rows(
        lambda db: people(db).prefetch_related(
            Prefetch("books", Book.objects.prefetch_related("genres").order_by("-pk"))
        )
    ),
    "Prefetch of a slice": rows(
        lambda db: people(db).prefetch_related(
            Prefetch("books", Book.objects.order_by("pk")[:1])
        )
    ),
    "prefetch_related of none": rows(
        lambda db: books(db).prefetch_related("genres").prefetch_related(None)
    ),
    "raw": on(
        lambda db: Book.objects.db_manager(db).raw(
            "SELECT id, title FROM contract_book WHERE pages > %s ORDER BY id", [300]
        ),
        list,
        lambda q: _listed(q),
    ),
    "raw that lacks a key": on(
        lambda db: Book.objects.db_manager(db).raw("SELECT title FROM contract_book"),
        list,
        lambda q: _listed(q),
    ),
    "select_for_update outside a transaction": rows(
        lambda db: books(db).select_for_update()
    ),
    "in another database": rows(lambda db: books(db).using("replica").using(db)),
}


async def _filter_after_slice(queryset: Any) -> Any:
    return await queryset[:3].filter(pk=1)


async def _flat_of_two(queryset: Any) -> Any:
    return await queryset.values_list("pk", "title", flat=True)


EXPRESSIONS = {
    "annotate": rows(lambda db: books(db).annotate(sheets=F("pages") / 2)),
    "alias": rows(lambda db: books(db).alias(n=Count("genres")).filter(n__gt=1)),
    "annotate with Count": rows(lambda db: books(db).annotate(n=Count("genres"))),
    "annotate with a filtered Count": rows(
        lambda db: people(db).annotate(n=Count("books", filter=Q(books__stock__gt=3)))
    ),
    "annotate a group": rows(
        lambda db: (
            books(db)
            .order_by("title")
            .values("title")
            .annotate(most=Max("pages"), least=Min("pages"))
        )
    ),
    "having": rows(
        lambda db: (
            books(db)
            .order_by("title")
            .values("title")
            .annotate(n=Count("pk"))
            .filter(n__gt=1)
        )
    ),
    "Case": rows(
        lambda db: books(db).annotate(
            size=Case(
                When(pages__lt=200, then=Value("thin")),
                When(pages__lt=500, then=Value("middle")),
                default=Value("thick"),
            )
        )
    ),
    "Subquery": rows(lambda db: books(db).annotate(days=Subquery(latest_loan("days")))),
    "Exists": rows(
        lambda db: books(db).filter(Exists(Cover.objects.filter(book=OuterRef("pk"))))
    ),
    "not Exists": rows(
        lambda db: books(db).annotate(
            bare=~Exists(Cover.objects.filter(book=OuterRef("pk")))
        )
    ),
    "in a subquery": rows(
        lambda db: books(db).filter(author__in=people(db).filter(born__year__lt=1903))
    ),
    "Window": rows(
        lambda db: books(db).annotate(
            place=Window(Rank(), partition_by="author", order_by="-pages")
        )
    ),
    "a filter on Window": rows(
        lambda db: (
            books(db)
            .annotate(row=Window(RowNumber(), partition_by="title", order_by="pk"))
            .filter(row=1)
        )
    ),
    "a sum over Window": rows(
        lambda db: books(db).annotate(total=Window(Sum("pages"), order_by="pk"))
    ),
    "ExpressionWrapper": rows(
        lambda db: books(db).annotate(
            half=ExpressionWrapper(F("pages") * 0.5, output_field=FloatField())
        )
    ),
    "functions of text": rows(
        lambda db: books(db).annotate(
            text=Concat(Lower("title"), Value("/"), "isbn"), size=Length("title")
        )
    ),
    "functions of dates": rows(
        lambda db: books(db).annotate(
            year=ExtractYear("published"), month=TruncMonth("received")
        )
    ),
    "functions of numbers": rows(
        lambda db: books(db).annotate(
            rest=functions.Mod("pages", 7),
            root=functions.Round(functions.Sqrt("pages"), 3),
        )
    ),
    "Coalesce and Cast": rows(
        lambda db: books(db).annotate(
            known=Coalesce("rating", 0.0), text=Cast("pages", models.CharField())
        )
    ),
    "Func": rows(
        lambda db: books(db).annotate(
            small=Func(F("title"), function="LOWER", output_field=models.CharField())
        )
    ),
    "Now": rows(lambda db: books(db).filter(received__lt=functions.Now())),
    "Greatest and NullIf": rows(
        lambda db: books(db).annotate(
            more=functions.Greatest("pages", "stock"),
            other=functions.NullIf("stock", Value(3)),
        )
    ),
    "an expression that is not grouped": rows(
        lambda db: books(db).annotate(n=Count("pk") + F("nothing"))
    ),
}

METHODS = {
    "get": method(books, "get", pk=1),
    "get by Q": method(books, "get", Q(pk=1) | Q(pk=None)),
    "get that does not exist": method(books, "get", pk=77),
    "get of several": method(books, "get", title="Book 1"),
    "get of many": method(books, "get", pages__gt=0),
    "get by an unknown field": method(books, "get", nothing=1),
    "get by a bad value": method(books, "get", pk="one"),
    "get by a bad date": method(books, "get", published="today"),
    "get by a bad lookup": method(books, "get", title__near="x"),
    "get by a wrong instance": method(books, "get", author=Given(book)),
    "get of a relation": method(lambda db: book(db).author.books, "get", pk=5),
    "get of a child": method(of(Writer), "get", pk=5),
    "get with a union": method(
        lambda db: books(db).order_by().union(books(db).order_by()), "get", pk=1
    ),
    "first": method(books, "first"),
    "first without order": method(lambda db: Book.objects.using(db), "first"),
    "first of none": method(lambda db: books(db).filter(pk=0), "first"),
    "last": method(books, "last"),
    "last of none": method(lambda db: books(db).none(), "last"),
    "last of a slice": method(lambda db: books(db)[:3], "last"),
    "latest": method(books, "latest"),
    "latest by fields": method(books, "latest", "published", "-pk"),
    "latest of none": method(lambda db: books(db).filter(pk=0), "latest"),
    "latest by nothing": method(of(Genre), "latest"),
    "earliest": method(books, "earliest"),
    "earliest by a relation": method(books, "earliest", "author__born", "pk"),
    "count": method(books, "count"),
    "count of distinct": method(
        lambda db: books(db).filter(genres__pk__gt=0).distinct(), "count"
    ),
    "count of a slice": method(lambda db: books(db)[2:5], "count"),
    "count of a union": method(
        lambda db: books(db).order_by().union(books(db).order_by()), "count"
    ),
    "exists": method(books, "exists"),
    "exists of none": method(lambda db: books(db).filter(pk=0), "exists"),
    "contains": method(books, "contains", Given(book)),
    "contains not": method(lambda db: books(db).filter(pk=2), "contains", Given(book)),
    "contains another model": method(books, "contains", Given(lambda db: Genre(pk=1))),
    "contains what is not saved": method(books, "contains", Given(lambda db: Book())),
    "contains of values": method(
        lambda db: books(db).values(), "contains", Given(book)
    ),
    "in_bulk": method(books, "in_bulk"),
    "in_bulk of some": method(books, "in_bulk", [1, 2, 77]),
    "in_bulk of none": method(books, "in_bulk", []),
    "in_bulk by a field": method(books, "in_bulk", ["978-001"], field_name="isbn"),
    "in_bulk by a field that repeats": method(books, "in_bulk", field_name="title"),
    "in_bulk of a slice": method(lambda db: books(db)[:2], "in_bulk", [1]),
    "in_bulk of composite keys": method(of(Edition), "in_bulk", [(1, 1), (2, 2)]),
    "aggregate": method(
        books, "aggregate", Count("pk"), Sum("pages"), Avg("rating"), most=Max("price")
    ),
    "aggregate of none": method(lambda db: books(db).none(), "aggregate", Sum("pages")),
    "aggregate over relations": method(
        people, "aggregate", n=Count("books__genres", distinct=True)
    ),
    "aggregate with a filter": method(
        books, "aggregate", n=Count("pk", filter=Q(is_available=True))
    ),
    "aggregate with a default": method(
        lambda db: books(db).filter(pk=0), "aggregate", n=Sum("pages", default=0)
    ),
    "aggregate an aggregate": method(
        lambda db: people(db).annotate(n=Count("books")), "aggregate", Avg("n")
    ),
    "aggregate of statistics": method(
        books, "aggregate", StdDev("stock"), Variance("stock")
    ),
    "aggregate of a slice": method(lambda db: books(db)[:4], "aggregate", Sum("pages")),
    "aggregate what is none": method(books, "aggregate", F("pages")),
    "explain": method(of(Publisher), "explain"),
    "explain in a format": method(of(Publisher), "explain", format="json"),
    "explain in an unknown format": method(of(Publisher), "explain", format="poem"),
    "explain with a bad option": method(of(Publisher), "explain", **{"a b": 1}),
    "a relation's count": method(lambda db: book(db).genres, "count"),
    "a relation's first": method(
        lambda db: book(db).author.books.order_by("pk"), "first"
    ),
    "refresh_from_db": method(lambda db: _changed(book(db)), "refresh_from_db"),
    "refresh_from_db of fields": method(
        lambda db: _changed(book(db)), "refresh_from_db", fields=["pages"]
    ),
    "refresh_from_db of a relation": method(
        lambda db: _changed(book(db)), "refresh_from_db", fields=["author"]
    ),
    "refresh_from_db of what is gone": method(
        lambda db: _gone(book(db)), "refresh_from_db"
    ),
    "refresh_from_db by a queryset": method(
        lambda db: _changed(book(db)),
        "refresh_from_db",
        from_queryset=Given(lambda db: books(db).select_related("author")),
    ),
    "prefetch_related_objects": on(
        lambda db: list(books(db)),
        lambda found: prefetch_related_objects(found, "genres", "author"),
        lambda found: models.aprefetch_related_objects(found, "genres", "author"),
    ),
    "numbers by their type": method(
        lambda db: books(db).annotate(n=Value(1, output_field=IntegerField())), "first"
    ),
    "a date": method(lambda db: books(db).filter(published=date(2021, 2, 2)), "count"),
}


def _changed(one: Any) -> Any:
    one.pages, one.title, one.author_id = 1, "changed", 2
    return one


def _gone(one: Any) -> Any:
    one.pk = 77
    return one


CASES = {
    f"{table}: {name}": case
    for table, found in {
        "filter": FILTERS,
        "shape": SHAPES,
        "expression": EXPRESSIONS,
        "read": METHODS,
    }.items()
    for name, case in found.items()
}

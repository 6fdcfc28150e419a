"""Models and querysets that write: what is stored, refused, sent and deleted."""

import uuid
from datetime import UTC, date, datetime
from typing import Any

from django.db import connections
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Upper

from tests.contract.case import Given, method
from tests.contract.cases.reading import book, books, of
from tests.contract.models import (
    Book,
    Cover,
    Edition,
    Genre,
    Licence,
    Loan,
    LongBook,
    Note,
    Person,
    Publisher,
    Sample,
    Writer,
)

genres, publishers = of(Genre), of(Publisher)


def person(db: str) -> Any:
    return Person.objects.using(db).get(pk=1)


def new(**values: Any) -> dict[str, Any]:
    return {
        "title": "new",
        "isbn": "new",
        "author_id": 1,
        "published": date(2020, 1, 1),
        "received": datetime(2020, 1, 1, tzinfo=UTC),
        **values,
    }


def changed(one: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(one, name, value)
    return one


def targets(db: str, *names: str) -> Any:
    """What unique_fields must be, where the database can be told."""
    features = connections[db].features
    return list(names) if features.supports_update_conflicts_with_target else None


def upsert(*names: str, **options: Any) -> Any:
    """bulk_create of a genre that is there and one that is not."""
    found = Given(lambda db: [Genre(name="g1", parent_id=6), Genre(name="other")])
    unique = Given(lambda db: targets(db, *names))
    return method(genres, "bulk_create", found, unique_fields=unique, **options)


CREATING = {
    "create": method(books, "create", **new()),
    "create with a default of the database": method(books, "create", **new(stock=9)),
    "create on a relation": method(lambda db: person(db).books, "create", **new()),
    "create of a child": method(of(Writer), "create", name="W", pen_name="w"),
    "create of a proxy": method(LongBook.objects.using, "create", **new(pages=500)),
    "create what is there": method(genres, "create", name="g1"),
    "create without a value": method(genres, "create", name=None),
    "create with an unknown field": method(genres, "create", nothing=1),
    "create that breaks a check": method(books, "create", **new(pages=99999)),
    "create that breaks two fields": method(
        books, "create", **new(title="Book 1", author_id=2)
    ),
    "create with a key that does not exist": method(
        of(Licence), "create", publisher_id=77
    ),
    "create what is too long": method(genres, "create", name="x" * 31),
    "create by an expression": method(genres, "create", name=Upper(Value("new"))),
    "create with a JSON null": method(
        books, "create", **new(data=Value(None, Book._meta.get_field("data")))
    ),
    "create of each type": method(
        Sample.objects.using, "create", uid=uuid.UUID(int=9), blob=b"\0\xff"
    ),
    "create with a composite key": method(
        Edition.objects.using, "create", book_id=3, number=1
    ),
    "create a composite key that is there": method(
        Edition.objects.using, "create", book_id=1, number=1
    ),
    "get_or_create what is there": method(genres, "get_or_create", name="g1"),
    "get_or_create what is not": method(
        genres, "get_or_create", name="new", defaults={"parent_id": 1}
    ),
    "get_or_create with a function": method(
        books, "get_or_create", title="new", defaults=new(stock=lambda: 7)
    ),
    "get_or_create of several": method(books, "get_or_create", title="Book 1"),
    "get_or_create that cannot": method(
        genres, "get_or_create", pk=77, defaults={"name": "g1"}
    ),
    "get_or_create by a bad name": method(genres, "get_or_create", defaults={"no": 1}),
    "update_or_create what is there": method(
        genres, "update_or_create", name="g1", defaults={"parent_id": 6}
    ),
    "update_or_create what is not": method(
        genres,
        "update_or_create",
        name="new",
        defaults={"parent_id": 1},
        create_defaults={"parent_id": 2, "name": "new"},
    ),
    "update_or_create of several": method(books, "update_or_create", title="Book 1"),
    "bulk_create": method(
        genres, "bulk_create", Given(lambda db: [Genre(name=n) for n in "abc"])
    ),
    "bulk_create of nothing": method(genres, "bulk_create", []),
    "bulk_create in batches": method(
        genres,
        "bulk_create",
        Given(lambda db: [Genre(name=n) for n in "abcde"]),
        batch_size=2,
    ),
    "bulk_create with and without keys": method(
        genres,
        "bulk_create",
        Given(lambda db: [Genre(name="a"), Genre(pk=50, name="b")]),
    ),
    "bulk_create with defaults of the database": method(
        books, "bulk_create", Given(lambda db: [Book(**new()), Book(**new(isbn="2"))])
    ),
    "bulk_create what is there": method(
        genres, "bulk_create", Given(lambda db: [Genre(name="a"), Genre(name="g1")])
    ),
    "bulk_create ignoring conflicts": method(
        genres,
        "bulk_create",
        Given(lambda db: [Genre(name="a"), Genre(name="g1")]),
        ignore_conflicts=True,
    ),
    "bulk_create updating conflicts": upsert(
        "name", update_conflicts=True, update_fields=["parent"]
    ),
    "bulk_create updating nothing": upsert("name", update_conflicts=True),
    "bulk_create updating by what is not unique": upsert(
        "parent", update_conflicts=True, update_fields=["name"]
    ),
    "bulk_create both ways": upsert(
        "name", update_conflicts=True, ignore_conflicts=True, update_fields=["parent"]
    ),
    "bulk_create of a child": method(
        of(Writer), "bulk_create", Given(lambda db: [Writer(name="w")])
    ),
    "bulk_create of no batch": method(
        genres, "bulk_create", Given(lambda db: [Genre(name="a")]), batch_size=-1
    ),
    "bulk_create of what is not saved": method(
        of(Licence),
        "bulk_create",
        Given(lambda db: [Licence(publisher=Publisher(name="x"))]),
    ),
}

UPDATING = {
    "update": method(lambda db: books(db).filter(pk__lt=4), "update", stock=0),
    "update by F": method(books, "update", stock=F("stock") + 1),
    "update by Case": method(
        books,
        "update",
        title=Case(When(pk__lt=3, then=Value("low")), default=F("isbn")),
    ),
    "update a relation": method(books, "update", publisher=None),
    "update of a child": method(of(Writer), "update", name="x", pen_name="y"),
    "update over a relation": method(
        lambda db: books(db).filter(author__name="Ada"), "update", rating=1
    ),
    "update in order": method(lambda db: books(db).order_by("-pk"), "update", stock=1),
    "update of a slice": method(lambda db: books(db)[:2], "update", stock=1),
    "update a relation's field": method(books, "update", author__name="x"),
    "update that conflicts": method(books, "update", isbn="same"),
    "update by a bad value": method(books, "update", pages="many"),
    "update of nothing": method(lambda db: books(db).none(), "update", stock=1),
    "update JSON": method(books, "update", data={"new": [1, None]}),
    "bulk_update": method(
        books,
        "bulk_update",
        Given(lambda db: [changed(one, stock=one.pk * 3) for one in books(db)]),
        ["stock"],
    ),
    "bulk_update in batches": method(
        books,
        "bulk_update",
        Given(lambda db: [changed(one, stock=F("stock") + 1) for one in books(db)]),
        ["stock", "title"],
        batch_size=5,
    ),
    "bulk_update of no field": method(books, "bulk_update", [], []),
    "bulk_update of the key": method(
        books, "bulk_update", Given(lambda db: list(books(db))), ["id"]
    ),
    "bulk_update of what is not saved": method(
        books, "bulk_update", Given(lambda db: [Book()]), ["stock"]
    ),
    "save a new one": method(lambda db: Genre(name="new"), "save", using=Given(str)),
    "save what is there": method(
        lambda db: changed(book(db), title="other", stock=3), "save"
    ),
    "save some fields": method(
        lambda db: changed(book(db), title="other", stock=3),
        "save",
        update_fields=["stock"],
    ),
    "save no fields": method(book, "save", update_fields=[]),
    "save unknown fields": method(book, "save", update_fields=["nothing"]),
    "save what was deferred": method(
        lambda db: changed(books(db).only("title").first(), title="other"), "save"
    ),
    "save by force": method(book, "save", force_insert=True),
    "save what is gone": method(
        lambda db: changed(book(db), pk=77), "save", force_update=True
    ),
    "save both ways": method(book, "save", force_insert=True, force_update=True),
    "save with a new key": method(
        lambda db: changed(person(db), pk=None, email=None), "save"
    ),
    "save an expression": method(
        lambda db: changed(book(db), stock=F("stock") + 1), "save"
    ),
    "save a child": method(
        lambda db: changed(Writer.objects.using(db).get(pk=5), pen_name="z"), "save"
    ),
    "save what refers to a new one": method(
        lambda db: Licence(publisher=Publisher(name="x")), "save", using=Given(str)
    ),
    "save a composite key": method(
        lambda db: changed(Edition.objects.using(db).get(pk=(1, 1)), printed=7), "save"
    ),
}

DELETING = {
    "delete one": method(lambda db: Loan.objects.using(db).get(pk=1), "delete"),
    "delete with all that refers to it": method(
        lambda db: Genre.objects.using(db).get(pk=1), "delete"
    ),
    "delete an author": method(lambda db: Person.objects.using(db).get(pk=4), "delete"),
    "delete a publisher": method(
        lambda db: Publisher.objects.using(db).get(pk=2), "delete"
    ),
    "delete what is protected": method(lambda db: book(db, 2), "delete"),
    "delete what is restricted": method(
        lambda db: Publisher.objects.using(db).get(pk=1), "delete"
    ),
    "delete a child": method(lambda db: Writer.objects.using(db).get(pk=6), "delete"),
    "delete a child alone": method(
        lambda db: Writer.objects.using(db).get(pk=6), "delete", keep_parents=True
    ),
    "delete what is not saved": method(lambda db: Genre(name="x"), "delete"),
    "delete what is gone": method(lambda db: changed(book(db), pk=77), "delete"),
    "delete a composite key": method(
        lambda db: Edition.objects.using(db).get(pk=(1, 2)), "delete"
    ),
    "delete rows": method(lambda db: of(Loan)(db).filter(pk__lt=4), "delete"),
    "delete rows with all that refers to them": method(
        lambda db: books(db).filter(pk__gt=3), "delete"
    ),
    "delete rows that are protected": method(books, "delete"),
    "delete rows over a relation": method(
        lambda db: of(Note)(db).filter(Q(object_id=1) | Q(pk=8)), "delete"
    ),
    "delete rows of none": method(lambda db: books(db).none(), "delete"),
    "delete a slice": method(lambda db: books(db)[:2], "delete"),
    "delete distinct rows": method(
        lambda db: books(db).filter(pk=5).distinct(), "delete"
    ),
    "delete values": method(lambda db: books(db).values("pk"), "delete"),
    "delete of a proxy": method(
        lambda db: LongBook.objects.using(db).filter(pk=5), "delete"
    ),
}

RELATED = {
    # Backwards over a foreign key
    "add to a reverse": method(
        lambda db: Publisher.objects.using(db).get(pk=3).book_set,
        "add",
        Given(book),
        Given(lambda db: book(db, 6)),
    ),
    "add in no bulk": method(
        lambda db: person(db).books, "add", Given(book), bulk=False
    ),
    "add another model to a reverse": method(
        lambda db: person(db).books, "add", Given(person)
    ),
    "add what is not saved to a reverse": method(
        lambda db: person(db).books, "add", Given(lambda db: Book(**new()))
    ),
    "add what is not saved in no bulk": method(
        lambda db: person(db).books, "add", Given(lambda db: Book(**new())), bulk=False
    ),
    "create on a reverse": method(lambda db: person(db).books, "create", **new()),
    "get_or_create on a reverse": method(
        lambda db: person(db).books,
        "get_or_create",
        isbn="new",
        defaults=Given(lambda db: {k: v for k, v in new().items() if "_id" not in k}),
    ),
    "update_or_create on a reverse": method(
        lambda db: person(db).books, "update_or_create", pk=5, defaults={"stock": 0}
    ),
    "remove from a reverse": method(
        lambda db: Publisher.objects.using(db).get(pk=2).book_set, "remove", Given(book)
    ),
    "remove a stranger from a reverse": method(
        lambda db: Publisher.objects.using(db).get(pk=1).book_set, "remove", Given(book)
    ),
    "clear a reverse": method(
        lambda db: Publisher.objects.using(db).get(pk=2).book_set, "clear"
    ),
    "set a reverse": method(
        lambda db: Publisher.objects.using(db).get(pk=2).book_set,
        "set",
        Given(lambda db: list(books(db)[:3])),
    ),
    "set and clear a reverse": method(
        lambda db: Publisher.objects.using(db).get(pk=2).book_set,
        "set",
        Given(lambda db: list(books(db)[:3])),
        clear=True,
    ),
    # Many to many
    "add to many": method(
        lambda db: book(db).genres, "add", Given(lambda db: genres(db)[0]), 2, 4
    ),
    "add to many what is there": method(lambda db: book(db, 4).genres, "add", 1, 2),
    "add an unknown key to many": method(lambda db: book(db).genres, "add", 77),
    "add another model to many": method(
        lambda db: book(db).genres, "add", Given(person)
    ),
    "add from the other side": method(
        lambda db: genres(db)[0].books, "add", Given(book)
    ),
    "add a friend": method(lambda db: person(db).friends, "add", 4),
    "remove a friend": method(lambda db: person(db).friends, "remove", 2),
    "create in many": method(lambda db: book(db).genres, "create", name="new"),
    "get_or_create in many": method(
        lambda db: book(db).genres, "get_or_create", name="g1"
    ),
    "update_or_create in many": method(
        lambda db: book(db, 4).genres,
        "update_or_create",
        name="g1",
        defaults={"name": "first"},
    ),
    "remove from many": method(lambda db: book(db, 4).genres, "remove", 1, 77),
    "clear many": method(lambda db: book(db, 4).genres, "clear"),
    "set many": method(lambda db: book(db, 4).genres, "set", [1, 6]),
    "set and clear many": method(
        lambda db: book(db, 4).genres, "set", [1, 6], clear=True
    ),
    "set many to none": method(lambda db: book(db, 4).genres, "set", []),
    "many of one that is not saved": method(lambda db: Book(**new()).genres, "clear"),
    # Many to many, through a model
    "add through a model": method(
        lambda db: book(db).readers, "add", 5, through_defaults={"days": 3}
    ),
    "create through a model": method(
        lambda db: book(db).readers,
        "create",
        name="new",
        through_defaults={"days": 3},
    ),
    "get_or_create through a model": method(
        lambda db: book(db).readers,
        "get_or_create",
        name="new",
        through_defaults={"days": 3},
    ),
    "update_or_create through a model": method(
        lambda db: book(db).readers,
        "update_or_create",
        name="Bede",
        defaults={"born": None},
    ),
    "set through a model": method(
        lambda db: book(db).readers, "set", [1, 3], through_defaults={"days": 1}
    ),
    "clear through a model": method(lambda db: book(db).readers, "clear"),
    # Generic
    "add to a generic relation": method(
        lambda db: book(db).notes, "add", Given(lambda db: of(Note)(db)[0])
    ),
    "create in a generic relation": method(
        lambda db: book(db).notes, "create", text="new"
    ),
    "get_or_create in a generic relation": method(
        lambda db: book(db).notes, "get_or_create", text="new"
    ),
    "update_or_create in a generic relation": method(
        lambda db: book(db).notes, "update_or_create", text="note 4", defaults={}
    ),
    "remove from a generic relation": method(
        lambda db: book(db).notes, "remove", Given(lambda db: book(db).notes.first())
    ),
    "clear a generic relation": method(lambda db: book(db).notes, "clear"),
    "set a generic relation": method(
        lambda db: book(db).notes, "set", Given(lambda db: list(of(Note)(db)[:2]))
    ),
    # One to one
    "create one to one": method(
        Cover.objects.using, "create", book_id=9, colour="white"
    ),
    "create one to one twice": method(
        Cover.objects.using, "create", book_id=1, colour="white"
    ),
}

CASES = {
    f"{table}: {name}": case
    for table, found in {
        "create": CREATING,
        "update": UPDATING,
        "delete": DELETING,
        "related": RELATED,
    }.items()
    for name, case in found.items()
}

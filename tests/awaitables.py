"""Django's awaitables: how to find them all, and how to call each.

A method that Django adds has no case in ``CASES``, and its test fails by name.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import django
from django import shortcuts
from django.contrib import auth
from django.contrib.auth import hashers
from django.contrib.auth.backends import (
    BaseBackend,
    ModelBackend,
    RemoteUserBackend,
)
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.core import paginator
from django.db import models
from django.db.models import Count
from django.http import HttpRequest

from tests.library.models import Author, Book, Note, Tag

ROOT = Path(django.__file__).parent

#: Where Django's awaitables over the database are.
PLACES = [
    "contrib/auth",
    "contrib/contenttypes",
    "contrib/sessions/backends/base.py",
    "contrib/sessions/backends/db.py",
    "core/paginator.py",
    "db",
    "shortcuts.py",
]

#: Functions whose classes are made for each relation.
FACTORIES = {
    "create_forward_many_to_many_manager",
    "create_generic_related_manager",
    "create_reverse_many_to_one_manager",
}

#: No case, and why.
NO_CASE = {
    "django.contrib.auth.middleware": "wraps views, which are the request path's",
    "django.db.models.query:BaseIterable": "is behind QuerySet.aiterator",
}


def awaitables() -> Iterator[str]:
    """Name every public awaitable of Django, as ``module:Class.method``."""
    for place in PLACES:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            parts = file.relative_to(ROOT.parent).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            for name in _awaitables(ast.parse(file.read_text()), ""):
                if not any(f"{module}:{name}".startswith(no) for no in NO_CASE):
                    yield f"{module}:{name}"


def _awaitables(tree: ast.AST, prefix: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        name = getattr(node, "name", "")
        if isinstance(node, ast.ClassDef) or name in FACTORIES:
            yield from _awaitables(node, "" if name in FACTORIES else f"{name}.")
        elif name in ("__aiter__", "__await__", "__aenter__") or (
            isinstance(node, ast.AsyncFunctionDef) and not name.startswith("_")
        ):
            yield prefix + name
        elif not isinstance(node, ast.FunctionDef):
            yield from _awaitables(node, prefix)


class Call(NamedTuple):
    """A call of an awaitable: on what, with which arguments."""

    subject: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    #: What has the synchronous method; by default the subject too.
    twin: Any = None
    #: The name of the synchronous method, if it is not that without the "a".
    twin_name: str | None = None

    async def awaited(self, name: str) -> Any:
        """Await it, and read all of an asynchronous iterator."""
        module, _, path = name.partition(":")
        *owner, method = path.split(".")
        function = getattr(self.subject, method)
        if owner and hasattr(import_module(module), owner[0]):
            # The very method, also where the subject's class overrides it.
            found = vars(getattr(import_module(module), owner[0]))[method]
            function = found.__get__(self.subject, type(self.subject))
        result = function(*self.args, **self.kwargs)
        if inspect.isawaitable(result):
            return await result
        return [item async for item in result]

    def called(self, name: str) -> Any:
        """Call the synchronous twin."""
        method = name.rpartition(".")[2].rpartition(":")[2]
        twin = self.subject if self.twin is None else self.twin
        if method == "__aiter__":
            return list(twin)
        found = getattr(twin, self.twin_name or method.removeprefix("a"))
        result = found(*self.args, **self.kwargs) if callable(found) else found
        return list(result) if inspect.isgenerator(result) else result


Case = Callable[[str], Call]


def call(subject: Any, *args: Any, **kwargs: Any) -> Call:
    return Call(subject, args, kwargs)


def books(using: str) -> Any:
    return Book.plain.using(using).order_by("title")


def tags(using: str) -> Any:
    return Tag.objects.using(using).order_by("name")


def book(using: str) -> Any:
    return books(using).first()


def author(using: str) -> Any:
    return Author.objects.using(using).get(name="Bede")


def note(using: str) -> Any:
    return Note.objects.using(using).order_by("text").last()


def unsaved(using: str) -> Any:
    return Book(title="new", author=author(using))


def changed(one: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(one, name, value)
    return one


QUERYSET: dict[str, Case] = {
    "aaggregate": lambda db: call(books(db), Count("pk")),
    "abulk_create": lambda db: call(tags(db), [Tag(name="a"), Tag(name="b")]),
    "abulk_update": lambda db: call(
        books(db), [changed(one, pages=7) for one in books(db)], ["pages"]
    ),
    "acontains": lambda db: call(books(db), book(db)),
    "acount": lambda db: call(books(db)),
    "acreate": lambda db: call(tags(db), name="a"),
    "adelete": lambda db: call(books(db)),
    "aearliest": lambda db: call(books(db), "pages"),
    "aexists": lambda db: call(books(db)),
    "aexplain": lambda db: call(tags(db)),
    "afirst": lambda db: call(books(db)),
    "aget": lambda db: call(books(db), title="Ada 1"),
    "aget_or_create": lambda db: call(tags(db), name="a"),
    "ain_bulk": lambda db: call(tags(db), ["old", "new"], field_name="name"),
    "aiterator": lambda db: call(books(db), chunk_size=2),
    "alast": lambda db: call(books(db)),
    "alatest": lambda db: call(books(db)),
    "aupdate": lambda db: call(books(db).order_by(), pages=7),
    "aupdate_or_create": lambda db: call(
        tags(db), name="old", defaults={"name": "older"}
    ),
}

REVERSE: dict[str, Case] = {
    "aadd": lambda db: call(author(db).books, book(db)),
    "aclear": lambda db: call(book(db).publisher.book_set),
    "acreate": lambda db: call(author(db).books, title="new"),
    "aget_or_create": lambda db: call(author(db).books, title="new"),
    "aremove": lambda db: call(book(db).publisher.book_set, book(db)),
    "aset": lambda db: call(book(db).publisher.book_set, list(books(db)[3:5])),
    "aupdate_or_create": lambda db: call(
        author(db).books, title="Bede 1", defaults={"pages": 5}
    ),
}

MANY: dict[str, Case] = {
    "aadd": lambda db: call(book(db).tags, *tags(db)),
    "aclear": lambda db: call(book(db).tags),
    "acreate": lambda db: call(book(db).tags, name="a"),
    "aget_or_create": lambda db: call(book(db).tags, name="a"),
    "aremove": lambda db: call(book(db).tags, tags(db)[0]),
    "aset": lambda db: call(tags(db)[0].books, list(books(db)[1:3])),
    "aupdate_or_create": lambda db: call(
        book(db).tags, name="new", defaults={"name": "newer"}
    ),
}

GENERIC: dict[str, Case] = {
    "aadd": lambda db: call(book(db).notes, note(db)),
    "aclear": lambda db: call(book(db).notes),
    "acreate": lambda db: call(book(db).notes, text="a"),
    "aget_or_create": lambda db: call(book(db).notes, text="a"),
    "aremove": lambda db: call(note(db).subject.notes, note(db)),
    "aset": lambda db: call(book(db).notes, [note(db)]),
    "aupdate_or_create": lambda db: call(
        book(db).notes, text="on Ada 1", defaults={"text": "about"}
    ),
}

MODEL: dict[str, Case] = {
    "adelete": lambda db: call(author(db)),
    "arefresh_from_db": lambda db: call(changed(book(db), pages=7), fields=["pages"]),
    "asave": lambda db: call(unsaved(db), using=db),
}


# Pages


def pages(kind: Any) -> Any:
    return kind(books("default"), 2)


def page(kind: Any, number: int) -> Any:
    made = pages(kind)
    return made._get_page(made.object_list[2 * number - 2 : 2 * number], number, made)


def of_pages(*args: Any, **kwargs: Any) -> Case:
    return lambda db: Call(
        pages(paginator.AsyncPaginator), args, kwargs, pages(paginator.Paginator)
    )


def of_page(twin_name: str | None = None, number: int = 2) -> Case:
    return lambda db: Call(
        page(paginator.AsyncPaginator, number),
        twin=page(paginator.Paginator, number),
        twin_name=twin_name,
    )


PAGINATOR = {
    "__aiter__": of_pages(),
    "acount": of_pages(),
    "aget_elided_page_range": of_pages(2),
    "aget_page": of_pages("last"),
    "anum_pages": of_pages(),
    "apage": of_pages(2),
    "apage_range": of_pages(),
    "avalidate_number": of_pages("3"),
}
PAGE = {
    "__aiter__": of_page(),
    "aend_index": of_page(),
    "aget_object_list": of_page("object_list"),
    "ahas_next": of_page(),
    # Of the first, because Django asks for more than it needs of the others.
    "ahas_other_pages": of_page(number=1),
    "ahas_previous": of_page(),
    "anext_page_number": of_page(),
    "aprevious_page_number": of_page(),
    "astart_index": of_page(),
}


# Sessions


def session(**data: Any) -> Any:
    saved = SessionStore()
    saved.update({"a": 1, **data})
    saved.save()
    return SessionStore(saved.session_key)


def of_session(*args: Any, **kwargs: Any) -> Case:
    return lambda db: call(session(), *args, **kwargs)


def of_known_session(*args: Any) -> Case:
    return lambda db: call(known := session(), known.session_key, *args)


SESSION_STORE: dict[str, Case] = {
    "aclear_expired": of_session(),
    "acreate": of_session(),
    "acreate_model_instance": of_session({"b": 2}),
    "adelete": of_known_session(),
    "aexists": of_known_session(),
    "aload": of_session(),
    "asave": lambda db: call(changed(SessionStore(), foo=1)),
}
SESSION: dict[str, Case] = {
    **SESSION_STORE,
    "acycle_key": of_session(),
    "adelete_test_cookie": lambda db: call(session(testcookie="worked")),
    "aflush": of_session(),
    "aget": of_session("a"),
    "aget_expire_at_browser_close": of_session(),
    "aget_expiry_age": of_session(),
    "aget_expiry_date": of_session(),
    "ahas_key": of_session("a"),
    "aitems": of_session(),
    "akeys": of_session(),
    "apop": of_session("a"),
    "aset": lambda db: Call(session(), ("b", 2), twin_name="__setitem__"),
    "aset_expiry": of_session(60),
    "aset_test_cookie": of_session(),
    "asetdefault": of_session("b", 2),
    "atest_cookie_worked": lambda db: call(session(testcookie="worked")),
    "aupdate": of_session({"b": 2}),
    "avalues": of_session(),
}
del SESSION["acreate_model_instance"]


# Users


def user(**values: Any) -> Any:
    made = User.objects.create_user("ada", password="secret", **values)
    group = Group.objects.create(name="editors")
    change, view = Permission.objects.filter(
        codename__in=("change_book", "view_book"), content_type__app_label="library"
    ).order_by("codename")
    group.permissions.add(change)
    made.groups.add(group)
    made.user_permissions.add(view)
    return User.objects.get(pk=made.pk)


def request(of: Any = None) -> Any:
    made = HttpRequest()
    made.session = SessionStore()
    made.user = of or AnonymousUser()

    async def auser() -> Any:
        return made.user

    made.auser = auser
    if of is not None:
        made.session[auth.SESSION_KEY] = str(of.pk)
        made.session[auth.BACKEND_SESSION_KEY] = (
            "django.contrib.auth.backends.ModelBackend"
        )
        made.session[auth.HASH_SESSION_KEY] = of.get_session_auth_hash()
        made.session.save()
        made.session = SessionStore(made.session.session_key)
    return made


def permissions(subject: Callable[[], Any], *before: Callable[[], Any]) -> Any:
    """The cases of the permission methods, on a user or on a backend."""

    def case(*args: Any) -> Case:
        return lambda db: call(subject(), *(one() for one in before), *args)

    return {
        "aget_all_permissions": case(),
        "aget_group_permissions": case(),
        "aget_user_permissions": case(),
        "ahas_module_perms": case("library"),
        "ahas_perm": case("library.view_book"),
        "ahas_perms": case(["library.view_book", "library.change_book"]),
    }


def of_backend(backend: type) -> Any:
    cases = permissions(backend, user)
    del cases["ahas_perms"]
    return {
        **cases,
        "aauthenticate": lambda db: call(
            backend(), None, username=user().username, password="secret"
        ),
        "aget_user": lambda db: call(backend(), user().pk),
    }


AUTH: dict[str, Case] = {
    "aauthenticate": lambda db: call(auth, username=user().username, password="secret"),
    "acheck_password_with_timing_attack_mitigation": lambda db: call(
        auth, user(), "secret"
    ),
    "aget_user": lambda db: call(auth, request(user())),
    "alogin": lambda db: call(auth, request(), user()),
    "alogout": lambda db: call(auth, request(user())),
    "aupdate_session_auth_hash": lambda db: call(auth, request(one := user()), one),
}

RAW = "SELECT * FROM library_tag ORDER BY name"


def cases(module: str, owner: str, found: dict[str, Case]) -> dict[str, Case]:
    prefix = f"{module}:{owner}." if owner else f"{module}:"
    return {prefix + name: case for name, case in found.items()}


MODELS = "django.db.models"
AUTH_MODELS = "django.contrib.auth.models"
BACKENDS = "django.contrib.auth.backends"
SESSIONS = "django.contrib.sessions.backends"
DESCRIPTORS = f"{MODELS}.fields.related_descriptors"

CASES: dict[str, Case] = {
    **cases(f"{MODELS}.query", "QuerySet", QUERYSET),
    f"{MODELS}.query:QuerySet.__aiter__": lambda db: call(books(db)),
    f"{MODELS}.query:RawQuerySet.__aiter__": lambda db: call(
        Tag.objects.db_manager(db).raw(RAW)
    ),
    f"{MODELS}.query:aprefetch_related_objects": lambda db: call(
        models, list(books(db)), "author__books", "tags", "notes"
    ),
    **cases(f"{MODELS}.base", "Model", MODEL),
    **cases(DESCRIPTORS, "RelatedManager", REVERSE),
    **cases(DESCRIPTORS, "ManyRelatedManager", MANY),
    **cases(
        "django.contrib.contenttypes.fields", "GenericRelatedObjectManager", GENERIC
    ),
    "django.shortcuts:aget_list_or_404": lambda db: call(shortcuts, books(db), pages=1),
    "django.shortcuts:aget_object_or_404": lambda db: call(
        shortcuts, books(db), title="Ada 1"
    ),
    **cases("django.core.paginator", "AsyncPaginator", PAGINATOR),
    **cases("django.core.paginator", "AsyncPage", PAGE),
    **cases(f"{SESSIONS}.base", "SessionBase", SESSION),
    **cases(f"{SESSIONS}.db", "SessionStore", SESSION_STORE),
    **cases("django.contrib.auth", "", AUTH),
    **cases(BACKENDS, "BaseBackend", of_backend(BaseBackend)),
    **cases(BACKENDS, "ModelBackend", of_backend(ModelBackend)),
    f"{BACKENDS}:RemoteUserBackend.aauthenticate": lambda db: call(
        RemoteUserBackend(), None, remote_user="bede"
    ),
    f"{BACKENDS}:RemoteUserBackend.aconfigure_user": lambda db: call(
        RemoteUserBackend(), None, user(), created=True
    ),
    **cases(AUTH_MODELS, "PermissionsMixin", permissions(user)),
    **cases(AUTH_MODELS, "AnonymousUser", permissions(AnonymousUser)),
    f"{AUTH_MODELS}:GroupManager.aget_by_natural_key": lambda db: call(
        Group.objects, user().groups.get().name
    ),
    f"{AUTH_MODELS}:UserManager.acreate_superuser": lambda db: call(
        User.objects, "bede", "bede@example.org", "secret"
    ),
    f"{AUTH_MODELS}:UserManager.acreate_user": lambda db: call(
        User.objects, "bede", "bede@example.org", "secret"
    ),
    "django.contrib.auth.base_user:AbstractBaseUser.acheck_password": lambda db: call(
        user(), "secret"
    ),
    "django.contrib.auth.base_user:BaseUserManager.aget_by_natural_key": lambda db: (
        call(User.objects, user().username)
    ),
    "django.contrib.auth.hashers:acheck_password": lambda db: call(
        hashers, "secret", user().password
    ),
}

#: What hashes a password, in a thread.
HASHING = {
    f"{AUTH_MODELS}:UserManager.acreate_superuser",
    f"{AUTH_MODELS}:UserManager.acreate_user",
    "django.contrib.auth.base_user:AbstractBaseUser.acheck_password",
    "django.contrib.auth.hashers:acheck_password",
    "django.contrib.auth:aauthenticate",
    "django.contrib.auth:acheck_password_with_timing_attack_mitigation",
    f"{BACKENDS}:ModelBackend.aauthenticate",
}

"""Who may see a view, and Django's views for passwords: on the loop."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import views
from django.contrib.auth.decorators import (
    login_required,
    permission_required,
    user_passes_test,
)
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import AsyncClient, override_settings
from django.urls import path, reverse_lazy
from django.utils.decorators import async_only_middleware
from django.views import View

from django_async_ext.asgi import get_asgi_application
from tests.db.rows import statements
from tests.handlers.browsing import Browser
from tests.handlers.conftest import STARTPROJECT

pytestmark = pytest.mark.django_db(transaction=True)


@login_required
async def members(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.user.get_username()}")


def is_trusted(user: Any) -> bool:
    return bool(user.is_authenticated)


@user_passes_test(is_trusted)
async def trusted(request: HttpRequest) -> HttpResponse:
    return HttpResponse("trusted")


@permission_required("library.view_book")
async def readers(request: HttpRequest) -> HttpResponse:
    return HttpResponse("readers")


class Members(LoginRequiredMixin, View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("members")


class Readers(PermissionRequiredMixin, View):
    permission_required = "library.view_book"

    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("readers")


async def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html")


async def change(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    user.set_password("other")
    await user.asave()
    return HttpResponse("changed")


urlpatterns = [
    path("members", members),
    path("readers", readers),
    path("trusted", trusted),
    path("members-class", Members.as_view()),
    path("readers-class", Readers.as_view()),
    path("page", page),
    path("change", change),
    path("login", views.LoginView.as_view(), name="login"),
    path("logout", views.LogoutView.as_view(next_page="/login")),
    path("reset", views.PasswordResetView.as_view(success_url=reverse_lazy("done"))),
    path("done", views.PasswordResetDoneView.as_view(), name="done"),
    path(
        "confirm/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(success_url=reverse_lazy("done")),
        name="password_reset_confirm",
    ),
]

FORM = "{% csrf_token %}{{ form.errors }}"
CONTEXT = "django.template.context_processors"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {
                        "page.html": "{{ user }} {{ perms.library.view_book }}",
                        "registration/login.html": FORM,
                        "registration/password_reset_form.html": FORM,
                        "registration/password_reset_confirm.html": FORM,
                        "registration/password_reset_done.html": "done",
                        "registration/password_reset_subject.txt": "reset",
                        "registration/password_reset_email.html": "{% url "
                        "'password_reset_confirm' uidb64=uid token=token %}",
                    },
                )
            ],
            "context_processors": [
                f"{CONTEXT}.request",
                "django.contrib.auth.context_processors.auth",
            ],
        },
    }
]


@pytest.fixture(autouse=True)
def pages() -> Iterator[None]:
    addresses = {"LOGIN_URL": "/login", "LOGIN_REDIRECT_URL": "/members"}
    # A setting of Django 6.1; those before need none.
    locmem = "django.core.mail.backends.locmem.EmailBackend"
    mailers = {"MAILERS": {"default": {"BACKEND": locmem}}}
    with override_settings(TEMPLATES=TEMPLATES, **addresses, **mailers):
        yield


@pytest.fixture
def visitor() -> Browser:
    return Browser(get_asgi_application())


@pytest.fixture
async def reader(visitor: Browser, thread_submissions: list[str]) -> Browser:
    """A browser of somebody who is logged in and may view books."""
    user = await User.objects.acreate_user("ada", "ada@example.org", "secret")
    of_library = Permission.objects.filter(content_type__app_label="library")
    await user.user_permissions.aadd(await of_library.aget(codename="view_book"))
    client = AsyncClient()
    await client.aforce_login(user)
    visitor.cookies["sessionid"] = client.cookies["sessionid"].value
    thread_submissions.clear()
    return visitor


EACH = [
    ("members", b"hello ada", 2),
    ("readers", b"readers", 4),
    ("members-class", b"members", 2),
    ("readers-class", b"readers", 4),
    ("page", b"ada True", 4),
]


@pytest.mark.parametrize(("name", "content", "queries"), EACH)
async def test_who_is_asked_for_is_found_on_the_loop(
    reader: Browser,
    name: str,
    content: bytes,
    queries: int,
    thread_submissions: list[str],
) -> None:
    with statements() as asked:
        answer = await reader.get(f"/{name}")
    assert (answer.status, answer.content) == (200, content)
    assert (len(asked), thread_submissions) == (queries, [])


async def test_a_test_of_the_projects_own_runs_in_a_thread(
    reader: Browser, thread_submissions: list[str]
) -> None:
    assert (await reader.get("/trusted")).content == b"trusted"
    assert thread_submissions


@pytest.mark.parametrize("name", [name for name, *_ in EACH if name != "page"])
async def test_who_is_nobody_is_sent_to_the_login(visitor: Browser, name: str) -> None:
    with statements() as asked:
        answer = await visitor.get(f"/{name}")
    assert answer.status == 302
    assert dict(answer.answer_headers)["Location"] == f"/login?next=/{name}"
    assert asked == []


@async_only_middleware
def greeting(get_response: Callable[[HttpRequest], Any]) -> Any:
    async def middleware(request: HttpRequest) -> HttpResponse:
        greeted = request.user.get_username()
        response: HttpResponse = await get_response(request)
        response["X-Greeted"] = greeted
        return response

    return middleware


async def test_an_asynchronous_middleware_may_read_the_user(
    reader: Browser, thread_submissions: list[str]
) -> None:
    with override_settings(MIDDLEWARE=[*STARTPROJECT, f"{__name__}.greeting"]):
        visitor = Browser(get_asgi_application(), reader.cookies)
        answer = await visitor.get("/members")
    assert dict(answer.answer_headers)["X-Greeted"] == "ada"
    assert thread_submissions == []


def hashed(submissions: list[str]) -> int:
    """How often a thread was used; it starts when it is first needed."""
    calls = [one for one in submissions if "submit" in one]
    submissions.clear()
    return len(calls)


async def test_a_view_may_set_a_password_which_a_thread_hashes(
    reader: Browser, thread_submissions: list[str]
) -> None:
    assert (await reader.get("/change")).content == b"changed"
    assert hashed(thread_submissions) == 1
    assert await (await User.objects.aget()).acheck_password("other")


async def test_djangos_login_view_needs_a_thread_for_the_password_only(
    reader: Browser, thread_submissions: list[str]
) -> None:
    visitor = Browser(reader.application)
    assert (await visitor.get("/login")).status == 200
    assert hashed(thread_submissions) == 0
    wrong = await visitor.post("/login", username="ada", password="wrong")
    assert b"correct username and password" in wrong.content
    assert hashed(thread_submissions) == 1
    answer = await visitor.post("/login", username="ada", password="secret")
    assert (answer.status, dict(answer.answer_headers)["Location"]) == (302, "/members")
    assert hashed(thread_submissions) == 1
    assert (await visitor.get("/members")).content == b"hello ada"
    assert (await visitor.post("/logout")).status == 302
    assert (await visitor.get("/members")).status == 302
    assert hashed(thread_submissions) == 0


async def test_a_password_is_reset_on_the_loop(
    reader: Browser, thread_submissions: list[str]
) -> None:
    visitor = Browser(reader.application)
    await visitor.get("/reset")
    assert (await visitor.post("/reset", email="ada@example.org")).status == 302
    [message] = mail.outbox
    assert hashed(thread_submissions) == 0
    link = await visitor.get(message.body)
    form = dict(link.answer_headers)["Location"]
    assert (await visitor.get(form)).status == 200
    new = "correct horse battery"
    answer = await visitor.post(form, new_password1=new, new_password2=new)
    assert answer.status == 302
    assert hashed(thread_submissions) == 1
    assert await (await User.objects.aget()).acheck_password(new)

"""Caches, sessions, users, e-mail, files, templates: what a backend serves."""

import asyncio
from pathlib import Path
from tempfile import SpooledTemporaryFile
from uuid import uuid4

import django
from django.conf import settings
from django.contrib.auth import authenticate, hashers
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends import cache as cache_sessions
from django.contrib.sessions.backends import cached_db, db, signed_cookies
from django.contrib.sessions.backends import file as file_sessions
from django.contrib.staticfiles import finders
from django.core import mail
from django.core.cache import cache, caches
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.core.handlers.asgi import ASGIRequest
from django.core.mail.backends import dummy, filebased, locmem
from django.dispatch import Signal, receiver
from django.shortcuts import render
from django.template.loader import get_template, render_to_string
from django.test import AsyncClient
from django.views.static import serve

from tests.detection.stock.cases import blocks, harmless
from tests.detection.stock.models import Author, Book

SLOW = "pbkdf2_sha256"
TEMPLATES = Path(__file__).parent / "templates"
KEY = "a" * 32


def request(body: bytes = b"", rolled: bool = False) -> ASGIRequest:
    file = SpooledTemporaryFile(max_size=1 if rolled else 10_000)  # noqa: SIM115
    file.write(body)
    file.seek(0)
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    form = (b"content-type", b"application/x-www-form-urlencoded")
    length = (b"content-length", str(len(body)).encode())
    return ASGIRequest({**scope, "headers": [form, length]}, file)


@blocks("cache", "FileBasedCache.get", "await cache.aget(...)")
def cache_in_files():
    cache.get("x")  # here


@blocks("cache", "RedisCache.get", "await cache.aget(...)")
def cache_in_redis():
    caches["redis"].get("x")  # here


@blocks("cache", "RedisCache.set_many", "await cache.aset_many(...)")
def cache_many_in_redis():
    caches["redis"].set_many({"a": 1})  # here


@blocks("cache", "BaseCache.get_or_set", "await cache.aget_or_set(...)")
def cache_get_or_set():
    caches["redis"].get_or_set("x", 1)  # here


@blocks("cache", "BaseCache.__contains__", "await cache.ahas_key(...)")
def cache_contains():
    "x" in caches["redis"]  # here  # noqa: B015


@blocks("cache", "BaseCache.get", "await cache.aget(...)")
def cache_in_the_database():
    caches["database"].get("x")  # here


@blocks("cache", "OwnCache.get", "await cache.aget(...)")
def cache_of_the_project():
    caches["own"].get("x")  # here


@harmless
def caches_in_memory():
    for name in ("memory", "nothing"):
        caches[name].set("a", 1)
        caches[name].get("a")
        caches[name].get_or_set("a", 1)
        caches[name].get_many(["a"])
        assert name == "nothing" or "a" in caches[name]


@harmless
async def awaitables_of_caches():
    await caches["redis"].aset("a", 1)
    assert await caches["redis"].aget("a") == 1
    await cache.aget_or_set("b", 2)
    await caches["own"].aget("c")


@blocks("sessions", "SessionBase.get", "await request.session.aget(...)")
def session_in_files():
    file_sessions.SessionStore(KEY).get("x")  # here


@blocks("sessions", "SessionBase.__getitem__", "await request.session.aget(...)")
def session_in_redis():
    session = cache_sessions.SessionStore(KEY)
    session["x"]  # here


@blocks("sessions", "SessionBase.save", "await request.session.asave(...)")
def session_saved_in_the_database():
    session = db.SessionStore(KEY)
    session._session_cache = {}
    session.save()  # here


@blocks("sessions", "SessionBase.exists", "await request.session.aexists(...)")
def session_in_both():
    cached_db.SessionStore().exists(KEY)  # here


@blocks("sessions", "SessionBase.flush", "await request.session.aflush(...)")
def session_flushed():
    cached_db.SessionStore(KEY).flush()  # here


@harmless
def session_in_a_cookie():
    session = signed_cookies.SessionStore()
    session["x"] = 1
    session.save()
    assert session.get("x") == 1
    session.cycle_key()


@harmless
def session_that_is_loaded():
    session = cache_sessions.SessionStore(KEY)
    session._session_cache = {"x": 1}
    assert session["x"] == 1
    session["y"] = 2


@harmless
async def awaitables_of_sessions():
    session = cache_sessions.SessionStore()
    await session.aset("x", 1)
    await session.asave()
    assert await cache_sessions.SessionStore(session.session_key).aget("x") == 1


@blocks("hashing", "make_password", "await sync_to_async(make_password")
def make_password():
    hashers.make_password("x", hasher=SLOW)  # here


@blocks("hashing", "check_password", "await acheck_password(...)")
def check_password():
    hashers.check_password("x", f"{SLOW}$1$salt$hash")  # here


@blocks("hashing", "AbstractBaseUser.set_password", "sync_to_async(user.set_password")
def set_password():
    User().set_password("x")  # here


@blocks("hashing", "AbstractBaseUser.check_password", "await user.acheck_password(...)")
def check_password_of_user():
    User(password=f"{SLOW}$1$salt$hash").check_password("x")  # here


@harmless
def quick_hashing():
    hashers.make_password("x", hasher="md5")


if django.VERSION >= (6, 0):
    # Before, Django hashes where it runs.
    @harmless
    async def awaitable_hashing():
        await hashers.acheck_password("x", f"{SLOW}$1$salt$hash")


@blocks("auth", "authenticate", "await aauthenticate(...)")
def authenticating():
    authenticate(username="x", password="y")  # here


@blocks("auth", "UserManager.create_user", "await manager.acreate_user(...)")
def create_user():
    User.objects.create_user(uuid4().hex, password="x")  # here


@blocks("auth", "PermissionsMixin.has_perm", "await user.ahas_perm(...)")
def has_perm():
    User(pk=1, is_active=True).has_perm("auth.add_user")  # here


@blocks("auth", "HttpRequest.user", "await request.auser()")
def user_of_request():
    asked = request()
    asked.session = signed_cookies.SessionStore()
    asked.session["_auth_user_id"] = "1"
    asked.session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    AuthenticationMiddleware(lambda request: None).process_request(asked)
    asked.user.is_authenticated  # here  # noqa: B018


@harmless
def nobody():
    asked = request()
    asked.session = signed_cookies.SessionStore()
    AuthenticationMiddleware(lambda request: None).process_request(asked)
    assert not asked.user.is_authenticated


@blocks("mail", "send_mail", "await sync_to_async(send_mail)(...)")
def send_mail():
    mail.send_mail("a", "b", "from@example.com", ["to@example.com"])  # here


def message() -> mail.EmailMessage:
    return mail.EmailMessage("a", "b", "from@example.com", ["to@example.com"])


@blocks("mail", "EmailMessage.send", "await sync_to_async(message.send)(...)")
def send_message():
    message().send()  # here


@blocks("mail", "EmailBackend.send_messages", "sync_to_async(connection.send_messages)")
def send_to_files():
    backend = filebased.EmailBackend(file_path=settings.HOME)
    backend.send_messages([message()])  # here


@harmless
def send_nowhere():
    dummy.EmailBackend().send_messages([message()])
    locmem.EmailBackend().send_messages([message()])


@blocks("storage", "Storage.save", "await sync_to_async(storage.save)(...)")
def save_file():
    FileSystemStorage().save("x.txt", ContentFile(b"x"))  # here


@blocks("storage", "Storage.open", "await sync_to_async(storage.open)(...)")
def open_file():
    FileSystemStorage(Path(__file__).parent).open("backed.py").close()  # here


@blocks("storage", "FileSystemStorage.exists", "sync_to_async(storage.exists)(...)")
def file_exists():
    FileSystemStorage().exists("x.txt")  # here


@blocks("storage", "FieldFile.save", "await sync_to_async(object.file.save)(...)")
def save_field_file():
    Book(title="x").file.save("y.txt", ContentFile(b"y"), save=False)  # here


@harmless
def files_in_memory():
    storage = InMemoryStorage()
    name = storage.save("x.txt", ContentFile(b"x"))
    assert storage.exists(name)
    assert storage.open(name).read() == b"x"
    storage.delete(name)


@blocks("templates", "render_to_string", "await sync_to_async(render_to_string)(...)")
def template_from_disk():
    render_to_string("stock.html", using="reading")  # here


@blocks("templates", "render", "load all that the template shows before")
def template_that_queries():
    get_template("stock.html", using="caching")
    context = {"books": Book.objects.all()}
    render(request(), "stock.html", context, using="caching")  # here


@blocks("templates", "get_template", "await sync_to_async(get_template)(...)")
def template_loaded():
    get_template("stock.html", using="reading")  # here


@harmless
def template_that_is_cached():
    render(request(), "stock.html", {"greeting": "Hello"}, using="caching")


signal = Signal()


@receiver(signal)
async def receive(**kwargs: object) -> None:
    await asyncio.sleep(0)


def query(**kwargs: object) -> None:
    Author.objects.count()


@blocks("signals", "Signal.send", "await signal.asend(...)")
def send_to_async_receiver():
    signal.send(None)  # here


@blocks("signals", "Signal.send_robust", "await signal.asend_robust(...)")
def send_robust_to_async_receiver():
    signal.send_robust(None)  # here


@blocks("signals", "Signal.send", "await signal.asend(...)")
def send_to_receiver_that_queries():
    asking = Signal()
    asking.connect(query)
    asking.send(None)  # here


@harmless
def send_to_plain_receiver():
    calling = Signal()
    received: list[object] = []
    calling.connect(lambda **kwargs: received.append(1), weak=False)
    calling.send(None)
    assert received


@harmless
async def awaitable_signal():
    await signal.asend(None)


@blocks("staticfiles", "find", "await sync_to_async(finders.find)(...)")
def find():
    finders.find("stock.html")  # here


@blocks("staticfiles", "serve", "await sync_to_async(serve)(...)")
def serve_file():
    response = serve(request(), "stock.html", TEMPLATES)  # here
    response.file_to_stream.close()


@blocks("request", "HttpRequest.body", "sync_to_async(lambda: request.body)")
def body_on_disk():
    request(b"a=" + b"x" * 500, rolled=True).body  # here  # noqa: B018


@blocks("request", "HttpRequest.POST", "lambda: request.POST")
def post_on_disk():
    request(b"a=" + b"x" * 500, rolled=True).POST  # here  # noqa: B018


@harmless
def post_in_memory():
    assert request(b"a=1").POST["a"] == "1"


@blocks("sessions", "BaseStorage.__iter__", "messages.add_message")
def message_in_session():
    asked = request()
    asked.session = cache_sessions.SessionStore(KEY)
    asked._messages = SessionStorage(asked)
    asked._messages._queued_messages = []
    list(asked._messages)  # here


if django.VERSION >= (6, 0):
    from django.tasks import task, task_backends

    @task
    def work() -> int:
        return 1

    @blocks("tasks", "Task.enqueue", "await task.aenqueue(...)")
    def enqueue():
        work.enqueue()  # here

    @harmless
    def enqueue_nowhere():
        task_backends["nothing"].enqueue(work.using(backend="nothing"), [], {})


@harmless
async def a_request_to_an_awaiting_view():
    response = await AsyncClient().get("/awaiting/", headers={"host": "localhost"})
    assert response.status_code == 200, response.content

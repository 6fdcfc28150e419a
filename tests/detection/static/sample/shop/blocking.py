"""Every line with a mark blocks the event loop, and names what to write instead."""

# ruff: noqa: ASYNC210, ASYNC220, ASYNC221, ASYNC230, ASYNC251, SIM115

import concurrent.futures
import json
import os
import queue
import socket
import subprocess
import threading
import time as clock
import urllib.request
from pathlib import Path
from time import sleep as pause

import httpx
import requests
from asgiref.sync import sync_to_async
from django import shortcuts
from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.staticfiles import finders
from django.core import mail
from django.core.cache import cache, caches
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.views import View

from . import again, helpers
from .models import Author, Book, BookForm, Chapter, priced

User = get_user_model()
lock = threading.Lock()
work: queue.Queue[int] = queue.Queue()


async def queries(request: HttpRequest) -> HttpResponse:
    Book.objects.get(pk=1)  # blocks: await queryset.aget(
    book = Book.objects.filter(price=1).order_by("title").first()  # blocks: afirst
    book.save()  # blocks: await object.asave(
    Book(title="new").save()  # blocks: asave
    qs = Book.objects.cheap().exclude(price=2)
    for each in qs:  # blocks: async for
        each.delete()  # blocks: adelete
    rows = list(Book.objects.all())  # blocks: async for
    rows[0].save()  # blocks: asave
    if Book.objects.filter(price=3):  # blocks: aexists
        pass
    n = len(Book.objects.all()[:5])  # blocks: acount
    [b.title for b in Author.objects.all()]  # blocks: async for
    sum(b.price for b in Book.objects.all())  # blocks: async for
    User.objects.create_user("x")  # blocks: acreate_user
    User.objects.count()  # blocks: acount
    again.Book.objects.exists()  # blocks: aexists
    Chapter._default_manager.update(n)  # blocks: aupdate
    first = Book.objects.all()[0]  # blocks: afirst
    first.refresh_from_db()  # blocks: arefresh_from_db
    return shortcuts.render(request, "x.html", {"n": n})


async def relations(book: Book, author: "Author | None", some: QuerySet[Book]) -> None:
    author.books.count()  # blocks: acount
    for chapter in book.chapter_set.all():  # blocks: async for
        chapter.book.save()  # blocks: asave
    book.readers.add(1)  # blocks: aadd
    book.editor.delete()  # blocks: adelete
    book.cover.save("x", None)  # blocks: sync_to_async(object.file.save)
    some.update(price=1)  # blocks: aupdate
    book.rank  # noqa: B018  # blocks: acount
    book.rename("x")  # blocks: asave
    Book.objects.total()  # blocks: async for
    for row in Book.objects.iterator():  # blocks: async for
        row.save()  # blocks: asave


async def awaited(pk: int) -> None:
    book = await Book.objects.aget(pk=pk)
    book.save()  # blocks: asave
    other, _ = await Book.objects.aget_or_create(pk=2)
    other.save()  # blocks: asave
    third = await sync_to_async(Book.objects.get)(pk=3)
    third.save()  # blocks: asave
    fourth = await shortcuts.aget_object_or_404(Book, pk=4)
    fourth.save()  # blocks: asave
    fifth = await find(pk)
    fifth.delete()  # blocks: adelete
    async for each in Book.objects.all():
        each.save()  # blocks: asave


async def find(pk: int) -> Book:
    return await Book.objects.filter(pk=pk).afirst()


async def of_requests(request):
    cache.get("key")  # blocks: await cache.aget(
    caches["default"].set("key", 1)  # blocks: await cache.aset(
    request.session["n"] = 1  # blocks: await request.session.aset(
    request.session.save()  # blocks: await request.session.asave(
    if request.user.is_authenticated:  # blocks: await request.auser()
        pass
    with transaction.atomic():  # blocks: sync_to_async(function)
        pass
    with connection.cursor() as cursor:  # blocks: sync_to_async(function)
        cursor.execute("SELECT 1")  # blocks: sync_to_async(function)
    shortcuts.get_object_or_404(Book, pk=1).save()  # blocks: aget_object_or_404; asave
    mail.send_mail("s", "b", "f", ["t"])  # blocks: sync_to_async(send_mail)
    user = authenticate(request, username="x")  # blocks: await aauthenticate(
    login(request, user)  # blocks: await alogin(
    make_password("x")  # blocks: sync_to_async(make_password, thread_sensitive=False)
    check_password("x", "y")  # blocks: await acheck_password(
    default_storage.save("x", None)  # blocks: sync_to_async(storage.save)
    priced.send(sender=Book)  # blocks: await signal.asend(
    finders.find("x.css")  # blocks: sync_to_async(finders.find)
    prefetch_related_objects([], "author")  # blocks: aprefetch_related_objects(
    call_command("check")  # blocks: sync_to_async(call_command)
    if BookForm(request.POST).is_valid():  # blocks: sync_to_async(form.is_valid)
        pass


class Detail(View):
    async def get(self, request, pk):
        if "cart" in request.session:  # blocks: ahas_key
            pass
        return self.request.user  # blocks: auser


async def of_python() -> None:
    clock.sleep(1)  # blocks: asyncio.sleep
    pause(1)  # blocks: asyncio.sleep
    requests.get("http://x")  # blocks: httpx.AsyncClient
    with requests.Session() as session:
        session.post("http://x")  # blocks: httpx.AsyncClient
    urllib.request.urlopen("http://x")  # blocks: httpx.AsyncClient
    httpx.get("http://x")  # blocks: httpx.AsyncClient
    httpx.Client().get("http://x")  # blocks: httpx.AsyncClient
    subprocess.run(["x"])  # blocks: create_subprocess_exec
    process = subprocess.Popen(["x"])  # blocks: create_subprocess_exec
    process.wait()  # blocks: create_subprocess_exec
    os.system("x")  # blocks: create_subprocess_shell
    with open("x") as file:  # blocks: asyncio.to_thread(open
        json.load(file)
    json.load(open("x"))  # blocks: asyncio.to_thread(open
    (Path("x") / "y").read_text()  # blocks: asyncio.to_thread(path.read_text
    socket.create_connection(("x", 1))  # blocks: open_connection
    socket.socket().connect(("x", 1))  # blocks: open_connection
    socket.getaddrinfo("x", 1)  # blocks: get_running_loop().getaddrinfo
    lock.acquire()  # blocks: asyncio.Lock
    with lock:  # blocks: asyncio.Lock
        pass
    threading.Lock().acquire()  # blocks: asyncio.Lock
    work.get()  # blocks: asyncio.Queue
    executor = concurrent.futures.ThreadPoolExecutor()
    executor.submit(print).result()  # blocks: asyncio.wrap_future
    threading.Thread(target=print).join()  # blocks: to_thread(thread.join


async def through_functions() -> None:
    helpers.load_prices()  # blocks: load_prices() → read() → Path.read_text()
    again.prices()  # blocks: load_prices() → read() → Path.read_text()
    helpers.one(3)  # blocks: one() → other() → time.sleep()
    helpers.store(Book())  # blocks: store() → Model.save()
    for book in helpers.rows():  # blocks: rows()
        book.save()  # blocks: asave
    with helpers.waiting():  # blocks: waiting() → time.sleep()
        pass
    helpers.cheap_books().count()  # blocks: acount
    helpers.Mailbox(Book()).keep()  # blocks: Mailbox.keep() → Path.write_text()
    helpers.Mailbox(Book()).book.save()  # blocks: asave

    def inner() -> None:
        clock.sleep(1)

    inner()  # blocks: time.sleep()

    async def nested() -> None:
        clock.sleep(1)  # blocks: asyncio.sleep

    await nested()


def factory() -> object:
    async def made() -> None:
        clock.sleep(1)  # blocks: asyncio.sleep

    return made

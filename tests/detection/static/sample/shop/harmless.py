"""No line here blocks the event loop, or what does is allowed."""

# ruff: noqa: ASYNC240, ASYNC251, B018

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import messages
from django.contrib.auth import aauthenticate, alogin
from django.core.cache import cache, caches
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, render

from django_async_ext import implicit_waits, on_loop
from django_async_ext.detection import allow_blocking

from . import helpers
from .models import Book, SearchForm, priced


class Drawer:
    """Has the names of what blocks elsewhere."""

    objects: dict[str, int] = {}

    def save(self) -> None:
        self.saved = True

    def get(self, key: str) -> str:
        return key

    async def result(self) -> None:
        self.save()


async def twins(request: HttpRequest) -> HttpResponse:
    {"a": 1}.get("a")
    Drawer().save()
    Drawer().get("x")
    Drawer.objects.get("x")
    drawer = Drawer()
    await drawer.result()
    request.GET.get("page")
    caches["local"].get("x")
    caches["none"].set("x", 1)
    await cache.aget("x")
    session = await fetch_session()
    session.save()
    SearchForm(request.GET).is_valid()
    request.body
    messages.success(request, "x")
    await priced.asend(sender=Book)
    return render(request, "x.html", {"qs": Book.objects.all()})


async def fetch_session():
    return None


async def queries() -> None:
    qs = Book.objects.filter(price=1).select_related("author")
    await qs.aget()
    async for book in qs:
        await book.asave()
    len(qs)
    for book in qs:
        book.title = "x"
    [book async for book in Book.objects.all()]
    await aget_object_or_404(Book, pk=1)
    await asyncio.gather(Book.objects.acount(), Book.objects.aexists())
    Book.objects.all().query
    helpers.cheap_books()
    helpers.rows()
    helpers.pure(1)
    helpers.forever(1)
    Book(title="x")


async def without_waiting() -> None:
    work: queue.Queue[int] = queue.Queue()
    work.get(block=False)
    work.get(False)
    lock = threading.Lock()
    lock.acquire(blocking=False)
    lock.acquire(False)
    lock.acquire(timeout=0)
    threading.Event().wait(timeout=0)
    threading.Thread(target=print).join(0)
    Path("x").exists()


async def elsewhere(request: HttpRequest) -> None:
    await sync_to_async(Book.objects.get)(pk=1)
    await sync_to_async(lambda: list(Book.objects.all()))()
    await sync_to_async(list)(Book.objects.all())
    await sync_to_async(helpers.load_prices)()
    await asyncio.to_thread(time.sleep, 1)
    await asyncio.to_thread(open, "x")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, time.sleep, 1)
    await loop.run_in_executor(None, lambda: time.sleep(1))
    await on_loop(Book.objects.get)(pk=1)
    await on_loop(helpers.store)(Book())
    await in_thread()
    await in_bridge()
    await (await request.auser()).asave()
    await request.session.aset("x", 1)
    request.session.get("x")
    threading.Thread(target=time.sleep).start()
    ThreadPoolExecutor().submit(time.sleep, 1)
    sorted([1], key=lambda n: time.sleep(n))

    def nested() -> None:
        time.sleep(1)

    await sync_to_async(nested)()
    nested_too = sync_to_async(nested)
    await nested_too()


@sync_to_async
def in_thread() -> None:
    with transaction.atomic():
        Book.objects.get()
        time.sleep(1)


@on_loop
def in_bridge() -> list[Book]:
    with transaction.atomic():
        return list(Book.objects.all())


@implicit_waits
async def implicit(pk: int) -> None:
    book = Book.objects.get(pk=pk)
    book.save()


@allow_blocking("it is called once, at the start")
async def decorated() -> None:
    time.sleep(1)


async def allowed() -> None:
    with allow_blocking("it is short"):
        time.sleep(1)


async def clients() -> None:
    async with httpx.AsyncClient() as client:
        await client.get("http://x")
    work: asyncio.Queue[int] = asyncio.Queue()
    await work.get()
    lock = asyncio.Lock()
    async with lock:
        pass
    await lock.acquire()
    task = asyncio.create_task(asyncio.sleep(1))
    await task
    task.result()
    await aauthenticate(None, username="x")
    await alogin(None, None)
    event = asyncio.Event()
    await event.wait()


def shadowed(open, list):
    async def inner() -> None:
        open("x")
        list(Book.objects.all())

    return inner


def synchronous() -> None:
    time.sleep(1)
    Book.objects.get()
    async_to_sync(clients)()

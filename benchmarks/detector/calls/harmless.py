"""What looks as if it blocked, and does not: alarms here are false."""

# ruff: noqa: ASYNC240, ASYNC251

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import io
import json
import logging
import os
import queue
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import acheck_password
from django.core.cache import caches
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.mail import get_connection, send_mail
from django.dispatch import Signal
from django.template.loader import render_to_string
from django.urls import reverse

from benchmarks.detector.operations import harmless

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@harmless("orm")
async def aget(w: World) -> None:
    await w.User.objects.aget(pk=w.user.pk)


@harmless("orm")
async def async_for(w: World) -> None:
    async for _ in w.User.objects.all():
        pass


@harmless("orm")
async def asave(w: World) -> None:
    await w.user.asave()


@harmless("orm")
async def filled_queryset(w: World) -> None:
    found = w.User.objects.all()
    await sync_to_async(len)(found)
    len(found)
    list(found)
    bool(found)


@harmless("orm")
async def selected_relation(w: World) -> None:
    found = await w.Permission.objects.select_related("content_type").afirst()
    str(found.content_type)


@harmless("orm")
async def build_a_queryset(w: World) -> None:
    str(w.User.objects.filter(is_staff=True).order_by("pk")[:10].query)


@harmless("orm")
async def query_in_a_thread(w: World) -> None:
    await sync_to_async(w.User.objects.count)()


@harmless("cache")
async def cache_in_memory(w: World) -> None:
    caches["memory"].set("key", "value")
    caches["memory"].get("key")


@harmless("cache")
async def aget_of_redis_cache(w: World) -> None:
    await caches["redis"].aget("there")


@harmless("sessions")
async def session_in_cookie(w: World) -> None:
    session = w.session("signed_cookies")
    session["seen"] = True
    session.save()


@harmless("sessions")
async def aget_of_session(w: World) -> None:
    await w.session("db").aget("seen")


@harmless("hashing")
async def acheck_of_password(w: World) -> None:
    await acheck_password("secret", w.user.password)


@harmless("mail")
async def mail_in_memory(w: World) -> None:
    backend = get_connection("django.core.mail.backends.locmem.EmailBackend")
    send_mail("s", "b", "a@localhost", ["b@localhost"], connection=backend)


@harmless("storage")
async def storage_in_memory(w: World) -> None:
    name = storages["memory"].save("a.txt", ContentFile(b"content"))
    storages["memory"].open(name).close()


@harmless("templates")
async def render_without_query(w: World) -> None:
    render_to_string("kept.html", {"name": "value"})


@harmless("forms")
async def validate_plain_form(w: World) -> None:
    w.plain_form().is_valid()


@harmless("signals")
async def asend(w: World) -> None:
    async def receive(**kwargs: object) -> None:
        await asyncio.sleep(0)

    signal = Signal()
    signal.connect(receive)
    await signal.asend(None)


@harmless("request")
async def body_in_memory(w: World) -> None:
    len(w.upload(size=100).body)


@harmless("request")
async def reverse_url(w: World) -> None:
    reverse("operation", args=["name"])


@harmless("sleep")
async def asyncio_sleep(w: World) -> None:
    await asyncio.sleep(w.while_)


@harmless("sleep")
async def sleep_of_nothing(w: World) -> None:
    time.sleep(0)


@harmless("sleep")
async def sleep_in_a_thread(w: World) -> None:
    await asyncio.to_thread(time.sleep, w.while_)


@harmless("sockets")
async def streams(w: World) -> None:
    reader, writer = await asyncio.open_connection(*w.http)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()


@harmless("sockets")
async def nonblocking_recv(w: World) -> None:
    w.one.setblocking(False)
    with suppress(BlockingIOError):
        w.one.recv(1)


@harmless("dns")
async def numeric_address(w: World) -> None:
    socket.getaddrinfo("127.0.0.1", 80)


@harmless("dns")
async def getaddrinfo_of_loop(w: World) -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


@harmless("http")
async def async_client(w: World) -> None:
    await w.async_httpx.get(w.url())


@harmless("subprocess")
async def async_subprocess(w: World) -> None:
    process = await asyncio.create_subprocess_exec(*w.true)
    await process.wait()


@harmless("subprocess")
async def poll_process(w: World) -> None:
    w.process().poll()


@harmless("locks")
async def free_lock(w: World) -> None:
    lock = threading.Lock()
    with lock:
        pass
    lock.acquire()


@harmless("locks")
async def try_held_lock(w: World) -> None:
    w.lock.acquire(blocking=False)


@harmless("locks")
async def asyncio_lock(w: World) -> None:
    lock = asyncio.Lock()
    async with lock:
        await asyncio.sleep(0)


@harmless("locks")
async def filled_queue(w: World) -> None:
    waiting: queue.Queue[int] = queue.Queue()
    waiting.put(1)
    waiting.get()
    with suppress(queue.Empty):
        waiting.get_nowait()


@harmless("locks")
async def set_event(w: World) -> None:
    event = threading.Event()
    event.set()
    event.wait()


@harmless("threads")
async def done_future(w: World) -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.set_result(1)
    future.result()


@harmless("threads")
async def wrapped_future(w: World) -> None:
    await asyncio.wrap_future(w.pool.submit(time.sleep, w.while_))


@harmless("threads")
async def start_thread(w: World) -> None:
    thread = threading.Thread(target=int)
    thread.start()
    await asyncio.to_thread(thread.join)


@harmless("drivers")
async def sqlite_in_memory(w: World) -> None:
    w.sqlite_in_memory().close()


@harmless("drivers")
async def psycopg_async(w: World) -> None:
    async with await w.connect() as connection:
        await connection.execute("SELECT 1")


@harmless("files")
async def file_in_memory(w: World) -> None:
    with io.BytesIO() as file:
        file.write(b"content")
        file.getvalue()


@harmless("files")
async def file_in_a_thread(w: World) -> None:
    await asyncio.to_thread(w.file.read_text)


@harmless("files")
async def paths_only(w: World) -> None:
    (Path("/tmp") / "a" / ".." / "b").with_suffix(".txt").as_posix()
    os.path.abspath("a")


@harmless("files")
async def import_late(w: World) -> None:
    importlib.import_module("wave")


@harmless("files")
async def log(w: World) -> None:
    logging.getLogger("benchmarks.detector").error("to a file")


@harmless("computing")
async def small_json(w: World) -> None:
    json.loads(json.dumps([{"a": n} for n in range(100)]))


@harmless("computing")
async def much_in_small_steps(w: World) -> None:
    end = time.thread_time() + w.while_
    while time.thread_time() < end:
        sum(range(1000))
        await asyncio.sleep(0)

"""The second layer: what blocks is reported once, in its line; what does not, never."""

import asyncio
import io
import json
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from django_async_ext.bridge import await_, on_loop
from django_async_ext.detection import activation
from django_async_ext.detection.primitives import audit, replacing
from django_async_ext.exceptions import BlockingCallError
from django_async_ext.loop_socket import create_connection
from tests.detection.blocking import OPERATIONS, SOON, TRUE, Operation, World, world
from tests.detection.conftest import found

HAS_EVENTS = sys.version_info >= (3, 12)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Detecting = Callable[..., None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made
        activation.stop()


def start(detecting: Detecting, **values: Any) -> None:
    detecting(PRIMITIVES="record", ENDPOINTS="off", WATCHDOG="off", **values)


async def calling(operation: Operation, w: World) -> None:
    operation.call(w)


def ids(operation: Operation) -> str:
    return operation.call.__name__


@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
def test_what_blocks_is_reported_once_in_its_line(
    detecting: Detecting, run: Any, w: World, operation: Operation
) -> None:
    start(detecting, STRICT=operation.strict)
    run(calling(operation, w))
    expected = [(operation.rule, __file__.replace("test_primitives", "blocking"))]
    if operation.needs_events and not HAS_EVENTS:
        expected = []
    assert [(each.latest.rule, each.latest.place.file) for each in found()] == expected
    assert all(each.latest.place.line == operation.line for each in found())
    assert all(each.latest.remedy for each in found())


@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
def test_what_blocks_is_reported_inside_the_bridge_at_its_own_line(
    detecting: Detecting, w: World, operation: Operation
) -> None:
    start(detecting, STRICT=operation.strict)
    asyncio.run(on_loop(operation.call)(w))
    unseen = operation.needs_events and not HAS_EVENTS
    assert {each.latest.place.line for each in found()} == (
        set() if unseen else {operation.line}
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
def test_nothing_is_reported_without_a_running_loop(
    detecting: Detecting, w: World, operation: Operation
) -> None:
    start(detecting, STRICT=True)
    operation.call(w)
    assert found() == []


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.strict], ids=ids)
def test_what_is_short_is_reported_in_strict_mode_only(
    detecting: Detecting, w: World, operation: Operation
) -> None:
    start(detecting)
    asyncio.run(calling(operation, w))
    assert found() == []


# Harmless

HARMLESS: list[Callable[[World], Any]] = []


def harmless(call: Callable[[World], Any]) -> Callable[[World], Any]:
    HARMLESS.append(call)
    return call


@harmless
async def sleeping(w: World) -> None:
    await asyncio.sleep(SOON)
    time.sleep(0)  # noqa: ASYNC251


@harmless
async def streams(w: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert await reader.read()
    writer.close()
    await writer.wait_closed()


@harmless
async def name_looked_up(w: World) -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", w.port)
    socket.getaddrinfo("127.0.0.1", w.port)


@harmless
async def async_http(w: World) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(w.url)).text == "ok"


@harmless
async def in_threads(w: World) -> None:
    await asyncio.gather(*(asyncio.to_thread(time.sleep, SOON) for _ in range(5)))
    assert await asyncio.to_thread(w.file.read_text) == "{}"


@harmless
async def a_thread_started(w: World) -> None:
    thread = threading.Thread(target=w.go.is_set)
    thread.start()
    await asyncio.to_thread(thread.join)
    thread.join()


@harmless
async def a_process(w: World) -> None:
    process = await asyncio.create_subprocess_exec(
        *TRUE, stdout=asyncio.subprocess.PIPE
    )
    await process.communicate()


@harmless
async def free_locks(w: World) -> None:
    lock, rlock = threading.Lock(), threading.RLock()
    with lock, rlock:
        rlock.acquire()
        rlock.release()
    lock.acquire()
    lock.release()
    assert not w.lock.acquire(False)
    assert not w.lock.acquire(blocking=False)
    assert not w.rlock.acquire(blocking=False)


@harmless
async def nothing_to_wait_for(w: World) -> None:
    event = threading.Event()
    event.set()
    event.wait()
    threading.Event().wait(0)
    full: queue.Queue[int] = queue.Queue()
    full.put(1)
    full.get()
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    simple.put(1)
    simple.get()
    with pytest.raises(queue.Empty):
        simple.get(block=False)
    with pytest.raises(queue.Empty):
        simple.get_nowait()
    future: Future[int] = Future()
    future.set_result(1)
    future.result()
    threading.Semaphore(1).acquire()


@harmless
async def sockets_that_do_not_block(w: World) -> None:
    w.one.setblocking(False)
    w.one.send(b"x")
    w.one.recv(1)
    await asyncio.get_running_loop().sock_sendall(w.one, b"x")


@harmless
async def in_memory(w: World) -> None:
    io.StringIO("text").read()
    io.BytesIO(b"bytes").read()
    json.dumps({"small": 1})
    with open(os.devnull) as nothing:  # noqa: ASYNC230
        nothing.read()


@harmless
async def logged(w: World) -> None:
    logger = logging.getLogger("tests.primitives")
    handler, to_file = logging.StreamHandler(), logging.FileHandler(w.home / "log")
    for each in (handler, to_file):
        logger.addHandler(each)
    try:
        raise ValueError
    except ValueError:
        logger.exception("seen")
    for each in (handler, to_file):
        logger.removeHandler(each)
        each.close()


@harmless
async def imported(w: World) -> None:
    sys.modules.pop("this_is_not_imported", None)
    sys.modules.pop("colorsys", None)
    import colorsys

    assert colorsys


@harmless
async def waiting_in_the_bridge(w: World) -> None:
    def ask() -> bytes:
        with create_connection(("127.0.0.1", w.port), 5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            await_(asyncio.sleep(0))
            return sock.recv(100)

    assert await on_loop(ask)()


@pytest.mark.parametrize("operation", HARMLESS, ids=lambda o: o.__name__)
def test_what_does_not_block_is_silent_in_strict_mode(
    detecting: Detecting, run: Any, w: World, operation: Callable[[World], Any]
) -> None:
    start(detecting, STRICT=True)
    run(operation(w))
    assert [each.text() for each in found()] == []


# Starting and stopping


def test_it_raises_before_the_call(detecting: Detecting, w: World) -> None:
    detecting(PRIMITIVES="raise", ENDPOINTS="off", WATCHDOG="off")

    async def receive() -> None:
        with pytest.raises(BlockingCallError, match=r"open_connection"):
            w.one.recv(100)
        w.one.setblocking(False)
        assert len(w.one.recv(100)) == 100

    asyncio.run(receive())
    assert len(found()) == 1


def test_everything_is_put_back(detecting: Detecting) -> None:
    before = (time.sleep, os.waitpid, dict(vars(socket.socket)))
    start(detecting)
    activation.stop()
    assert (time.sleep, os.waitpid, dict(vars(socket.socket))) == before
    assert not replacing._replaced


@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
def test_nothing_is_reported_after_the_end(
    detecting: Detecting, w: World, operation: Operation
) -> None:
    start(detecting, STRICT=True)
    activation.stop()
    asyncio.run(calling(operation, w))
    assert found() == []
    assert not audit._listening


def test_it_can_start_again(detecting: Detecting, w: World) -> None:
    async def receive() -> None:
        w.one.recv(1)

    asyncio.run(receive())
    start(detecting)
    asyncio.run(receive())
    activation.stop()
    asyncio.run(receive())
    activation.start()
    asyncio.run(receive())
    assert [each.count for each in found()] == [2]

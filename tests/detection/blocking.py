"""Operations that block, each in the line that says so, and what they need."""

import concurrent.futures
import http.client
import os
import queue
import select
import selectors
import shutil
import smtplib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import urllib3

if sys.platform != "win32":
    import fcntl

TRUE = [shutil.which("true") or "/bin/true"]
SOON = 0.001


class Operation(NamedTuple):
    call: Callable[["World"], Any]
    rule: str
    strict: bool = False
    #: On Python 3.11 nothing tells of it.
    needs_events: bool = False

    @property
    def line(self) -> int:
        code = self.call.__code__
        lines = Path(code.co_filename).read_text().splitlines()
        return next(
            n
            for n in range(code.co_firstlineno, len(lines) + 1)
            if "# blocks" in lines[n - 1]
        )


OPERATIONS: list[Operation] = []


def blocking(rule: str, **options: bool) -> Callable[[Any], Any]:
    def register(call: Any) -> Any:
        OPERATIONS.append(Operation(call, rule, **options))
        return call

    return register


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        pass


class World:
    """Everything that the operations use, made before the loop runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "file.txt"
        self.file.write_text("{}")
        self.opened = self.file.open()
        self.one, self.other = socket.socketpair()
        self.other.send(b"x" * 100)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(SOON,)).start()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.waiting = socket.create_connection(self.listening.getsockname())
        self.unconnected = socket.socket()
        self.lock, self.rlock = threading.Lock(), threading.RLock()
        self.lock.acquire()
        self.go = threading.Event()
        locked = threading.Event()
        self.thread = threading.Thread(target=self._hold, args=(locked,))
        self.thread.start()
        locked.wait()
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.future = self.pool.submit(self.go.wait)
        self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.sql = sqlite3.connect(home / "db.sqlite3")

    def _hold(self, locked: threading.Event) -> None:
        with self.rlock:
            locked.set()
            self.go.wait()

    def close(self) -> None:
        self.go.set()
        self.thread.join()
        self.pool.shutdown()
        self.server.shutdown()
        self.server.server_close()
        for each in (
            *(self.one, self.other, self.listening, self.waiting, self.unconnected),
            *(self.opened, self.sql),
        ):
            each.close()
        self.process.communicate()


@contextmanager
def world(home: Path) -> Iterator[World]:
    made = World(home)
    try:
        yield made
    finally:
        made.close()


# Network


@blocking("sockets")
def create_connection(w: World) -> None:
    socket.create_connection(("127.0.0.1", w.port)).close()  # blocks


@blocking("sockets")
def connect(w: World) -> None:
    w.unconnected.connect(("127.0.0.1", w.port))  # blocks


@blocking("sockets")
def recv(w: World) -> None:
    w.one.recv(1)  # blocks


@blocking("sockets")
def recv_into(w: World) -> None:
    w.one.recv_into(bytearray(1))  # blocks


@blocking("sockets")
def send(w: World) -> None:
    w.one.send(b"x")  # blocks


@blocking("sockets")
def sendall(w: World) -> None:
    w.one.sendall(b"x")  # blocks


@blocking("sockets")
def accept(w: World) -> None:
    w.listening.accept()[0].close()  # blocks


@blocking("sockets")
def read_of_makefile(w: World) -> None:
    with w.one.makefile("rb") as file:
        file.read(1)  # blocks


@blocking("sockets")
def select_of_sockets(w: World) -> None:
    select.select([w.one], [], [], SOON)  # blocks


@blocking("sockets", needs_events=True)
def select_of_selector(w: World) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(w.one, selectors.EVENT_READ)
        selector.select(SOON)  # blocks


@blocking("sockets")
def smtp(w: World) -> None:
    with suppress(OSError):
        smtplib.SMTP("127.0.0.1", w.port, timeout=SOON)  # blocks


@blocking("dns")
def getaddrinfo(w: World) -> None:
    socket.getaddrinfo("localhost", 80)  # blocks


@blocking("dns")
def gethostbyname(w: World) -> None:
    socket.gethostbyname("localhost")  # blocks


@blocking("http")
def urlopen(w: World) -> None:
    urllib.request.urlopen(w.url).close()  # blocks


@blocking("http")
def http_client(w: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", w.port)
    connection.connect()  # blocks
    connection.close()


@blocking("http")
def httpx_client(w: World) -> None:
    client = httpx.Client()
    client.get(w.url)  # blocks
    client.close()


@blocking("http")
def urllib3_pool(w: World) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("GET", w.url)  # blocks


# Sleep and processes


@blocking("sleep")
def sleep(w: World) -> None:
    time.sleep(SOON)  # blocks


@blocking("subprocess")
def run(w: World) -> None:
    subprocess.run(TRUE)  # blocks


@blocking("subprocess")
def check_output(w: World) -> None:
    subprocess.check_output(TRUE)  # blocks


@blocking("subprocess")
def system(w: World) -> None:
    os.system(":")  # blocks


@blocking("subprocess")
def wait_for_process(w: World) -> None:
    with suppress(subprocess.TimeoutExpired):
        w.process.wait(SOON)  # blocks


@blocking("subprocess")
def waitpid(w: World) -> None:
    child = os.posix_spawn(TRUE[0], TRUE, {})
    os.waitpid(child, 0)  # blocks


# Threads


@blocking("locks", needs_events=True)
def acquire(w: World) -> None:
    w.lock.acquire(timeout=SOON)  # blocks


@blocking("locks", needs_events=True)
def acquire_positionally(w: World) -> None:
    w.lock.acquire(True, SOON)  # blocks


@blocking("locks", needs_events=True)
def acquire_reentrant(w: World) -> None:
    w.rlock.acquire(timeout=SOON)  # blocks


@blocking("locks")
def event(w: World) -> None:
    threading.Event().wait(SOON)  # blocks


@blocking("locks")
def condition(w: World) -> None:
    condition = threading.Condition()
    with condition:
        condition.wait(SOON)  # blocks


@blocking("locks")
def semaphore(w: World) -> None:
    threading.Semaphore(0).acquire(timeout=SOON)  # blocks


@blocking("locks")
def barrier(w: World) -> None:
    with suppress(threading.BrokenBarrierError):
        threading.Barrier(2).wait(SOON)  # blocks


@blocking("locks")
def queue_get(w: World) -> None:
    with suppress(queue.Empty):
        queue.Queue().get(timeout=SOON)  # blocks


@blocking("locks")
def queue_put(w: World) -> None:
    full: queue.Queue[int] = queue.Queue(1)
    full.put(1)
    with suppress(queue.Full):
        full.put(2, timeout=SOON)  # blocks


@blocking("locks", needs_events=True)
def simple_queue_get(w: World) -> None:
    with suppress(queue.Empty):
        queue.SimpleQueue().get(timeout=SOON)  # blocks


@blocking("locks")
def flock(w: World) -> None:
    fcntl.flock(w.opened, fcntl.LOCK_EX)  # blocks


@blocking("threads")
def join(w: World) -> None:
    w.thread.join(SOON)  # blocks


@blocking("threads")
def result(w: World) -> None:
    with suppress(concurrent.futures.TimeoutError):
        w.future.result(SOON)  # blocks


@blocking("threads")
def wait_for_futures(w: World) -> None:
    concurrent.futures.wait([w.future], SOON)  # blocks


# Drivers


@blocking("drivers")
def sqlite_connect(w: World) -> None:
    sqlite3.connect(w.home / "other.sqlite3").close()  # blocks


@blocking("drivers", needs_events=True)
def sqlite_execute(w: World) -> None:
    w.sql.execute("SELECT 1")  # blocks


@blocking("drivers")
def psycopg_connect(w: World) -> None:
    psycopg.connect(os.environ["DATABASE_URL"]).close()  # blocks


# Files


@blocking("files")
def open_file(w: World) -> None:
    open(w.file).close()  # blocks


@blocking("files")
def read_text(w: World) -> None:
    w.file.read_text()  # blocks


@blocking("files")
def listdir(w: World) -> None:
    os.listdir(w.home)  # blocks


@blocking("files")
def glob(w: World) -> None:
    list(w.home.glob("*"))  # blocks


@blocking("files")
def temporary_file(w: World) -> None:
    tempfile.NamedTemporaryFile(dir=w.home).close()  # blocks


@blocking("files")
def copy(w: World) -> None:
    shutil.copyfile(w.file, w.home / "copy")  # blocks


@blocking("files", strict=True, needs_events=True)
def read(w: World) -> None:
    w.opened.read()  # blocks


@blocking("files", strict=True, needs_events=True)
def exists(w: World) -> None:
    w.file.exists()  # blocks


@blocking("files", strict=True, needs_events=True)
def stat(w: World) -> None:
    os.stat(w.file)  # blocks


@blocking("files", needs_events=True)
def read_of_pipe(w: World) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading, "rb") as pipe:
        pipe.read()  # blocks


__all__ = ["OPERATIONS", "Operation", "World", "world"]

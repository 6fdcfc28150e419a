"""What one operation uses, made anew for it, away from the loop.

Contract: ``World(...)``, ``begin()`` and ``close()`` are called in another thread.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import gzip
import json
import random
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
import zipfile
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import httpx
import psycopg

from benchmarks.detector.rows import WHILE, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.detector.servers import Servers


class World(Rows):
    """Objects for one operation; its attributes are what operations ask for."""

    def __init__(self, servers: Servers, database: str, redis: str, name: str) -> None:
        self._closing = contextlib.ExitStack()
        self._servers, self.database, self._redis = servers, database, redis
        self.http, self.smtp = servers.http, servers.smtp
        self.home = Path(mkdtemp(prefix="detector-"))
        self._closing.callback(shutil.rmtree, self.home)
        self.true = [shutil.which("true") or "/bin/true"]
        self._make_files()
        self._make_sockets()
        self._make_threads()
        self._make_clients()
        self._make_rows(name)
        self._prepare(name)

    def close(self) -> None:
        self._closing.close()

    def keep(self, resource: Any) -> None:
        """End ``resource`` with the world."""
        if isinstance(resource, subprocess.Popen):
            self._closing.callback(resource.wait)
        else:
            self._closing.callback(resource.close)

    def soon(self, function: Callable[[], object]) -> threading.Thread:
        """Call ``function`` in a thread, after ``while_``."""

        def run() -> None:
            time.sleep(WHILE)
            function()

        thread = threading.Thread(target=run)
        thread.start()
        self._closing.callback(thread.join)
        return thread

    # Files

    def _make_files(self) -> None:
        self.file = self.home / "file.json"
        self.file.write_text("{}")
        self.zipped, self.gzipped = self.home / "a.zip", self.home / "a.gz"
        with zipfile.ZipFile(self.zipped, "w") as archive:
            archive.writestr("a", "b")
        with gzip.open(self.gzipped, "wb") as file:
            file.write(b"a")
        self.opened = self.file.open()
        self.written = (self.home / "written").open("wb", buffering=0)
        self.locked = self.file.open()
        other = self.file.open()
        fcntl.flock(other, fcntl.LOCK_EX)
        for each in (self.opened, self.written, self.locked, other):
            self.keep(each)
        self._other_lock = other

    # Sockets and clients

    def _make_sockets(self) -> None:
        self.one, self.other = socket.socketpair()
        self.keep(self.one)
        self.keep(self.other)

    def listening(self) -> socket.socket:
        found = socket.create_server(("127.0.0.1", 0))
        self.keep(found)
        return found

    def url(self, kind: str = "") -> str:
        host, port = self.http
        path = f"slow/{WHILE}" if kind == "slow" else kind
        return f"http://{host}:{port}/{path}"

    def _make_clients(self) -> None:
        import redis
        import requests

        self.requests = requests
        self.redis = redis.Redis.from_url(self._redis)
        self.redis.set("key", 1)
        self.httpx = httpx.Client(verify=False)
        # Certificates would be read, for each operation anew.
        self.async_httpx = httpx.AsyncClient(verify=False)
        self.psycopg = psycopg.connect(self.database, autocommit=True)
        # Made in one thread, used in another one.
        self.sqlite = sqlite3.connect(self.home / "a.db", check_same_thread=False)
        for each in (self.redis, self.httpx, self.psycopg, self.sqlite):
            self.keep(each)

    def sqlite_in_memory(self) -> sqlite3.Connection:
        return sqlite3.connect(":memory:")

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self.database)

    # Threads and processes

    def _make_threads(self) -> None:
        self.lock, self.rlock = threading.Lock(), threading.RLock()
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self._closing.callback(self.pool.shutdown)
        # Its thread starts before the operation does.
        self.pool.submit(int).result()

    def process(self) -> subprocess.Popen[bytes]:
        return self._process

    def begin(self, name: str) -> None:
        """Start what lets go by itself after ``while_``: now, not when it was made."""
        if name in ("held_lock", "with_held_lock", "try_held_lock", "held_rlock"):
            held = threading.Event()
            thread = threading.Thread(target=self._hold, args=(held,))
            thread.start()
            held.wait()
            self._closing.callback(thread.join)
        if name in ("wait_for_process", "communicate", "waitpid", "poll_process"):
            self._process = subprocess.Popen(["sleep", str(WHILE)])
            self.keep(self._process)
        if name == "lock_of_file":
            self.soon(lambda: fcntl.flock(self._other_lock, fcntl.LOCK_UN))

    def _hold(self, held: threading.Event) -> None:
        with self.lock, self.rlock:
            held.set()
            time.sleep(WHILE)

    # Data to compute with

    def rows(self, count: int) -> list[dict[str, Any]]:
        return self._rows[:count]

    def _prepare(self, name: str) -> None:
        """Make the data of the operation ``name``; others need none."""
        if name in ("big_json", "read_big_json"):
            self._rows = [{"n": n, "text": str(n), "v": [n] * 8} for n in range(60_000)]
            self.big_json = json.dumps(self._rows)
        if name == "compress":
            self.noise = random.Random(1).randbytes(2_500_000)
        if name == "sort":
            self.numbers = random.Random(1).choices(range(10**9), k=200_000)
        if name == "pickle_objects":
            self.objects = [{"n": n, "v": (n, str(n))} for n in range(150_000)]

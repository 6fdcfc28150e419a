"""A peer's server: start it on its core, wait for it, read its clocks, end it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import PROC, Others, children

if TYPE_CHECKING:
    from http.client import HTTPMessage

    from benchmarks.database import Inspector
    from benchmarks.http.peers import Peer

PATIENCE = 30
LOOK_EVERY = 0.1
#: clock_gettime(2): the clock of another process is its complement and this.
PROCESS_CLOCK = 2


def pin(pid: int, core: int | None) -> None:
    """Let a process run on one core only; what it starts later inherits that."""
    if core is not None:
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {core})


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(each for child in children(pid) for each in tree(child))]


@dataclass(slots=True)
class Watch:
    """The most threads and connections meanwhile, and what others used."""

    threads: int = 0
    connections: int = 0
    others: float = 0.0


class Server:
    """One process of a peer (two with gunicorn's master), on a free port."""

    def __init__(
        self, peer: Peer, inspector: Inspector, core: int | None, pool: int
    ) -> None:
        self.peer = peer
        self.inspector = inspector
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        # A file and not a pipe: nobody reads it unless something goes wrong.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            peer.command(self.port),
            env=peer.variables(inspector.url, pool),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        pin(self.process.pid, core)

    def wait(self) -> None:
        """Return when it answers; say why if it does not."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                self.get("/plaintext")
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.peer.name} did not start:\n{self.said()}")

    def get(self, path: str, cookie: str = "") -> tuple[int, HTTPMessage, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Cookie": cookie})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def cpu(self) -> float:
        """Seconds that its processes have used, in user and system mode."""
        return sum(
            time.clock_gettime((~pid << 3) | PROCESS_CLOCK)
            for pid in tree(self.process.pid)
        )

    def memory(self) -> float:
        """MiB of memory, what its processes share counted once."""
        return sum(proportional(pid) for pid in tree(self.process.pid)) / 1024

    def threads(self) -> int:
        with suppress(OSError):
            return sum(
                sum(1 for _ in (PROC / str(pid) / "task").iterdir())
                for pid in tree(self.process.pid)
            )
        return 0

    def watch(self, seen: Watch, done: threading.Event) -> None:
        """Look now and then until `done`, which costs the server nothing."""
        others = Others(tree(self.process.pid), self.inspector.servers)
        while not done.wait(LOOK_EVERY):
            seen.threads = max(seen.threads, self.threads())
            seen.connections = max(seen.connections, self.inspector.connections())
        seen.others = others.share()

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()[-2000:]

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in tree(self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait()
        self.log.close()


def proportional(pid: int) -> int:
    """KiB of a process; a page that n processes share counts as an nth."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0

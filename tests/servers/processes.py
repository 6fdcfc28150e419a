"""Servers as processes: how each is started, its port, its log, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg

ROOT = Path(__file__).resolve().parent.parent.parent
ASGI = "tests.servers.site.asgi:application"
WSGI = "tests.servers.site.wsgi:application"
PATIENCE = 30

#: What no request may leave in a server's log.
WRONG = ("Traceback", "Warning", "never awaited", "never retrieved", "was destroyed")


class Kind(NamedTuple):
    """A server and its loop; what of the ASGI specification it leaves out."""

    name: str
    command: str
    #: It sends the events of the specification's lifespan protocol.
    has_lifespan: bool = True
    #: It lets a request in flight finish when it is told to end.
    finishes: bool = True
    #: It breaks the connection off when the application fails after the first part.
    breaks_off: bool = True
    #: The connections it may keep when no request is there: a full pool.
    keeps: int = 8
    #: Variables of its environment.
    environment: dict[str, str] = {}

    def __str__(self) -> str:
        return self.name


def uvicorn(loop: str) -> Kind:
    command = f"uvicorn --port {{port}} --loop {loop} --no-access-log {ASGI}"
    return Kind(f"uvicorn-{loop}", command)


def granian(loop: str) -> Kind:
    command = f"granian --interface asgi --port {{port}} --loop {loop} {ASGI}"
    return Kind(f"granian-{loop}", command)


def hypercorn(loop: str) -> Kind:
    options = f"--bind 127.0.0.1:{{port}} --graceful-timeout {PATIENCE}"
    return Kind(f"hypercorn-{loop}", f"hypercorn {options} -k {loop} {ASGI}")


def gunicorn(worker: str, application: str) -> Kind:
    options = f"--bind 127.0.0.1:{{port}} --worker-class {worker} --threads 4"
    name = worker.rpartition(".")[2].lower()
    return Kind(f"gunicorn-{name}", f"gunicorn {options} {application}")


def runserver(first_app: str = "") -> Kind:
    settings = "--settings tests.servers.site.settings"
    command = f"django runserver 127.0.0.1:{{port}} --noreload {settings}"
    name = f"runserver-{first_app}" if first_app else "runserver"
    # With daphne there are two pools: the one that looked for migrations stays.
    keeps = 16 if first_app else 8
    environment = {"SITE_FIRST_APP": first_app}
    return Kind(name, command, keeps=keeps, environment=environment)


LOOPS = ("asyncio", "uvloop")
DAPHNE = Kind(
    "daphne",
    f"daphne --port {{port}} --verbosity 0 {ASGI}",
    has_lifespan=False,
    finishes=False,
    breaks_off=False,
)
ASGI_SERVERS = [
    *(server(loop) for server in (uvicorn, granian, hypercorn) for loop in LOOPS),
    gunicorn("asgi", ASGI),
    gunicorn("uvicorn_worker.UvicornWorker", ASGI),
    DAPHNE,
]
WSGI_SERVERS = [gunicorn("gthread", WSGI), gunicorn("sync", WSGI)]
RUNSERVERS = [runserver(), runserver("daphne")]


class Site:
    """A running server, a client for it, and looks at its database."""

    def __init__(self, kind: Kind, database: str, home: Path) -> None:
        self.kind = kind
        self.home = home
        self.name = f"site-{uuid.uuid4()}"
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.database = psycopg.connect(database, autocommit=True)
        self.client = self.new_client()
        self._log = (home / "log.txt").open("w+")
        self._read = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", *kind.command.format(port=self.port).split()],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.servers.site.settings",
                "SITE_DATABASE": self.database.info.dbname,
                "SITE_NAME": self.name,
                "SITE_STATE": str(home / "state.txt"),
                **kind.environment,
            },
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # A server may have processes of its own, to be ended with it.
            start_new_session=True,
        )

    def new_client(self) -> httpx.Client:
        """A client with cookies and connections of its own."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    def wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                self.client.get("/plaintext")
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.kind} does not answer:\n{self.log()}")

    def log(self) -> str:
        """Return what it said, but for what was expected."""
        return (self.home / "log.txt").read_text()[self._read :]

    def expect(self, words: str) -> None:
        """Wait until the server said so, which is no complaint then."""
        self.until(lambda: words in self.log(), f"said {words!r}")
        self._read += len(self.log())

    def complaints(self) -> list[str]:
        """Return the lines of the log that no request may leave."""
        lines = self.log().splitlines()
        return [line for line in lines if any(word in line for word in WRONG)]

    def steps(self) -> dict[str, int]:
        """Return the size of the pool after each step of the lifespan."""
        lines = (self.home / "state.txt").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        return {found["step"]: found["size"] for found in steps}

    def state(self) -> dict[str, Any]:
        """Return what the server's process says of itself, since the last call."""
        found: dict[str, Any] = self.client.get("/state").json()
        return found

    def at_rest(self) -> dict[str, list[str]]:
        """Wait until no connection is in use; return hops and log since the last call.

        A pool that grows to its smallest size has connections in use for a moment.
        """
        found: dict[str, list[str]] = {"hops": [], "log": []}

        def rests() -> bool:
            state = self.state()
            for name, lines in found.items():
                lines += state[name]
            return not state["pool"]["in_use"] and not state["pool"]["waiting"]

        self.until(rests, "returned all connections")
        return found

    def ask(self, query: str, *params: Any) -> list[Any]:
        """Return the first column of what the site's database answers."""
        cursor = self.database.execute(query, params)
        return [row[0] for row in cursor] if cursor.description else []

    def groups(self, like: str) -> list[str]:
        query = "SELECT name FROM auth_group WHERE name LIKE %s ORDER BY name"
        return self.ask(query, like)

    def make_group(self, name: str) -> None:
        """Let views go on that wait for a group of that name."""
        self.ask("INSERT INTO auth_group (name) VALUES (%s)", name)

    def sessions(self) -> int:
        """Count the connections of the server to its database."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
        return len(self.ask(query, self.name))

    def running(self, words: str = "pg_sleep(600)") -> int:
        """Count the statements of the server with ``words`` in them."""
        query = (
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s "
            "AND state = 'active' AND strpos(query, %s) > 0"
        )
        return len(self.ask(query, self.name, words))

    def until(self, condition: Any, what: str) -> None:
        """Wait for what only another process can make true, and nothing announces."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never {what}; the log:\n{self.log()}")
            time.sleep(0.01)

    def connect(self) -> socket.socket:
        """A connection without HTTP, to say what no client would."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def terminate(self) -> None:
        """Ask it to end, as a service manager does."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()
        self.database.close()


@contextmanager
def served(kind: Kind, database: str) -> Iterator[Site]:
    """The site on a server of that kind."""
    with tempfile.TemporaryDirectory(prefix="async-ext-site-") as home:
        site = Site(kind, database, Path(home))
        try:
            site.wait()
            yield site
        finally:
            site.end()

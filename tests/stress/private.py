"""A PostgreSQL server of the test's own, which it may stop, and what a pool needs."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import run
from urllib.parse import urlsplit

from django.db import connections

from scripts._services import postgresql
from scripts._services.programs import as_user


class PrivateServer:
    """Started from the wheel of scripts/_services; the URL never changes."""

    def __init__(self, home: Path) -> None:
        self._binaries = postgresql.find_binaries(Path(sys.executable), home)
        self.url = postgresql.initialise(self._binaries, home, durable=False)
        self._started = postgresql.running(self._binaries, home)
        self._as = as_user(home)
        self.data = home / "data"

    def control(self, *arguments: str) -> None:
        """Call pg_ctl, which waits until it has done what it was told."""
        command = [self._binaries / "pg_ctl", "--silent", f"--pgdata={self.data}"]
        # Its log is not this process's output, which pytest reads to the end.
        log = f"--log={self.data}.log"
        run([*command, *arguments, log], check=True, timeout=60, **self._as)

    def restart(self, *arguments: str, mode: str = "fast") -> None:
        self.control("restart", f"--mode={mode}", *arguments)

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Let the default database be this server's."""
        found, settings = urlsplit(self.url), connections.settings["default"]
        ours = {"HOST": found.hostname, "PORT": str(found.port), "NAME": "postgres"}
        ours |= {"USER": found.username, "PASSWORD": found.password}
        before = {name: settings[name] for name in ours}
        settings.update(ours)
        try:
            yield
        finally:
            settings.update(before)


@contextmanager
def private_server() -> Iterator[PrivateServer]:
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="async-ext-"))
        server = PrivateServer(Path(name))
        stack.enter_context(server._started)
        yield server

"""A PostgreSQL server of the tests' own, which they may stop and configure."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import run
from urllib.parse import SplitResult, urlsplit

from django.db import connections

from scripts._services import postgresql
from scripts._services.programs import as_user


class OwnServer:
    """A server that is started and stopped as often as a test wants."""

    def __init__(self, home: Path) -> None:
        self._binaries = postgresql.find_binaries(Path(sys.executable), home)
        url = postgresql.initialise(self._binaries, home, durable=False)
        self._running = postgresql.running(self._binaries, home)
        self._as = as_user(home)
        self.address: SplitResult = urlsplit(url)
        self.data = home / "data"

    def control(self, *arguments: str) -> None:
        """Call pg_ctl, which waits until it has done what it was told."""
        command = [self._binaries / "pg_ctl", "--silent", f"--pgdata={self.data}"]
        # Its log is not this process's output, which pytest reads to the end.
        log = f"--log={self.data}.log"
        run([*command, *arguments, log], check=True, timeout=60, **self._as)

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Let the default database be this server's."""
        found, settings = self.address, connections.settings["default"]
        ours = {"HOST": found.hostname, "PORT": str(found.port), "NAME": "postgres"}
        ours |= {"USER": found.username, "PASSWORD": found.password}
        before = {name: settings[name] for name in ours}
        settings.update(ours)
        try:
            yield
        finally:
            settings.update(before)


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Start one; it ends whatever the tests left of it."""
    with ExitStack() as stack:
        prefix = "async-ext-tests-"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
        server = OwnServer(Path(folder))
        stack.enter_context(server._running)
        yield server

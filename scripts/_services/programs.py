"""Finds a server's program, installs it where allowed, and runs it until the end.

Contract: ``Program.find()`` gives its path, or None after one line that says what
is missing. ``serving()`` runs a command as an unprivileged user until its block,
or the process that started it, has ended.
"""

import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Reading its input until the end is how the keeper notices that its starter is
# gone, killed or not.
KEEPER = """
log=$1
shift
"$@" </dev/null >"$log" 2>&1 &
read -r _
kill "$!"
wait "$!"
"""

PATIENCE = 30  # seconds that a server has to answer


@dataclass(frozen=True)
class Program:
    """A program, and the packages of systems that have it."""

    name: str
    apt: str
    brew: str | None = None

    def find(self) -> str | None:
        """Return its path; install it first where that is allowed."""
        found = self._which()
        if found is None:
            self._install()
            found = self._which()
        if found is None:
            print(
                f"NOT RUN: {self.name} is neither on PATH nor can it be installed, so "
                "what needs it is not tested.",
                file=sys.stderr,
                flush=True,
            )
        return found

    def _which(self) -> str | None:
        return shutil.which(self.name, path=f"{os.environ['PATH']}:/usr/sbin")

    def _install(self) -> None:
        if os.geteuid() == 0:
            apt_install(self.apt)
        elif self.brew and shutil.which("brew"):
            _quietly(["brew", "install", "--quiet", self.brew])


def apt_install(*packages: str) -> None:
    """Install packages of Debian or Ubuntu, where this process may do that."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    for command in (["update"], ["install", "--yes", *packages]):
        _quietly(["apt-get", "-qq", *command])


def _quietly(command: Sequence[str]) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Not the terminal's: a package must not ask questions.
    subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


@contextmanager
def home(name: str) -> Iterator[Path]:
    """Give a server a temporary directory of its own."""
    with tempfile.TemporaryDirectory(prefix=f"async-ext-{name}-") as folder:
        path = Path(folder)
        own(path)
        yield path


def write(path: Path, text: str) -> Path:
    """Write a file that only the server's user may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    own(path)
    return path


def own(*paths: Path) -> None:
    """Give files to the user that servers run as."""
    if user := unprivileged_user():
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def unprivileged_user() -> pwd.struct_passwd | None:
    """Servers refuse to run as root: then they run as this user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def as_user(home: Path) -> dict[str, object]:
    """Popen's arguments to run as that user; macOS refuses an unset locale."""
    options: dict[str, object] = {"cwd": home, "env": os.environ | {"LC_ALL": "C"}}
    if user := unprivileged_user():
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def prepare(command: Sequence[object], home: Path) -> None:
    """Run a command to its end as the server's user."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **as_user(home)
    )
    if done.returncode:
        sys.exit(f"{Path(str(command[0])).name} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def serving(command: Sequence[object], port: int, home: Path) -> Iterator[None]:
    """Run a server of ``home`` on ``port`` for the block, and wait until it answers."""
    log = home / "log"
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", KEEPER, "sh", log, *(str(part) for part in command)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must not stop it before its users
        **as_user(home),
    )
    try:
        if not _answers(port):
            why = log.read_text(errors="replace") if log.exists() else ""
            sys.exit(f"{Path(str(command[0])).name} did not start:\n{why}")
        yield
    finally:
        keeper.stdin.close()
        keeper.wait()


def _answers(port: int) -> bool:
    for _ in range(PATIENCE * 20):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """Return a port that nobody uses now.

    Not one of those that systems give to outgoing connections: between two starts of a
    server it could be taken by a client.
    """
    for port in random.sample(range(10000, 30000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    sys.exit("Found no free port between 10000 and 30000.")

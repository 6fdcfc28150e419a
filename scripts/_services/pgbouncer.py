"""PgBouncer, which pools by transaction; see docs/howto/pgbouncer.rst."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from .programs import Program, free_port, home, serving, write

PROGRAM = Program("pgbouncer", apt="pgbouncer", brew="pgbouncer")

# One database there for each one asked for; as docs/howto/pgbouncer.rst has it.
CONFIG = """
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
def pgbouncer(url: str) -> Iterator[str | None]:
    """Yield the URL of a PgBouncer before the server at ``url``."""
    program = PROGRAM.find()
    if program is None:
        yield None
        return
    server, port = urlsplit(url), free_port()
    with home("pgbouncer") as folder:
        config = CONFIG.format(server=server, port=port)
        path = write(folder / "pgbouncer.ini", config)
        write(folder / "users.txt", f'"{server.username}" "{server.password or ""}"\n')
        with serving([program, "--quiet", path], port, folder):
            netloc = f"{server.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
            yield server._replace(netloc=netloc).geturl()

"""MariaDB, or the MySQL or MariaDB server that ``MYSQL_URL`` names."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import Program, free_port, home, prepare, serving, write

PROGRAM = Program("mariadbd", apt="mariadb-server", brew="mariadb")
INSTALL = Program("mariadb-install-db", apt="mariadb-server", brew="mariadb")

USERS = """
CREATE USER async_ext@'%' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO async_ext@'%' WITH GRANT OPTION;
ALTER USER root@localhost IDENTIFIED BY '{password}';
"""


@contextmanager
def mariadb() -> Iterator[str | None]:
    """Yield the URL of a server, where databases may be created."""
    if url := os.environ.get("MYSQL_URL"):
        yield url
        return
    program, install = PROGRAM.find(), INSTALL.find()
    if program is None or install is None:
        yield None
        return
    with home("mariadb") as folder:
        port, password, data = free_port(), secrets.token_hex(16), folder / "data"
        command = [install, "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        # Its temporary tables are named after its process, in /tmp also others'.
        command += [f"--tmpdir={folder}", "--auth-root-authentication-method=normal"]
        prepare(command, folder)
        users = write(folder / "users.sql", USERS.format(password=password))
        options = {
            "datadir": data,
            "tmpdir": folder,
            "init-file": users,
            "port": port,
            "bind-address": "127.0.0.1",
            "socket": folder / "socket",
            "pid-file": folder / "pid",
            "character-set-server": "utf8mb4",
            "max-connections": 300,
            # What is lost when the machine crashes was only a test's.
            "innodb-flush-log-at-trx-commit": 0,
            **_certificate(folder),
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        with serving([program, "--no-defaults", *words], port, folder):
            yield f"mysql://async_ext:{password}@127.0.0.1:{port}"


def _certificate(folder: Path) -> dict[str, Path]:
    """Make what the server needs for TLS, where openssl is there to make it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return {}
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    prepare([*command, "-keyout", key, "-out", certificate], folder)
    return {"ssl-ca": certificate, "ssl-cert": certificate, "ssl-key": key}

"""Names by which code calls what blocks, where the other layers see it deeper down.

Contract: data only. A name has the rule and the remedy of an endpoint of another layer,
or of its own where they have none. ``*`` is each public method of a class; methods such
as ``__iter__`` stand for the syntax that calls them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django_async_ext.detection.primitives import subjects
from django_async_ext.detection.rules import Endpoint


class Names(NamedTuple):
    """Functions, or methods of a class, that block as ``known`` does."""

    start: str
    names: str
    known: str


_QUERYSET = "django.db.models.query.QuerySet"
_WRAPPER = "django.db.backends.base.base.BaseDatabaseWrapper"
_PAGE = "django.core.paginator.Page"
_AUTH = "django.contrib.auth.middleware"
_CONNECTION = "http.client.HTTPConnection"
_CALLS = "get post put patch delete head options request"
_LOCK = "threading.Lock.acquire"

_OF_DJANGO = (
    Names(_QUERYSET, "__contains__", f"{_QUERYSET}.contains"),
    Names(_PAGE, "__iter__ __repr__ __bool__ __contains__", f"{_PAGE}.__getitem__"),
    Names(_WRAPPER, "commit rollback", f"{_WRAPPER}.cursor"),
    Names(f"{_AUTH}.request.user", "__load__", f"{_AUTH}.get_user"),
)
_OF_NETWORK = (
    Names("requests", _CALLS, "requests.sessions.Session.request"),
    Names("requests.Session", f"{_CALLS} send", "requests.sessions.Session.request"),
    Names("httpx", f"{_CALLS} stream", "httpx.Client.send"),
    Names("httpx.Client", f"{_CALLS} stream", "httpx.Client.send"),
    Names("http.client.HTTPSConnection", "connect", f"{_CONNECTION}.connect"),
    Names("socket.socket", "connect connect_ex", "socket.connect"),
    Names("socket.socket", "sendfile", "socket.socket.send"),
    Names("socket", "gethostbyname_ex", "socket.gethostbyname"),
    Names("smtplib", "SMTP SMTP_SSL", "smtplib.SMTP.connect"),
    Names("ftplib", "FTP FTP_TLS", "ftplib.FTP.connect"),
    Names("imaplib", "IMAP4 IMAP4_SSL", "imaplib.IMAP4.open"),
)
_OF_PYTHON = (
    Names("builtins", "open", "open"),
    Names("io", "open", "open"),
    Names("os", "walk", "os.scandir"),
    Names("os", "makedirs", "os.mkdir"),
    Names("os", "replace", "os.rename"),
    Names("os", "unlink", "os.remove"),
    Names("os", "popen", "os.system"),
    Names("threading.Lock", "__enter__", _LOCK),
    Names("threading.RLock", "__enter__", _LOCK),
    Names("threading.Condition", "acquire __enter__", "threading.Condition.wait"),
    Names("queue.SimpleQueue", "put", "queue.SimpleQueue.get"),
)
_OF_DRIVERS = (
    Names("psycopg", "connect", "psycopg.Connection.connect"),
    Names(
        "psycopg.Connection",
        "execute commit rollback cursor",
        "psycopg.Connection.connect",
    ),
    Names("pymysql", "connect", "pymysql.connections.Connection.connect"),
    Names("MySQLdb", "connect", "MySQLdb.connections.Connection.query"),
    *(
        Names(cls, "*", "redis.client.Redis.execute_command")
        for cls in ("redis.Redis", "redis.client.Redis")
    ),
)
NAMES = (*_OF_DJANGO, *_OF_NETWORK, *_OF_PYTHON, *_OF_DRIVERS)

_PATHS = (
    "open read_text read_bytes write_text write_bytes iterdir glob rglob mkdir unlink "
    "rename replace rmdir touch"
)
_STATUS = "exists is_file is_dir stat"
_COPYING = "copy copy2 copyfile copytree rmtree move make_archive"


def common(known: Mapping[str, Endpoint]) -> Iterator[Endpoint]:
    """Yield an endpoint for each name; ``known`` has those of the layers."""
    for start, names, like in NAMES:
        for name in names.split():
            yield known[like]._replace(name=f"{start}.{name}", leads=False)
    yield from _files("pathlib.Path", "path", _PATHS)
    yield from _files("shutil", "shutil", _COPYING)
    # What the other layers too take for an event of strict mode only.
    for each in _files("pathlib.Path", "path", _STATUS):
        yield each._replace(blocks=subjects.in_strict_mode)


def _files(start: str, shown: str, names: str) -> Iterator[Endpoint]:
    for name in names.split():
        remedy = f"await asyncio.to_thread({shown}.{name}, ...)"
        yield Endpoint("files", f"{start}.{name}", remedy, inside=True)

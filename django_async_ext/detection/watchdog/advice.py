"""Says what to write instead of what made an event loop stand still.

Contract: data, and a look at the source. Where a guarded endpoint was on the stack, its
own remedy goes before these. The first function that is known counts, from the
project's line inwards.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django_async_ext.detection.watchdog import causes
from django_async_ext.detection.watchdog.sampling import Instruction

_HTTP = "httpx.AsyncClient, made once at the start of the process"
_THREAD = "await asyncio.to_thread(...)"
_HOLDS = (
    "a process pool, or smaller parts with await asyncio.sleep(0) between them; "
    "await asyncio.to_thread() does not help while Python's lock is held"
)
_QUERY = "the a-method of it (await queryset.aget()), or await sync_to_async(...)()"

_KNOWN: tuple[tuple[tuple[str, ...], str], ...] = (
    (("time.sleep",), "await asyncio.sleep(...)"),
    (("requests.", "urllib.request.", "urllib3.", "http.client.", "httpx."), _HTTP),
    (("subprocess.", "os.system", "os.popen", "os.wait"), "asyncio.create_subprocess"),
    (("smtplib.", "django.core.mail."), "await django_async_ext.mail.asend_mail(...)"),
    (
        ("django.contrib.auth.hashers.",),
        "await acheck_password(...), or await sync_to_async(make_password, "
        "thread_sensitive=False)(...)",
    ),
    (("django.core.cache.",), "await cache.aget(...), cache.aset(...) and so on"),
    (("django.contrib.sessions.",), "await request.session.aget(...) and so on"),
    (("django.db.",), _QUERY),
    (("psycopg", "sqlite3.", "MySQLdb.", "pymysql."), _QUERY),
    (("redis.",), "redis.asyncio"),
    (("pymemcache.",), _THREAD),
    (("socket.getaddrinfo", "socket.gethostby"), "await loop.getaddrinfo(...)"),
    (("socket.", "ssl.", "select."), "asyncio's streams, or a thread"),
    (
        ("threading.", "thread.", "queue.", "multiprocessing."),
        "the class of the same name in asyncio, or await asyncio.to_thread(...)",
    ),
    (("concurrent.futures.",), "await asyncio.wrap_future(future)"),
    (
        ("logging.",),
        "logging.handlers.QueueHandler, with a QueueListener that does the writing",
    ),
    (("importlib.", "frozen_importlib", "builtins.__import__"), "import it at start"),
    (("json.", "pickle.", "csv.", "copy."), _HOLDS),
    (
        ("re.",),
        "a simpler pattern, a limit for the length of what is searched, or a process "
        "pool; the re module holds Python's lock",
    ),
    (("xml.", "html.", "yaml.", "django.template.", "jinja2."), _HOLDS),
    (
        (
            "hashlib.",
            "bcrypt.",
            "argon2.",
            "zlib.",
            "gzip.",
            "bz2.",
            "lzma.",
            "zipfile.",
            "PIL.",
            "numpy.",
        ),
        _THREAD,
    ),
    (("builtins.open", "io.", "pathlib.", "shutil.", "os.", "glob."), _THREAD),
)
_BY_CAUSE = {
    causes.BLOCKED: f"a library for asyncio, or {_THREAD}",
    causes.CPU: _HOLDS,
    causes.GIL: "a process for what that thread does, or smaller parts",
    causes.STARVED: "more processors, or fewer processes and threads on this machine",
    causes.SATURATED: "fewer tasks at once (asyncio.Semaphore), more processes of the "
    "server, or less work in each task",
}


def remedy(why: str, called: Iterable[str]) -> str:
    """Return what to write instead, by cause and by what was ``called``.

    Those go inwards: what the project's line calls comes first.
    """
    if why not in (causes.STARVED, causes.GIL, causes.SATURATED):
        for name in called:
            for prefixes, instead in _KNOWN:
                # What is written in C is in a module of that name with a _.
                if name.lstrip("_").startswith(prefixes):
                    return instead
    return _BY_CAUSE[why]


def called_by(at: Instruction) -> str:
    """Return the dotted name of the function that is called at ``at``; "" if unknown.

    For functions that are not written in Python: they have no frame.
    """
    try:
        call = ast.parse(_source(at), mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    return _resolved(call.func, at) if isinstance(call, ast.Call) else ""


def _source(at: Instruction) -> str:
    positions = next(islice(at.code.co_positions(), at.offset // 2, None), None)
    if positions is None or None in positions:
        return ""
    first, last, start, end = (int(each or 0) for each in positions)
    file = at.code.co_filename
    lines = [linecache.getline(file, n).encode() for n in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    return b"".join(lines).decode(errors="replace").strip()


def _resolved(function: ast.expr, at: Instruction) -> str:
    """Return the name under which ``function`` was defined, as far as that is sure."""
    attributes: list[str] = []
    while isinstance(function, ast.Attribute):
        attributes.insert(0, function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ".".join(attributes)
    found = at.names.get(function.id, getattr(builtins, function.id, None))
    for number, attribute in enumerate(attributes):
        if not (inspect.ismodule(found) or inspect.isclass(found)):
            # Nothing of the project's may run here: no properties, no __getattr__().
            owner = function.id if found is None else _name(type(found))
            return ".".join([owner, *attributes[number:]])
        found = inspect.getattr_static(found, attribute, None)
    return ".".join([function.id, *attributes]) if found is None else _name(found)


def _name(defined: Any) -> str:
    module = getattr(defined, "__module__", None) or "builtins"
    name = getattr(defined, "__qualname__", None) or type(defined).__name__
    return f"{module}.{name}"

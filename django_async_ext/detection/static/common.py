"""What code calls that blocks, by the names that it is called by.

Contract: data only, an ``Endpoint`` for each name. ``*`` is each public method of a
class. Methods such as ``__iter__`` stand for the syntax that calls them.
"""

from __future__ import annotations

from collections.abc import Iterator

from django_async_ext.detection.rules import Endpoint

_QUERYSET = "django.db.models.query.QuerySet"
_MODEL = "django.db.models.base.Model"
_SESSION = "django.contrib.sessions.backends.base.SessionBase"
_CACHE = "django.core.cache.backends.base.BaseCache"
_STORAGE = "django.core.files.storage.base.Storage"
_FIELD_FILE = "django.db.models.fields.files.FieldFile"
_CURSOR = "django.db.backends.utils.CursorWrapper"
_WRAPPER = "django.db.backends.base.base.BaseDatabaseWrapper"
_USERS = "django.contrib.auth.models.UserManager"
_USER = "django.contrib.auth.base_user.AbstractBaseUser"
_PERMISSIONS = "django.contrib.auth.models.PermissionsMixin"
_PAGES = "django.core.paginator.Paginator"
_PAGE = "django.core.paginator.Page"
_IN_THREAD = "await sync_to_async({})(...)"
_TO_THREAD = "await asyncio.to_thread({}, ...)"
_ROWS = "`async for row in queryset`, or `[row async for row in queryset]`"
_CLIENT = "`await client.{}(...)` with one httpx.AsyncClient for the process"


def _table() -> Iterator[Endpoint]:
    yield from _rows()
    yield from _objects()
    yield from _of_requests()
    yield from _of_users()
    yield from _shortcuts()
    yield from _of_files()
    yield from _of_network()
    yield from _of_python()
    yield from _of_threads()


def _each(rule: str, start: str, names: str, remedy: str) -> Iterator[Endpoint]:
    for name in names.split():
        yield Endpoint(rule, f"{start}.{name}", remedy.format(name))


def _rows() -> Iterator[Endpoint]:
    single = (
        "aggregate bulk_create bulk_update contains count create delete earliest "
        "exists explain first get get_or_create in_bulk last latest update "
        "update_or_create"
    )
    yield from _each("orm", _QUERYSET, single, "await queryset.a{}(...)")
    for cls in (_QUERYSET, "django.db.models.query.RawQuerySet", _PAGE):
        yield from _each("orm", cls, "__iter__ __repr__", _ROWS)
        yield from _each("orm", cls, "__len__", "await queryset.acount()")
        yield from _each("orm", cls, "__bool__", "await queryset.aexists()")
        one = "await queryset.afirst(), or await queryset[n:n + 1].aget()"
        yield from _each("orm", cls, "__getitem__", one)
        inside = "await queryset.acontains(obj)"
        yield from _each("orm", cls, "__contains__", inside)
    yield from _each("orm", _PAGES, "get_page page", _IN_THREAD.format("paginator.{}"))


def _objects() -> Iterator[Endpoint]:
    changing = "delete full_clean refresh_from_db save"
    for name in changing.split():
        remedy = f"await obj.a{name}(...)"
        if name == "full_clean":
            remedy = _IN_THREAD.format("obj.full_clean")
        yield Endpoint("orm", f"{_MODEL}.{name}", remedy)
    related = "await obj.related.a{}(...)"
    yield from _each("orm", _QUERYSET, "add remove clear set", related)
    block = "put the block into a function: await sync_to_async(function)(...)"
    yield Endpoint("transactions", "django.db.transaction.Atomic.__enter__", block)
    functions = "commit rollback savepoint savepoint_commit savepoint_rollback"
    yield from _each("transactions", "django.db.transaction", functions, block)
    yield from _each("transactions", _WRAPPER, "commit cursor rollback", block)
    yield from _each("transactions", _CURSOR, "execute executemany callproc", block)
    forms = "django.forms.models.BaseModelForm"
    yield from _each(
        "forms", forms, "is_valid save full_clean", _IN_THREAD.format("form.{}")
    )


def _of_requests() -> Iterator[Endpoint]:
    names = (
        "get set add delete touch get_many set_many delete_many get_or_set has_key "
        "incr decr clear close incr_version decr_version"
    )
    yield from _each("cache", _CACHE, names, "await cache.a{}(...)")
    yield Endpoint("cache", f"{_CACHE}.__contains__", "await cache.ahas_key(key)")
    names = (
        "get set pop setdefault update has_key keys values items flush cycle_key save "
        "load create delete exists is_empty set_expiry get_expiry_age"
    )
    yield from _each("sessions", _SESSION, names, "await request.session.a{}(...)")
    for name, twin in (
        ("__getitem__", "aget(key)"),
        ("__setitem__", "aset(key, value)"),
        ("__contains__", "ahas_key(key)"),
        ("__delitem__", "apop(key)"),
    ):
        yield Endpoint(
            "sessions", f"{_SESSION}.{name}", f"await request.session.{twin}"
        )
    lazy = "django.contrib.auth.middleware.request.user.__load__"
    yield Endpoint("auth", lazy, "user = await request.auser()")


def _of_users() -> Iterator[Endpoint]:
    functions = "authenticate login logout get_user update_session_auth_hash"
    yield from _each("auth", "django.contrib.auth", functions, "await a{}(...)")
    names = (
        "has_perm has_perms has_module_perms get_all_permissions get_user_permissions "
        "get_group_permissions"
    )
    yield from _each("auth", _PERMISSIONS, names, "await user.a{}(...)")
    names = "create_user create_superuser get_by_natural_key"
    yield from _each("hashing", _USERS, names, "await User.objects.a{}(...)")
    hashers = "django.contrib.auth.hashers"
    yield Endpoint("hashing", f"{hashers}.check_password", "await acheck_password(...)")
    making = "await sync_to_async({}, thread_sensitive=False)(...)"
    yield from _each("hashing", hashers, "make_password", making)
    yield Endpoint(
        "hashing", f"{_USER}.check_password", "await user.acheck_password(...)"
    )
    yield from _each("hashing", _USER, "set_password", making.replace("{}", "user.{}"))


def _shortcuts() -> Iterator[Endpoint]:
    names = "get_object_or_404 get_list_or_404"
    yield from _each("shortcuts", "django.shortcuts", names, "await a{}(...)")
    names = "send_mail send_mass_mail mail_admins mail_managers"
    yield from _each("mail", "django.core.mail", names, _IN_THREAD)
    message = "django.core.mail.message.EmailMessage"
    yield from _each("mail", message, "send", _IN_THREAD.format("message.{}"))
    tasks = "django.tasks.base.Task"
    yield from _each("tasks", tasks, "enqueue get_result", "await task.a{}(...)")


def _of_files() -> Iterator[Endpoint]:
    names = (
        "open save delete exists listdir size url get_accessed_time get_created_time "
        "get_modified_time"
    ).replace(" url", "")
    yield from _each("storage", _STORAGE, names, _IN_THREAD.format("storage.{}"))
    names = "open save delete"
    yield from _each("storage", _FIELD_FILE, names, _IN_THREAD.format("obj.file.{}"))
    for start in ("builtins", "io"):
        yield from _each("files", start, "open", _TO_THREAD)
    names = (
        "open read_text read_bytes write_text write_bytes exists is_file is_dir stat "
        "iterdir glob rglob mkdir unlink rename replace rmdir touch"
    )
    yield from _each("files", "pathlib.Path", names, _TO_THREAD.format("path.{}"))
    for cls in ("_io._IOBase", "_io.TextIOWrapper", "typing.TextIO", "typing.IO"):
        names = "read readline readlines write writelines __iter__"
        yield from _each("files", cls, names, _TO_THREAD.format("file.read"))
    names = "copy copy2 copyfile copytree rmtree move make_archive"
    yield from _each("files", "shutil", names, _TO_THREAD.format("shutil.{}"))
    names = "listdir scandir walk remove rename replace makedirs mkdir stat"
    yield from _each("files", "os", names, _TO_THREAD.format("os.{}"))


def _of_network() -> Iterator[Endpoint]:
    names = "get post put patch delete head options request"
    yield from _each("http", "requests", names, _CLIENT)
    yield from _each("http", "requests.Session", f"{names} send", _CLIENT)
    yield from _each("http", "httpx", f"{names} stream", _CLIENT)
    yield from _each("http", "httpx.Client", f"{names} send stream", _CLIENT)
    urls = "urlopen urlretrieve"
    client = _CLIENT.format("get")
    yield from _each("http", "urllib.request", urls, client)
    names = "request getresponse connect"
    yield from _each("http", "http.client.HTTPConnection", names, client)
    names = (
        "accept connect connect_ex recv recv_into recvfrom send sendall sendto sendfile"
    )
    streams = "asyncio streams: await asyncio.open_connection(...)"
    yield from _each("sockets", "socket.socket", names, streams)
    yield from _each("sockets", "socket", "create_connection", streams)
    yield from _each("sockets", "smtplib", "SMTP SMTP_SSL", _TO_THREAD.format("send"))
    yield from _each("sockets", "ftplib", "FTP FTP_TLS", _TO_THREAD.format("fetch"))
    names = "getaddrinfo gethostbyname gethostbyaddr gethostbyname_ex getfqdn"
    yield from _each("dns", "socket", names, "await loop.getaddrinfo(...)")


def _of_python() -> Iterator[Endpoint]:
    yield Endpoint("sleep", "time.sleep", "await asyncio.sleep(seconds)")
    program = "await asyncio.create_subprocess_exec(...)"
    names = "run call check_call check_output Popen"
    yield from _each("subprocess", "subprocess", names, program)
    names = "getoutput getstatusoutput"
    shell = "await asyncio.create_subprocess_shell(...)"
    yield from _each("subprocess", "subprocess", names, shell)
    yield from _each("subprocess", "subprocess.Popen", "wait communicate", program)
    yield from _each("subprocess", "os", "system popen", shell)
    yield from _each("subprocess", "os", "wait waitpid", program)
    psycopg = "psycopg.AsyncConnection, or the ORM's awaitables"
    connecting = ("psycopg.connect", "psycopg.Connection.connect", "psycopg2.connect")
    for name in (*connecting, "pymysql.connect", "MySQLdb.connect"):
        yield Endpoint("drivers", name, psycopg)
    names = "execute commit rollback cursor"
    yield from _each("drivers", "psycopg.Connection", names, psycopg)
    sqlite = _TO_THREAD.format("query")
    yield Endpoint("drivers", "sqlite3.connect", sqlite)
    names = "execute executemany executescript commit rollback"
    yield from _each("drivers", "sqlite3.Connection", names, sqlite)
    redis = "redis.asyncio.Redis, and await"
    for cls in ("redis.Redis", "redis.client.Redis"):
        yield Endpoint("drivers", f"{cls}.*", redis)


def _of_threads() -> Iterator[Endpoint]:
    lock = "asyncio.{}, with `async with` or `await`"
    for name in ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"):
        twin = lock.format(name.replace("RLock", "Lock"))
        yield from _each("locks", f"threading.{name}", "acquire wait __enter__", twin)
    yield from _each("locks", "threading.Event", "wait", lock.format("Event"))
    yield from _each("locks", "threading.Barrier", "wait", lock.format("Barrier"))
    for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
        twin = f"asyncio.{name.replace('Simple', '')}, and await"
        yield from _each("locks", f"queue.{name}", "get put join", twin)
    yield Endpoint("threads", "threading.Thread.join", _TO_THREAD.format("thread.join"))
    future = "await asyncio.wrap_future(future)"
    for cls in ("concurrent.futures._base.Future", "concurrent.futures.Future"):
        yield from _each("threads", cls, "result exception", future)
    yield Endpoint("threads", "concurrent.futures.wait", "await asyncio.wait(...)")


COMMON = tuple(_table())

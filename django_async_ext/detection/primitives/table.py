"""The functions of this layer that are written in Python, each with its remedy.

Contract: data only. Modules that the project does not import are not imported for it.
Most that ends in waiting for another thread is seen where that happens, in
``Condition.wait()``, which is not called when there is nothing to wait for; the rest
of them only leads there. Clients that this package gives its own sockets do not block
inside the bridge.
"""

from __future__ import annotations

from django_async_ext.detection.primitives import subjects
from django_async_ext.detection.rules import Endpoint

_EXEC = "await asyncio.create_subprocess_exec(...)"
_HTTPX = "httpx.AsyncClient, made once: await client.get(url)"
_STREAMS = "await asyncio.open_connection(host, port)"
_TLS = "await asyncio.open_connection(host, port, ssl=True)"
_FUTURE = "await asyncio.wrap_future(future)"
_POOL = "await asyncio.get_running_loop().run_in_executor(pool, ...)"
_MAIL = "await asyncio.to_thread(...), or a task"
_REDIS = "redis.asyncio, or the caches of django_async_ext.cache"
_MEMCACHED = "the caches of django_async_ext.cache"
_MYSQL = "the ORM's awaitables with an engine of django_async_ext.db, or aiomysql"
_QUEUE = "asyncio.Queue, or await asyncio.to_thread(queue.{})"


def _all(rule: str, prefix: str, names: str, remedy: str) -> tuple[Endpoint, ...]:
    """Return endpoints that block outside the bridge."""
    return tuple(Endpoint(rule, f"{prefix}.{n}", remedy) for n in names.split())


def _leads(rule: str, prefix: str, names: str, remedy: str) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(rule, f"{prefix}.{n}", remedy.format(n), leads=True, inside=True)
        for n in names.split()
    )


def _tls(name: str) -> Endpoint:
    blocks = subjects.blocking_socket
    return Endpoint("sockets", f"ssl.SSLSocket.{name}", _TLS, blocks, inside=True)


_NETWORK = (
    Endpoint(
        "dns",
        "socket.getaddrinfo",
        "await asyncio.get_running_loop().getaddrinfo(host, port)",
        inside=True,
        waits=subjects.lookup,
    ),
    *_leads("dns", "socket", "getfqdn", "await asyncio.to_thread(socket.getfqdn)"),
    Endpoint("sockets", "socket.create_connection", _STREAMS, inside=True),
    *map(_tls, ("read", "write", "recv", "recv_into", "send", "sendall")),
    *map(_tls, ("do_handshake", "unwrap")),
    *_all("sockets", "smtplib.SMTP", "connect docmd data sendmail send_message", _MAIL),
    *_all("sockets", "smtplib.SMTP", "login starttls quit", _MAIL),
    *_all("sockets", "smtplib.SMTP_SSL", "__init__", _MAIL),
    *_all("sockets", "ftplib.FTP", "connect", "await asyncio.to_thread(...)"),
    *_all("sockets", "imaplib.IMAP4", "open", "await asyncio.to_thread(...)"),
)

_HTTP = (
    *_all("http", "urllib.request", "urlopen urlretrieve", _HTTPX),
    *_all("http", "urllib.request.OpenerDirector", "open", _HTTPX),
    *_all("http", "http.client.HTTPConnection", "connect request getresponse", _HTTPX),
    *_all("http", "requests.sessions.Session", "request send", _HTTPX),
    *_all("http", "httpx.Client", "send", _HTTPX),
    *_all("http", "urllib3.PoolManager", "request urlopen", _HTTPX),
    *_all("http", "urllib3.HTTPConnectionPool", "urlopen", _HTTPX),
    *_all("http", "botocore.httpsession.URLLib3Session", "send", "aiobotocore"),
)

_PROCESSES = (
    *_all("subprocess", "subprocess", "run call check_call check_output", _EXEC),
    *_all("subprocess", "subprocess", "getoutput getstatusoutput", _EXEC),
    Endpoint("subprocess", "subprocess.Popen.__init__", _EXEC, inside=True),
    Endpoint(
        "subprocess",
        "subprocess.Popen.wait",
        f"{_EXEC}, then await process.wait()",
        subjects.running_process,
        inside=True,
        waits=subjects.timeout,
    ),
    Endpoint(
        "subprocess",
        "subprocess.Popen.communicate",
        f"{_EXEC}, then await process.communicate()",
        subjects.running_process,
        inside=True,
    ),
    Endpoint(
        "subprocess",
        "multiprocessing.process.BaseProcess.join",
        "await asyncio.to_thread(process.join)",
        subjects.living_thread,
        inside=True,
        waits=subjects.timeout,
    ),
)

_THREADS = (
    Endpoint(
        "threads",
        "threading.Thread.join",
        "await asyncio.to_thread(thread.join)",
        subjects.living_thread,
        inside=True,
        waits=subjects.timeout,
    ),
    Endpoint(
        "locks",
        "threading.Condition.wait",
        "asyncio.Condition, or await asyncio.to_thread(...)",
        inside=True,
        waits=subjects.timeout,
    ),
    *_leads("locks", "threading.Condition", "wait_for", "asyncio.Condition"),
    *_leads("locks", "threading.Event", "wait", "asyncio.Event"),
    *_leads("locks", "threading.Barrier", "wait", "asyncio.Barrier"),
    *_leads("locks", "threading.Semaphore", "acquire __enter__", "asyncio.Semaphore"),
    *_leads("locks", "queue.Queue", "get put join", _QUEUE),
    *_leads("threads", "concurrent.futures.Future", "result exception", _FUTURE),
    *_leads(
        "threads",
        "concurrent.futures",
        "wait",
        "await asyncio.wait([asyncio.wrap_future(f) for f in futures])",
    ),
    *_leads("threads", "concurrent.futures._base.Executor", "map __exit__", _POOL),
    *_leads(
        "threads", "concurrent.futures.thread.ThreadPoolExecutor", "shutdown", _POOL
    ),
    *_leads(
        "threads", "concurrent.futures.process.ProcessPoolExecutor", "shutdown", _POOL
    ),
    *_leads("threads", "multiprocessing.pool.ApplyResult", "get wait", _POOL),
    *_leads("threads", "multiprocessing.pool.Pool", "map apply starmap join", _POOL),
)

_DRIVERS = (
    *(
        Endpoint(
            "drivers",
            f"psycopg.Connection.{name}",
            "psycopg.AsyncConnection, or the ORM's awaitables",
            inside=True,
        )
        for name in ("connect", "wait")
    ),
    *_leads(
        "drivers",
        "psycopg_pool.ConnectionPool",
        "getconn connection wait",
        "psycopg_pool.AsyncConnectionPool",
    ),
    *_all("drivers", "psycopg2", "connect", "psycopg.AsyncConnection"),
    *_all("drivers", "MySQLdb.connections.Connection", "__init__ query", _MYSQL),
    *_all("drivers", "pymysql.connections.Connection", "connect query ping", _MYSQL),
    *_all("drivers", "redis.client.Redis", "execute_command", _REDIS),
    *_all("drivers", "redis.client.Pipeline", "execute", _REDIS),
    *_all("drivers", "redis.client.PubSub", "parse_response", _REDIS),
    *_all("drivers", "valkey.client.Valkey", "execute_command", _REDIS),
    *_all("drivers", "valkey.client.Pipeline", "execute", _REDIS),
    *_all(
        "drivers",
        "pymemcache.client.base.Client",
        "get gets get_many set set_many add replace append prepend cas delete "
        "delete_many incr decr touch stats version flush_all quit",
        _MEMCACHED,
    ),
)

TABLE: tuple[Endpoint, ...] = (
    *_NETWORK,
    *_HTTP,
    *_PROCESSES,
    *_THREADS,
    *_DRIVERS,
)

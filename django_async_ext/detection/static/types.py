"""What calls give, in the parts of Django and Python that matter for blocking.

Contract: data and small functions of values; knows no syntax trees. Names are
as ``outside.canonical()`` gives them, or as they are written where that is private.
"""

from __future__ import annotations

MODEL = "django.db.models.base.Model"
MANAGER = "django.db.models.manager.Manager"
BASE_MANAGER = "django.db.models.manager.BaseManager"
QUERYSET = "django.db.models.query.QuerySet"
RAW_QUERYSET = "django.db.models.query.RawQuerySet"
REQUEST = "django.http.request.HttpRequest"
SESSION = "django.contrib.sessions.backends.base.SessionBase"
LAZY_USER = "django.contrib.auth.middleware.request.user"
VIEW = "django.views.generic.base.View"
CACHE = "django.core.cache.backends.base.BaseCache"
CACHES = "django.core.cache.CacheHandler"
STORAGE = "django.core.files.storage.base.Storage"
CONNECTION = "django.db.backends.base.base.BaseDatabaseWrapper"
CONNECTIONS = "django.db.utils.ConnectionHandler"
USER_BASE = "django.contrib.auth.base_user.AbstractBaseUser"
USER_MANAGER = "django.contrib.auth.models.UserManager"
FOREIGN_KEY = "django.db.models.fields.related.ForeignKey"
MANY = "django.db.models.fields.related.ManyToManyField"
LIST = "builtins.list"
#: With the base class that Django 6.0 has taken out of the first.
PAGINATORS = ("django.core.paginator.Paginator", "django.core.paginator.BasePaginator")
PATH = "pathlib.Path"
FILE = "_io.TextIOWrapper"
FUTURE = "concurrent.futures._base.Future"
ATOMIC_BLOCK = "django.db.transaction.Atomic"

#: Methods of querysets and managers that give a queryset.
CHAINED = frozenset(
    (
        *("all", "alias", "annotate", "complex_filter", "defer", "difference"),
        *("distinct", "exclude", "extra", "filter", "get_queryset", "intersection"),
        *("only", "order_by", "prefetch_related", "reverse", "select_for_update"),
        *("select_related", "union", "using", "fetch_mode"),
    )
)
#: The same, whose rows are not model objects.
PLAIN = frozenset(("values", "values_list", "dates", "datetimes"))
#: Methods that give an object, and the awaitable ones.
SINGLE = frozenset(
    ("get", "first", "last", "latest", "earliest", "create", "get_or_create")
) | {"update_or_create"}
#: What brings the related objects along.
RELATED = frozenset(("select_related", "prefetch_related", "fetch_mode"))

#: Objects, by the name that they are imported by.
OBJECTS = {
    "django.core.cache.cache": (CACHE, "default"),
    "django.core.cache.caches": (CACHES, ""),
    "django.core.files.storage.default_storage": (STORAGE, "default"),
    "django.contrib.staticfiles.storage.staticfiles_storage": (STORAGE, "staticfiles"),
    "django.db.connection": (CONNECTION, "default"),
    "django.db.connections": (CONNECTIONS, ""),
}

#: What is in what, when it is subscripted.
ITEMS = {CACHES: CACHE, CONNECTIONS: CONNECTION}

#: What a call of a function, or of a method, gives: the class of an object.
RESULTS = {
    "builtins.open": FILE,
    "io.open": FILE,
    "threading.Lock": "threading.Lock",
    "threading.RLock": "threading.RLock",
    "django.db.transaction.atomic": "django.db.transaction.Atomic",
    "django.db.transaction.get_connection": CONNECTION,
    "requests.session": "requests.Session",
    "redis.from_url": "redis.Redis",
    "psycopg.connect": "psycopg.Connection",
    "psycopg2.connect": "psycopg.Connection",
    "sqlite3.connect": "sqlite3.Connection",
    "pymysql.connect": "psycopg.Connection",
    "MySQLdb.connect": "psycopg.Connection",
    "asyncio.run_coroutine_threadsafe": FUTURE,
    "asyncio.tasks.run_coroutine_threadsafe": FUTURE,
    "concurrent.futures._base.Executor.submit": FUTURE,
    "concurrent.futures.thread.ThreadPoolExecutor.submit": FUTURE,
    "concurrent.futures.process.ProcessPoolExecutor.submit": FUTURE,
    "django.db.backends.base.base.BaseDatabaseWrapper.cursor": (
        "django.db.backends.utils.CursorWrapper"
    ),
}

#: Methods and attributes of paths that give a path.
OF_PATHS = frozenset(
    (
        *("parent", "absolute", "cwd", "expanduser", "home", "joinpath", "resolve"),
        *("with_name", "with_stem", "with_suffix", "relative_to"),
    )
)

#: Functions that iterate over what they are given at once.
CONSUMERS = frozenset(
    f"builtins.{name}"
    for name in (
        *("list", "tuple", "set", "frozenset", "dict", "sorted", "sum", "min", "max"),
        *("any", "all", "next"),
    )
)
#: Those that iterate when they are iterated over.
LAZY = frozenset(
    f"builtins.{name}" for name in ("iter", "enumerate", "zip", "map", "filter")
) | {"builtins.reversed"}
#: Functions of one argument, and the method that they call.
BY_METHOD = {
    "builtins.len": "__len__",
    "builtins.bool": "__bool__",
    "builtins.str": "__repr__",
    "builtins.repr": "__repr__",
    "builtins.print": "__repr__",
}

#: Functions that run others elsewhere: with a thread, or in the bridge.
THREADS = frozenset(
    (
        "asgiref.sync.sync_to_async",
        "asgiref.sync.SyncToAsync",
        "channels.db.database_sync_to_async",
        "channels.db.DatabaseSyncToAsync",
    )
)
BRIDGE = frozenset(
    (
        "django_async_ext.on_loop",
        "django_async_ext.handlers.declaring.on_loop",
        "django_async_ext.bridge.on_loop",
    )
)
TO_THREAD = frozenset(
    ("asyncio.to_thread", "asyncio.threads.to_thread", "anyio.to_thread.run_sync")
)
#: Functions that give on what is awaited.
PASS_ON = frozenset(
    (
        *("asyncio.wait_for", "asyncio.tasks.wait_for", "asyncio.shield"),
        *("asyncio.create_task", "asyncio.tasks.create_task", "asyncio.tasks.shield"),
        *("asyncio.ensure_future", "asyncio.tasks.ensure_future"),
    )
)
#: Functions that load the querysets and objects that they are given.
LOADING = frozenset(
    (
        *(
            "django_async_ext.gather_queries",
            "django_async_ext.db.gather.gather_queries",
        ),
        *("django_async_ext.afetch", "django_async_ext.db.managers.afetch"),
    )
)
IMPLICIT = frozenset(
    ("django_async_ext.implicit_waits", "django_async_ext.driving.implicit_waits")
)
ALLOWING = frozenset(
    (
        "django_async_ext.detection.allow_blocking",
        "django_async_ext.detection.allowing.allow_blocking",
    )
)
ATOMIC = frozenset(("django.db.transaction.atomic",))
CONTEXTS = frozenset(("contextlib.contextmanager",))
PROPERTIES = frozenset(
    (
        *("builtins.property", "functools.cached_property"),
        "django.utils.functional.cached_property",
    )
)

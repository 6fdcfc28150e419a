"""Settings of the project's own tests; the servers come from the environment."""

import os
import tempfile
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ASYNC_EXT: dict[str, object] = {}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django_async_ext",
    "tests.library",
    "tests.contract",
]
# Tables are made without migrations, which is quicker.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}


def database(engine: str, url: str, name: str, **options: object) -> dict[str, object]:
    """Describe a database of a server."""
    server = urlsplit(url)
    return {
        "ENGINE": f"django_async_ext.db.backends.{engine}",
        "NAME": name,
        "USER": unquote(server.username or ""),
        "PASSWORD": unquote(server.password or ""),
        "HOST": server.hostname,
        "PORT": str(server.port or ""),
        "OPTIONS": options,
    }


def postgresql(name: str, **options: object) -> dict[str, object]:
    """Describe a database on the server of ``DATABASE_URL``."""
    return database("postgresql", os.environ["DATABASE_URL"], name, **options)


def mysql(alias: str, **options: object) -> dict[str, object]:
    """Describe a database on the server of ``MYSQL_URL``."""
    pool = {"max_size": 8, "timeout": 120}
    name, url = f"{NAME}_{alias}", os.environ["MYSQL_URL"]
    described = database("mysql", url, name, pool=pool, **options)
    return described | {"TEST": {"CHARSET": "utf8mb4"}}


# Several runs on one server at the same time need names of their own.
NAME = "async_ext" + os.environ.get("ASYNC_EXT_DB_SUFFIX", "")
# And one on the same machine a file of its own, which its child processes share.
RUN = os.environ.setdefault("ASYNC_EXT_RUN", str(os.getpid()))
FILE = f"{tempfile.gettempdir()}/{NAME}_{RUN}_threaded.sqlite3"
DATABASES = {
    "default": postgresql(NAME, pool={"max_size": 8, "timeout": 120}),
    "replica": postgresql(f"{NAME}_replica"),
    "sqlite": {
        "ENGINE": "django_async_ext.db.backends.sqlite3",
        "NAME": os.environ.get("SQLITE_PATH", "async_ext.sqlite3"),
    },
    "threaded": {
        **postgresql(f"{NAME}_threaded"),
        "ENGINE": "django_async_ext.db.backends.threaded",
        "OPTIONS": {"engine": "django.db.backends.postgresql"},
    },
    "threaded_sqlite": {
        "ENGINE": "django_async_ext.db.backends.threaded",
        "NAME": FILE,
        "OPTIONS": {"engine": "django.db.backends.sqlite3"},
        # In memory all connections would be one, and its tables locked.
        "TEST": {"NAME": f"{FILE}.test"},
    },
}

# Without a server the tests of MySQL are skipped, and in CI they fail.
if mysql_url := os.environ.get("MYSQL_URL"):
    DATABASES["mysql"] = mysql("mysql", driver="pymysql", ssl_disabled=True)
    if find_spec("MySQLdb"):
        DATABASES["mysqlclient"] = mysql("mysqlclient", driver="mysqlclient")

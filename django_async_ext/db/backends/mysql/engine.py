"""Django's MySQL engine, imported whichever driver is installed.

Contract: ``django_mysql`` is ``django.db.backends.mysql.base``, unchanged. It
imports mysqlclient by the name ``MySQLdb``. Where that is missing, PyMySQL
answers to the name while Django's engine is being imported, and not a moment
longer: other code that looks for mysqlclient does not find PyMySQL instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_async_ext.exceptions import describe

_STANDS_IN = (
    "",
    ".constants",
    ".constants.CLIENT",
    ".constants.FIELD_TYPE",
    ".converters",
)


def has_driver(name: str) -> bool:
    """Tell whether the module ``name`` can be imported."""
    if name in sys.modules:
        # None is how Python notes that a module must not be imported.
        return sys.modules[name] is not None
    return find_spec(name) is not None


def missing_driver(alias: str, wanted: str) -> ImproperlyConfigured:
    """Say that the driver which a database wants is not installed."""
    return ImproperlyConfigured(
        describe(
            "missing-driver",
            f"Database {alias!r} needs {wanted}, which is not installed.",
            "Install PyMySQL with: pip install 'django-async-ext[mysql]'. Or set "
            f"DATABASES[{alias!r}]['OPTIONS']['driver'] to 'mysqlclient' and install "
            "that.",
        )
    )


@contextmanager
def _pymysql_as_mysqldb() -> Iterator[None]:
    before = dict(sys.modules)
    names = [f"MySQLdb{name}" for name in _STANDS_IN]
    for name in names:
        sys.modules[name] = import_module(name.replace("MySQLdb", "pymysql", 1))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
            if name in before:
                sys.modules[name] = before[name]


def _import() -> Any:
    name = "django.db.backends.mysql.base"
    if has_driver("MySQLdb"):
        return import_module(name)
    if not has_driver("pymysql"):
        raise missing_driver("default", "PyMySQL or mysqlclient")
    with _pymysql_as_mysqldb():
        return import_module(name)


django_mysql = _import()

"""Writes, as JSON, the versions that a run of Django's suite is a run with.

Started by ``running.py`` with the settings of the run. ``server`` tells one
server from another of the same version that has other extensions or collations,
on which other tests of Django's run.
"""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version

import django
from django.db import connection

PACKAGES = ("psycopg", "asgiref", "greenlet", "PyMySQL", "mysqlclient")

VERSION = {
    "postgresql": "SELECT current_setting('server_version')",
    "sqlite": "SELECT sqlite_version()",
    "mysql": "SELECT version()",
}
FEATURES = {
    "postgresql": """
        SELECT datcollate, datctype, encoding,
            (SELECT string_agg(name || default_version, ' ' ORDER BY name)
             FROM pg_available_extensions),
            (SELECT count(*) FROM pg_collation WHERE collprovider = 'i') > 0
        FROM pg_database WHERE datname = current_database()
    """,
    "sqlite": "PRAGMA compile_options",
    "mysql": "SELECT @@sql_mode, @@character_set_server, @@collation_server",
}


def versions():
    """Return the versions by name."""
    found = {"Django": django.__version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    vendor = connection.vendor
    with _cursor(vendor) as cursor:
        cursor.execute(VERSION[vendor])
        found["database"] = cursor.fetchone()[0].split()[0]
        cursor.execute(FEATURES[vendor])
        features = repr(cursor.fetchall()).encode()
    found["server"] = hashlib.sha256(features).hexdigest()[:6]
    return found


def _cursor(vendor):
    if vendor == "sqlite":
        connection.settings_dict["NAME"] = ":memory:"
        return connection.cursor()
    return connection._nodb_cursor()


if __name__ == "__main__":
    django.setup()
    print(json.dumps(versions()))

"""Which driver a database uses: ``OPTIONS["driver"]``, or the first installed.

Contract: a driver is a module with ``connect(params)`` and ``connect_on_loop(params)``;
with ``adapt(params)``, which makes of Django's parameters its own; and with
``STREAMS``, which says whether its cursors can leave rows on the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_async_ext.db.backends.mysql.engine import has_driver, missing_driver
from django_async_ext.exceptions import describe

#: What is imported by the name of a driver, and where it is made ours.
DRIVERS = {"pymysql": ("pymysql", "native"), "mysqlclient": ("MySQLdb", "threaded")}


def choose(settings_dict: dict[str, Any], alias: str) -> Any:
    """Return the driver of a database; raise ``ImproperlyConfigured`` without one."""
    name = settings_dict["OPTIONS"].get("driver")
    if name is None:
        installed = [n for n, (module, _) in DRIVERS.items() if has_driver(module)]
        name = installed[0]
    elif name not in DRIVERS:
        raise ImproperlyConfigured(
            describe(
                "driver-option",
                f"DATABASES[{alias!r}]['OPTIONS']['driver'] is {name!r}.",
                "It must be 'pymysql', which waits on the event loop, or "
                "'mysqlclient', which runs in worker threads.",
            )
        )
    module, ours = DRIVERS[name]
    # Where a project called pymysql.install_as_MySQLdb(), that is not mysqlclient.
    if not has_driver(module) or import_module(module).__name__ != module:
        raise missing_driver(alias, name)
    return import_module(f"{__package__}.{ours}")

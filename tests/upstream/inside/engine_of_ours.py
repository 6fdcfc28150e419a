"""Puts the engine of this package into a test suite that knows nothing of it.

A plugin for pytest, which ``packages.py`` names in PYTEST_PLUGINS: so it is in
the processes too that a suite starts. Every ``ENGINE`` of Django's becomes ours
of the same name, and ``INSTALLED_APPS`` gets the application: what a user changes.
"""

from django.apps.registry import Apps
from django.db.utils import ConnectionHandler

configure_settings, populate = ConnectionHandler.configure_settings, Apps.populate


def with_our_engines(self, databases):
    """Follow Django: ``ConnectionHandler.configure_settings()``."""
    databases = configure_settings(self, databases)
    for database in databases.values():
        engine = database["ENGINE"]
        if engine.startswith("django.db.backends.") and "dummy" not in engine:
            database["ENGINE"] = f"django_async_ext{engine.removeprefix('django')}"
    return databases


def with_our_application(self, installed_apps=None):
    """Follow Django: ``Apps.populate()``."""
    from django.conf import settings

    if installed_apps is settings.INSTALLED_APPS:
        installed_apps = ["django_async_ext", *installed_apps]
    return populate(self, installed_apps)


ConnectionHandler.configure_settings = with_our_engines
Apps.populate = with_our_application

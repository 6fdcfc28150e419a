"""Loads the package's plugin for pytest, also where the package is not installed."""

from importlib.metadata import entry_points

PLUGIN = "django_async_ext.test.plugin"
_installed = {entry.value for entry in entry_points(group="pytest11")}
pytest_plugins = [] if PLUGIN in _installed else [PLUGIN]

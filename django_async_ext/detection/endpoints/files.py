"""Files: storages, static files, what a request has sent, templates on disk.

Contract: data only, and what tells whether a body or a template is on disk.
"""

from __future__ import annotations

from typing import Any

from django_async_ext.detection.endpoints.making import each, in_thread, shown_as
from django_async_ext.detection.guards.families import Family
from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.settings import current

_STORAGE = "django.core.files.storage"
_STATIC = "django.contrib.staticfiles"
_REQUEST = "django.http.request.HttpRequest"

_STORED = (
    "open save exists delete listdir size get_accessed_time get_created_time "
    "get_modified_time"
)

STORAGES = Family(
    "storage",
    f"{_STORAGE}.base.Storage",
    {name: in_thread(f"storage.{name}") for name in _STORED.split()}
    | {
        "_open": in_thread("storage.open"),
        "_save": in_thread("storage.save"),
        "is_name_available": in_thread("storage.save"),
    },
    silent=(f"{_STORAGE}.memory.InMemoryStorage",),
)

FINDERS = Family(
    "staticfiles",
    f"{_STATIC}.finders.BaseFinder",
    {"find": in_thread("finders.find"), "list": in_thread("finder.list")},
)


def _is_on_disk(request: Any) -> bool:
    """Tell whether the body of ``request`` has to be read from a file."""
    if hasattr(request, "_body"):
        return False
    return bool(getattr(getattr(request, "_stream", None), "_rolled", False))


def _is_read_each_time(loader: Any) -> bool:
    """Tell whether ``loader`` reads a template whenever it is used, or all counts."""
    cached = "django.template.loaders.cached"
    loaders = getattr(loader.engine, "template_loaders", ())
    return current().strict or all(type(each).__module__ != cached for each in loaders)


_BODY = in_thread("lambda: request.body").replace("(...)", "()")
_POST = in_thread("lambda: request.POST").replace("(...)", "()")
_CONTENTS = (
    "use the cached loader, and load templates when the process starts; or "
    "await sync_to_async(render)(...)"
)

TABLE: tuple[Endpoint, ...] = (
    *(
        Endpoint(
            "storage",
            f"{STORAGES.base}.{name}",
            in_thread(f"storage.{name}"),
            leads=True,
        )
        for name in _STORED.split()
    ),
    *each(
        "storage",
        "django.db.models.fields.files.FieldFile",
        "save",
        in_thread("object.file.save"),
    ),
    *each(
        "storage",
        "django.db.models.fields.files.FieldFile",
        "open",
        in_thread("object.file.open"),
    ),
    *each(
        "storage",
        "django.db.models.fields.files.FieldFile",
        "delete",
        in_thread("object.file.delete"),
    ),
    *each(
        "storage",
        "django.db.models.fields.files.FieldFile",
        "size",
        in_thread("object.file.open"),
    ),
    shown_as(
        "storage",
        "django.db.models.fields.files.FieldFile",
        "_get_file",
        "file",
        in_thread("object.file.open"),
    ),
    *each("staticfiles", f"{_STATIC}.finders", "find", in_thread("finders.find")),
    *each("staticfiles", f"{_STATIC}.views", "serve", in_thread("serve")),
    Endpoint("staticfiles", "django.views.static.serve", in_thread("serve")),
    Endpoint("request", f"{_REQUEST}.body", _BODY, _is_on_disk),
    Endpoint("request", f"{_REQUEST}.read", _BODY, _is_on_disk),
    Endpoint("request", f"{_REQUEST}.readline", _BODY, _is_on_disk),
    shown_as(
        "request", _REQUEST, "_load_post_and_files", "POST", _POST, leads=False
    )._replace(blocks=_is_on_disk),
    Endpoint(
        "templates",
        "django.template.loaders.filesystem.Loader.get_contents",
        _CONTENTS,
        _is_read_each_time,
    ),
)
FAMILIES = (STORAGES, FINDERS)

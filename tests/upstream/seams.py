"""Seams: what the package takes from Django, asgiref, psycopg and others.

Contract: a ``Seam`` says what such a thing is like: its signature and, where
our code takes the place of its body or follows it, a digest of its source.
``seams.json`` records that for every series of every package; ``complaints()``
holds what is found here against the record, and names our file to look at.

``python -m tests.upstream.deriving`` finds the seams of the Django installed
here, and with ``--record`` adds what is like that to the record.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

OURS = "django_async_ext"
TABLE = Path(__file__).with_name("seams.json")
COMMAND = "scripts/django-suite --canary --record"

#: Classes of ours that are combined with others only when they are used.
MIXED_WITH = {
    "django_async_ext.db.backends.eager.EagerCursor": [
        "django.db.backends.sqlite3.base.SQLiteCursorWrapper"
    ],
    "django_async_ext.db.backends.mysql.cursors.LoopCursor": [
        "pymysql.cursors.Cursor",
        "pymysql.cursors.SSCursor",
    ],
    "django_async_ext.db.backends.mysql.threaded.ThreadedCursor": [
        "MySQLdb.cursors.Cursor"
    ],
    "django_async_ext.db.backends.postgresql.pipeline.PipelinedCursor": [
        "psycopg.Cursor",
        "psycopg.ServerCursor",
    ],
    "django_async_ext.db.backends.postgresql.pipeline._PipelinedServerCursor": [
        "psycopg.ServerCursor"
    ],
    "django_async_ext.db.backends.turns.SharedCursor": [
        "psycopg.Cursor",
        "django.db.backends.sqlite3.base.SQLiteCursorWrapper",
        "django.db.backends.mysql.base.CursorWrapper",
    ],
    "django_async_ext.db.backends.worker.WorkerCursor": [
        "django.db.backends.sqlite3.base.SQLiteCursorWrapper"
    ],
}

#: Private names that the package uses on objects of which no inspection tells
#: the class, and where they are defined.
PRIVATE = {
    "_base_manager": "django.db.models.options.Options.base_manager",
    "_buffer": "redis._parsers.base._RESPBase.__init__",
    "_cached_user": "django.contrib.auth.middleware.get_user",
    "_finish_unbuffered_query": (
        "pymysql.connections.MySQLResult._finish_unbuffered_query"
    ),
    "_func_path": "django.urls.resolvers.ResolverMatch.__init__",
    "_from_testcase": "django.db.transaction.Atomic.__init__",
    "_get_permissions": "django.contrib.auth.backends.ModelBackend._get_permissions",
    "_handler_class": "django.http.response.HttpResponseBase.close",
    "_live_receivers": "django.dispatch.dispatcher.Signal.send",
    "_meta": "django.db.models.base.ModelBase.__new__",
    "_middleware_chain": "django.core.handlers.base.BaseHandler.load_middleware",
    "_resource_closers": "django.http.response.HttpResponseBase.__init__",
    "_set_suffix_to_test_databases": (
        "pytest_django.fixtures._set_suffix_to_test_databases"
    ),
    "_state": "django.db.models.base.Model.__init__",
    "_write_content": (
        "django.core.cache.backends.filebased.FileBasedCache._write_content"
    ),
}

#: Series by package, such as {"django": "6.1"}.
Labels = Mapping[str, str]


@dataclass
class Seam:
    """One thing of another package, and the files of ours that use it."""

    signature: str
    #: A digest, where our code follows the source.
    source: str = ""
    used_by: list[str] = field(default_factory=list)
    #: Whether it must be in the record; of public names that is not asked.
    must_be_known: bool = False


@dataclass
class Row:
    """What the record says of a seam: which series have it like that."""

    signature: dict[str, list[str]] = field(default_factory=dict)
    source: dict[str, list[str]] = field(default_factory=dict)
    used_by: list[str] = field(default_factory=list)

    def labels(self) -> set[str]:
        """Return the series for which it is recorded."""
        return {label for labels in self.signature.values() for label in labels}


Table = dict[str, Row]


def load_table(path: Path = TABLE) -> Table:
    """Read the record."""
    return {name: Row(**row) for name, row in json.loads(path.read_text()).items()}


def save_table(table: Table, path: Path = TABLE) -> None:
    """Write the record, a line for each seam."""
    lines = [f"{json.dumps(k)}: {json.dumps(vars(table[k]))}" for k in sorted(table)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def add_to(
    table: Table,
    seams: Mapping[str, Seam],
    labels: Labels,
    unseen: Container[str] = (),
) -> None:
    """Record what was found, and forget what these series no longer have.

    What was recorded for the same series before stays good: another patch
    release has it. Nothing is said of what the files in ``unseen`` use.
    """
    for name, row in list(table.items()):
        label = labels.get(package_of(name))
        if name in seams or label is None or any(it in unseen for it in row.used_by):
            continue
        for known in (row.signature, row.source):
            for like, series in list(known.items()):
                known[like] = [it for it in series if it != label]
                if not known[like]:
                    del known[like]
        if not row.signature:
            del table[name]
    for name, seam in seams.items():
        row, label = table.setdefault(name, Row()), labels[package_of(name)]
        row.used_by = seam.used_by
        for known, like in ((row.signature, seam.signature), (row.source, seam.source)):
            if like:
                known[like] = sorted({*known.get(like, []), label}, key=_order)


def complaints(
    table: Table,
    seams: Mapping[str, Seam],
    labels: Labels,
    unseen: Container[str] = (),
) -> Iterator[str]:
    """Say in words where what was found is not what the record says.

    What the files in ``unseen`` use could not be found.
    """
    newest = {
        package: _known_as(table, package, label) for package, label in labels.items()
    }
    for name, seam in seams.items():
        package = package_of(name)
        if complaint := _complaint(table.get(name), seam, newest[package]):
            yield (
                f"{name} of {package} {labels[package]}: {complaint} It is used by "
                f"{', '.join(seam.used_by)}: see that they still fit, then run "
                f"{COMMAND}"
            )
    for name, row in table.items():
        package = package_of(name)
        known = newest.get(package) in row.labels()
        if known and name not in seams and not any(it in unseen for it in row.used_by):
            yield (
                f"{name} is not in {package} {labels[package]} any more, or not used "
                f"any more. Look at {', '.join(row.used_by)}; then run {COMMAND}"
            )


def _complaint(row: Row | None, seam: Seam, label: str) -> str:
    if row is None or label not in row.labels():
        return "it is not in the record." if seam.must_be_known else ""
    if label not in row.signature.get(seam.signature, ()):
        before = [like for like, series in row.signature.items() if label in series]
        return f"it was {' or '.join(before)} and is {seam.signature}."
    if seam.source and label not in row.source.get(seam.source, ()):
        return "its source has changed, or is not in the record."
    return ""


def _known_as(table: Table, package: str, label: str) -> str:
    """Return ``label``, or the newest series of the record if it is not in it."""
    rows = (row for name, row in table.items() if package_of(name) == package)
    known = {one for row in rows for one in row.labels()}
    return label if label in known else max(known, key=_order, default=label)


def _order(label: str) -> list[int]:
    return [int(part) for part in label.split(".")]


# Names


def resolve(name: str) -> Any:
    """Return what a dotted name stands for; raise ``LookupError``."""
    parts = name.split(".") if name else []
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            try:
                found = inspect.getattr_static(found, part)
            except AttributeError:
                found = _attribute(found, part, name)
        return found
    raise LookupError(f"There is no {name!r}.")


def _attribute(found: Any, part: str, name: str) -> Any:
    try:
        return getattr(found, part)
    except AttributeError:
        raise LookupError(f"There is no {name!r}.") from None


def package_of(name: str) -> str:
    """Return the top-level package of a dotted name."""
    return name.partition(".")[0]


def is_upstream(name: str) -> bool:
    """Tell whether a module is another package's, and not the standard library's."""
    package = package_of(name)
    return package not in ("", OURS) and package not in sys.stdlib_module_names


def is_installed(name: str) -> bool:
    """Tell whether the package of a dotted name is there."""
    return importlib.util.find_spec(package_of(name)) is not None


def dotted(thing: Any) -> str:
    """Return the dotted name of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"


# What a seam is like


def function_of(thing: Any) -> Any:
    """Return the function in a property, a class method or a decorated function."""
    if isinstance(thing, property):
        thing = thing.fget
    thing = getattr(thing, "__func__", thing)
    if type(thing).__name__ == "cached_property":
        thing = thing.func
    return inspect.unwrap(thing) if callable(thing) else thing


def signature_of(thing: Any) -> str:
    """Describe names, kinds and optional parameters, alike on every Python."""
    if inspect.isclass(thing):
        return "class"
    if not inspect.isroutine(function_of(thing)):
        return type(thing).__name__
    try:
        parameters = inspect.signature(function_of(thing)).parameters.values()
    except ValueError:
        return "built-in"
    return f"({', '.join(map(_parameter, parameters))})"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    name = stars.get(parameter.kind, "") + parameter.name
    optional = "" if parameter.default is parameter.empty else "=..."
    by_name = " (keyword)" if parameter.kind == parameter.KEYWORD_ONLY else ""
    return name + optional + by_name


def digest_of(thing: Any) -> str:
    """Digest the source, without what comments and blank lines say."""
    lines = [line.rstrip() for line in source_of(function_of(thing)).splitlines()]
    kept = [line for line in lines if line and not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:12] if kept else ""


@cache
def source_of(thing: Any) -> str:
    """Return the source of a class or function, or "" for a built-in one."""
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        return ""


def mentions(thing: Any, name: str) -> bool:
    """Tell whether a class or function is ``name``, or uses it as an attribute."""
    return bool(re.search(rf"(?:\.|def ){name}\b", source_of(function_of(thing))))

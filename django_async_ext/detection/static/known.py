"""Finds what is known of a function by its name: that it blocks, and the remedy.

Contract: reads the tables of the other layers, so that a remedy is the same wherever
it is said; ``common`` adds names that those see only deeper down. What blocks by
circumstances that no source tells is left out. A name counts as it is written and as
it is defined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from django_async_ext.detection.endpoints import FAMILIES, database, table
from django_async_ext.detection.primitives import audit, builtin, subjects
from django_async_ext.detection.primitives.table import TABLE
from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.settings import current
from django_async_ext.detection.static import outside
from django_async_ext.detection.static.common import common

_RELATED = "django.db.models.fields.related_descriptors"
_MANY = f"{_RELATED}.create_forward_many_to_many_manager.<locals>.ManyRelatedManager."
_QUERYSET = "django.db.models.query.QuerySet."

#: Classes whose methods are called on others here: only forms of models query, and
#: what is related is taken for a queryset.
_CALLED_ON = {
    "django.forms.forms.BaseForm.": "django.forms.models.BaseModelForm.",
    "django.forms.formsets.BaseFormSet.": "django.forms.models.BaseModelFormSet.",
    **{f"{_MANY}{name}": f"{_QUERYSET}{name}" for name in ("add", "clear", "remove")},
    f"{_MANY}set": f"{_QUERYSET}set",
}
#: What only leads to blocking, and mostly does not: rendering of what is loaded,
#: messages in cookies, a page that was counted when it was made, the end of a pool
#: whose futures were awaited.
_BY_CIRCUMSTANCES = (
    *("django.template.", "django.shortcuts.render", "django.contrib.messages."),
    *("django.forms.utils.RenderableMixin.", "django.db.transaction.on_commit"),
    *(
        f"django.core.paginator.Page.{name}"
        for name in ("has_", "next_page_number", "end_index")
    ),
    *("concurrent.futures.thread.", "concurrent.futures.process."),
    "concurrent.futures._base.Executor.__exit__",
)
_IN_STRICT_MODE = (
    subjects.in_strict_mode,
    subjects.slow_file,
    subjects.slow_descriptor,
)


def endpoints() -> list[Endpoint]:
    """Return all that is known to block, the most general first."""
    layers = [*_of_django(), *_of_python()]
    by_name = {each.name: each for each in layers}
    found = [*by_name.values(), *common(by_name)]
    return [each for each in found if current().strict or not _is_strict(each)]


def _of_django() -> Iterator[Endpoint]:
    for family in FAMILIES:
        for name, remedy in family.remedies.items():
            yield Endpoint(family.rule, f"{family.base}.{name}", remedy)
    for each in (*table(), database.UNSAFE):
        called = _called(each)
        # What has a condition depends on what a request has sent.
        if called.blocks is None and _is_callable(called.name):
            yield called


def _of_python() -> Iterator[Endpoint]:
    events = (event.endpoint for event in audit.EVENTS.values())
    for each in chain(events, builtin.endpoints(), TABLE):
        if _is_callable(each.name):
            yield each


def _called(endpoint: Endpoint) -> Endpoint:
    for owner, other in _CALLED_ON.items():
        if endpoint.name.startswith(owner):
            name = other + endpoint.name.removeprefix(owner)
            return endpoint._replace(name=name)
    return endpoint


def _is_callable(name: str) -> bool:
    """Tell whether code calls it by that name, and it blocks then."""
    if name.startswith(_BY_CIRCUMSTANCES) or "<locals>" in name:
        return False
    return not name.endswith((".*", ".__get__"))


def _is_strict(endpoint: Endpoint) -> bool:
    return endpoint.blocks in _IN_STRICT_MODE


class Table:
    """All that is known to block, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Endpoint] = {}
        found = endpoints()
        for each in found:
            self._by_name[each.name] = each
        # What is passed on is defined elsewhere; that must not displace anything.
        for each in found:
            for name in _other_names(each.name):
                self._by_name.setdefault(name, each)

    def function(self, name: str) -> Endpoint | None:
        """Return what is known of a function outside of the project."""
        known = self._by_name
        return known.get(name) or known.get(outside.canonical(name))

    def method(self, lineage: Iterable[str], name: str) -> Endpoint | None:
        """Return what is known of a method of a class with these bases."""
        for cls in lineage:
            found = self._by_name.get(f"{cls}.{name}")
            if found is None and not name.startswith("_"):
                found = self._by_name.get(f"{cls}.*")
            if found is not None:
                return found
        return None

    def constructor(self, lineage: Iterable[str]) -> Endpoint | None:
        """Return what is known of making an object of a class with these bases."""
        found = (self.function(cls) for cls in lineage)
        return next((each for each in found if each is not None), None)


def _other_names(name: str) -> Iterator[str]:
    owner, _, method = name.rpartition(".")
    if not isinstance(outside.find(owner), type):
        yield outside.canonical(name)
        return
    # Not where a method is defined: that is of other classes too.
    yield f"{outside.canonical(owner)}.{method}"
    if method == "__init__":
        yield owner

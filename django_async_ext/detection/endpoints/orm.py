"""Queries: querysets, models, relations, and what is built of them.

Contract: data only. All of it leads to a cursor, which ``database`` guards.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

from django_async_ext.detection import frames
from django_async_ext.detection.endpoints.making import (
    each,
    in_thread,
    shown_as,
    twins,
)
from django_async_ext.detection.rules import Endpoint

_QUERY = "django.db.models.query"
_RELATED = "django.db.models.fields.related_descriptors"
_MODEL = "django.db.models.base.Model"
_GENERIC = "django.contrib.contenttypes.fields"

_LOOP = "async for row in queryset, or [row async for row in queryset]"
_OR = "or, with the rows, rows = [row async for row in queryset]"
_LOAD_BEFORE = (
    "load it with the query: select_related({0!r}) or prefetch_related({0!r}); "
    "or await sync_to_async(getattr)(object, {0!r})"
)
_LOAD_FIELD = (
    "load it with the query, without defer() or only(); or "
    "await object.arefresh_from_db(fields=[{0!r}])"
)


def _relation(frame: FrameType) -> Endpoint | None:
    return _attribute(frame, _relation_name(frame.f_locals["self"]), _LOAD_BEFORE)


def _relation_name(descriptor: Any) -> str:
    if (related := getattr(descriptor, "related", None)) is not None:
        return str(related.get_accessor_name())
    return str(getattr(descriptor, "field", descriptor).name)


def _deferred(frame: FrameType) -> Endpoint | None:
    return _attribute(frame, frame.f_locals["self"].field.attname, _LOAD_FIELD)


def _attribute(frame: FrameType, name: str, remedy: str) -> Endpoint:
    model = type(frame.f_locals["instance"])
    path = f"{model.__module__}.{model.__qualname__}.{name}"
    return Endpoint("orm", path, remedy.format(name))


def _own_method(frame: FrameType) -> Endpoint | None:
    name = frame.f_code.co_name
    return Endpoint("orm", frames.name(frame), in_thread(f"queryset.{name}"))


_OWN = (
    "await sync_to_async(queryset.method)(...), or a method of your own that awaits "
    "Django's awaitables"
)
_SET = "add clear create get_or_create remove set update_or_create"

TABLE: tuple[Endpoint, ...] = (
    *twins(
        "orm",
        f"{_QUERY}.QuerySet",
        "aggregate bulk_create bulk_update contains count create delete earliest "
        "exists explain first get get_or_create in_bulk last latest update "
        "update_or_create",
        "queryset",
    ),
    *each("orm", f"{_QUERY}.QuerySet", "__iter__ __repr__ __getstate__", _LOOP),
    *each("orm", f"{_QUERY}.QuerySet", "__len__", f"await queryset.acount(); {_OR}"),
    *each("orm", f"{_QUERY}.QuerySet", "__bool__", f"await queryset.aexists(); {_OR}"),
    *each(
        "orm",
        f"{_QUERY}.QuerySet",
        "__getitem__",
        "await queryset.afirst(), or [row async for row in queryset[:10]]",
    ),
    shown_as(
        "orm",
        f"{_QUERY}.QuerySet",
        "_iterator",
        "iterator",
        "async for row in queryset.aiterator()",
    ),
    *each("orm", f"{_QUERY}.QuerySet", "*", _OWN, _own_method),
    *each("orm", "django.db.models.manager.BaseManager", "*", _OWN, _own_method),
    *each(
        "orm",
        f"{_QUERY}.RawQuerySet",
        "__iter__ __len__ __bool__ __getitem__ iterator",
        in_thread("lambda: list(queryset)").replace("(...)", "()"),
    ),
    *twins("orm", _QUERY, "prefetch_related_objects"),
    *twins("orm", _MODEL, "save delete refresh_from_db", "object"),
    *each("orm", _MODEL, "full_clean", in_thread("object.full_clean")),
    *each("orm", _MODEL, "validate_unique", in_thread("object.validate_unique")),
    *each(
        "orm", _MODEL, "validate_constraints", in_thread("object.validate_constraints")
    ),
    *each("orm", _MODEL, "save_base", in_thread("object.save_base")),
    shown_as(
        "orm",
        _MODEL,
        "_get_next_or_previous_by_FIELD",
        "get_next_by_FOO",
        "await sync_to_async(object.get_next_by_...)()",
    ),
    shown_as(
        "orm",
        _MODEL,
        "_get_next_or_previous_in_order",
        "get_next_in_order",
        "await sync_to_async(object.get_next_in_order)()",
    ),
    *each(
        "orm",
        _RELATED,
        "ForwardManyToOneDescriptor.__get__ ReverseOneToOneDescriptor.__get__",
        _LOAD_BEFORE.format("relation"),
        _relation,
    ),
    *each(
        "orm",
        _GENERIC,
        "GenericForeignKeyDescriptor.__get__ GenericForeignKey.__get__",
        _LOAD_BEFORE.format("relation"),
        _relation,
    ),
    *each(
        "orm",
        "django.db.models.query_utils.DeferredAttribute",
        "__get__",
        _LOAD_FIELD.format("field"),
        _deferred,
    ),
    *twins(
        "orm",
        f"{_RELATED}.create_reverse_many_to_one_manager.<locals>.RelatedManager",
        _SET,
        "object.relation",
    ),
    *twins(
        "orm",
        f"{_RELATED}.create_forward_many_to_many_manager.<locals>.ManyRelatedManager",
        _SET,
        "object.relation",
    ),
    *each(
        "orm",
        f"{_RELATED}.create_forward_many_to_many_manager.<locals>.ManyRelatedManager",
        "count exists",
        "await object.relation.all().acount(), await object.relation.all().aexists()",
    ),
    *twins(
        "orm",
        f"{_GENERIC}.create_generic_related_manager.<locals>"
        ".GenericRelatedObjectManager",
        _SET,
        "object.relation",
    ),
    *each(
        "orm",
        "django.contrib.contenttypes.models.ContentTypeManager",
        "get_for_model get_for_models get_for_id get_by_natural_key",
        "await sync_to_async(ContentType.objects.get_for_model)(...); once it is "
        "cached, it does not block",
    ),
    *each(
        "orm",
        "django.contrib.contenttypes.models.ContentType",
        "get_object_for_this_type get_all_objects_for_this_type",
        "await content_type.model_class().objects.aget(...)",
    ),
    *each(
        "orm",
        "django.contrib.sites.models.SiteManager",
        "get_current get_by_natural_key",
        "await sync_to_async(get_current_site)(request); once it is cached, it does "
        "not block",
    ),
    *each(
        "orm",
        "django.contrib.sites.shortcuts",
        "get_current_site",
        "await sync_to_async(get_current_site)(request); once it is cached, it does "
        "not block",
    ),
    *each(
        "orm",
        "django.core.paginator.Paginator",
        "count num_pages get_page page validate_number page_range",
        "AsyncPaginator of Django 6.0 and newer, or await sync_to_async("
        "paginator.get_page)(...)",
    ),
    *each(
        "orm",
        "django.core.paginator.Page",
        "__len__ __getitem__ has_next has_previous has_other_pages "
        "next_page_number end_index",
        "AsyncPaginator of Django 6.0 and newer, or await sync_to_async("
        "paginator.get_page)(...)",
    ),
    *each(
        "orm",
        "django.core.management",
        "call_command",
        in_thread("call_command"),
    ),
)

"""Django's database layer, called synchronously on the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.shortcuts import get_object_or_404

from benchmarks.detector.operations import blocking

if TYPE_CHECKING:
    from benchmarks.detector.world import World


@blocking("orm")
async def get(w: World) -> None:
    w.User.objects.get(pk=w.user.pk)  # blocks


@blocking("orm")
async def first(w: World) -> None:
    w.User.objects.order_by("pk").first()  # blocks


@blocking("orm")
async def count(w: World) -> None:
    w.User.objects.count()  # blocks


@blocking("orm")
async def exists(w: World) -> None:
    w.User.objects.filter(is_staff=True).exists()  # blocks


@blocking("orm")
async def iterate(w: World) -> None:
    found = w.User.objects.filter(is_active=True)
    for _ in found:  # blocks
        pass


@blocking("orm")
async def comprehend(w: World) -> None:
    [user.username for user in w.User.objects.all()]  # blocks


@blocking("orm")
async def test_of_a_queryset(w: World) -> None:
    if w.User.objects.filter(is_staff=True):  # blocks
        pass


@blocking("orm")
async def stream(w: World) -> None:
    list(w.User.objects.iterator())  # blocks


@blocking("orm")
async def create(w: World) -> None:
    w.Group.objects.create(name=w.fresh_name())  # blocks


@blocking("orm")
async def bulk_create(w: World) -> None:
    groups = [w.Group(name=w.fresh_name()) for _ in range(3)]
    w.Group.objects.bulk_create(groups)  # blocks


@blocking("orm")
async def save(w: World) -> None:
    w.user.first_name = "changed"
    w.user.save()  # blocks


@blocking("orm")
async def delete(w: World) -> None:
    w.group.delete()  # blocks


@blocking("orm")
async def update(w: World) -> None:
    w.User.objects.filter(pk=w.user.pk).update(last_name="x")  # blocks


@blocking("orm")
async def lazy_relation(w: World) -> None:
    str(w.permission.content_type)  # blocks


@blocking("orm")
async def deferred_field(w: World) -> None:
    str(w.deferred.last_name)  # blocks


@blocking("orm")
async def add_to_many(w: World) -> None:
    w.user.groups.add(w.group)  # blocks


@blocking("orm")
async def refresh(w: World) -> None:
    w.user.refresh_from_db()  # blocks


@blocking("orm")
async def query_of_sqlite(w: World) -> None:
    w.User.objects.using("lite").count()  # blocks


@blocking("orm")
async def raw_cursor(w: World) -> None:
    connections["default"].cursor().execute("SELECT 1")  # blocks


@blocking("orm", stalls=True)
async def slow_query(w: World) -> None:
    list(w.User.objects.raw(w.slow_sql))  # blocks


@blocking("orm")
async def atomic(w: World) -> None:
    with transaction.atomic():  # blocks
        pass


@blocking("orm")
async def object_or_404(w: World) -> None:
    get_object_or_404(w.User, pk=w.user.pk)  # blocks


@blocking("orm")
async def page_of_results(w: World) -> None:
    len(w.paginator.page(1).object_list)  # blocks


@blocking("orm")
async def content_type(w: World) -> None:
    w.ContentType.objects.get_for_model(w.User)  # blocks

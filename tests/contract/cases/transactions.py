"""Blocks, savepoints, hooks and locks: synchronous code beside its awaitable twin."""

from collections.abc import Awaitable, Callable
from typing import Any

from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models.signals import post_save

from django_async_ext import aatomic, aon_commit, on_loop
from tests.contract.case import Case, pair
from tests.contract.cases.reading import book, books
from tests.contract.models import Genre


class StopError(Exception):
    """Ends a block."""


class Steps:
    """Django's functions, for code that is written once for both worlds.

    ``await`` gives what a synchronous call gave, so that a coroutine which awaits
    nothing else runs to its end at once.
    """

    def __init__(self, db: str) -> None:
        self.db = db
        self.log: list[Any] = []

    async def do(self, fn: Callable[[], Any]) -> Any:
        return fn()

    def atomic(self, **options: Any) -> Any:
        return _Entered(transaction.atomic(self.db, **options))

    async def on_commit(self, hook: Callable[[], Any], **options: Any) -> None:
        transaction.on_commit(hook, using=self.db, **options)

    async def create(self, name: str) -> Any:
        return Genre.objects.using(self.db).create(name=name)

    async def names(self) -> Any:
        found = Genre.objects.using(self.db).order_by("pk")
        return list(found.values_list("name", flat=True))

    def wrapper(self) -> Any:
        return connections[self.db]

    async def note(self, *more: Any) -> None:
        """Note where the connection stands."""
        wrapper = self.wrapper()
        block, broken = wrapper.in_atomic_block, wrapper.needs_rollback
        self.log.append((*more, block, broken, len(wrapper.savepoint_ids)))


class AsyncSteps(Steps):
    """The same by way of the awaitables."""

    async def do(self, fn: Callable[[], Any]) -> Any:
        return await on_loop(fn)()

    def atomic(self, **options: Any) -> Any:
        return aatomic(self.db, **options)

    async def on_commit(self, hook: Callable[[], Any], **options: Any) -> None:
        await aon_commit(hook, using=self.db, **options)

    async def create(self, name: str) -> Any:
        return await Genre.objects.using(self.db).acreate(name=name)

    async def names(self) -> Any:
        found = Genre.objects.using(self.db).order_by("pk")
        return await found.values_list("name", flat=True)


class _Entered:
    """A synchronous block where an asynchronous one is written."""

    def __init__(self, block: Any) -> None:
        self.block = block

    async def __aenter__(self) -> Any:
        return self.block.__enter__()

    async def __aexit__(self, *exc_info: Any) -> Any:
        return self.block.__exit__(*exc_info)


def once(write: Callable[[Any], Awaitable[Any]]) -> Case:
    """Make a case of a coroutine function of ``Steps``."""

    def synchronous(db: str) -> Any:
        steps = Steps(db)
        try:
            write(steps).send(None)  # type: ignore[attr-defined]
        except StopIteration as stop:
            return stop.value, steps.log
        raise AssertionError("it waited for something that is not of Steps")

    async def awaitable(db: str) -> Any:
        steps = AsyncSteps(db)
        return await write(steps), steps.log

    return pair(synchronous, awaitable)


async def commit(do: Any) -> Any:
    async with do.atomic():
        await do.create("a")
        await do.note()
    await do.note()
    return await do.names()


async def rollback(do: Any) -> Any:
    try:
        async with do.atomic():
            await do.create("a")
            raise StopError
    except StopError as error:
        await do.note(type(error).__name__)
    return await do.names()


async def nested(do: Any) -> Any:
    async with do.atomic():
        await do.create("a")
        async with do.atomic():
            await do.create("b")
            await do.note()
        try:
            async with do.atomic():
                await do.create("c")
                raise StopError
        except StopError:
            await do.note()
    return await do.names()


async def without_savepoint(do: Any) -> Any:
    async with do.atomic():
        await do.create("a")
        try:
            async with do.atomic(savepoint=False):
                await do.create("b")
                raise StopError
        except StopError:
            await do.note()
        return await do.names()


async def durable(do: Any) -> Any:
    async with do.atomic(durable=True):
        await do.create("a")
    async with do.atomic(), do.atomic(durable=True):
        await do.create("b")


async def broken(do: Any) -> Any:
    async with do.atomic():
        try:
            await do.create("g1")
        except IntegrityError as error:
            await do.note(type(error).__name__)
        return await do.names()


async def mended(do: Any) -> Any:
    async with do.atomic():
        try:
            async with do.atomic():
                await do.create("g1")
        except IntegrityError:
            await do.note()
        await do.create("a")
    return await do.names()


async def rollback_on_request(do: Any) -> Any:
    async with do.atomic():
        await do.create("a")
        await do.do(lambda: transaction.set_rollback(True, using=do.db))
        await do.note(await do.do(lambda: transaction.get_rollback(using=do.db)))
    return await do.names()


async def hooks(do: Any) -> Any:
    await do.on_commit(lambda: do.log.append("at once"))
    async with do.atomic():
        await do.on_commit(lambda: do.log.append("outer"))
        async with do.atomic():
            await do.on_commit(lambda: do.log.append("inner"))
        try:
            async with do.atomic():
                await do.on_commit(lambda: do.log.append("never"))
                raise StopError
        except StopError:
            pass
        await do.on_commit(lambda: do.log.append("last"))
        await do.note()
    await do.note()


async def hooks_that_query(do: Any) -> Any:
    def hook() -> None:
        with transaction.atomic(do.db):
            Genre.objects.using(do.db).create(name="hooked")
            transaction.on_commit(lambda: do.log.append("again"), using=do.db)

    async with do.atomic():
        await do.create("a")
        await do.on_commit(hook)
    return await do.names()


async def hooks_that_fail(do: Any) -> Any:
    def fail() -> None:
        raise StopError("hook")

    async with do.atomic():
        await do.on_commit(lambda: do.log.append("first"))
        await do.on_commit(fail)
        await do.on_commit(lambda: do.log.append("not reached"))


async def hooks_that_may_fail(do: Any) -> Any:
    def fail() -> None:
        do.log.append("fails")
        raise StopError("hook")

    async with do.atomic():
        await do.on_commit(fail, robust=True)
        await do.on_commit(lambda: do.log.append("reached"))


async def a_hook_that_is_none(do: Any) -> Any:
    async with do.atomic():
        await do.on_commit("hook")


async def savepoints_by_hand(do: Any) -> Any:
    def work() -> None:
        kept = transaction.savepoint(using=do.db)
        Genre.objects.using(do.db).create(name="b")
        transaction.savepoint_rollback(kept, using=do.db)
        other = transaction.savepoint(using=do.db)
        Genre.objects.using(do.db).create(name="c")
        transaction.savepoint_commit(other, using=do.db)
        transaction.clean_savepoints(using=do.db)

    async with do.atomic():
        await do.do(work)
    return await do.names()


async def commit_by_hand(do: Any) -> Any:
    async with do.atomic():
        await do.do(lambda: transaction.commit(using=do.db))


async def no_autocommit(do: Any) -> Any:
    def work() -> None:
        transaction.set_autocommit(False, using=do.db)
        try:
            Genre.objects.using(do.db).create(name="a")
            transaction.commit(using=do.db)
            Genre.objects.using(do.db).create(name="b")
            transaction.rollback(using=do.db)
        finally:
            transaction.set_autocommit(True, using=do.db)

    await do.do(work)
    return await do.names()


async def autocommit_in_a_block(do: Any) -> Any:
    async with do.atomic():
        await do.do(lambda: transaction.set_autocommit(True, using=do.db))


async def rollback_outside(do: Any) -> Any:
    await do.do(lambda: transaction.set_rollback(True, using=do.db))


def locks(**options: Any) -> Any:
    async def write(do: Any) -> Any:
        async with do.atomic():
            rows = books(do.db).select_for_update(**options).filter(pk__lt=3)
            found = await do.do(lambda: list(rows))
            await do.do(lambda: rows.update(stock=99))
            return found

    return once(write)


async def lock_over_relations(do: Any) -> Any:
    async with do.atomic():
        rows = books(do.db).select_related("author").select_for_update(of=("self",))
        return await do.do(lambda: list(rows[:2]))


async def lock_one(do: Any) -> Any:
    async with do.atomic():
        one = await do.do(lambda: book(do.db))
        await do.do(
            lambda: one.refresh_from_db(
                from_queryset=books(do.db).select_for_update().using(do.db)
            )
        )
        return one


async def receivers(do: Any) -> Any:
    def receive(instance: Any, **kwargs: Any) -> None:
        do.log.append((instance.name, connections[do.db].in_atomic_block))
        if instance.name == "a":
            Genre.objects.using(do.db).create(name="by the receiver")

    post_save.connect(receive, sender=Genre)
    try:
        async with do.atomic():
            await do.create("a")
        await do.create("b")
    finally:
        post_save.disconnect(receive, sender=Genre)
    return await do.names()


async def receivers_that_fail(do: Any) -> Any:
    def receive(**kwargs: Any) -> None:
        raise StopError("receiver")

    post_save.connect(receive, sender=Genre)
    try:
        await do.create("a")
    except StopError:
        return await do.names()
    finally:
        post_save.disconnect(receive, sender=Genre)


async def constraints_at_the_end(do: Any) -> Any:
    wrapper = connections[do.db]
    async with do.atomic():
        await do.create("a")
        await do.do(lambda: wrapper.check_constraints())
    return await do.names()


async def a_key_that_is_missing(do: Any) -> Any:
    async with do.atomic():
        await do.do(lambda: Genre.objects.using(do.db).create(name="a", parent_id=77))
    return await do.names()


async def bad_sql(do: Any) -> Any:
    def work() -> None:
        with connections[do.db].cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    try:
        await do.do(work)
    except DatabaseError as error:
        return type(error).__name__, await do.names()


async def cursors(do: Any) -> Any:
    def work() -> Any:
        with connections[do.db].cursor() as cursor:
            cursor.execute("SELECT name FROM contract_genre ORDER BY id")
            found = [cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()]
            cursor.executemany(
                "UPDATE contract_genre SET name = %s WHERE id = %s",
                [("x1", 1), ("x2", 2)],
            )
            changed = cursor.rowcount
            cursor.execute("SELECT name FROM contract_genre WHERE id = %s", [2])
            return [*found, changed, list(cursor), [c[0] for c in cursor.description]]

    return await do.do(work)


async def execute_wrappers(do: Any) -> Any:
    def log(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        do.log.append((sql, params, many))
        return execute(sql, params, many, context)

    def work() -> Any:
        with connections[do.db].execute_wrapper(log):
            return Genre.objects.using(do.db).get(pk=1)

    return await do.do(work)


CASES = {
    f"transaction: {name}": case
    for name, case in {
        "commit": once(commit),
        "rollback": once(rollback),
        "nested": once(nested),
        "without a savepoint": once(without_savepoint),
        "durable": once(durable),
        "broken": once(broken),
        "mended": once(mended),
        "rollback on request": once(rollback_on_request),
        "hooks": once(hooks),
        "hooks that query": once(hooks_that_query),
        "hooks that fail": once(hooks_that_fail),
        "hooks that may fail": once(hooks_that_may_fail),
        "a hook that is none": once(a_hook_that_is_none),
        "savepoints by hand": once(savepoints_by_hand),
        "commit by hand": once(commit_by_hand),
        "no autocommit": once(no_autocommit),
        "autocommit in a block": once(autocommit_in_a_block),
        "rollback outside": once(rollback_outside),
        "locks": locks(),
        "locks, nowait": locks(nowait=True),
        "locks, skip_locked": locks(skip_locked=True),
        "locks, both": locks(nowait=True, skip_locked=True),
        "locks, no key": locks(no_key=True),
        "locks of nothing": locks(of=("nothing",)),
        "locks over relations": once(lock_over_relations),
        "a lock on one": once(lock_one),
        "receivers": once(receivers),
        "receivers that fail": once(receivers_that_fail),
        "constraints at the end": once(constraints_at_the_end),
        "a key that is missing": once(a_key_that_is_missing),
        "bad SQL": once(bad_sql),
        "cursors": once(cursors),
        "execute wrappers": once(execute_wrappers),
    }.items()
}

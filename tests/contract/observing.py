"""What is to be the same whether code ran synchronously or on the loop.

An ``Outcome`` holds the result or the exception, the statements, the signals and,
where something was written, all rows of the database afterwards.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.models import signals
from django.db.models.query import QuerySet, RawQuerySet
from django.utils.timezone import is_aware

from django_async_ext import on_loop
from tests.contract.data import KNOWN, MODELS

SIGNALS = {
    name: getattr(signals, name)
    for name in (
        *("pre_init", "post_init", "pre_save", "post_save"),
        *("pre_delete", "post_delete", "m2m_changed"),
    )
}

#: What differs between any two runs: keys of new rows, and names made of them.
VARYING = re.compile(r"\d{6,}(?:_x\d+)?|_django_curs_\w+")
#: Keys of rows that were read in no order: the database's own changes at any time.
KEYS = re.compile(r"IN \((\d+(?:, \d+)+)\)")
#: What MySQL takes to open a connection: when that happens is the pool's business.
SETTING_UP = re.compile(r"\s*SET SESSION TRANSACTION ISOLATION")
WRITES = re.compile(r"^\W*(\d+ times: )?(INSERT|UPDATE|DELETE|REPLACE)", re.I)


class Outcome(NamedTuple):
    """How a run ended, and what it did on the way."""

    ended: Any
    #: What it was done to, afterwards.
    subject: Any = None
    statements: list[str] = []
    signals: list[Any] = []
    rows: list[str] = []


def plain(value: Any, depth: int = 6) -> Any:
    """Reduce ``value`` to what two runs on the same rows must agree on."""
    if isinstance(value, models.Model):
        return _plain_object(value, depth)
    if isinstance(value, RawQuerySet):
        return masked(value.raw_query), plain(value._result_cache, depth)
    if isinstance(value, QuerySet | list | tuple | set | frozenset):
        rows = value if not isinstance(value, QuerySet) else value._result_cache or ()
        kept = [plain(one, depth) for one in rows]
        kind = "tuple" if isinstance(value, tuple) else type(value).__name__
        return kind, sorted(kept, key=repr) if isinstance(value, set) else kept
    if isinstance(value, dict):
        return [(plain(k, depth), plain(v, depth)) for k, v in value.items()]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and value >= KNOWN and value < 2**40:
        return "a new key"
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, datetime) and value.year > 2024:
        return "now" if is_aware(value) else "now, naive"
    return value


def _plain_object(value: Any, depth: int) -> Any:
    if not depth:
        return type(value).__name__
    state = value._state
    loaded = {
        name: one for name, one in vars(value).items() if not name.startswith("_")
    }
    return (
        type(value).__name__,
        state.db,
        state.adding,
        plain(loaded, depth - 1),
        plain(dict(sorted(state.fields_cache.items())), depth - 1),
        plain(getattr(value, "_prefetched_objects_cache", {}), depth - 1),
    )


def masked(text: str) -> str:
    return VARYING.sub("N", KEYS.sub(_in_order, text))


def _in_order(keys: re.Match[str]) -> str:
    return f"IN ({', '.join(sorted(keys[1].split(', '), key=int))})"


def _plain_error(error: BaseException) -> Any:
    cause = error.__cause__
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return kind, masked(str(error)), type(cause).__name__


class Observer:
    """Notes signals and statements between ``begin()`` and ``end()``."""

    def __init__(self, using: str) -> None:
        self.using = using

    @contextmanager
    def signals(self) -> Iterator[list[Any]]:
        """List the signals of this suite's models."""
        seen: list[Any] = []
        receivers = {name: _receiver(name, seen) for name in SIGNALS}
        for name, signal in SIGNALS.items():
            signal.connect(receivers[name])
        try:
            yield seen
        finally:
            for name, signal in SIGNALS.items():
                signal.disconnect(receivers[name])

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """List, after the block, the statements of the running task or thread."""
        wrapper = connections[self.using]
        before, wrapper.force_debug_cursor = wrapper.force_debug_cursor, True
        first, found = len(wrapper.queries_log), []
        try:
            yield found
        finally:
            wrapper.force_debug_cursor = before
            # Django 5.2 has no text for some that failed.
            asked = [str(one["sql"]) for one in list(wrapper.queries_log)[first:]]
            found += [masked(sql) for sql in asked if not SETTING_UP.match(sql)]

    def run(self, prepare: Callable[[str], Any], fn: Callable[[Any], Any]) -> Outcome:
        """Run ``fn`` of what ``prepare`` makes, as synchronous code."""
        # Django leaves the last error there for ever, and tasks begin without one.
        connections[self.using].rollback_exc = None
        try:
            subject = prepare(self.using)
        except Exception as error:  # noqa: BLE001 (it is the outcome)
            return Outcome(("not made", _plain_error(error)))
        with self.signals() as seen, self.statements() as asked:
            try:
                ended = "returned", plain(fn(subject))
            except Exception as error:  # noqa: BLE001 (it is the outcome)
                ended = "raised", _plain_error(error)
        return self._outcome(ended, subject, asked, seen)

    async def arun(
        self, prepare: Callable[[str], Any], fn: Callable[[Any], Any]
    ) -> Outcome:
        """Await ``fn`` of what ``prepare`` makes, on the loop."""
        try:
            subject = await on_loop(prepare)(self.using)
        except Exception as error:  # noqa: BLE001 (it is the outcome)
            return Outcome(("not made", _plain_error(error)))
        with self.signals() as seen, self.statements() as asked:
            try:
                ended = "returned", plain(await fn(subject))
            except Exception as error:  # noqa: BLE001 (it is the outcome)
                ended = "raised", _plain_error(error)
        outcome = self._outcome
        return await on_loop(outcome)(ended, subject, asked, seen)

    def _outcome(
        self, ended: Any, subject: Any, asked: list[str], seen: list[Any]
    ) -> Outcome:
        has_written = any(WRITES.match(sql) for sql in asked)
        rows = contents(self.using) if has_written else []
        return Outcome(ended, plain(subject), asked, seen, rows)


def contents(using: str) -> list[str]:
    """Every row of the suite's tables, in any order."""
    rows = []
    for model in MODELS:
        names = [field.attname for field in model._meta.concrete_fields]
        for row in model._base_manager.using(using).values_list(*names):
            rows.append(f"{model.__name__} {plain(row)}")
    return sorted(rows)


def _receiver(name: str, seen: list[Any]) -> Callable[..., None]:
    def receive(sender: Any, **kwargs: Any) -> None:
        if sender._meta.app_label != "contract":
            return
        del kwargs["signal"]
        if name.endswith("_init"):
            # Of its arguments, pre_init has the values, which the result shows.
            kwargs = {}
        if (one := kwargs.get("instance")) is not None:
            kwargs["instance"] = plain(one, 1), one.pk if one.pk else None
        seen.append((name, sender.__name__, plain(kwargs)))

    return receive
